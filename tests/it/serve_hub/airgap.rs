//! A site with no network: outside everything is locked and packed up; inside, in a network namespace with nothing but loopback, it
//! is served to `mpm` and to the hub's own clients of three generations.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{CONFIG, UPSTREAM, VOCABULARY, commit, registry, tiny};
use crate::flows::fixture::{manifest, tree};
use crate::support::blob;
use crate::support::hub::Hub;
use crate::support::peers::{self, HubClient};
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::Server;

/// In a network namespace of its own every port is free.
const ADDRESS: &str = "127.0.0.1:8080";
/// The hub's model.
const HUB_ID: &str = "Org/Hub-Model";

const WANTED: &str = "[models]\n\"acme/tiny\" = \"1\"\n\"acme/other\" = \"1\"\n\"acme/lora\" = \"1\"\n\
\"hubby\" = { hf = \"Org/Hub-Model\" }\n\n[datasets]\n\"uci/table\" = \"1\"\n";

/// Two models, an adapter with its base, a model of the hub and a dataset, locked where there is a network.
fn outside(registry: &TestRegistry, index: &str, hub: &Hub) -> Project {
    let project = Project::new().manifest(&manifest(registry, index, WANTED)).variable("HF_ENDPOINT", hub.url());
    project.mpm(&["lock"]).expect(0);
    project
}

/// Takes what the lock pins across the gap in a bundle; where that is inside.
fn carry(outside: &Project, inside: &Project) -> PathBuf {
    outside.mpm(&["bundle", "create", "-o", "medium.mpmb", "--lock", "Model.lock"]).expect(0);
    for file in ["Model.toml", "Model.lock"] {
        inside.write(file, outside.read(file).unwrap());
    }
    let medium = inside.home().join("medium.mpmb");
    std::fs::copy(outside.folder().join("medium.mpmb"), &medium).unwrap();
    medium
}

/// A command with its environment, as a line of a shell's script.
fn line(command: &Command) -> String {
    let word = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', r"'\''"));
    let environment =
        command.get_envs().filter_map(|(name, value)| Some(format!("{}={}", name.to_str().unwrap(), word(value?))));
    let mut words = vec!["env".to_owned(), "-i".to_owned()];
    words.extend(environment);
    words.extend([command.get_program()].into_iter().chain(command.get_args()).map(word));
    words.join(" ")
}

/// Addresses of the internet's families that a trace names.
fn addresses(trace: &str) -> Vec<String> {
    let quoted = |rest: &str| rest.split('"').next().unwrap_or_default().to_owned();
    let four = trace.split("inet_addr(\"").skip(1).map(quoted);
    let six = trace.split("inet_pton(AF_INET6, \"").skip(1).map(quoted);
    four.chain(six).collect()
}

#[test]
fn a_site_with_no_network_runs_on_what_was_carried_in() {
    let (Some(_), Some(strace), Some(_)) = (peers::peer("unshare"), peers::peer("strace"), peers::peer("ip")) else {
        return;
    };
    let mut registry = registry();
    registry.release("acme/other", "1.0.0").file("other.safetensors", blob::safetensors(50, 700)).publish();
    let (origin, hub) = (Server::start(registry.folder()), Hub::start());
    let hub_commit = hub
        .model(HUB_ID)
        .file("config.json", CONFIG)
        .file("vocab.txt", VOCABULARY)
        .file("tokenizer_config.json", r#"{"tokenizer_class": "BertTokenizer"}"#)
        .lfs("model.safetensors", blob::safetensors(60, 2_000))
        .commit("main");
    let outside = outside(&registry, &format!("sparse+{}", origin.url()), &hub);
    // The hub is where it always is, and nobody looks up its name: mirrors have what the lock pins.
    let inside = Project::new().config(&format!(
        "[index-mirrors]\n\"{}\" = [\"sparse+http://{ADDRESS}/\"]\n\n[hub]\nmirrors = [\"http://{ADDRESS}/\"]\n",
        registry.root_sha256().prefixed()
    ));
    let medium = carry(&outside, &inside);
    drop((origin, hub));

    // All that happens inside, under one trace.
    let home = inside.home();
    let site = home.join("site");
    let root = registry.root_sha256().hex();
    let import = inside.command(&[
        "bundle",
        "import",
        medium.to_str().unwrap(),
        "--into",
        site.to_str().unwrap(),
        "--root",
        &root,
    ]);
    let serve = inside.command(&[
        "serve",
        site.to_str().unwrap(),
        "--root",
        &root,
        "--lock",
        "Model.lock",
        "--listen",
        ADDRESS,
    ]);
    let endpoint = format!("http://{ADDRESS}");
    // A site's resolver is its own: datasets looks for a server beside the endpoint, by a name made of the endpoint's.
    std::fs::write(home.join("resolv.conf"), "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n").unwrap();
    std::fs::write(home.join("steps.json"), json!(steps(&hub_commit)).to_string()).unwrap();
    let mut script = format!(
        "set -e\nip link set lo up\nmount --bind '{h}/resolv.conf' /etc/resolv.conf\ncd '{}'\n{} > /dev/null\n{} > '{h}/address' 2> '{h}/served' &\nSERVER=$!\n\
while [ ! -s '{h}/address' ]; do sleep 0.05; kill -0 $SERVER; done\n{}\n",
        inside.folder().display(),
        line(&import),
        line(&serve),
        line(&inside.command(&["sync"])),
        h = home.display(),
    );
    for client in HubClient::ALL {
        let own = home.join(format!("{client:?}"));
        std::fs::create_dir(&own).unwrap();
        let Some(python) = client.script("hub_steps.py", &own, &endpoint) else { return };
        script.push_str(&format!(
            "{} < '{h}/steps.json' > '{}/answers'\n",
            line(&python),
            own.display(),
            h = home.display()
        ));
        let mut download = client.command("hf", &own, &endpoint).unwrap();
        download.args(["download", HUB_ID, "--local-dir", own.join("downloaded").to_str().unwrap()]);
        script.push_str(&format!("{} > /dev/null\n", line(&download)));
    }
    script.push_str("kill $SERVER\nwait $SERVER\n");
    std::fs::write(home.join("script"), script).unwrap();
    let traced = Command::new("unshare")
        .arg("-rnm")
        .arg(strace)
        .args([
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-s",
            "0",
            "-e",
            "trace=execve,connect,bind,sendto,sendmsg,sendmmsg",
            "-o",
        ])
        .arg(home.join("trace"))
        .args(["sh", home.join("script").to_str().unwrap()])
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let served = std::fs::read_to_string(home.join("served")).unwrap_or_default();
    assert!(traced.status.success(), "{}\n{served}", String::from_utf8_lossy(&traced.stderr));

    compare(&registry, &inside, &home, &hub_commit);
    // No socket led anywhere but to this machine itself.
    let trace = std::fs::read_to_string(home.join("trace")).unwrap();
    let met = addresses(&trace);
    assert!(met.len() > 20, "the trace holds what was asked: {trace}");
    let beyond: Vec<&String> = met.iter().filter(|address| !matches!(address.as_str(), "127.0.0.1" | "::1")).collect();
    assert!(beyond.is_empty(), "{beyond:?}");
    // And mpm itself asked nobody for a name.
    let of_clients = trace.find("hub_steps.py").unwrap_or_default();
    assert!(!trace[..of_clients].contains("htons(53)"), "{}", &trace[..of_clients]);
}

/// What every client does inside.
fn steps(hub_commit: &str) -> Vec<Value> {
    vec![
        json!({"do": "snapshot", "id": "acme/tiny"}),
        json!({"do": "snapshot", "id": "Sentence/Tiny", "revision": UPSTREAM}),
        json!({"do": "snapshot", "id": "acme/lora", "revision": "^1"}),
        json!({"do": "snapshot", "id": "acme/tiny", "revision": "1.0.0"}),
        json!({"do": "snapshot", "id": HUB_ID}),
        json!({"do": "snapshot", "id": HUB_ID, "revision": hub_commit}),
        json!({"do": "tokens", "id": "acme/tiny", "text": "hello world"}),
        json!({"do": "tokens", "id": HUB_ID, "text": "hello world"}),
        json!({"do": "config", "id": HUB_ID}),
        json!({"do": "rows", "id": "uci/table"}),
    ]
}

/// Byte for byte what was published, in the project and in every client's hands.
fn compare(registry: &TestRegistry, inside: &Project, home: &Path, hub_commit: &str) {
    let digest = |bytes: &[u8]| modelpm::model::Sha256::of(bytes).hex();
    let placed = |folder: &str| -> Value {
        let found = tree(&inside.folder().join(folder));
        json!(
            found
                .iter()
                .map(|(path, bytes)| (path.clone(), digest(bytes)))
                .collect::<std::collections::BTreeMap<_, _>>()
        )
    };
    let lora = json!({"adapter.safetensors": digest(&blob::safetensors(30, 200))});
    let hubby = json!({
        "config.json": digest(CONFIG.as_bytes()),
        "model.safetensors": digest(&blob::safetensors(60, 2_000)),
        "tokenizer_config.json": digest(br#"{"tokenizer_class": "BertTokenizer"}"#),
        "vocab.txt": digest(VOCABULARY.as_bytes()),
    });
    for (folder, expected) in [
        ("models/acme/tiny", json!(tiny("1.2.0", 2, 3_000))),
        ("models/.deps/acme/tiny@1.0.0", json!(tiny("1.0.0", 1, 3_000))),
        ("models/acme/lora", lora.clone()),
        ("models/acme/other", json!({"other.safetensors": digest(&blob::safetensors(50, 700))})),
        ("models/hubby", hubby.clone()),
    ] {
        assert_eq!(placed(folder), expected, "{folder}");
    }
    assert_eq!(placed("datasets/uci/table")["data/train.csv"], digest(super::TRAIN.as_bytes()));

    let own = |name, version| commit(registry, name, version);
    let expected = json!([
        {"commit": UPSTREAM, "files": tiny("1.2.0", 2, 3_000)},
        {"commit": UPSTREAM, "files": tiny("1.2.0", 2, 3_000)},
        {"commit": own("acme/lora", "1.0.0"), "files": lora},
        {"commit": own("acme/tiny", "1.0.0"), "files": tiny("1.0.0", 1, 3_000)},
        {"commit": hub_commit, "files": hubby},
        {"commit": hub_commit, "files": hubby},
        [2, 5, 6, 3],
        [2, 5, 6, 3],
        48,
        {
            "test": [{"text": "hello world", "label": 1}],
            "train": [{"text": "hello", "label": 1}, {"text": "world", "label": 0}],
        },
    ]);
    for client in HubClient::ALL {
        let own = home.join(format!("{client:?}"));
        let text = std::fs::read_to_string(own.join("answers")).unwrap();
        let document: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap();
        let answers: Vec<Value> = document["answers"].as_array().unwrap().iter().map(|one| one["ok"].clone()).collect();
        assert_eq!(json!(answers), expected, "{client:?}: {document}");
        let mut downloaded = tree(&own.join("downloaded"));
        downloaded.retain(|path, _| !path.starts_with(".cache/"));
        let found: std::collections::BTreeMap<String, String> =
            downloaded.into_iter().map(|(path, bytes)| (path, digest(&bytes))).collect();
        assert_eq!(json!(found), hubby, "{client:?}");
    }
}
