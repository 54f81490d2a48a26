//! Answers and refusals, header by header.

use modelpm::model::{FileClass, Pin, RelPath, Sha256};
use modelpm::statement::{FileEntry, Files};
use serde_json::Value;

use super::{TOKENS, UPSTREAM, commit, registry, serving};
use crate::serve::{Answer, Serving};
use crate::support::blob;
use crate::support::registry::TestRegistry;

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// The commit that a revision of `acme/tiny` leads to.
#[track_caller]
fn leads(serving: &Serving, id: &str, revision: &str) -> String {
    let answer = serving.get(&format!("/api/models/{id}/revision/{revision}"), &[]);
    assert_eq!(answer.status, 200, "{id} {revision}: {} {}", answer.header("x-error-message"), answer.text());
    json(&answer)["sha"].as_str().unwrap().to_owned()
}

#[track_caller]
fn refuses(serving: &Serving, path: &str, headers: &[&str], status: u16, code: &str, text: &str) {
    let answer = serving.get(path, headers);
    let message = answer.header("x-error-message");
    assert_eq!((answer.status, answer.header("x-error-code")), (status, code), "{path}: {message}");
    assert!(message.contains(text), "{path}: {message}");
    assert_eq!(json(&answer)["error"], message, "{path}");
    if status == 401 {
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"mpm\"");
    }
}

#[test]
fn a_revision_is_a_version_a_range_a_variant_or_a_commit() {
    let registry = registry();
    let (_machine, serving) = serving(&registry);
    let own = |version| commit(&registry, "acme/tiny", version);
    for (revision, expected) in [
        ("1.0.0", own("1.0.0")),
        ("1.0.0-f32", own("1.0.0")),
        ("%3D1.0.0", own("1.0.0")),
        ("%3C1.2", own("1.0.0")),
        // 1.3.0 was yanked and 2.0.0 revoked: neither a range nor main leads there.
        ("%5E1", UPSTREAM.to_owned()),
        ("%5E1.0", UPSTREAM.to_owned()),
        ("1", UPSTREAM.to_owned()),
        ("main", UPSTREAM.to_owned()),
        ("1.2.0", UPSTREAM.to_owned()),
        (UPSTREAM, UPSTREAM.to_owned()),
        // Who asks by name gets it.
        ("1.3.0", own("1.3.0")),
        (&own("1.3.0"), own("1.3.0")),
    ] {
        assert_eq!(leads(&serving, "acme/tiny", revision), expected, "{revision}");
    }
    let variant = leads(&serving, "acme/tiny", "1.2.0-int8");
    assert!(variant != UPSTREAM && leads(&serving, "acme/tiny", &variant) == variant);
    // The same under the upstream's id, its registry's name, and the registry's own address.
    assert_eq!(leads(&serving, "Sentence/Tiny", "main"), UPSTREAM);
    assert_eq!(leads(&serving, "Sentence/Tiny", "1.2.0-int8"), variant);
    assert_eq!(leads(&serving, "acme/acme/tiny", "1.2.0"), UPSTREAM);
    let below = serving.get("/registries/acme/api/models/acme/tiny/revision/1.2.0", &[]);
    assert_eq!(json(&below)["sha"], UPSTREAM);

    for (path, code, text) in [
        ("acme/tiny/revision/%5E2", "RevisionNotFound", "2.0.0 (refused), 1.3.0 (yanked), 1.2.0, 1.0.0"),
        ("acme/tiny/revision/1.1.0", "RevisionNotFound", "versions: 2.0.0"),
        ("acme/tiny/revision/2.0.0", "RevisionNotFound", "made with a stolen key"),
        ("acme/tiny/revision/1.2.0-q4", "RevisionNotFound", "has no variant q4; variants: f32, int8"),
        ("acme/tiny/revision/refs%2Fpr%2F1", "RevisionNotFound", "no revision"),
        ("acme/tiny/revision/0000000000000000000000000000000000000000", "RevisionNotFound", "no revision"),
        ("Sentence/Tiny/revision/1.0.0", "RevisionNotFound", "versions: 1.2.0"),
        ("acme/none", "RepoNotFound", "is no model of this server"),
        ("uci/table", "RepoNotFound", "it is a dataset"),
        ("other/acme/tiny", "RepoNotFound", "no registry other"),
        ("Acme/Tiny", "RepoNotFound", "is no model of this server"),
    ] {
        refuses(&serving, &format!("/api/models/{path}"), &[], 404, code, text);
    }
    refuses(
        &serving,
        &format!("/api/models/acme/tiny/revision/{}", own("2.0.0")),
        &[],
        404,
        "RevisionNotFound",
        "stolen",
    );
    refuses(&serving, "/api/spaces/acme/tiny", &[], 400, "", "no such part");

    let refs = json(&serving.get("/api/models/acme/tiny/refs", &[]));
    let tags: Vec<&str> = refs["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    assert_eq!(
        tags,
        ["1.0.0", "1.0.0-f32", "1.0.0-int8", "1.2.0", "1.2.0-f32", "1.2.0-int8", "1.3.0", "1.3.0-f32", "1.3.0-int8"]
    );
    assert_eq!(refs["branches"][0]["targetCommit"], UPSTREAM);
    assert_eq!(json(&serving.get("/api/datasets/uci/table", &[]))["sha"], commit(&registry, "uci/table", "1.0.0"));
}

#[test]
fn files_leave_with_the_hubs_headers() {
    let registry = registry();
    let (_machine, serving) = serving(&registry);
    let (config, weights) = (super::CONFIG.as_bytes(), blob::safetensors(2, 3_000));
    let digest = Sha256::of(config).hex();
    for method in ["HEAD", "GET"] {
        let answer = serving.ask(method, "/acme/tiny/resolve/main/config.json", &[]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-repo-commit"), UPSTREAM);
        assert_eq!(answer.header("etag"), format!("\"{digest}\""));
        assert_eq!(answer.header("content-length"), config.len().to_string());
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert_eq!(answer.body, if method == "GET" { config } else { b"" });
        assert!(answer.headers.keys().all(|name| !name.contains("xet") && name != "content-encoding"));
    }
    let answer = serving.get(&format!("/acme/tiny/resolve/{UPSTREAM}/config.json"), &["accept-encoding: gzip"]);
    assert_eq!((&*answer.body, answer.header("content-encoding")), (config, ""));
    assert!(answer.header("cache-control").contains("immutable"));
    let part = serving.get("/acme/tiny/resolve/1.2.0/model.safetensors", &["range: bytes=5-9"]);
    assert_eq!((part.status, &part.body[..]), (206, &weights[5..10]));
    assert_eq!(part.header("content-range"), format!("bytes 5-9/{}", weights.len()));
    let outside = serving.get("/acme/tiny/resolve/1.2.0/model.safetensors", &["range: bytes=99999999-"]);
    assert_eq!((outside.status, outside.header("x-error-message")), (416, "the file has no such bytes"));
    let same = serving.get("/acme/tiny/resolve/main/config.json", &[&format!("if-none-match: \"{digest}\"")]);
    assert_eq!((same.status, same.body.len()), (304, 0));

    // A length beyond what clients take is told to those alone that ask for one.
    let head = |agent: &str| {
        let answer =
            serving.ask("HEAD", "/acme/tiny/resolve/main/model.safetensors", &[&format!("user-agent: {agent}")]);
        assert_eq!(answer.status, 200);
        answer.header("content-length").to_owned()
    };
    assert_eq!(head("unknown/None; hf_hub/2.4.0"), "");
    assert_eq!(head("unknown/None; hf_hub/0.36.0"), weights.len().to_string());
    assert_eq!(head("llama-cpp"), weights.len().to_string());

    let missing = serving.ask("HEAD", "/acme/tiny/resolve/main/chat_template.jinja", &[]);
    assert_eq!((missing.status, missing.header("x-error-code")), (404, "EntryNotFound"));
    assert_eq!(missing.header("x-repo-commit"), UPSTREAM, "clients note what is absent at a commit");
    for (path, text) in [("docs", "no file"), ("../tiny/config.json", "no file"), ("%2e%2e/config.json", "no file")] {
        let path = format!("/acme/tiny/resolve/main/{path}");
        refuses(&serving, &path, &[], 404, "EntryNotFound", text);
    }
    let yanked = serving.get("/acme/tiny/resolve/1.3.0/config.json", &[]);
    assert_eq!(
        yanked.header("x-hf-warning"),
        "yanked acme/tiny 1.3.0; acme/tiny 1.3.0 was yanked by its publisher: the tokenizer is another one"
    );
    assert_eq!(serving.ask("POST", "/acme/tiny/resolve/main/config.json", &[]).status, 405);
    assert_eq!(serving.ask("DELETE", "/api/models/acme/tiny", &[]).status, 405);
}

#[test]
fn trees_come_in_pages_of_one_commit() {
    let registry = registry();
    let (_machine, serving) = serving(&registry);
    let names = |answer: &Answer| -> Vec<String> {
        json(answer).as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
    };
    let whole = serving.get("/api/models/acme/tiny/tree/main?recursive=true", &[]);
    assert_eq!(
        names(&whole),
        ["config.json", "docs", "docs/card.md", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
    );
    assert_eq!(whole.header("link"), "");
    let flat = serving.get("/api/models/acme/tiny/tree/main", &[]);
    assert_eq!(names(&flat), ["config.json", "docs", "model.safetensors", "tokenizer_config.json", "vocab.txt"]);
    assert_eq!(names(&serving.get("/api/models/acme/tiny/tree/main/docs", &[])), ["docs/card.md"]);
    refuses(
        &serving,
        "/api/models/acme/tiny/tree/main/additional_chat_templates",
        &[],
        404,
        "EntryNotFound",
        "no folder",
    );

    for before in ["", "/registries/acme"] {
        let mut found = Vec::new();
        let mut path = format!("{before}/api/models/acme/tiny/tree/%5E1?recursive=true&limit=2");
        loop {
            let page = serving.get(&path, &[]);
            found.extend(names(&page));
            let link = page.header("link");
            let Some(next) = link.strip_prefix(&format!("<{}", serving.url())) else { break };
            path = next.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
            assert!(path.starts_with(&format!("{before}/api/models/acme/tiny/tree/{UPSTREAM}?")), "{path}");
        }
        assert_eq!(found, names(&whole));
    }
    let tls = serving.get("/api/models/acme/tiny/tree/main?limit=1", &["x-forwarded-proto: https"]);
    assert!(tls.header("link").starts_with("<https://127.0.0.1"), "{}", tls.header("link"));
    refuses(&serving, "/api/models/acme/tiny/tree/main?cursor=77", &[], 400, "", "cursor");
    refuses(&serving, "/api/models/acme/tiny/tree/main?limit=x", &[], 400, "", "limit");

    let question = "paths=docs&paths=none&paths=config.json&expand=true";
    let raw = format!(
        "POST /api/models/acme/tiny/paths-info/1.0.0 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\r\n{question}",
        question.len()
    );
    assert_eq!(names(&serving.raw(raw.as_bytes())), ["docs", "config.json"]);
    let question = r#"{"paths": ["vocab.txt"]}"#;
    let raw = format!(
        "POST /api/models/acme/tiny/paths-info/1.0.0 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\ncontent-type: application/json\r\n\r\n{question}",
        question.len()
    );
    assert_eq!(names(&serving.raw(raw.as_bytes())), ["vocab.txt"]);
}

#[test]
fn a_token_opens_its_namespace_and_a_bad_one_nothing() {
    let registry = registry();
    let (_machine, serving) = serving(&registry);
    let bearer = |token: &str| format!("authorization: Bearer {token}");
    let [ci, other] = TOKENS.map(|(_, token, _)| bearer(token));
    for path in ["/api/models/team/secret", "/team/secret/resolve/main/config.json", "/api/models/team/none"] {
        refuses(&serving, path, &[], 401, "GatedRepo", "a token that may read team is needed");
        refuses(&serving, path, &[&other], 403, "GatedRepo", "the token other may not read team");
        refuses(&serving, path, &[&bearer("hf_made_up")], 401, "", "Invalid credentials in Authorization header");
    }
    let file = serving.get("/team/secret/resolve/main/config.json", &[&ci]);
    assert_eq!((file.status, file.text()), (200, "{\"secret\": 1}\n".to_owned()));
    let kept =
        serving.get(&format!("/team/secret/resolve/{}/config.json", commit(&registry, "team/secret", "1.0.0")), &[&ci]);
    assert!(kept.header("cache-control").starts_with("private"), "{}", kept.header("cache-control"));
    refuses(&serving, "/api/models/team/none", &[&ci], 404, "RepoNotFound", "no model");
    // Rights of a token stand in place of the anonymous ones.
    refuses(&serving, "/api/models/acme/tiny", &[&ci], 403, "GatedRepo", "may not read acme");
    assert_eq!(json(&serving.get("/api/whoami-v2", &[&ci]))["name"], "ci");
    assert_eq!(serving.get("/api/whoami-v2", &[]).status, 401);
}

#[test]
fn what_is_pulled_through_is_promised_at_once_and_brought_when_it_is_asked_for() {
    let mut registry = registry();
    // A file that nobody has, and that would not fit through the wall of the clients.
    let huge = Pin { sha256: Sha256::of(b"huge"), size: 51_000_000_000 };
    let entry = FileEntry {
        path: RelPath::parse("huge.gguf").unwrap(),
        pin: huge,
        class: FileClass::Weights,
        variant: None,
        pack: None,
        chunks: None,
    };
    registry.release("acme/huge", "1.0.0").edit(|statement| statement.files = Files::Inline(vec![entry])).publish();
    let origin = crate::support::server::Server::start(registry.folder());
    let machine = crate::support::project::Project::new().manifest(&crate::flows::fixture::manifest(
        &registry,
        &format!("sparse+{}", origin.url()),
        "",
    ));
    let serving = Serving::start(&machine, &["--pull-through", "acme"]);
    let weights = blob::safetensors(2, 3_000);
    let blobs = || origin.requests().into_iter().filter(|request| request.path.contains("blobs/")).count();
    // Who stands where upstream is known when a statement was met.
    assert_eq!(serving.get("/api/models/Sentence/Tiny", &[]).status, 404);
    let head = serving.ask("HEAD", "/acme/tiny/resolve/main/model.safetensors", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, &*weights.len().to_string()));
    assert_eq!(blobs(), 0, "a HEAD brings nothing");
    assert_eq!(leads(&serving, "Sentence/Tiny", "main"), UPSTREAM);
    for _ in 0..2 {
        let got = serving.get("/Sentence/Tiny/resolve/main/model.safetensors", &[]);
        assert_eq!((got.status, got.body == weights), (200, true));
    }
    assert_eq!(blobs(), 1);

    let length = |agent: &str| {
        let answer = serving.ask("HEAD", "/acme/huge/resolve/main/huge.gguf", &[&format!("user-agent: {agent}")]);
        assert_eq!((answer.status, answer.header("accept-ranges")), (200, "bytes"));
        answer.header("content-length").to_owned()
    };
    assert_eq!(length("unknown/None; hf_hub/2.4.0"), "");
    assert_eq!(length("unknown/None; hf_hub/0.36.0"), "51000000000");
}

#[test]
fn the_store_answers_for_what_was_verified_and_a_corrupt_file_for_nobody() {
    let registry = registry();
    let machine = super::project_of(&registry, "[models]\n\"acme/tiny\" = \"1\"\n");
    machine.mpm(&["sync"]).expect(0);
    let serving = Serving::start(&machine, &[]);
    let weights = blob::safetensors(2, 3_000);
    assert_eq!(serving.get("/acme/tiny/resolve/main/model.safetensors", &[]).body, weights);
    assert_eq!(leads(&serving, "Sentence/Tiny", "%5E1"), UPSTREAM);
    refuses(&serving, "/api/models/acme/lora", &[], 404, "RepoNotFound", "no model");

    let whole = Serving::start(&machine, &[&crate::flows::fixture::folder(&registry)]);
    let mut wrong = weights.clone();
    wrong[200] ^= 1;
    std::fs::write(registry.blob(&Sha256::of(&weights)), wrong).unwrap();
    let answer = whole.get("/acme/tiny/resolve/main/model.safetensors", &[]);
    assert_eq!((answer.status, answer.header("x-error-code")), (500, ""));
    assert!(answer.header("x-error-message").contains("its bytes are wrong"), "{}", answer.header("x-error-message"));
    let question = "x".repeat(5 << 20);
    let raw = format!(
        "POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{question}",
        question.len()
    );
    assert!(matches!(whole.raw(raw.as_bytes()).status, 0 | 400), "a question has an end");
    assert_eq!(leads(&whole, "acme/tiny", "main"), UPSTREAM);
}

#[test]
fn a_name_that_several_claim_is_nobodys() {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    for namespace in ["acme", "evil", "google"] {
        registry.namespace(namespace);
    }
    let other = "f".repeat(40);
    for (name, version, commit) in
        [("acme/bert", "1.0.0", UPSTREAM), ("acme/bert", "1.1.0", UPSTREAM), ("acme/bert", "1.2.0", &other)]
    {
        registry.release(name, version).file("a.txt", version).upstream("Google/BERT", commit).publish();
    }
    registry.release("google/t5", "1.0.0").file("a.txt", "ours").publish();
    registry.release("evil/t5", "9.0.0").file("a.txt", "evil").upstream("google/t5", UPSTREAM).publish();
    let (machine, to) = super::mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string()]);
    // A commit never means two things: the lowest version that names it has it.
    assert_eq!(leads(&serving, "Google/BERT", "1.0.0"), UPSTREAM);
    assert_eq!(leads(&serving, "Google/BERT", "1.1.0"), commit(&registry, "acme/bert", "1.1.0"));
    assert_eq!(leads(&serving, "Google/BERT", "main"), other);
    let bytes = |revision: &str| serving.get(&format!("/Google/BERT/resolve/{revision}/a.txt"), &[]).text();
    assert_eq!(
        (bytes(UPSTREAM), bytes(&commit(&registry, "acme/bert", "1.1.0"))),
        ("1.0.0".to_owned(), "1.1.0".to_owned())
    );
    // Who publishes elsewhere takes no package's name.
    assert_eq!(serving.get("/google/t5/resolve/main/a.txt", &[]).text(), "ours");
    refuses(&serving, "/api/models/google/t5/revision/9.0.0", &[], 404, "RevisionNotFound", "versions: 1.0.0");
    // And where two claim a repository of the hub, neither has it.
    registry.release("evil/bert", "1.0.0").file("a.txt", "evil").upstream("Google/BERT", UPSTREAM).publish();
    crate::flows::fixture::ok(&machine, &["mirror", "sync", &to.display().to_string(), "--all"]);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let text = "Google/BERT may be any of acme: acme/bert, acme: evil/bert";
    refuses(&serving, "/api/models/Google/BERT", &[], 404, "RepoNotFound", text);
    assert_eq!(leads(&serving, "acme/bert", "main"), other);
    // Unless the operator says whom to believe.
    let believing = Serving::start(&machine, &[&to.display().to_string(), "--upstream", "acme"]);
    assert_eq!(leads(&believing, "Google/BERT", "main"), other);
    let believing = Serving::start(&machine, &[&to.display().to_string(), "--upstream", "google"]);
    refuses(&believing, "/api/models/Google/BERT", &[], 404, "RepoNotFound", "no model");
}

#[test]
fn what_is_not_in_the_copy_is_no_optional_file() {
    let mut registry = registry();
    registry
        .release("acme/either", "1.0.0")
        .file("config.json", "{}\n")
        .variant("large", "large.safetensors", blob::safetensors(40, 500))
        .variant("small", "small.safetensors", blob::safetensors(41, 50))
        .publish();
    let machine = super::project_of(&registry, "[models]\n\"acme/tiny\" = { version = \"1\", variant = \"int8\" }\n");
    machine.mpm(&["lock"]).expect(0);
    machine.mpm(&["mirror", "sync", "mirror", "--lock", "Model.lock", "--variant", "int8"]).expect(0);
    let serving = Serving::start(&machine, &["mirror"]);
    // Programs that take a missing file for an optional one must not go on without it: there is no code.
    refuses(&serving, "/acme/tiny/resolve/1.2.0/model.safetensors", &[], 404, "", "is not in this copy");
    assert_eq!(serving.get("/acme/tiny/resolve/1.2.0-int8/model.safetensors", &[]).body, blob::safetensors(12, 900));
    refuses(&serving, "/acme/tiny/resolve/1.2.0-int8/x", &[], 404, "EntryNotFound", "other variants are at 1.2.0-f32");
    let whole = Serving::start(&machine, &[&crate::flows::fixture::folder(&registry)]);
    let text = "acme/either 1.0.0 has variants and no default: ask for a revision 1.0.0-large, 1.0.0-small";
    refuses(&whole, "/api/models/acme/either", &[], 404, "RevisionNotFound", text);
    assert_eq!(whole.get("/acme/either/resolve/1.0.0-small/small.safetensors", &[]).body, blob::safetensors(41, 50));
}
