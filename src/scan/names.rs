//! What a name promises, and whether content keeps it.

use crate::model::RelPath;
use crate::scan::{Fact, Hit};

/// What names of one kind promise.
struct Promise {
    /// Extensions in lower case.
    extensions: &'static [&'static str],
    /// Formats that such a name may hold.
    formats: &'static [&'static str],
    /// Rules that such a name alone gives away; an override needs one of them. Empty: data.
    rules: &'static [&'static str],
}

const fn data(extensions: &'static [&'static str], formats: &'static [&'static str]) -> Promise {
    Promise { extensions, formats, rules: &[] }
}

const TEXT: &[&str] = &["text", "json", "jsonl"];

const PROMISES: &[Promise] = &[
    data(&["safetensors"], &["safetensors"]),
    data(&["gguf"], &["gguf"]),
    data(&["onnx"], &["onnx"]),
    data(&["onnx_data", "data"], &["unknown"]),
    data(&["parquet"], &["parquet"]),
    data(&["arrow", "feather", "ipc"], &["arrow"]),
    data(&["npy"], &["npy"]),
    data(&["npz"], &["npz"]),
    data(&["png"], &["png"]),
    data(&["jpg", "jpeg"], &["jpeg"]),
    data(&["gif"], &["gif"]),
    data(&["webp"], &["webp"]),
    data(&["wav"], &["wav"]),
    data(&["flac"], &["flac"]),
    data(&["ogg", "opus"], &["ogg"]),
    data(&["mp3"], &["mp3"]),
    data(&["json"], &["json", "jsonl"]),
    data(&["jsonl", "ndjson"], &["jsonl", "json"]),
    data(&["model", "spm"], &["sentencepiece", "text"]),
    data(
        &[
            "txt", "md", "rst", "csv", "tsv", "yaml", "yml", "toml", "jinja", "jinja2", "j2", "license", "bib", "cff",
            "bpe", "vocab", "tiktoken", "ini", "cfg", "names", "sha256", "minisig",
        ],
        TEXT,
    ),
    // Flax and Rust weights: what is in them nobody here can look at.
    Promise { extensions: &["msgpack", "ot"], formats: &["unknown"], rules: &["unknown-binary"] },
    data(&["bin"], &["pickle", "torch-zip", "torchscript", "unknown"]),
    Promise {
        extensions: &["pkl", "pickle", "dill", "p", "pk"],
        formats: &["pickle", "joblib"],
        rules: &["pickle", "joblib"],
    },
    Promise {
        extensions: &["pt", "pth", "ckpt", "pt2", "ptl"],
        formats: &["torch-zip", "torchscript", "pickle", "zip"],
        rules: &["torch-zip", "torchscript", "pickle"],
    },
    Promise {
        extensions: &["joblib"],
        formats: &["joblib", "pickle", "archive", "unknown"],
        rules: &["joblib", "pickle"],
    },
    Promise { extensions: &["h5", "hdf5"], formats: &["hdf5"], rules: &["keras-h5"] },
    Promise { extensions: &["keras"], formats: &["keras-zip"], rules: &["keras-zip"] },
    Promise { extensions: &["pb"], formats: &["saved-model", "unknown"], rules: &["saved-model"] },
    Promise { extensions: &["engine", "plan", "trt"], formats: &["tensorrt", "unknown"], rules: &["tensorrt"] },
    Promise {
        extensions: &["so", "dylib", "dll", "exe", "pyd", "o", "a", "lib", "node", "wasm", "bc", "llamafile"],
        formats: &["native-library", "unknown"],
        rules: &["native-library"],
    },
    Promise {
        extensions: &[
            "py", "pyi", "pyw", "pyx", "ipynb", "sh", "bash", "zsh", "fish", "bat", "cmd", "ps1", "psm1", "pl", "rb",
            "js", "mjs", "cjs", "ts", "lua", "r", "jl", "php", "java", "scala", "go", "rs", "c", "cc", "cpp", "cu",
            "h", "hpp", "vbs", "awk", "tcl", "mk", "cmake",
        ],
        formats: &["text", "json", "script"],
        rules: &["script"],
    },
    Promise {
        extensions: &["pyc", "pyo", "class", "jar", "whl", "egg"],
        formats: &["unknown", "zip", "native-library"],
        rules: &["script"],
    },
    Promise {
        extensions: &["zip", "tar", "gz", "tgz", "bz2", "xz", "7z", "rar", "zst", "lz4", "mar", "nemo", "cab"],
        formats: &["zip", "archive", "torch-zip"],
        rules: &["archive"],
    },
];

/// Names without an extension that are programs.
const PROGRAMS: &[&str] = &["makefile", "dockerfile", "jenkinsfile", "rakefile", "gemfile"];

fn extension(name: &RelPath) -> Option<String> {
    let file = name.file_name();
    // `.gitattributes` is a name, not an extension.
    let (_, extension) = file.strip_prefix('.').unwrap_or(file).rsplit_once('.')?;
    Some(extension.to_ascii_lowercase())
}

fn promise(name: &RelPath) -> Option<&'static Promise> {
    let file = name.file_name().to_ascii_lowercase();
    // `libx.so.1` and its like.
    let wanted = if file.contains(".so.") { "so".to_owned() } else { extension(name)? };
    PROMISES.iter().find(|promise| promise.extensions.contains(&wanted.as_str()))
}

/// The rules that a name alone gives away; an override that lists one of them lets the name pass. Empty: none.
pub fn name_rules(name: &RelPath) -> &'static [&'static str] {
    let file = name.file_name().to_ascii_lowercase();
    if PROGRAMS.contains(&file.as_str()) {
        return &["script"];
    }
    if file.starts_with("pytorch_model") && extension(name).as_deref() == Some("bin") {
        return &["torch-zip", "pickle"];
    }
    promise(name).map_or(&[], |promise| promise.rules)
}

/// The fact of content under a name.
pub fn agree(name: &RelPath, content: &Fact) -> Fact {
    let mut fact = content.clone();
    let found = fact.format.0.clone();
    let template = matches!(extension(name).as_deref(), Some("jinja" | "jinja2" | "j2"));
    if found == "text" && !template {
        fact.hits.retain(|hit| hit.rule != "chat-template");
    }
    let rules = name_rules(name);
    if let Some(rule) = rules.first().filter(|_| !fact.hits.iter().any(|hit| rules.contains(&hit.rule.as_str()))) {
        fact.hits.push(Hit::new(rule, format!("the name {:?} is that of code", name.file_name())));
    }
    if found == "empty" {
        return fact;
    }
    match promise(name) {
        Some(promise) if promise.formats.contains(&found.as_str()) => {}
        Some(promise) => fact.hits.push(Hit::new(
            "name-mismatch",
            format!(
                "the name {:?} promises {}, the content is {found}",
                name.file_name(),
                promise.formats.join(" or ")
            ),
        )),
        None if found == "unknown" || rules == ["script"] => {}
        None if extension(name).is_none() && TEXT.contains(&found.as_str()) => {}
        None if TEXT.contains(&found.as_str()) => {
            fact.hits.push(Hit::new(
                "unknown-name",
                format!("{:?} is text under a name that says nothing known", name.file_name()),
            ));
        }
        None if extension(name).is_none() && fact.hits.iter().any(|hit| hit.rule == "script") => {}
        None => fact.hits.push(Hit::new(
            "name-mismatch",
            format!("the name {:?} promises nothing known, the content is {found}", name.file_name()),
        )),
    }
    fact
}
