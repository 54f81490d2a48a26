//! Why there is no answer: a structure, its plain sentences, and what to try.

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::{DependencyKey, GroupName, PackageId, PackageRef, Requirement, Timestamp, Version};
use crate::resolve::{MinimumAge, RootRequirement};

/// Who asks for a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// Model.toml.
    Manifest {
        /// The dependency's key.
        key: DependencyKey,
        /// Its group, if any.
        group: Option<GroupName>,
        /// The line.
        line: usize,
    },
    /// A release that depends on it.
    Release(PackageId),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoSolution {
    /// No versions satisfy all requirements.
    #[error("{}", .0.headline())]
    Conflict(Box<Conflict>),
    /// A name that does not exist.
    #[error("registry {} has no package {}", package.registry, package.name)]
    Unknown {
        /// The name that was looked up.
        package: Box<PackageRef>,
        /// Who asks for it.
        asked_by: Vec<Asker>,
        /// Names that may have been meant, nearest first. The caller may know more.
        nearest: Vec<String>,
    },
    /// A release depends on a registry that the project does not name.
    #[error("{asked_by} depends on {} of registry {}, which Model.toml does not name", package.name, package.registry)]
    Registry {
        /// The release.
        asked_by: Box<PackageId>,
        /// What it depends on.
        package: Box<PackageRef>,
        /// Lines of Model.toml that ask for the release's package, if any do directly.
        lines: Vec<Asker>,
    },
    /// A release asked for by exact name that is not part of any answer.
    #[error("{id} {why}")]
    Precise {
        /// The release.
        id: Box<PackageId>,
        /// Why it is part of none.
        why: Unmet,
        /// Who asks for its package, and what for.
        asked_by: Vec<(Asker, Requirement)>,
    },
    /// A bug of ours.
    #[error("the resolver contradicts itself: {what}")]
    Internal {
        /// How.
        what: String,
    },
}

/// Why a release that was asked for by exact name is part of no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// Its registry does not list it, but these, newest first.
    Absent(Vec<Version>),
    /// No requirement lets it in.
    NotAdmitted {
        /// Whether it is yanked as well: no other command would take it.
        yanked: bool,
    },
    /// It is younger than releases must be.
    TooYoung {
        /// When it is old enough.
        ready: Timestamp,
        /// What rules it out.
        minimum: MinimumAge,
    },
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent(_) => f.write_str("does not exist"),
            Self::NotAdmitted { .. } => f.write_str("is not admitted by any requirement"),
            Self::TooYoung { minimum, .. } => write!(f, "is younger than {}", minimum.age),
        }
    }
}

/// Requirements that can't be met together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Whether newer releases may be hidden because this run is offline.
    pub offline: bool,
    /// What follows from what: together these rule out every choice. Model.toml's lines first, dead ends last.
    pub reasons: Vec<Reason>,
}

/// One fact of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Model.toml asks.
    Asks {
        /// Which dependency.
        asker: Asker,
        /// The package.
        package: PackageRef,
        /// Which versions.
        requirement: Requirement,
    },
    /// Releases depend on something.
    Depends {
        /// Of which package.
        package: PackageRef,
        /// Which versions, newest first.
        versions: Vec<Version>,
        /// Whether these are all that may be picked there.
        all: bool,
        /// What they need.
        on: PackageRef,
        /// Which versions.
        requirement: Requirement,
    },
    /// A requirement that no version satisfies.
    Fails(Failing),
    /// One version must serve every edge, and none does.
    Unique {
        /// The package.
        package: PackageRef,
        /// The line of Model.toml that says `unique`.
        line: usize,
        /// What exists.
        existing: Vec<Version>,
    },
    /// Releases of a `unique` package that depend on another version of themselves.
    SelfConflict {
        /// The package.
        package: PackageRef,
    },
}

/// A requirement that no version satisfies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The package.
    pub package: PackageRef,
    /// Which versions were asked for.
    pub requirement: Requirement,
    /// Whether the registry has the package at all.
    pub exists: bool,
    /// Versions that could be picked by another requirement, newest first.
    pub existing: Vec<Version>,
    /// The least age of what may be picked, if there is one.
    pub minimum_age: Option<MinimumAge>,
    /// Versions that look as if they would do, newest first, and what rules them out.
    pub ruled_out: Vec<(Version, RuledOut)>,
}

/// What rules a version out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuledOut {
    /// Its publisher withdrew it, and neither lock nor command asks for it.
    Yanked,
    /// It is a pre-release, and the requirement names none of its kind.
    PreRelease,
    /// It has not been in its index for long enough, and the lock does not hold it.
    TooYoung {
        /// When it has.
        ready: Timestamp,
    },
}

impl Asker {
    pub(super) fn of(root: &RootRequirement) -> Self {
        Self::Manifest { key: root.key.clone(), group: root.group.clone(), line: root.line }
    }
}

impl std::fmt::Display for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // `mpm get` asks, and no file does.
            Self::Manifest { line: 0, .. } => f.write_str("the command"),
            Self::Manifest { line, group: None, .. } => write!(f, "Model.toml line {line}"),
            Self::Manifest { line, group: Some(group), .. } => write!(f, "Model.toml line {line} (group {group})"),
            Self::Release(id) => write!(f, "{} {}", id.package.name, id.version),
        }
    }
}

impl Conflict {
    /// The requirements that fail outright.
    pub fn failing(&self) -> impl Iterator<Item = &Failing> {
        self.reasons.iter().filter_map(|reason| match reason {
            Reason::Fails(failing) => Some(failing),
            _ => None,
        })
    }

    /// One line of Model.toml that nothing satisfies.
    fn is_plain(&self) -> bool {
        matches!(self.reasons.as_slice(), [Reason::Asks { .. }, Reason::Fails(_)])
    }

    fn headline(&self) -> String {
        match self.reasons.as_slice() {
            [Reason::Asks { asker, package, requirement }, Reason::Fails(_)] => {
                format!("no version of {} satisfies {requirement}, which {asker} asks for", package.name)
            }
            _ => match self.failing().next() {
                Some(failing) if !failing.exists => failing.sentence(),
                Some(failing) => format!("no version of {} satisfies {}", failing.package.name, failing.requirement),
                None => "the requirements can't be met together".to_owned(),
            },
        }
    }
}

impl NoSolution {
    /// The name that does not exist, if that is the failure: the caller may know names near to it.
    pub fn unknown_package(&self) -> Option<&PackageRef> {
        match self {
            Self::Unknown { package, .. } => Some(package),
            _ => None,
        }
    }

    /// The failure in plain sentences, one a line.
    pub fn explain(&self) -> Vec<String> {
        match self {
            Self::Conflict(conflict) => {
                let count = conflict.reasons.len();
                let mut lines: Vec<String> = conflict.reasons.iter().map(Reason::sentence).collect();
                for (index, line) in lines.iter_mut().enumerate() {
                    let lead = if index == 0 { "because" } else { "and because" };
                    let tail = if index + 1 == count { "," } else { "" };
                    *line = format!("{lead} {line}{tail}");
                }
                lines.push("the requirements of Model.toml can't be met".to_owned());
                lines
            }
            Self::Unknown { asked_by, .. } => asked_by.iter().map(|asker| format!("{asker} asks for it")).collect(),
            Self::Precise { asked_by, why, .. } => {
                let asks = |(asker, requirement): &(Asker, Requirement)| format!("{asker} asks for {requirement}");
                match why {
                    Unmet::Absent(existing) if existing.is_empty() => Vec::new(),
                    Unmet::Absent(existing) => vec![there_are(existing)],
                    Unmet::NotAdmitted { .. } => asked_by.iter().map(asks).collect(),
                    Unmet::TooYoung { ready, minimum } => {
                        vec![format!("the minimum age is {}; it is old enough on {ready}", minimum.place())]
                    }
                }
            }
            Self::Registry { asked_by, lines, .. } => {
                lines.iter().map(|line| format!("{line} asks for {}", asked_by.package.name)).collect()
            }
            Self::Internal { .. } => Vec::new(),
        }
    }
}

/// Up to `most` versions in words, the rest as a number.
fn list(versions: &[Version], most: usize) -> String {
    let shown: Vec<String> = versions.iter().take(most).map(ToString::to_string).collect();
    match (versions.len().saturating_sub(most), shown.split_last()) {
        (0, Some((last, []))) => last.clone(),
        (0, Some((last, rest))) => format!("{} and {last}", rest.join(", ")),
        (more, _) => format!("{} and {more} older", shown.join(", ")),
    }
}

/// `there are 2.0.0 and 1.0.0`.
fn there_are(versions: &[Version]) -> String {
    format!("there {} {}", if versions.len() == 1 { "is" } else { "are" }, list(versions, 5))
}

impl MinimumAge {
    /// Where it stands, for people.
    fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{} (minimum-age, Model.toml line {line})", self.age),
            None => format!("{} (minimum-age, config.toml of this machine)", self.age),
        }
    }
}

impl Reason {
    fn sentence(&self) -> String {
        match self {
            Self::Asks { asker, package, requirement } => format!("{asker} asks for {} {requirement}", package.name),
            Self::Depends { package, versions, all: true, on, requirement } if versions.len() > 1 => {
                format!("every version of {} that may be picked depends on {} {requirement}", package.name, on.name)
            }
            Self::Depends { package, versions, on, requirement, .. } => {
                let verb = if versions.len() == 1 { "depends" } else { "depend" };
                format!("{} {} {verb} on {} {requirement}", package.name, list(versions, 3), on.name)
            }
            Self::Fails(failing) => failing.sentence(),
            Self::Unique { package, line, existing } => format!(
                "one version of {} must serve all of these (unique, Model.toml line {line}) and none of {} does",
                package.name,
                list(existing, 5)
            ),
            Self::SelfConflict { package } => {
                format!("{} depends on another version of itself although it is unique", package.name)
            }
        }
    }
}

impl Failing {
    fn sentence(&self) -> String {
        let name = &self.package.name;
        if !self.exists {
            return format!("registry {} has no package {name}", self.package.registry);
        }
        let mut parts = vec![format!("no version of {name} satisfies {} ({})", self.requirement, self.available())];
        parts.extend(self.excluded());
        parts.join("; ")
    }

    /// What there is, where a headline has said that it is not enough.
    fn situation(&self) -> Vec<String> {
        let mut parts = vec![self.available()];
        parts.extend(self.excluded());
        parts
    }

    fn available(&self) -> String {
        if self.existing.is_empty() { "none can be picked".to_owned() } else { there_are(&self.existing) }
    }

    /// Versions that are too young, and when the first of them no longer is.
    fn young(&self) -> Option<String> {
        let minimum = self.minimum_age?;
        let ready = |(version, why): &(Version, RuledOut)| match why {
            RuledOut::TooYoung { ready } => Some((version.clone(), *ready)),
            _ => None,
        };
        let young: Vec<(Version, Timestamp)> = self.ruled_out.iter().filter_map(ready).collect();
        let (first, day) = young.iter().min_by_key(|(_, ready)| *ready)?;
        let versions: Vec<Version> = young.iter().map(|(version, _)| version.clone()).collect();
        let verb = if versions.len() == 1 { "is" } else { "are" };
        let which = if versions.len() == 1 { "it".to_owned() } else { first.to_string() };
        Some(format!("{} {verb} younger than {}; {which} is old enough on {day}", list(&versions, 3), minimum.place()))
    }

    /// What looks as if it would do, and why it does not.
    fn excluded(&self) -> Vec<String> {
        let mut parts = Vec::new();
        for (why, words) in
            [(RuledOut::Yanked, "yanked"), (RuledOut::PreRelease, "a pre-release that the requirement does not name")]
        {
            let ruled: Vec<Version> =
                self.ruled_out.iter().filter(|(_, found)| *found == why).map(|(version, _)| version.clone()).collect();
            if !ruled.is_empty() {
                let verb = match (ruled.len(), why) {
                    (1, _) => "is",
                    (_, RuledOut::Yanked) => "are",
                    (_, RuledOut::PreRelease | RuledOut::TooYoung { .. }) => "are each",
                };
                parts.push(format!("{} {verb} {words}", list(&ruled, 3)));
            }
        }
        parts.extend(self.young());
        parts
    }
}

impl Diagnose for NoSolution {
    fn code(&self) -> Code {
        Code(match self {
            Self::Conflict(_) => "E0401",
            Self::Unknown { .. } => "E0402",
            Self::Registry { .. } => "E0403",
            Self::Precise { .. } => "E0404",
            Self::Internal { .. } => "E0405",
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Conflict(_) | Self::Unknown { .. } | Self::Precise { .. } => Class::Yours,
            Self::Registry { .. } => Class::Policy,
            Self::Internal { .. } => Class::Internal,
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            // The headline has said who asks for what.
            Self::Conflict(conflict) if conflict.is_plain() => {
                conflict.failing().flat_map(Failing::situation).collect()
            }
            _ => self.explain(),
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let mut hints: Vec<Hint> = Vec::new();
        match self {
            Self::Conflict(conflict) => hints.extend(conflict.hints()),
            Self::Unknown { nearest, .. } if nearest.is_empty() => {}
            Self::Unknown { nearest, .. } => hints.push(Hint::Note(format!("did you mean {}?", nearest.join(", ")))),
            Self::Registry { package, .. } => hints.push(Hint::Add {
                file: "Model.toml",
                lines: format!(
                    "[registries.{}]\nindex = \"…\"        # ask its owner, not the package\nroot = \"sha256:…\"\n\
                     namespaces = [\"{}\"]",
                    package.registry,
                    package.name.namespace()
                ),
            }),
            Self::Precise { id, why: Unmet::NotAdmitted { yanked: true }, asked_by } => {
                let line = asked_by.iter().find(|(asker, _)| matches!(asker, Asker::Manifest { .. }));
                hints.extend(line.map(|(asker, _)| {
                    Hint::Note(format!(
                        "it is yanked: let {asker} ask for \"={}\" by hand, then run the same command again",
                        id.version
                    ))
                }));
                hints.push(Hint::Run(format!("mpm info {}", id.package.name)));
            }
            Self::Precise { id, why: Unmet::NotAdmitted { .. }, asked_by } => {
                let line = asked_by.iter().find(|(asker, _)| matches!(asker, Asker::Manifest { .. }));
                hints.push(Hint::Run(match line {
                    Some((asker, _)) => asker.add(&id.package, &format!("={}", id.version)),
                    None => format!("mpm why {}", id.package.name),
                }));
            }
            Self::Precise { id, .. } => hints.push(Hint::Run(format!("mpm info {}", id.package.name))),
            Self::Internal { .. } => {}
        }
        if !matches!(self, Self::Internal { .. }) {
            hints.push(Hint::Note("Model.lock is unchanged".to_owned()));
        }
        hints
    }
}

impl Asker {
    /// The command that would make this line ask for something else.
    fn add(&self, package: &PackageRef, requirement: &str) -> String {
        let command = format!("mpm add {}@{requirement}", package.name);
        let Self::Manifest { key, group, .. } = self else { return command };
        let other = if key.as_str() == package.name.as_str() { String::new() } else { format!(" --as {key}") };
        let group = group.as_ref().map(|group| format!(" --to-group {group}")).unwrap_or_default();
        format!("{command}{other}{group}")
    }
}

impl Conflict {
    fn hints(&self) -> Vec<Hint> {
        let mut hints = Vec::new();
        if self.offline {
            hints.push(Hint::Note(
                "this run is offline: releases that came since this machine last read the index are not seen"
                    .to_owned(),
            ));
        }
        let said = hints.len();
        for failing in self.failing() {
            if let Some(asker) = self.line_of(failing) {
                hints.extend(failing.other_choice(asker));
            }
        }
        if hints.len() == said {
            hints.extend(self.next());
        }
        for failing in self.failing() {
            let looks = Hint::Run(format!("mpm info {}", failing.package.name));
            let yanked = failing.ruled_out.iter().find(|(_, why)| *why == RuledOut::Yanked);
            let yanked = yanked.filter(|_| !hints.contains(&looks));
            hints.extend(yanked.map(|(version, _)| {
                Hint::Note(format!("`mpm info {}` says why {version} was yanked", failing.package.name))
            }));
        }
        hints
    }

    /// The line of Model.toml that asks for what fails, if one does itself.
    fn line_of(&self, failing: &Failing) -> Option<&Asker> {
        self.reasons.iter().find_map(|reason| match reason {
            Reason::Asks { asker: asker @ Asker::Manifest { .. }, package, requirement }
                if *package == failing.package && *requirement == failing.requirement =>
            {
                Some(asker)
            }
            _ => None,
        })
    }

    /// What helps where no line of Model.toml is at fault by itself.
    fn next(&self) -> Vec<Hint> {
        let unique = self.reasons.iter().find_map(|reason| match reason {
            Reason::Unique { package, line, .. } => Some((package, *line)),
            _ => None,
        });
        if let Some((package, line)) = unique {
            return vec![
                Hint::Note(format!(
                    "without unique = true in Model.toml line {line}, several versions of {} stand side by side",
                    package.name
                )),
                Hint::Run(format!("mpm info {}", package.name)),
            ];
        }
        let asked = self.reasons.iter().find_map(|reason| match reason {
            Reason::Asks { asker, package, .. } => Some((asker, package)),
            _ => None,
        });
        let Some((asker, package)) = asked else { return Vec::new() };
        let depends = self.reasons.iter().any(|reason| matches!(reason, Reason::Depends { .. }));
        let note =
            format!("{asker} could ask for another version of {}, or its publisher mend what it needs", package.name);
        let run = Hint::Run(format!("mpm info {}", package.name));
        let editable = matches!(asker, Asker::Manifest { line, .. } if *line > 0);
        if depends && editable { vec![Hint::Note(note), run] } else { vec![run] }
    }
}

impl Failing {
    /// What a line could ask for instead.
    fn other_choice(&self, asker: &Asker) -> Vec<Hint> {
        let plain = self.existing.iter().find(|version| version.pre.is_empty());
        if let Some(newest) = plain.or(self.existing.first()) {
            vec![
                Hint::Note(format!("{asker} could ask for \"{newest}\"")),
                Hint::Run(asker.add(&self.package, &newest.to_string())),
            ]
        } else if let Some((version, RuledOut::PreRelease)) = self.ruled_out.first() {
            vec![Hint::Run(asker.add(&self.package, &version.to_string()))]
        } else {
            Vec::new()
        }
    }
}
