//! A refusal with all its reasons, and the lines that would allow one release.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::{PackageId, RelPath, Sha256};
use crate::select::Origin;

/// Most objections that are told one by one.
const MOST: usize = 20;

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
    /// An override exists for another statement: the digest that it pins, and the one that is locked.
    pub overridden_for: Option<(Sha256, Option<Sha256>)>,
}

/// Everything that speaks against a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    objections: Vec<Objection>,
    allow: Vec<(PackageId, String)>,
}

impl Refused {
    pub(super) fn new(
        objections: Vec<Objection>,
        rules: &BTreeMap<PackageId, BTreeSet<String>>,
        statements: &BTreeMap<PackageId, Sha256>,
    ) -> Self {
        let allow = rules.iter().map(|(id, rules)| {
            let words: Vec<String> = rules.iter().map(|rule| format!("\"{rule}\"")).collect();
            let pin = statements.get(id).map_or_else(String::new, |pin| format!(" sha256 = \"{}\",", pin.prefixed()));
            let line = format!(
                "\"{}@{}\" = {{ formats = [{}],{pin} reason = \"…\" }}",
                id.package.name,
                id.version,
                words.join(", ")
            );
            (id.clone(), line)
        });
        let allow = allow.collect();
        Self { objections, allow }
    }

    /// Every reason, in the order of folders and paths.
    pub fn objections(&self) -> &[Objection] {
        &self.objections
    }

    /// For each release, the line below `[policy.unsafe]` that would allow it.
    pub fn allowing_lines(&self) -> &[(PackageId, String)] {
        &self.allow
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
            [] => f.write_str("refused by policy"),
        }
    }
}

impl std::error::Error for Refused {}

impl Diagnose for Refused {
    fn code(&self) -> Code {
        Code("E0601")
    }

    fn class(&self) -> Class {
        Class::Policy
    }

    fn hints(&self) -> Vec<Hint> {
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
                    "[policy.unsafe] has an entry for {}, but for statement {}; the lock has {locked}",
                    named(&objection.origin),
                    pinned.short()
                ))
            })
            .collect();
        other.dedup();
        hints.extend(other.into_iter().map(Hint::Note));
        hints.push(Hint::Note("nothing was placed in the project".to_owned()));
        hints.push(Hint::Note(
            "look for a release in a data format (safetensors, gguf), or ask its publisher for one".to_owned(),
        ));
        if self.objections.iter().any(|objection| matches!(objection.origin, Origin::Source(_))) {
            hints.push(Hint::Note("a folder has no signed statement that an exception could be bound to".to_owned()));
        }
        if !self.allow.is_empty() {
            let lines: Vec<&str> = self.allow.iter().map(|(_, line)| line.as_str()).collect();
            hints.push(Hint::Add { file: "Model.toml", lines: format!("[policy.unsafe]\n{}", lines.join("\n")) });
        }
        hints
    }
}
