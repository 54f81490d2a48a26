//! JSON and JSON lines: whether it parses, and the two fields of model settings that lead to code.

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::formats::Source;

/// Largest document that is parsed whole.
const MAX_WHOLE: u64 = 64 << 20;
/// Largest document whose fields are looked at; model settings are far smaller.
const MAX_FIELDS: usize = 16 << 20;
/// Longest first line of JSON lines.
const MAX_LINE: usize = 4 << 20;

/// What a text is as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Json {
    /// One document (else JSON lines).
    pub document: bool,
    /// `auto_map`: classes that a loader would import.
    pub auto_map: bool,
    /// Chat templates: Jinja that a runtime executes.
    pub templates: Vec<String>,
}

/// Reads text as JSON; `None` if it is none. A document larger than 64 MiB is taken by its first byte.
///
/// # Errors
/// The bytes can't be read.
pub fn json(source: Source<'_>) -> std::io::Result<Option<Json>> {
    let head = source.read(0, 4_096)?;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
    if !matches!(first, Some(b'{' | b'[')) {
        return Ok(None);
    }
    if source.size() > MAX_WHOLE {
        return Ok(Some(Json { document: first == Some(&b'['), ..Json::default() }));
    }
    let bytes = source.read(0, usize::try_from(MAX_WHOLE).unwrap_or(usize::MAX))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        return Ok(Some(fields(bytes)));
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let lines = line.len() <= MAX_LINE && serde_json::from_slice::<IgnoredAny>(line).is_ok();
    Ok(lines.then(Json::default))
}

fn fields(bytes: &[u8]) -> Json {
    let mut found = Json { document: true, ..Json::default() };
    if bytes.len() > MAX_FIELDS {
        return found;
    }
    let Ok(Value::Object(map)) = serde_json::from_slice::<Value>(bytes) else { return found };
    found.auto_map = map.contains_key("auto_map");
    match map.get("chat_template") {
        Some(Value::String(template)) => found.templates.push(template.clone()),
        Some(Value::Array(named)) => {
            let template = |entry: &Value| entry.get("template").and_then(Value::as_str).map(str::to_owned);
            found.templates.extend(named.iter().filter_map(template));
        }
        Some(Value::Object(named)) => {
            found.templates.extend(named.values().filter_map(Value::as_str).map(str::to_owned));
        }
        _ => {}
    }
    found
}
