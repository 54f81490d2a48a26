//! A refusal with all its reasons, and the lines that would allow one release.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::lock::SourceId;
use crate::manifest::UnsafeSubject;
use crate::model::{RelPath, Sha256};
use crate::select::Origin;

/// Most objections that are told one by one.
const MOST: usize = 20;
/// Most files that are named one by one where they are to be left out; beyond that, endings.
const MOST_PATHS: usize = 8;

/// One rule that speaks against one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The release or source.
    pub origin: Origin,
    /// The file, by its path in the release.
    pub path: RelPath,
    /// The rule's word.
    pub rule: String,
    /// What was seen.
    pub detail: String,
    /// An override exists for another statement or file table: the digest that it pins, and the one that is locked.
    pub overridden_for: Option<(Sha256, Option<Sha256>)>,
}

/// Everything that speaks against a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    objections: Vec<Objection>,
    allow: Vec<(Origin, String)>,
    unsigned: Vec<SourceId>,
}

/// What a line of `[policy.unsafe]` must say to allow one release or commit.
pub(super) struct Allowing {
    pub(super) subject: UnsafeSubject,
    pub(super) rules: BTreeSet<String>,
    /// Digest of what is locked.
    pub(super) sha256: Option<Sha256>,
}

impl Refused {
    pub(super) fn new(objections: Vec<Objection>, lines: &BTreeMap<Origin, Allowing>) -> Self {
        let allow = lines.iter().map(|(origin, line)| {
            let words: Vec<String> = line.rules.iter().map(|rule| format!("\"{rule}\"")).collect();
            let pin = line.sha256.map_or_else(String::new, |pin| format!(" sha256 = \"{}\",", pin.prefixed()));
            let formats = words.join(", ");
            (origin.clone(), format!("\"{}\" = {{ formats = [{formats}],{pin} reason = \"…\" }}", line.subject))
        });
        Self { allow: allow.collect(), objections, unsigned: Vec::new() }
    }

    pub(super) fn unsigned(sources: Vec<SourceId>) -> Self {
        Self { objections: Vec::new(), allow: Vec::new(), unsigned: sources }
    }

    /// Every reason, in the order of folders and paths.
    pub fn objections(&self) -> &[Objection] {
        &self.objections
    }

    /// For each release or commit, the line below `[policy.unsafe]` that would allow it.
    pub fn allowing_lines(&self) -> &[(Origin, String)] {
        &self.allow
    }

    /// Patterns that would leave out what is objected to: the files themselves, or their endings where there are many.
    fn excluding(&self) -> Vec<String> {
        let paths: BTreeSet<&RelPath> = self.objections.iter().map(|objection| &objection.path).collect();
        let ending = |path: &&RelPath| match path.file_name().rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() => format!("**/*.{ending}"),
            _ => path.as_str().to_owned(),
        };
        let patterns: BTreeSet<String> = if paths.len() <= MOST_PATHS {
            paths.iter().map(|path| path.as_str().to_owned()).collect()
        } else {
            paths.iter().map(ending).collect()
        };
        patterns.into_iter().collect()
    }
}

fn named(origin: &Origin) -> String {
    match origin {
        Origin::Release(id) => format!("{} {}", id.package.name, id.version),
        Origin::Source(id) => id.to_string(),
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} [{}]: {}", named(&self.origin), self.path.as_str(), self.rule, self.detail)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.objections.as_slice() {
            [one] => write!(f, "refused by policy: {one}"),
            [first, rest @ ..] => write!(f, "refused by policy: {first}, and {} more", rest.len()),
            [] => match self.unsigned.as_slice() {
                [] => f.write_str("refused by policy"),
                [one] => write!(f, "refused by policy: nobody signs {one}, and unsigned = \"deny\" is in force"),
                [first, rest @ ..] => write!(
                    f,
                    "refused by policy: nobody signs {first} and {} more, and unsigned = \"deny\" is in force",
                    rest.len()
                ),
            },
        }
    }
}

impl std::error::Error for Refused {}

impl Diagnose for Refused {
    fn code(&self) -> Code {
        Code(if self.unsigned.is_empty() { "E0601" } else { "E0602" })
    }

    fn class(&self) -> Class {
        Class::Policy
    }

    fn hints(&self) -> Vec<Hint> {
        if !self.unsigned.is_empty() {
            let mut hints: Vec<Hint> =
                self.unsigned.iter().skip(1).take(MOST).map(|id| Hint::Note(format!("nobody signs {id}"))).collect();
            hints.push(Hint::Note("nothing was placed in the project".to_owned()));
            hints.push(Hint::Note(
                "look for the same model in a registry, or publish it in one of your own: mpm publish".to_owned(),
            ));
            return hints;
        }
        let mut hints: Vec<Hint> =
            self.objections.iter().skip(1).take(MOST).map(|objection| Hint::Note(objection.to_string())).collect();
        let more = self.objections.len().saturating_sub(MOST + 1);
        if more > 0 {
            hints.push(Hint::Note(format!("and {more} more")));
        }
        let mut other: Vec<String> = self
            .objections
            .iter()
            .filter_map(|objection| {
                let (pinned, locked) = objection.overridden_for?;
                let locked = locked.map_or_else(|| "none".to_owned(), |locked| locked.short());
                Some(format!(
                    "[policy.unsafe] has an entry for {}, but for sha256 {}; the lock has {locked}",
                    named(&objection.origin),
                    pinned.short()
                ))
            })
            .collect();
        other.dedup();
        hints.extend(other.into_iter().map(Hint::Note));
        hints.push(Hint::Note("nothing was placed in the project".to_owned()));
        let patterns = self.excluding();
        if patterns.len() <= MOST {
            let quoted: Vec<String> = patterns.iter().map(|pattern| format!("\"{pattern}\"")).collect();
            hints.push(Hint::Note(format!(
                "if the rest will do, leave these out: exclude = [{}] at the dependency, or --exclude for each with `mpm add`",
                quoted.join(", ")
            )));
        }
        hints.push(Hint::Note(
            "else look for a release in a data format (safetensors, gguf), or ask its publisher for one".to_owned(),
        ));
        let folder = |objection: &Objection| match &objection.origin {
            Origin::Source(id) => id.hub().is_none(),
            Origin::Release(_) => false,
        };
        if self.objections.iter().any(folder) {
            hints.push(Hint::Note("a folder has no signed statement that an exception could be bound to".to_owned()));
        }
        if !self.allow.is_empty() {
            let lines: Vec<&str> = self.allow.iter().map(|(_, line)| line.as_str()).collect();
            hints.push(Hint::Add { file: "Model.toml", lines: format!("[policy.unsafe]\n{}", lines.join("\n")) });
        }
        hints
    }
}
