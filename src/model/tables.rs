//! TOML as this crate reads it: tables walked key by key, every complaint with its file, line, column and line of text.
//!
//! Owns the reading of spans. Refuses to know what any key means. A line that is shown never holds the user part of an
//! address, and a source made with [`Source::secret`] shows no line at all.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use toml::de::{DeTable, DeValue};

use crate::model::nearest;

/// Longest line that an error shows, in characters.
const MAX_SNIPPET: usize = 160;

/// The text of a TOML file with its name for messages.
#[derive(Debug)]
pub struct Source<'t> {
    file: &'t str,
    text: &'t str,
    secret: bool,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// A place in a TOML file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot(Box<Place>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: String,
    line: usize,
    column: usize,
    snippet: Option<String>,
}

/// Why a TOML file is refused before anybody asks what it means.
#[derive(Debug, thiserror::Error)]
pub enum TomlError {
    /// Larger than the reader allows.
    #[error("{file} has {found} bytes, at most {limit} are read")]
    TooLarge {
        /// The file.
        file: String,
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not TOML.
    #[error("{spot}: not valid TOML: {message}")]
    Syntax {
        /// Where.
        spot: Spot,
        /// What the TOML reader says; its own error would repeat the line, secrets included.
        message: String,
    },
    /// A key that nobody knows.
    #[error("{spot}: unknown key {key:?} in {table}")]
    UnknownKey {
        /// Where.
        spot: Spot,
        /// The table, for messages.
        table: String,
        /// The key.
        key: String,
        /// Known keys that may have been meant, nearest first.
        nearest: Vec<String>,
    },
    /// A key that must be there is not.
    #[error("{spot}: {table} has no key {key:?}")]
    MissingKey {
        /// Where the table begins.
        spot: Spot,
        /// The table, for messages.
        table: String,
        /// The key.
        key: String,
    },
    /// A value of another type.
    #[error("{spot}: {key} must be {expected}, found {found}")]
    WrongType {
        /// Where.
        spot: Spot,
        /// The key with its tables.
        key: String,
        /// What would do.
        expected: &'static str,
        /// What was found.
        found: &'static str,
    },
    /// A value of the right type that breaks a rule.
    #[error("{spot}: the value of {key} is refused")]
    Value {
        /// Where.
        spot: Spot,
        /// The key with its tables.
        key: String,
        /// The rule.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// A table whose keys are taken one by one; what is left at the end is unknown.
#[derive(Debug, Clone)]
pub struct Table<'t> {
    source: &'t Source<'t>,
    path: Rc<str>,
    offset: usize,
    /// In file order.
    entries: Vec<Value<'t>>,
}

/// A place in a text, of which nothing is counted before somebody asks.
#[derive(Debug, Clone, Copy)]
pub struct At<'t> {
    source: &'t Source<'t>,
    offset: usize,
}

/// A value with its place and the path of its key, which is put together when an error needs it.
#[derive(Debug, Clone)]
pub struct Value<'t> {
    source: &'t Source<'t>,
    /// The path of the table.
    above: Rc<str>,
    name: Cow<'t, str>,
    /// Where the key begins and ends; the value itself for items of a list.
    key: (usize, usize),
    offset: usize,
    content: DeValue<'t>,
}

impl<'t> Source<'t> {
    /// A text whose lines may be shown.
    pub fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, secret: false, lines: line_starts(text) }
    }

    /// A text whose lines may hold secrets and are never shown.
    pub fn secret(file: &'t str, text: &'t str) -> Self {
        Self { file, text, secret: true, lines: line_starts(text) }
    }

    /// Parses the text, of at most `limit` bytes, into its top table.
    ///
    /// # Errors
    /// Size and syntax.
    pub fn parse(&'t self, limit: usize) -> Result<Table<'t>, TomlError> {
        let found = self.text.len();
        if found > limit {
            return Err(TomlError::TooLarge { file: self.file.to_owned(), found, limit });
        }
        let root = DeTable::parse(self.text)
            .map_err(|error| self.syntax(error.span().map_or(0, |span| span.start), error.message()))?;
        Ok(Table::new(self, Rc::from(""), 0, root.into_inner()))
    }

    /// The error that the text is not TOML from `offset` on.
    pub fn syntax(&self, offset: usize, message: &str) -> TomlError {
        TomlError::Syntax { spot: self.spot(offset), message: message.lines().collect::<Vec<_>>().join(", ") }
    }

    fn spot(&self, offset: usize) -> Spot {
        self.spot_until(offset, usize::MAX)
    }

    /// The place of `offset`, showing its line up to `end`: a key that should not be here may have a secret behind it.
    fn spot_until(&self, offset: usize, end: usize) -> Spot {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).unwrap_or_default().chars().count() + 1;
        let rest = self.text.get(start..).unwrap_or_default();
        let shown = rest.lines().next().unwrap_or_default();
        let shown = shown.get(..end.saturating_sub(start)).unwrap_or(shown);
        let snippet = (!self.secret).then(|| mask(shown));
        Spot(Box::new(Place { file: self.file.to_owned(), line, column, snippet }))
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// The line without the user part of any address in it.
fn mask(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let host = behind.find(['/', '"', '\'', ' ', '?', '#']).unwrap_or(behind.len());
        let user = behind.get(..host).and_then(|authority| authority.rfind('@')).map_or(0, |at| at + 1);
        if user > 0 {
            shown.push_str("…@");
        }
        rest = behind.get(user..).unwrap_or_default();
    }
    shown.push_str(rest);
    shown.trim_end().chars().filter(|c| !c.is_control()).take(MAX_SNIPPET).collect()
}

impl Spot {
    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> usize {
        self.0.column
    }

    /// The line's text behind its number, where it may be shown.
    pub fn snippet(&self) -> Option<String> {
        self.0.snippet.as_ref().map(|text| format!("{} | {text}", self.0.line))
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}, column {}", self.0.file, self.0.line, self.0.column)
    }
}

impl TomlError {
    /// Where it is, if it is anywhere.
    pub fn spot(&self) -> Option<&Spot> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Syntax { spot, .. }
            | Self::UnknownKey { spot, .. }
            | Self::MissingKey { spot, .. }
            | Self::WrongType { spot, .. }
            | Self::Value { spot, .. } => Some(spot),
        }
    }

    /// Known keys that may have been meant.
    pub fn nearest(&self) -> &[String] {
        if let Self::UnknownKey { nearest, .. } = self { nearest } else { &[] }
    }
}

impl<'t> Table<'t> {
    fn new(source: &'t Source<'t>, path: Rc<str>, offset: usize, table: DeTable<'t>) -> Self {
        let mut entries: Vec<Value<'t>> = table
            .into_iter()
            .map(|(name, value)| {
                let (span, offset) = (name.span(), value.span().start);
                let key = (span.start, span.end);
                let (above, name) = (Rc::clone(&path), name.into_inner());
                Value { source, above, name, key, offset, content: value.into_inner() }
            })
            .collect();
        entries.sort_by_key(|value| value.key);
        Self { source, path, offset, entries }
    }

    /// Takes a key out.
    pub fn take(&mut self, key: &str) -> Option<Value<'t>> {
        let at = self.entries.iter().position(|value| value.name == key)?;
        Some(self.entries.remove(at))
    }

    /// Takes a key out that must be there.
    ///
    /// # Errors
    /// It is not.
    pub fn require(&mut self, key: &str) -> Result<Value<'t>, TomlError> {
        self.take(key).ok_or_else(|| TomlError::MissingKey {
            spot: self.spot(),
            table: self.title(),
            key: key.to_owned(),
        })
    }

    /// A key that is still there.
    pub fn get(&self, key: &str) -> Option<&Value<'t>> {
        self.entries.iter().find(|value| value.name == key)
    }

    /// Whether a key is still there.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|value| value.name == key)
    }

    /// All entries that are left, in file order.
    pub fn into_entries(self) -> Vec<(String, Value<'t>)> {
        self.entries.into_iter().map(|value| (value.name.clone().into_owned(), value)).collect()
    }

    /// Ends the table: a key that is left is unknown; the nearest of `known` are offered.
    ///
    /// # Errors
    /// A key is left.
    pub fn finish(self, known: &[&str]) -> Result<(), TomlError> {
        let Some(value) = self.entries.first() else { return Ok(()) };
        let key = &*value.name;
        Err(TomlError::UnknownKey {
            spot: value.key_spot(),
            table: self.title(),
            key: key.to_owned(),
            nearest: nearest(key, known.iter().copied()).into_iter().map(str::to_owned).collect(),
        })
    }

    /// Where the table begins.
    pub fn spot(&self) -> Spot {
        self.source.spot(self.offset)
    }

    /// The table's name for messages.
    pub fn title(&self) -> String {
        if self.path.is_empty() { "the file".to_owned() } else { format!("[{}]", self.path) }
    }
}

impl At<'_> {
    /// The place, as it is shown.
    pub fn spot(self) -> Spot {
        self.source.spot(self.offset)
    }
}

impl<'t> Value<'t> {
    /// The key with its tables, for messages.
    pub fn path(&self) -> String {
        joined(&self.above, &self.name)
    }

    /// Where the value begins, for a place that may be asked for later.
    pub fn at(&self) -> At<'t> {
        At { source: self.source, offset: self.offset }
    }

    /// Where the value begins.
    pub fn spot(&self) -> Spot {
        self.source.spot(self.offset)
    }

    /// Where the key stands; the line is shown up to the key's end.
    pub fn key_spot(&self) -> Spot {
        self.source.spot_until(self.key.0, self.key.1)
    }

    /// Line of the key, from 1.
    pub fn line(&self) -> usize {
        self.key_spot().line()
    }

    /// Whether it is a list without items.
    pub fn is_empty_list(&self) -> bool {
        self.content.as_array().is_some_and(|items| items.is_empty())
    }

    /// Whether it is a string.
    pub fn is_string(&self) -> bool {
        self.content.is_str()
    }

    /// A string.
    ///
    /// # Errors
    /// Another type.
    pub fn string(&self) -> Result<&str, TomlError> {
        self.content.as_str().ok_or_else(|| self.wrong("a string"))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// Another type.
    pub fn boolean(&self) -> Result<bool, TomlError> {
        self.content.as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// Another type, or out of range.
    pub fn number(&self) -> Result<u64, TomlError> {
        let expected = "a whole number from 0 on";
        let number = self.content.as_integer().ok_or_else(|| self.wrong(expected))?;
        u64::from_str_radix(number.as_str(), number.radix()).map_err(|_| self.wrong(expected))
    }

    /// A string that `parse` takes.
    ///
    /// # Errors
    /// Another type, or a text that `parse` refuses.
    pub fn parse<T, E>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, TomlError>
    where
        E: Error + Send + Sync + 'static,
    {
        parse(self.string()?).map_err(|source| self.refused(source))
    }

    /// The items of a list.
    ///
    /// # Errors
    /// Another type.
    pub fn list(self) -> Result<Vec<Value<'t>>, TomlError> {
        let Self { source, above, name, .. } = self;
        match self.content {
            DeValue::Array(items) => Ok(items
                .into_iter()
                .map(|item| {
                    let span = item.span();
                    let key = (span.start, span.end);
                    let (above, name) = (Rc::clone(&above), name.clone());
                    Value { source, above, name, key, offset: span.start, content: item.into_inner() }
                })
                .collect()),
            other => Err(TomlError::WrongType {
                spot: source.spot(self.offset),
                key: joined(&above, &name),
                expected: "a list",
                found: type_name(&other),
            }),
        }
    }

    /// A list whose items are strings that `parse` takes.
    ///
    /// # Errors
    /// Another type, or an item that `parse` refuses.
    pub fn parse_list<T, E>(self, mut parse: impl FnMut(&str) -> Result<T, E>) -> Result<Vec<T>, TomlError>
    where
        E: Error + Send + Sync + 'static,
    {
        self.list()?.iter().map(|item| item.parse(&mut parse)).collect()
    }

    /// A table.
    ///
    /// # Errors
    /// Another type.
    pub fn table(self) -> Result<Table<'t>, TomlError> {
        match self.content {
            // A table that dotted keys make has no place of its own: its key has.
            DeValue::Table(table) => {
                Ok(Table::new(self.source, Rc::from(joined(&self.above, &self.name)), self.key.0, table))
            }
            _ => Err(self.wrong("a table")),
        }
    }

    /// The error that the value breaks a rule.
    pub fn refused(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> TomlError {
        TomlError::Value { spot: self.spot(), key: self.path(), source: source.into() }
    }

    /// The error that the value has another type than `expected`.
    pub fn wrong(&self, expected: &'static str) -> TomlError {
        TomlError::WrongType { spot: self.spot(), key: self.path(), expected, found: type_name(&self.content) }
    }
}

fn joined(path: &str, name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) && !name.is_empty();
    let name = if plain { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn a_complaint_shows_the_line_and_no_secret() {
        let text = "a = 1\nb = { c = \"x\", tokn = \"s3cret\" }\nindex = \"git+https://me:s3cret@host/x\"\n";
        let source = Source::new("Model.toml", text);
        let mut table = source.parse(1000).expect("parses");
        let mut b = table.take("b").expect("there").table().expect("a table");
        b.take("c");
        let error = b.finish(&["token", "c"]).expect_err("unknown");
        assert_eq!(error.to_string(), "Model.toml line 2, column 16: unknown key \"tokn\" in [b]");
        assert_eq!(error.nearest(), ["token"]);
        assert_eq!(error.spot().and_then(super::Spot::snippet).as_deref(), Some("2 | b = { c = \"x\", tokn"));
        let index = table.take("index").expect("there");
        assert_eq!(index.spot().snippet().as_deref(), Some("3 | index = \"git+https://…@host/x\""));
        let broken = Source::secret("config.toml", "[tokens]\nh = \"s3cret").parse(1000).expect_err("syntax");
        assert!(!format!("{broken:?} {broken}").contains("s3cret"));
        assert!(Source::new("x", text).parse(3).is_err());
    }
}
