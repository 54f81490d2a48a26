//! What a stranger does first: the README's commands and the demo registry, offline and years later, against the stock tools.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use modelpm::lock::{Found, Lock};
use modelpm::model::Pin;
use modelpm::statement::Statement;

use crate::support::peers;
use crate::support::registry::git;

/// The README's tour, in order, as its reader types it; each command succeeds and says this.
const TOUR: &[(&str, &str)] = &[
    ("mpm init", "Model.toml"),
    ("mpm add demo/digits-mlp@^1.0", "+ demo/digits-mlp 1.1.0 (f32)"),
    ("mpm add demo/digits-lora demo/digits", "+ demo/digits-mlp 1.0.0 (f32)"),
    ("mpm tree", "│   └── mpm-demo:demo/digits-mlp@1.0.0"),
    ("mpm list", "demo/digits-lora 1.0.0"),
    ("mpm info demo/digits-mlp", "yanked (broken): config.json"),
    ("mpm add demo/digits-mlp@^1.0 --variant int8", "+ demo/digits-mlp 1.1.0 (int8)"),
    ("rm -r models datasets .mpm", ""),
    ("mpm sync --frozen", "Placed 12 files"),
    ("mpm sync --frozen", "Nothing to do: 4 packages as locked"),
    ("mpm verify", "Everything is as it was placed"),
    ("mpm path demo/digits-mlp", "models/demo/digits-mlp"),
    (r#"mpm run -- sh -c 'ls "$MPM_PATH_DEMO__DIGITS_MLP"'"#, "model.safetensors"),
    ("mpm update --dry-run", "Nothing newer"),
    ("mpm lock --check", "Model.lock answers Model.toml: 4 packages"),
    ("mpm remove demo/digits-lora", "Removed 6 files"),
    ("export MPM_KEY_PASSWORD=only-an-example", ""),
    ("mpm key new main.key", "Fingerprint"),
    ("mpm key new index.key --no-password", "Fingerprint"),
    (
        "mpm index init registry --id acme --namespace acme --main-key main.key --index-key index.key > acme.toml",
        "Made registry acme",
    ),
    ("cat acme.toml >> Model.toml", ""),
    ("mkdir -p tiny/out", ""),
    (r#"printf '{"layers": 2}' > tiny/out/config.json"#, ""),
    (
        r#"printf '[package]\nname = "acme/tiny"\nversion = "0.1.0"\nkind = "model"\ndir = "out"\n' > tiny/Model.toml"#,
        "",
    ),
    ("mpm -C tiny publish --registry ../registry --key ../main.key", "Published acme/tiny 0.1.0 in acme"),
    ("mpm index checkpoint registry --key index.key", "+ acme/tiny 0.1.0"),
    ("mpm add acme/tiny", "+ acme/tiny 0.1.0"),
    ("git -C registry init --quiet", ""),
    ("git -C registry add .", ""),
    ("git -C registry -c user.name=acme -c user.email=acme@acme.example commit --quiet -m 'acme/tiny 0.1.0'", ""),
    (r#"sed -i "s|index = \"registry\"|index = \"git+file://$PWD/registry\"|" Model.toml"#, ""),
    ("mpm lock --check", "Model.lock answers Model.toml: 3 packages"),
    ("mpm info acme/tiny", "0.1.0"),
    ("mpm update --dry-run", "Nothing newer"),
    ("mpm sync --dry-run", "Would fetch nothing"),
    ("mpm mirror sync site --lock Model.lock --registry acme", "1 release of 1 package"),
    ("mpm mirror verify site", "all good"),
    ("mpm bundle create -o acme.mpmb --lock Model.lock --registry acme", "acme.mpmb"),
    ("mpm bundle verify acme.mpmb", "all good"),
    ("mpm bundle import acme.mpmb --into inside", "acme/tiny 0.1.0"),
];

/// Stands between the outputs of two commands.
const NEXT: &str = "--- the next command ---";

/// The README's first command, without cargo before it.
const FIRST: &[&str] = &["add", "demo/digits-mlp", "--init", "-C", "hello"];

/// A home, a store and a working folder that belong to one test.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        Self { folder }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// `mpm` with its environment, below other programs (`unshare -rn`) if any are given.
    fn command(&self, below: &[&str], words: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_mpm");
        let mut all = below.iter().chain([&binary]).chain(words);
        let mut command = Command::new(all.next().unwrap());
        command.args(all).current_dir(self.work()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.folder.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    fn mpm(&self, words: &[&str]) -> Output {
        done(self.command(&[], words))
    }
}

fn done(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    output
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder with its bytes; links are followed.
fn content(below: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path.strip_prefix(below).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

/// What `classify.py` counts: right and all.
fn classified(model: &Path, more: &[&str]) -> Option<(u64, u64)> {
    let python = peers::python()?;
    let make = repository().join("registry-index/make");
    let mut command = Command::new(python);
    command.arg("-B").arg(make.join("classify.py")).arg(model).args(more);
    let text = said(&done(command));
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    Some((numbers.next().unwrap(), numbers.next().unwrap()))
}

/// What a placed `config.json` says was measured.
fn promised(config: &Path, variant: Option<&str>) -> (u64, u64) {
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
    let measured = &config["held-out"];
    let correct = variant.map_or(&measured["correct"], |name| &measured["correct"][name]);
    (correct.as_u64().unwrap(), measured["of"].as_u64().unwrap())
}

/// The commands of the README's tour, as it shows them.
fn shown() -> Vec<String> {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let tour = readme.split("\n## ").find(|section| section.starts_with("A tour")).unwrap();
    let blocks = tour.split("```console").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn the_readme_tour_works() {
    if peers::peer("git").is_none() {
        return;
    }
    assert_eq!(shown(), TOUR.iter().map(|(command, _)| *command).collect::<Vec<_>>(), "README.md shows another tour");
    let machine = Machine::new();
    let lines: Vec<String> = TOUR.iter().map(|(command, _)| format!("{command}\necho '{NEXT}'\n")).collect();
    let binaries = Path::new(env!("CARGO_BIN_EXE_mpm")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.arg("-ec").arg(format!("exec 2>&1\n{}", lines.concat())).current_dir(machine.work()).env_clear();
    command.env("HOME", machine.folder.path()).env("PATH", format!("{}:{path}", binaries.display()));
    command.stdin(Stdio::null());
    let text = said(&done(command));
    let parts: Vec<&str> = text.split(NEXT).collect();
    assert_eq!(parts.len(), TOUR.len() + 1, "{text}");
    for ((command, expected), text) in TOUR.iter().zip(parts) {
        assert!(text.contains(expected), "`{command}` does not say {expected:?}:\n{text}");
    }
}

#[test]
fn the_first_command_needs_no_network() {
    let Some(unshare) = peers::peer("unshare") else { return };
    let namespace = Command::new(&unshare).args(["-rn", "true"]).stderr(Stdio::null()).status();
    if !namespace.is_ok_and(|status| status.success()) {
        return peers::missing("network namespaces");
    }
    let machine = Machine::new();
    let text = said(&done(machine.command(&["unshare", "-rn"], FIRST)));
    assert!(text.contains("demo/digits-mlp"), "{text}");
    let placed = machine.work().join("hello/models/demo/digits-mlp");
    assert!(placed.join("model.safetensors").is_file() && machine.work().join("hello/Model.lock").is_file());
}

#[test]
fn the_first_command_works_five_years_on() {
    if peers::peer("faketime").is_none() {
        return;
    }
    let machine = Machine::new();
    done(machine.command(&["faketime", "-f", "+5y"], FIRST));
    assert!(machine.work().join("hello/models/demo/digits-mlp/model.safetensors").is_file());
}

#[test]
fn placed_models_classify_as_their_cards_say() {
    let machine = Machine::new();
    machine.mpm(&["init"]);
    machine.mpm(&["add", "demo/digits"]);
    let test = machine.work().join("datasets/demo/digits/test.csv");
    let test = test.to_str().unwrap();
    for (version, variant) in [("1.0.0", "int8"), ("1.1.0", "int8"), ("1.1.0", "f32"), ("1.0.0", "f32")] {
        machine.mpm(&["add", &format!("demo/digits-mlp@={version}"), "--variant", variant]);
        let model = machine.work().join("models/demo/digits-mlp");
        let Some(found) = classified(&model, &[test]) else { return };
        assert_eq!(found, promised(&model.join("config.json"), Some(variant)), "{version} {variant}");
        assert!(found.0 * 100 > found.1 * 95, "{version} {variant}: {found:?}");
    }
    machine.mpm(&["add", "demo/digits-lora"]);
    let adapter = machine.work().join("models/demo/digits-lora");
    let more = [test, "--turned", "--adapter", adapter.to_str().unwrap()];
    let found = classified(&machine.work().join("models/demo/digits-mlp"), &more).unwrap();
    assert_eq!(found, promised(&adapter.join("adapter_config.json"), None));
}

#[test]
fn an_adapter_and_a_newer_model_live_side_by_side() {
    let machine = Machine::new();
    machine.mpm(&["init"]);
    machine.mpm(&["add", "demo/digits-mlp@=1.1.0"]);
    machine.mpm(&["add", "demo/digits-lora"]);
    let models = machine.work().join("models");
    assert!(models.join("demo/digits-lora/adapter.safetensors").is_file());
    let card = |folder: &str| std::fs::read_to_string(models.join(folder).join("README.md")).unwrap();
    assert!(card("demo/digits-mlp").starts_with("# demo/digits-mlp 1.1.0"));
    assert!(card(".deps/demo/digits-mlp@1.0.0").starts_with("# demo/digits-mlp 1.0.0"));
}

#[test]
fn a_yanked_version_is_not_taken_by_a_new_lock() {
    let machine = Machine::new();
    machine.mpm(&["init"]);
    let output = machine.command(&[], &["add", "demo/digits-mlp@=0.9.0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("yanked"), "{}", said(&output));
}

#[test]
fn a_lock_alone_brings_the_same_bytes_to_another_machine() {
    let first = Machine::new();
    first.mpm(&["init"]);
    first.mpm(&["add", "demo/digits-mlp@1.0.0"]);
    first.mpm(&["add", "demo/digits-lora"]);
    let second = Machine::new();
    for file in ["Model.toml", "Model.lock"] {
        std::fs::copy(first.work().join(file), second.work().join(file)).unwrap();
    }
    second.mpm(&["sync", "--frozen"]);
    assert_eq!(content(&first.work().join("models")), content(&second.work().join("models")));
    let before = content(&second.work().join(".mpm"));
    second.mpm(&["sync", "--frozen"]);
    assert_eq!(before, content(&second.work().join(".mpm")), "a sync with nothing to do writes nothing");
    second.mpm(&["verify"]);
}

#[test]
fn stock_minisign_accepts_every_signature() {
    let Some(minisign) = peers::peer("minisign") else { return };
    let registry = repository().join("registry-index");
    let keys: BTreeMap<String, String> = content(&registry.join("make/keys"))
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|ending| ending == "pub"))
        .map(|(_, bytes)| {
            let text = String::from_utf8(bytes).unwrap();
            let key = modelpm::model::PublicKey::parse(text.lines().nth(1).unwrap()).unwrap();
            (key.fingerprint().short(), text.lines().nth(1).unwrap().to_owned())
        })
        .collect();
    let mut count = 0;
    for path in content(&registry).into_keys().filter(|path| path.extension().is_some_and(|ending| ending == "minisig"))
    {
        let signature = registry.join(&path);
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (file, short) = name.rsplit_once('.').unwrap();
        let mut command = Command::new(&minisign);
        command.args(["-V", "-q", "-H", "-P", &keys[short], "-x"]).arg(&signature);
        command.arg("-m").arg(signature.with_file_name(file));
        done(command);
        count += 1;
    }
    assert!(count >= 9, "{count} signatures");
}

/// The real lock of a project with every package of the demo registry: when the registry changes, it is made again.
#[test]
fn the_example_lock_is_of_the_demo_registry() {
    let text = std::fs::read_to_string(repository().join("Model.lock.example")).unwrap();
    let Found::Whole(lock) = Lock::parse(&text).unwrap() else { panic!("Model.lock.example has conflict markers") };
    assert_eq!(lock.render(), text);
    let registries: Vec<_> = lock.registries.iter().map(|(id, registry)| (id.as_str(), registry.root)).collect();
    assert_eq!(registries, [("mpm-demo", modelpm::index::builtin_root())]);
    let direct: Vec<&str> = lock.direct.keys().map(|(key, _)| key.as_str()).collect();
    assert_eq!(direct, ["demo/digits", "demo/digits-lora", "demo/digits-mlp"]);
    for (id, locked) in &lock.packages {
        let path = format!("registry-index/releases/{}.json", locked.statement.sha256);
        let bytes = std::fs::read(repository().join(&path)).unwrap_or_else(|error| panic!("{id}: {path}: {error}"));
        assert_eq!(Pin::of(&bytes), locked.statement, "{id}");
        let statement = Statement::parse(&bytes).unwrap();
        assert!(statement.name == id.package.name && statement.version == id.version, "{id}");
        assert_eq!((locked.kind, locked.size), (statement.kind, statement.total_size()), "{id}");
        for key in &locked.signers {
            let signature = repository().join(format!("{path}.{}.minisig", key.short()));
            assert!(signature.is_file(), "{id}: {}", signature.display());
        }
    }
    // What the binary itself would write today.
    let machine = Machine::new();
    let mut words = vec!["add", "--init", "--no-sync"];
    words.extend(direct);
    machine.mpm(&words);
    assert_eq!(std::fs::read_to_string(machine.work().join("Model.lock")).unwrap(), text);
}

#[test]
fn the_demo_registry_gives_the_same_lock_from_four_kinds_of_index() {
    let published = tempfile::tempdir().unwrap();
    let registry = published.path().join("registry");
    for (path, bytes) in content(&repository().join("registry-index")) {
        if !path.starts_with("make") {
            let to = registry.join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, bytes).unwrap();
        }
    }
    let server = peers::nginx(&registry, None);
    let mut addresses = vec!["builtin".to_owned(), registry.to_string_lossy().into_owned()];
    addresses.extend(server.as_ref().map(|server| format!("sparse+{}/", server.url)));
    if peers::peer("git").is_some() {
        let work = published.path().join("work");
        let copied = Command::new("cp").arg("-r").arg(&registry).arg(&work).status().unwrap();
        assert!(copied.success());
        git(&work, &["init", "--quiet"]);
        git(&work, &["add", "."]);
        git(&work, &["commit", "--quiet", "-m", "the demo registry"]);
        addresses.push(format!("git+file://{}", work.display()));
    }
    let root = modelpm::index::builtin_root();
    let mut first: Option<(String, BTreeMap<PathBuf, Vec<u8>>)> = None;
    for address in addresses {
        let machine = Machine::new();
        let manifest = format!(
            "[registries.mpm-demo]\nindex = \"{address}\"\nroot = \"sha256:{root}\"\nnamespaces = [\"demo\"]\n\n\
             [models]\n\"demo/digits-mlp\" = {{ version = \"1\", variant = \"int8\" }}\n\"demo/digits-lora\" = \"1\"\n\n\
             [datasets]\n\"demo/digits\" = \"1\"\n"
        );
        std::fs::write(machine.work().join("Model.toml"), manifest).unwrap();
        machine.mpm(&["sync"]);
        let lock = std::fs::read_to_string(machine.work().join("Model.lock")).unwrap();
        let placed = content(&machine.work().join("models"));
        match &first {
            None => first = Some((lock, placed)),
            Some(first) => assert!(*first == (lock, placed), "{address} gives another lock or other bytes"),
        }
    }
}
