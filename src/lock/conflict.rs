//! A lock with merge-conflict markers: both sides are read, and what they say is put together as preferences.

use crate::lock::{Lock, LockError, Target};

/// Where in a conflict a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Outside,
    Ours,
    Base,
    Theirs,
}

/// The texts of both sides, if the text holds markers. The common ancestor that `diff3` shows is left out.
pub(super) fn split(text: &str) -> Result<Option<(String, String)>, LockError> {
    let (mut ours, mut theirs) = (String::new(), String::new());
    let (mut part, mut opened, mut found) = (Part::Outside, 0, false);
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let marker = line.trim_end();
        let next = match (part, marker) {
            (Part::Outside, _) if marks(marker, "<<<<<<<") => Some(Part::Ours),
            (Part::Ours, _) if marks(marker, "|||||||") => Some(Part::Base),
            (Part::Ours | Part::Base, "=======") => Some(Part::Theirs),
            (Part::Theirs, _) if marks(marker, ">>>>>>>") => Some(Part::Outside),
            (_, "=======") => return Err(LockError::Markers { line: at + 1 }),
            _ if ["<<<<<<<", "|||||||", ">>>>>>>"].iter().any(|word| marks(marker, word)) => {
                return Err(LockError::Markers { line: at + 1 });
            }
            _ => None,
        };
        if let Some(next) = next {
            if part == Part::Outside {
                opened = at + 1;
            }
            part = next;
            found = true;
            continue;
        }
        if matches!(part, Part::Outside | Part::Ours) {
            ours.push_str(line);
        }
        if matches!(part, Part::Outside | Part::Theirs) {
            theirs.push_str(line);
        }
    }
    if part != Part::Outside {
        return Err(LockError::Markers { line: opened });
    }
    Ok(found.then_some((ours, theirs)))
}

fn marks(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// Entries of both sides; where both have one it is ours; floors take the higher.
pub(super) fn merge(mut ours: Lock, theirs: Lock) -> Result<Lock, LockError> {
    for (id, registry) in theirs.registries {
        let Some(mine) = ours.registries.get_mut(&id) else {
            ours.registries.insert(id, registry);
            continue;
        };
        if mine.root != registry.root {
            return Err(LockError::MergedRoots { id, ours: mine.root, theirs: registry.root });
        }
        mine.floor = mine.floor.highest(registry.floor);
    }
    for (key, target) in theirs.direct {
        ours.direct.entry(key).or_insert(target);
    }
    for (id, package) in theirs.packages {
        ours.packages.entry(id).or_insert(package);
    }
    for (id, source) in theirs.sources {
        ours.sources.entry(id).or_insert(source);
    }
    for (id, allowance) in theirs.unsafe_releases {
        ours.unsafe_releases.entry(id).or_insert(allowance);
    }
    // A source whose two sides were mixed has no entry: its folder is hashed again.
    let sources = &ours.sources;
    ours.direct.retain(|_, target| match target {
        Target::Source(id) => sources.contains_key(id),
        Target::Release(_) => true,
    });
    Ok(ours)
}
