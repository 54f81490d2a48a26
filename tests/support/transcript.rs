//! Transcripts: what a person types and reads, kept as text with the parts that differ from run to run filtered.

use std::fmt::Write as _;
use std::path::Path;

use super::project::{Project, Ran};

/// A session being written down.
pub struct Transcript<'a> {
    project: &'a Project,
    text: String,
    /// What stands for what: texts of this machine, and the words in their place.
    names: Vec<(String, &'static str)>,
}

impl<'a> Transcript<'a> {
    /// A session in a project's folder.
    pub fn new(project: &'a Project) -> Self {
        let path = |folder: &Path| folder.to_string_lossy().into_owned();
        let names = vec![(path(&project.folder()), "/home/me/service"), (path(&project.home()), "/home/me")];
        Self { project, text: String::new(), names }
    }

    /// Reads this text of this machine as that word.
    pub fn called(mut self, text: impl Into<String>, word: &'static str) -> Self {
        self.names.push((text.into(), word));
        self
    }

    /// Says what happens between commands.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.text, "# {text}");
    }

    /// Types a command and reads what it prints; the exit code stands behind it unless it is 0.
    pub fn types(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let ran = self.project.mpm(&words);
        self.reads(line, &ran);
    }

    /// Reads what a command printed that was typed elsewhere.
    pub fn reads(&mut self, line: &str, ran: &Ran) {
        let _ = writeln!(self.text, "$ mpm {line}");
        let printed = format!("{}{}", ran.stdout, ran.stderr);
        self.text.push_str(&filtered(&printed, &self.names));
        if ran.code != 0 {
            let _ = writeln!(self.text, "[exit code {}]", ran.code);
        }
        self.text.push('\n');
    }

    /// Compares with the transcript that is kept under this name; `MPM_TEST_REWRITE=1` keeps this one instead.
    #[track_caller]
    pub fn matches(self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/transcripts/{name}.txt"));
        if std::env::var_os("MPM_TEST_REWRITE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &self.text).unwrap();
            return;
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some((number, (found, expected))) =
            self.text.lines().chain(["<end>"]).zip(kept.lines().chain(["<end>"])).enumerate().find(|(_, (a, b))| a != b)
        {
            panic!(
                "tests/golden/transcripts/{name}.txt line {}:\nkept:  {expected}\nfound: {found}\n\nall of it:\n{}",
                number + 1,
                self.text
            );
        }
    }
}

/// The text without what differs from run to run: paths, digests, ports, free space, process numbers.
fn filtered(text: &str, names: &[(String, &'static str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in names {
        text = text.replace(from, to);
    }
    let text = words(&text, |word| {
        let hex = word.len() >= 12 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (hex && word.bytes().any(|byte| byte.is_ascii_digit())).then_some("<hex>")
    });
    text.lines()
        .map(|line| format!("{}\n", after(&after(line, "127.0.0.1:", "<port>"), "process ", "<number>")))
        .map(free)
        .map(dates)
        .collect()
}

/// Replaces words of letters and digits.
fn words(text: &str, replace: impl Fn(&str) -> Option<&'static str>) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        out.push_str(replace(&word).unwrap_or(&word));
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// Replaces the digits that stand behind a text.
fn after(line: &str, text: &str, word: &str) -> String {
    let mut parts = line.split(text);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str(text);
        out.push_str(if rest.len() < part.len() { word } else { "" });
        out.push_str(rest);
    }
    out
}

/// `59.3 GiB free` is another number everywhere.
fn free(line: String) -> String {
    let Some(at) = line.find(" free") else { return line };
    let before = &line[..at];
    let mut words: Vec<&str> = before.rsplitn(3, ' ').collect();
    if words.len() == 3 && words[0].ends_with('B') {
        words[1] = "<free>";
        let head = format!("{} {}", words[2], words[1]);
        return format!("{head}{}", &line[at..]);
    }
    line
}

/// `2026-11-25` is today, and another day tomorrow.
fn dates(line: String) -> String {
    let is_date = |word: &str| {
        word.len() == 10
            && word
                .bytes()
                .enumerate()
                .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
    };
    let parts: Vec<&str> = line.split(' ').map(|word| if is_date(word) { "<date>" } else { word }).collect();
    parts.join(" ")
}
