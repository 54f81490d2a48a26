//! What content and name together are found to be.

use crate::formats::tests::{gguf_of, pair, string};
use crate::model::RelPath;
use crate::scan::{look, name_rules};

fn rules(name: &str, bytes: &[u8]) -> (String, Vec<String>) {
    let fact = look(&RelPath::parse(name).expect("a path"), bytes.len() as u64, &bytes).expect("memory reads");
    (fact.format.0, fact.hits.into_iter().map(|hit| hit.rule).collect())
}

const PICKLE: &[u8] = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.";
const TENSORS: &[u8] = b"\x08\0\0\0\0\0\0\0{}      ";

/// A zip whose members have these names and no bytes.
fn zip(names: &[&str]) -> Vec<u8> {
    let (mut files, mut directory) = (Vec::new(), Vec::new());
    for name in names {
        let offset = u32::try_from(files.len()).expect("small");
        files.extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        files.extend([u8::try_from(name.len()).expect("short"), 0, 0, 0]);
        files.extend(name.as_bytes());
        directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        directory.extend([u8::try_from(name.len()).expect("short"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let offset = u32::try_from(files.len()).expect("small");
    files.extend(&directory);
    files.extend(b"PK\x05\x06\0\0\0\0");
    let count = u16::try_from(names.len()).expect("few").to_le_bytes();
    files.extend([count, count].concat());
    files.extend(u32::try_from(directory.len()).expect("small").to_le_bytes());
    files.extend(offset.to_le_bytes());
    files.extend([0, 0]);
    files
}

#[test]
fn data_is_told_and_nothing_speaks_against_it() {
    fn check(name: &str, bytes: &[u8], format: &str) {
        assert_eq!(rules(name, bytes), (format.to_owned(), Vec::new()), "{name}");
    }
    check("model.safetensors", TENSORS, "safetensors");
    check("model-Q4.gguf", &gguf_of(&[pair("a", 8, &string("b"))], &[], 0), "gguf");
    check("config.json", b"{\"a\": [1, 2]}\n", "json");
    check("rows.jsonl", b"{\"a\":1}\n{\"a\":2}\n", "jsonl");
    check("train/rows.csv", b"a,b\r\n1,2\r\n", "text");
    check("README.md", "# Zürich\n\u{feff}".as_bytes(), "text");
    check("LICENSE", b"Apache\n", "text");
    check(".gitattributes", b"* -text\n", "text");
    check("chat_template.jinja", b"{% for m in messages %}{{ m.content }}{% endfor %}", "text");
    check("notes.md", b"call {{ x.__class__ }} and see", "text");
    check("py.txt", b"import os\nos.system('ls')\n", "text");
    check("a.npy", b"\x93NUMPY\x01\0\x37\0{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}\0\0\0\0", "npy");
    check("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82", "png");
    check("a.parquet", b"PAR1\0\0\0\0PAR1", "parquet");
    check("tokenizer.model", b"\x0a\x0c\x0a\x03abc\x15\0\0\0\0\x18\x01\x12\0\x1a\0", "sentencepiece");
    check("model.onnx", b"\x08\x08\x3a\x02\x0a\0", "onnx");
    check("__init__.txt", b"", "empty");
}

#[test]
fn what_can_run_code_is_hit_under_any_name() {
    fn check(name: &str, bytes: &[u8], expected: &[&str]) {
        assert_eq!(rules(name, bytes).1, expected, "{name}");
    }
    check("model.pkl", PICKLE, &["pickle"]);
    check("model.safetensors", PICKLE, &["pickle", "name-mismatch"]);
    check("model.gguf", PICKLE, &["pickle", "name-mismatch"]);
    check("config.json", PICKLE, &["pickle", "name-mismatch"]);
    check("old.txt", b"cos\nsystem\n(S'ls'\ntR.", &["pickle", "name-mismatch"]);
    check("old.txt", b"cos\nsystem\n(S'ls'\ntR. and then text", &["pickle", "name-mismatch"]);
    check("pytorch_model.bin", &zip(&["archive/data.pkl", "archive/data/0"]), &["torch-zip"]);
    check("m.pt", &zip(&["m/data.pkl", "m/code/__torch__.py"]), &["torchscript"]);
    check("model.safetensors", &zip(&["archive/data.pkl"]), &["torch-zip", "name-mismatch"]);
    check("m.keras", &zip(&["config.json", "model.weights.h5"]), &["keras-zip"]);
    check("m.zip", &zip(&["a.txt"]), &["archive"]);
    check("m.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0", &["keras-h5"]);
    check("saved_model.pb", b"\x08\x01\x12\x02\x0a\0", &["saved-model"]);
    check("lib.so", b"\x7fELF\x02\x01\x01\0", &["native-library"]);
    check("weights.safetensors", b"\x7fELF\x02\x01\x01\0", &["native-library", "name-mismatch"]);
    check("run.sh", b"#!/bin/sh\nls\n", &["script"]);
    check("notes.txt", b"#!/bin/sh\nls\n", &["script", "name-mismatch"]);
    check("modeling.py", b"import os\n", &["script"]);
    check("modeling.py", b"", &["script"]);
    check(
        "a.npy",
        b"\x93NUMPY\x01\0\x36\0{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\x80\x04N.",
        &["npy-object"],
    );
    check("config.json", br#"{"auto_map":{"AutoModel":"x.Y"}}"#, &["auto-map"]);
    check("tokenizer_config.json", br#"{"chat_template":"{{ ''.__class__ }}"}"#, &["chat-template"]);
    check("chat_template.jinja", b"{{ x|attr('a') }}", &["chat-template"]);
    let template = gguf_of(&[pair("tokenizer.chat_template", 8, &string("{{ self.__init__ }}"))], &[], 0);
    check("m.gguf", &template, &["chat-template"]);
}

#[test]
fn what_is_not_known_or_not_whole_is_hit() {
    fn check(name: &str, bytes: &[u8], expected: &[&str]) {
        assert_eq!(rules(name, bytes).1, expected, "{name}");
    }
    check("a.data", b"\x01\x02\x03\xff", &["unknown-binary"]);
    check("a.safetensors", b"\x01\x02\x03\xff", &["unknown-binary", "name-mismatch"]);
    check("a.xyz", b"text\n", &["unknown-name"]);
    check("weights.csv", TENSORS, &["name-mismatch"]);
    check("weights", TENSORS, &["name-mismatch"]);
    check("model.bin", TENSORS, &["name-mismatch"]);
    check("m.safetensors", &[TENSORS, b"x"].concat(), &["bad-safetensors"]);
    check("m.safetensors", &[TENSORS, &zip(&["a"])].concat(), &["bad-safetensors", "polyglot"]);
    check("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82#!/bin/sh", &["bad-media", "name-mismatch"]);
    check(
        "a.npy",
        b"\x93NUMPY\x01\0\x37\0{'descr': '<f4', 'fortran_order': False, 'shape': (9,)}\0\0\0\0",
        &["bad-npy"],
    );
}

#[test]
fn names_give_code_away() {
    for (name, code) in [
        ("a.pkl", true),
        ("A.PT", true),
        ("pytorch_model-00001-of-00002.bin", true),
        ("adapter.bin", false),
        ("x/lib.so.1.2", true),
        ("Makefile", true),
        ("model.safetensors", false),
        ("LICENSE", false),
        ("a.tar.gz", true),
        ("nb.ipynb", true),
    ] {
        assert_eq!(!name_rules(&RelPath::parse(name).expect("a path")).is_empty(), code, "{name}");
    }
}
