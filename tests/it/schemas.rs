//! Every document of `--json` against its schema in docs/formats/json/. Other tests check theirs too, whenever they read one.

use std::collections::BTreeSet;

use crate::flows::fixture::{manifest, ok, registry};
use crate::support::project::{Project, Ran};
use crate::support::schema;

/// What was seen, by schema.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    fn take(&mut self, ran: &Ran) {
        // Reading a document checks it.
        let name = ran.json()["schema"].as_str().unwrap().to_owned();
        self.lines(ran);
        self.0.insert(name);
    }

    /// Lines on standard error are documents as well, each by itself.
    fn lines(&mut self, ran: &Ran) {
        for line in ran.stderr.lines() {
            let document = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            schema::assert_valid(&document);
            self.0.insert(document["schema"].as_str().unwrap().to_owned());
        }
    }
}

#[test]
fn every_command_writes_what_its_schema_says() {
    let mut registry = registry();
    let mut seen = Seen::default();
    let project = Project::new().variable("MPM_JSON", "1");
    let mut run = |arguments: &[&str], code: i32| {
        let ran = project.mpm(arguments).expect(code);
        if code == 0 || !ran.stdout.is_empty() { seen.take(&ran) } else { seen.lines(&ran) }
    };
    run(&["sync"], 1);
    run(&["init"], 0);
    let rest = "[models]\n\"acme/lora\" = \"1\"\n\"acme/minilm\" = { version = \"1.0\", variant = \"int8\" }\nlocal = { path = \"local\" }\n";
    project.write("local/config.json", "{}\n");
    project.write("Model.toml", manifest(&registry, &registry.folder().display().to_string(), rest));
    run(&["lock"], 0);
    run(&["sync", "--dry-run"], 0);
    run(&["fetch"], 0);
    run(&["sync"], 0);
    run(&["sync"], 0);
    run(&["add", "uci/digits", "--to-group", "eval"], 0);
    run(&["remove", "uci/digits"], 0);
    run(&["update", "--precise", "1.0.0", "acme/minilm"], 0);
    run(&["get", "acme/lora", "--to", "out"], 0);
    registry.yank("acme/minilm", "1.0.0", "the tokenizer is of another model");
    run(&["outdated", "--all"], 0);
    run(&["upgrade"], 0);
    run(&["sync"], 0);
    for command in [
        &["list"][..],
        &["tree"],
        &["why", "acme/vocab"],
        &["info", "acme/minilm"],
        &["info", "acme/lora"],
        &["search", "acme"],
        &["path", "acme/lora"],
        &["verify"],
        &["doctor"],
        &["config", "show"],
        &["store", "dir"],
        &["store", "size"],
        &["store", "gc"],
        &["store", "adopt", "local"],
        &["logout", "a.example"],
    ] {
        run(command, 0);
    }
    std::fs::remove_file(project.folder().join("models/acme/lora/adapter.safetensors")).unwrap();
    run(&["verify"], 4);
    run(&["key", "new", "main.key", "--no-password"], 0);
    run(&["index", "init", "index", "--id", "mine", "--namespace", "me", "--demo"], 0);
    project.write("pub/out/config.json", "{}\n");
    let package = "[package]\nname = \"me/model\"\nversion = \"1.0.0\"\nkind = \"model\"\ndir = \"out\"\n";
    project.write("pub/Model.toml", package);
    let publish =
        ["-C", "pub", "publish", "--registry", "../index", "--key", "../main.key", "--index-key", "../index.key"];
    run(&publish, 0);
    run(&["index", "checkpoint", "index", "--key", "index.key"], 0);
    run(&["mirror", "sync", "mirror", "acme/lora", "--registry", "acme"], 0);
    run(&["mirror", "verify", "mirror"], 0);
    run(&["mirror", "status", "mirror"], 0);
    run(&["serve", "token", "ci", "--tokens", "tokens.toml", "--read", "acme"], 0);
    run(&["serve", "unit", "mirror"], 0);
    run(&["bundle", "create", "-o", "site.mpmb", "acme/lora", "--registry", "acme"], 0);
    run(&["bundle", "list", "site.mpmb"], 0);
    run(&["bundle", "verify", "site.mpmb"], 0);
    run(&["bundle", "import", "site.mpmb", "--into", "gap"], 0);
    run(&["sync", "--nonsense"], 2);
    seen.take(&crate::login::typed(&project, &["login", "a.example"], "t0ken\n").expect(0));
    let first = crate::serve::first_line(project.command(&["serve", "mirror", "--listen", "127.0.0.1:0"]));
    let document = serde_json::from_str(&first).unwrap_or_else(|error| panic!("{error}: {first}"));
    schema::assert_valid(&document);
    seen.0.insert(document["schema"].as_str().unwrap().to_owned());
    let git = |arguments: &[&str]| crate::support::registry::git(&project.folder(), arguments);
    git(&["init", "-q"]);
    git(&["add", "Model.lock"]);
    git(&["commit", "-q", "-m", "lock"]);
    seen.take(&ok(&project, &["diff"]));
    let expected: BTreeSet<String> = schema::names().iter().map(|name| format!("mpm.{name}/1")).collect();
    assert_eq!(seen.0, expected, "documents that were not seen, or have no schema");
}

#[test]
fn each_schema_is_of_a_document_and_each_document_has_one() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli");
    let mut written = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let words = text.split('"').filter(|word| word.starts_with("mpm.") && word.ends_with("/1"));
                written.extend(words.map(str::to_owned));
            }
        }
    }
    let expected: BTreeSet<String> = schema::names().iter().map(|name| format!("mpm.{name}/1")).collect();
    assert_eq!(written, expected);
    for name in schema::names() {
        let schema = schema::load(&name);
        assert_eq!(schema["title"], format!("mpm.{name}/1"));
        assert_eq!(schema["properties"]["schema"]["const"], schema["title"]);
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
    }
}

#[test]
fn the_checker_refuses_what_does_not_fit() {
    for (document, part) in [
        (serde_json::json!({ "schema": "mpm.store-size/1", "blobs": 1 }), "bytes is missing"),
        (serde_json::json!({ "schema": "mpm.store-size/1", "blobs": -1, "bytes": 0 }), "< 0"),
        (serde_json::json!({ "schema": "mpm.store-size/1", "blobs": "1", "bytes": 0 }), "expected integer"),
        (
            serde_json::json!({ "schema": "mpm.store-size/1", "blobs": 1, "bytes": 0, "more": 0 }),
            "more is not documented",
        ),
    ] {
        let refused = std::panic::catch_unwind(|| schema::assert_valid(&document)).expect_err("refused");
        let text = refused.downcast_ref::<String>().expect("words");
        assert!(text.contains(part), "{text}");
    }
}
