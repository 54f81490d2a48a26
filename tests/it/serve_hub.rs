//! `mpm serve` as a Hugging Face endpoint: what it answers, and what the hub's own clients of three generations make of it.

mod airgap;
mod answers;
mod clients;

use std::collections::BTreeMap;
use std::path::PathBuf;

use modelpm::model::Sha256;

use crate::flows::fixture::{folder, manifest};
use crate::serve::Serving;
use crate::support::blob;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;

/// Where `acme/tiny` says that it stands on the hub.
const UPSTREAM: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKENS: [(&str, &str, &str); 2] = [
    ("ci", "mpms_ci-ci-ci-ci-ci-ci-ci-ci-ci-ci-ci-ci", "team"),
    ("other", "mpms_other-other-other-other-other-other", "acme"),
];

const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 7}"#;
const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n";
const TRAIN: &str = "text,label\nhello,1\nworld,0\n";
const TEST: &str = "text,label\nhello world,1\n";
const CARD: &str = "---\nlicense: apache-2.0\n---\n# A table\n";

/// A registry with what a site has: a model with variants, yanked and revoked releases and an upstream, an adapter, a dataset,
/// and a namespace that not everybody may read.
fn registry() -> TestRegistry {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    for namespace in ["acme", "uci", "team"] {
        registry.namespace(namespace);
    }
    for (seed, version) in [(1, "1.0.0"), (2, "1.2.0"), (3, "1.3.0"), (4, "2.0.0")] {
        let release = registry
            .release("acme/tiny", version)
            .licence("Apache-2.0")
            .file("config.json", CONFIG)
            .file("docs/card.md", format!("# tiny {version}\n"))
            .file("tokenizer_config.json", r#"{"tokenizer_class": "BertTokenizer", "do_lower_case": true}"#)
            .file("vocab.txt", VOCABULARY)
            .variant("f32", "model.safetensors", blob::safetensors(seed, 3_000))
            .variant("int8", "model.safetensors", blob::safetensors(seed + 10, 900))
            .default_variant("f32");
        let release = if version == "1.2.0" { release.upstream("Sentence/Tiny", UPSTREAM) } else { release };
        release.publish();
    }
    registry.yank("acme/tiny", "1.3.0", "the tokenizer is another one");
    registry.revoke_release("acme/tiny", "2.0.0", "made with a stolen key");
    registry
        .release("acme/lora", "1.0.0")
        .file("adapter.safetensors", blob::safetensors(30, 200))
        .base_model("acme/tiny", "=1.0.0")
        .publish();
    registry
        .release("uci/table", "1.0.0")
        .dataset()
        .file("README.md", CARD)
        .file("data/train.csv", TRAIN)
        .file("data/test.csv", TEST)
        .publish();
    registry.release("team/secret", "1.0.0").file("config.json", "{\"secret\": 1}\n").publish();
    registry
}

/// The files of `acme/tiny` at a version, by path.
fn tiny(version: &str, seed: u64, count: usize) -> BTreeMap<String, String> {
    let files: [(&str, Vec<u8>); 5] = [
        ("config.json", CONFIG.into()),
        ("docs/card.md", format!("# tiny {version}\n").into()),
        ("model.safetensors", blob::safetensors(seed, count)),
        ("tokenizer_config.json", br#"{"tokenizer_class": "BertTokenizer", "do_lower_case": true}"#.to_vec()),
        ("vocab.txt", VOCABULARY.into()),
    ];
    files.into_iter().map(|(path, bytes)| (path.to_owned(), Sha256::of(&bytes).hex())).collect()
}

/// The commit that a release has without an upstream.
fn commit(registry: &TestRegistry, name: &str, version: &str) -> String {
    registry.statement_sha256(name, version).hex()[..40].to_owned()
}

/// A machine with a whole mirror of the registry, and the mirror.
fn mirror(registry: &TestRegistry) -> (Project, PathBuf) {
    crate::serve::mirror(registry)
}

/// A server of the registry's own folder, on which `team` needs a token.
fn serving(registry: &TestRegistry) -> (Project, Serving) {
    let machine = project_of(registry, "");
    let mut text = "format = \"mpm.tokens/1\"\nanonymous = [\"acme:acme\", \"acme:uci\"]\n".to_owned();
    for (name, token, right) in TOKENS {
        let digest = Sha256::of(token.as_bytes());
        text.push_str(&format!(
            "\n[[token]]\nname = \"{name}\"\nsha256 = \"{}\"\nread = [\"{right}\"]\n",
            digest.hex()
        ));
    }
    machine.write("tokens.toml", text);
    // Whatever is longer than a KiB is announced without its length, as files over 50 GB are.
    let serving = Serving::start(&machine, &[&folder(registry), "--tokens", "tokens.toml", "--hub-largest", "1K"]);
    (machine, serving)
}

/// Model.toml over a registry in a folder.
fn project_of(registry: &TestRegistry, rest: &str) -> Project {
    Project::new().manifest(&manifest(registry, &folder(registry), rest))
}
