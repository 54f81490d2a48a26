//! What bytes are, whatever they are called.

use memchr::memmem;

use crate::formats::{
    Gguf, Json, Magic, Npy, Pickle, Protobuf, ReadAt, Shape, Source, Zip, ends_as_zip, gguf, json, magic, media, npy,
    pickle, protobuf, safetensors, suspicious_template, text, zip,
};
use crate::scan::{Fact, Format, Hit};

fn fact(format: &str, hits: Vec<Hit>) -> Fact {
    Fact { format: Format(format.to_owned()), hits, external: Vec::new() }
}

fn against(format: &str, rule: &str, detail: impl Into<String>) -> Fact {
    fact(format, vec![Hit::new(rule, detail)])
}

/// The part of a fact that does not depend on the name.
///
/// # Errors
/// The bytes can't be read.
pub fn content(size: u64, bytes: &dyn ReadAt) -> std::io::Result<Fact> {
    if size == 0 {
        return Ok(fact("empty", Vec::new()));
    }
    let source = Source::new(bytes, size);
    let mut found = told(source)?;
    let packed = found.hits.iter().any(|hit| matches!(hit.rule.as_str(), "archive" | "torch-zip" | "torchscript"));
    let is_zip = packed || matches!(found.format.0.as_str(), "npz" | "keras-zip" | "zip");
    if !is_zip && ends_as_zip(source)? {
        found.hits.push(Hit::new("polyglot", "it ends as a zip archive does: a zip reader finds another file in it"));
    }
    Ok(found)
}

fn told(source: Source<'_>) -> std::io::Result<Fact> {
    let tensors = safetensors(source)?;
    let program = pickle(source)?;
    // The length of a safetensors header may look like the header of a pickle: only a program that runs counts then.
    if tensors == Shape::Whole(()) && !program.as_ref().is_some_and(|program| program.runs) {
        return Ok(fact("safetensors", Vec::new()));
    }
    if let Some(program) = program {
        return Ok(of_pickle(&program));
    }
    match gguf(source)? {
        Shape::Whole(found) => return Ok(of_gguf(&found)),
        Shape::Broken(rule) => return Ok(against("gguf", "bad-gguf", rule)),
        Shape::Other => {}
    }
    match zip(source)? {
        Shape::Whole(found) => return Ok(of_zip(found)),
        Shape::Broken(rule) => return Ok(against("zip", "bad-zip", rule)),
        Shape::Other => {}
    }
    match npy(source)? {
        Shape::Whole(Npy::Plain) => return Ok(fact("npy", Vec::new())),
        Shape::Whole(Npy::Objects) => {
            return Ok(against("npy", "npy-object", "an array of Python objects: a pickle"));
        }
        Shape::Broken(rule) => return Ok(against("npy", "bad-npy", rule)),
        Shape::Other => {}
    }
    match media(source)? {
        Shape::Whole(word) => return Ok(fact(word, Vec::new())),
        Shape::Broken(rule) => return Ok(against("media", "bad-media", rule)),
        Shape::Other => {}
    }
    match magic(source)? {
        Some(Magic::Native) => {
            return Ok(against("native-library", "native-library", "machine code: a library or program"));
        }
        Some(Magic::Hdf5) => {
            return Ok(against("hdf5", "keras-h5", "HDF5, in which Keras keeps layers that run code on load"));
        }
        Some(Magic::Archive) => {
            return Ok(against("archive", "archive", "an archive or packed file: nobody looked into it"));
        }
        Some(Magic::TensorRt) => return Ok(against("tensorrt", "tensorrt", "a TensorRT plan: code for a GPU")),
        Some(Magic::Script) => return Ok(against("script", "script", "begins with an interpreter line")),
        None => {}
    }
    if let Shape::Broken(rule) = tensors {
        return Ok(against("safetensors", "bad-safetensors", rule));
    }
    if let Some(found) = text(source)? {
        return match json(source)? {
            Some(found) => Ok(of_json(&found)),
            None => Ok(of_text(found.small.as_deref().unwrap_or_default())),
        };
    }
    Ok(match protobuf(source)? {
        Some(Protobuf::Onnx(external)) => Fact { external, ..fact("onnx", Vec::new()) },
        Some(Protobuf::SavedModel) => {
            against("saved-model", "saved-model", "a TensorFlow graph, which may read and write files and run Python")
        }
        Some(Protobuf::SentencePiece) => fact("sentencepiece", Vec::new()),
        None => against("unknown", "unknown-binary", "binary content of no known data format"),
    })
}

fn of_pickle(program: &Pickle) -> Fact {
    let imports = match program.imports.as_slice() {
        [] => String::new(),
        imports => format!("; it imports {}", imports.join(", ")),
    };
    if program.joblib {
        against("joblib", "joblib", format!("a joblib pickle, which runs code on load{imports}"))
    } else {
        against("pickle", "pickle", format!("a Python pickle, which runs code on load{imports}"))
    }
}

fn templates(templates: &[String]) -> Vec<Hit> {
    let word = templates.iter().find_map(|template| suspicious_template(template));
    word.map(|word| Hit::new("chat-template", format!("its chat template uses {word:?}"))).into_iter().collect()
}

fn of_gguf(found: &Gguf) -> Fact {
    fact("gguf", templates(&found.templates))
}

fn of_zip(found: Zip) -> Fact {
    match found {
        Zip::Torch => against("torch-zip", "torch-zip", "a PyTorch file: a pickle, which runs code on load"),
        Zip::TorchScript => against("torchscript", "torchscript", "a TorchScript program"),
        Zip::Keras => against("keras-zip", "keras-zip", "a Keras file, whose settings name code to import"),
        Zip::Arrays => fact("npz", Vec::new()),
        Zip::OpaqueArrays(detail) => against("npz", "npy-object", detail),
        Zip::Archive => against("zip", "archive", "a zip archive: nobody looked into it"),
    }
}

fn of_json(found: &Json) -> Fact {
    let mut hits = templates(&found.templates);
    if found.auto_map {
        hits.push(Hit::new("auto-map", "`auto_map` names code that a loader would import"));
    }
    fact(if found.document { "json" } else { "jsonl" }, hits)
}

fn of_text(text: &str) -> Fact {
    // Whether this is a template at all is the name's to say; elsewhere the hit is dropped.
    let braces = |mark: &[u8]| memmem::find(text.as_bytes(), mark).is_some();
    let hits = if braces(b"{%") || braces(b"{{") { templates(&[text.to_owned()]) } else { Vec::new() };
    fact("text", hits)
}
