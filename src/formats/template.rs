//! Chat templates are Jinja that runtimes execute: words that an honest one has no use for. A lint, not a proof.

/// What in a template reaches for the interpreter, if anything does.
pub fn suspicious_template(template: &str) -> Option<String> {
    let mut words = template.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let dunder = |word: &&str| word.len() > 4 && word.starts_with("__") && word.ends_with("__");
    if let Some(word) = words.find(dunder) {
        return Some(word.chars().take(40).collect());
    }
    let dense: String = template.chars().filter(|c| !c.is_whitespace()).collect();
    ["|attr(", "{%import", "{%from", "{%-import", "{%-from", "{%include", "lipsum.", "cycler.", "self._", "os.popen"]
        .into_iter()
        .find(|word| dense.contains(word))
        .map(str::to_owned)
}
