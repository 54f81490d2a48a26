//! Where words go: results to stdout, all else to stderr; a reader that goes away ends the words and nothing else.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::cli::args::Global;

/// Error words.
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();
/// Warnings and changes.
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
/// Success and what is new.
pub(super) const GREEN: Style = AnsiColor::Green.on_default().bold();
/// Hints and literals.
pub(super) const CYAN: Style = AnsiColor::Cyan.on_default();
/// Names.
pub(super) const BOLD: Style = Style::new().bold();
/// What matters less.
pub(super) const DIM: Style = Style::new().dimmed();

/// `text` in a style.
pub(super) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes results and words.
pub(super) struct Printer {
    json: bool,
    quiet: bool,
    out: anstream::AutoStream<io::Stdout>,
    broken: bool,
}

impl Printer {
    pub(super) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet, out: anstream::stdout(), broken: false }
    }

    /// Whether results are one JSON document.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// One line of a result, for people.
    pub(super) fn data(&mut self, line: &str) {
        if !self.json {
            self.write(line);
        }
    }

    /// The result as a document; `schema` and its version first in mind.
    pub(super) fn document(&mut self, schema: &str, document: serde_json::Value) {
        self.document_of(schema, || document);
    }

    /// The same, made only where it is asked for.
    pub(super) fn document_of(&mut self, schema: &str, document: impl FnOnce() -> serde_json::Value) {
        if self.json {
            let mut document = document();
            if let Some(map) = document.as_object_mut() {
                map.insert("schema".to_owned(), schema.into());
            }
            let line = document.to_string();
            self.write(&line);
        }
    }

    /// Words about what was done: not under `-q` or `--json`.
    pub(super) fn say(&mut self, line: &str) {
        if !(self.quiet || self.json) {
            self.always(line);
        }
    }

    /// Words that `-q` does not hide; under `--json` the document says the same.
    pub(super) fn always(&mut self, line: &str) {
        if self.json {
            return;
        }
        // Nobody is left to be told that stderr is gone.
        let _ = writeln!(anstream::stderr().lock(), "{line}");
    }

    /// Gives out what is held back.
    pub(super) fn flush(&mut self) {
        if !self.broken && self.out.flush().is_err() {
            self.broken = true;
        }
    }

    fn write(&mut self, line: &str) {
        if !self.broken && writeln!(self.out, "{line}").is_err() {
            self.broken = true;
        }
    }
}

/// Text from outside with everything that a terminal would obey made visible.
pub(super) fn visible(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if !text.chars().any(hidden) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut shown, c| {
        if hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// A word as a shell takes it: quoted where it holds more than plain characters.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@' | '=' | '+' | ',');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", visible(word).replace('\'', "'\\''"))
}
