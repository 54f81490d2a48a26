//! Documents against their schemas in docs/formats/json/: the keywords that those use and no others, so that nothing is
//! written down that is not checked. Fields that a schema does not name are refused here: what is added is documented.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// Keywords that say nothing about a document.
const WORDS: &[&str] = &["$schema", "$defs", "title", "description"];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats/json"))
}

/// The schema in a file, by its name without the ending.
pub fn load(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of all schemas but what they share.
pub fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("docs/formats/json");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> =
        entries.map(name).filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
    names.retain(|name| name != "common");
    names.sort();
    names
}

/// Asserts that a document is what its `schema` says it is.
#[track_caller]
pub fn assert_valid(document: &Value) {
    let name = document["schema"].as_str().and_then(|name| name.strip_prefix("mpm.")?.strip_suffix("/1"));
    let name = name.unwrap_or_else(|| panic!("no schema in {document:#}"));
    let mut problems = Vec::new();
    check(document, &load(name), name, &mut problems);
    assert!(problems.is_empty(), "{name}: {problems:#?}\n{document:#}");
}

fn check(value: &Value, schema: &Value, at: &str, problems: &mut Vec<String>) {
    let schema = schema.as_object().unwrap_or_else(|| panic!("{at}: a schema is an object"));
    let mut wrong = |what: String| problems.push(format!("{at}: {what}"));
    for (keyword, rule) in schema {
        match keyword.as_str() {
            "type" => {
                let kinds: Vec<&str> = match rule {
                    Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                if !kinds.iter().any(|kind| is(value, kind)) {
                    wrong(format!("expected {}, found {value}", kinds.join(" or ")));
                }
            }
            "const" if value != rule => wrong(format!("expected {rule}, found {value}")),
            "enum" if !rule.as_array().unwrap().contains(value) && !value.is_null() => {
                wrong(format!("{value} is none of {rule}"))
            }
            "minimum" if value.as_f64().is_some_and(|found| found < rule.as_f64().unwrap()) => {
                wrong(format!("{value} < {rule}"))
            }
            "maximum" if value.as_f64().is_some_and(|found| found > rule.as_f64().unwrap()) => {
                wrong(format!("{value} > {rule}"))
            }
            "minLength" if length(value) < rule.as_u64() => wrong(format!("{value} is shorter than {rule}")),
            "maxLength" if length(value) > rule.as_u64() && length(value).is_some() => {
                wrong(format!("{value} is longer than {rule}"))
            }
            "const" | "enum" | "minimum" | "maximum" | "minLength" | "maxLength" => {}
            "properties" | "required" | "items" | "anyOf" | "$ref" => {}
            word if WORDS.contains(&word) => {}
            word => panic!("{at}: nobody checks the keyword {word}"),
        }
    }
    object(value, schema, at, problems);
    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
        if let Some(items) = schema.get("items") {
            check(item, items, &format!("{at}[{place}]"), problems);
        }
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let fits = |choice: &Value| {
            let mut found = Vec::new();
            check(value, choice, at, &mut found);
            found.is_empty()
        };
        if !choices.iter().any(fits) {
            problems.push(format!("{at}: {value} is none of what it may be"));
        }
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target.strip_prefix("common.json#/$defs/").unwrap_or_else(|| panic!("{at}: {target}"));
        let shared = load("common");
        check(value, shared["$defs"].get(name).unwrap_or_else(|| panic!("{at}: {target}")), at, problems);
    }
}

fn object(value: &Value, schema: &Map<String, Value>, at: &str, problems: &mut Vec<String>) {
    let (Some(found), Some(properties)) = (value.as_object(), schema.get("properties").and_then(Value::as_object))
    else {
        return;
    };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !found.contains_key(name) {
            problems.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, inner) in found {
        match properties.get(name) {
            Some(schema) => check(inner, schema, &format!("{at}.{name}"), problems),
            None => problems.push(format!("{at}: {name} is not documented")),
        }
    }
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no kind {other}"),
    }
}
