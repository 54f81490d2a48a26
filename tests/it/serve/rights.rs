//! Who may read what: tokens, TLS, and what the log says of it.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{Serving, blob_path, mirror};
use crate::flows::fixture::{ok, placed, project_at, registry};
use crate::support::blob;
use crate::support::certificates::{Authority, Flaw};
use crate::support::peers;
use crate::support::project::Project;

fn token(machine: &Project, name: &str, read: &[&str], more: &[&str]) -> String {
    let mut arguments = vec!["serve", "token", name, "--tokens", "tokens.toml"];
    read.iter().for_each(|right| arguments.extend(["--read", right]));
    arguments.extend(more);
    machine.mpm(&arguments).expect(0).stdout.trim().to_owned()
}

#[test]
fn a_token_reads_its_namespaces_and_no_other() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let acme = token(&machine, "acme-reader", &["acme"], &[]);
    let uci = token(&machine, "uci-reader", &["acme:uci"], &[]);
    let all = token(&machine, "all", &["*"], &[]);
    let late = token(&machine, "late", &["*"], &["--expires", "0"]);
    let file = machine.text("tokens.toml").unwrap();
    for token in [&acme, &uci, &all, &late] {
        assert!(token.len() > 40 && !file.contains(token.as_str()), "{token} stands in the file");
    }
    machine
        .mpm(&["serve", "token", "all", "--tokens", "tokens.toml", "--read", "*"])
        .expect(1)
        .says(&["E1094", "already"]);
    machine.mpm(&["serve", "token", "x", "--tokens", "tokens.toml", "--read", "../x"]).expect(1).says(&["no right"]);
    let serving =
        Serving::start(&machine, &[&to.display().to_string(), "--tokens", "tokens.toml", "--access-log", "access.log"]);
    let weights = blob_path(&blob::safetensors(2, 3_000));
    let digits = blob_path(b"# digits\n");
    let release = format!("/releases/{}.json", registry.statement_sha256("acme/minilm", "1.1.0").hex());
    let bearer = |token: &str| format!("authorization: Bearer {token}");
    for (path, expected) in [
        // Nobody, acme's, uci's, all, expired, made up.
        (&*weights, [401, 200, 403, 200, 401, 401]),
        (&*digits, [401, 403, 200, 200, 401, 401]),
        (&*release, [401, 200, 403, 200, 401, 401]),
        ("/packages/acme/minilm.jsonl", [401, 200, 403, 200, 401, 401]),
        ("/packages/uci/digits.jsonl", [401, 403, 200, 200, 401, 401]),
        ("/checkpoint.json", [401, 200, 200, 200, 401, 401]),
        (
            "/blobs/sha256/00/0000000000000000000000000000000000000000000000000000000000000000",
            [401, 403, 403, 404, 401, 401],
        ),
    ] {
        let mut found = vec![serving.get(path, &[]).status];
        for token in [&acme, &uci, &all, &late, &"mpms_made-up-made-up-made-up-made-up".to_owned()] {
            found.push(serving.get(path, &[&bearer(token)]).status);
        }
        assert_eq!(found, expected, "{path}");
    }
    assert_eq!(serving.get("/health", &[]).status, 200);
    let refused = serving.get(&weights, &[]);
    assert!(refused.header("www-authenticate").starts_with("Bearer"), "{:?}", refused.headers);
    let mine = serving.get(&weights, &[&bearer(&acme)]);
    assert!(mine.header("cache-control").starts_with("private"), "a shared cache must not keep it");

    // mpm itself, with the token of its user.
    let client = project_at(&registry, &serving.sparse(), "[models]\n\"acme/minilm\" = \"1\"\n");
    client.mpm(&["sync"]).expect(3);
    let client = client.config(&format!("[tokens]\n\"{}\" = \"{acme}\"\n", serving.address));
    ok(&client, &["sync"]);
    assert_eq!(placed(&client)["models/acme/minilm/model.safetensors"], blob::safetensors(2, 3_000));

    // The log knows names of tokens, and neither tokens nor queries.
    serving.get("/checkpoint.json?token=hidden-in-the-query", &[&bearer(&acme), "user-agent: \u{1b}[31mred\"\n"]);
    let begun = Instant::now();
    let log = loop {
        let log = machine.text("access.log").unwrap();
        if log.contains("\\u001b") || begun.elapsed() > Duration::from_secs(10) {
            break log;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(log.contains("\"token\":\"acme-reader\"") && log.lines().count() > 40, "{log}");
    for secret in [&*acme, &*uci, &*all, "hidden-in-the-query", "\u{1b}"] {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["status"].is_u64() && line["path"].is_string(), "{line}");
    }

    // A token that is taken out counts no more a moment later, and a file that broke changes nothing.
    let kept: String =
        file.split("\n[[token]]").filter(|part| !part.contains("acme-reader")).collect::<Vec<_>>().join("\n[[token]]");
    machine.write("tokens.toml", kept);
    let begun = Instant::now();
    while serving.get(&weights, &[&bearer(&acme)]).status != 401 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the token still counts");
        std::thread::sleep(Duration::from_millis(100));
    }
    machine.write("tokens.toml", "broken");
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(serving.get(&weights, &[&bearer(&all)]).status, 200);
    serving.says("goes on counting as it was");
}

#[test]
fn what_is_anonymous_needs_no_token() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    machine.write("tokens.toml", "format = \"mpm.tokens/1\"\nanonymous = [\"uci\"]\n");
    let serving = Serving::start(&machine, &[&to.display().to_string(), "--tokens", "tokens.toml"]);
    assert_eq!(serving.get(&blob_path(b"# digits\n"), &[]).status, 200);
    assert_eq!(serving.get(&blob_path(&blob::safetensors(2, 3_000)), &[]).status, 401);
}

#[test]
fn tls_comes_from_files_that_are_read_again_when_they_change() {
    let (Some(curl), Some(authority), Some(second)) = (peers::peer("curl"), Authority::new(), Authority::new()) else {
        return;
    };
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let put = |authority: &Authority| {
        let identity = authority.identity(Flaw::Nothing).unwrap();
        machine.write("cert.pem", std::fs::read(&identity.certificate).unwrap());
        machine.write("key.pem", std::fs::read(&identity.key).unwrap());
    };
    put(&authority);
    let serving =
        Serving::start(&machine, &[&to.display().to_string(), "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let bytes = blob::safetensors(2, 3_000);
    let url = format!("https://{}{}", serving.address, blob_path(&bytes));
    let get = |authority: &Authority| {
        Command::new(&curl).args(["-sSf", "--cacert"]).arg(authority.certificate()).arg(&url).output().unwrap().stdout
    };
    assert_eq!(get(&authority), bytes);
    assert!(get(&second).is_empty(), "curl must not believe another authority");
    let client =
        project_at(&registry, &format!("sparse+https://{}/", serving.address), "[models]\n\"acme/minilm\" = \"1\"\n")
            .variable("MPM_CA_FILE", authority.certificate());
    ok(&client, &["sync"]);
    // Half of a pair is no reason to stop.
    machine.write("cert.pem", "nothing");
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(get(&authority), bytes);
    put(&second);
    let begun = Instant::now();
    while get(&second) != bytes {
        assert!(begun.elapsed() < Duration::from_secs(20), "the new certificate is not used: {}", serving.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    // Who does not speak TLS gets no answer, and the server stays.
    assert_eq!(serving.get("/health", &[]).status, 0);
    assert_eq!(get(&second), bytes);
}
