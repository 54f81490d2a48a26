//! The rooms: who may import whom, what the pure ones may not touch, where async may be seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::{none, sources};

/// The levels and rooms of docs/architecture.md, from the bottom up; a room may import only what stands above it here.
const ROOMS: &[(&str, &[&[&str]])] = &[
    // Words.
    ("model", &[]),
    ("diagnose", &[&["model"]]),
    ("progress", &[&["model"]]),
    // Settings with their origin are values; sys takes some of them.
    ("config", &[WORDS]),
    // Effects.
    ("sys", &[WORDS, &["config"]]),
    // Pure.
    ("manifest", &[WORDS]),
    ("statement", &[WORDS]),
    ("catalog", &[WORDS, &["statement"]]),
    ("trust", &[WORDS, &["catalog"]]),
    ("resolve", &[WORDS, &["manifest", "catalog", "statement"]]),
    ("lock", &[WORDS, &["manifest", "catalog", "statement"]]),
    ("select", &[WORDS, &["manifest", "catalog", "statement", "lock"]]),
    ("formats", &[WORDS]),
    ("scan", &[WORDS, &["formats"]]),
    ("policy", &[WORDS, &["manifest", "statement", "catalog", "config", "lock", "select", "formats", "scan"]]),
    ("layout", &[WORDS, &["manifest", "statement", "lock", "select"]]),
    ("hub", &[WORDS, &["statement"]]),
    ("chunk", &[WORDS]),
    ("pack", &[WORDS, &["statement"]]),
    // Stages.
    ("bundle", &[WORDS, EFFECTS]),
    ("index", &[WORDS, EFFECTS, &["bundle", "catalog", "trust", "statement", "manifest"]]),
    ("fetch", &[WORDS, EFFECTS, &["select", "hub", "chunk", "pack"]]),
    ("verify", &[WORDS, EFFECTS]),
    ("store", &[WORDS, EFFECTS, &["verify"]]),
    ("inspect", &[WORDS, EFFECTS, &["store", "formats", "scan", "select", "policy"]]),
    ("install", &[WORDS, EFFECTS, &["store", "select", "policy", "layout"]]),
    ("mirror", &[WORDS, EFFECTS, PURE, &["bundle", "index", "fetch", "verify"]]),
    ("keys", &[WORDS, EFFECTS, &["trust"]]),
    ("registry", &[WORDS, EFFECTS, PURE, &["index", "keys"]]),
    ("publish", &[WORDS, EFFECTS, PURE, &["keys", "registry", "inspect"]]),
    ("serve", &[WORDS, EFFECTS, &["catalog", "statement", "hub", "chunk"]]),
    // Composition.
    ("ops", &[WORDS, EFFECTS, PURE, STAGES]),
    // The terminal: words and verbs, what it takes to build the services, and types that requests and outcomes hold.
    (
        "cli",
        &[
            WORDS,
            EFFECTS,
            &["ops", "bundle", "select", "statement", "trust", "store", "install", "mirror", "registry", "serve"],
        ],
    ),
];

const WORDS: &[&str] = &["model", "diagnose", "progress"];
const EFFECTS: &[&str] = &["sys", "config"];
const PURE: &[&str] = &[
    "manifest",
    "statement",
    "catalog",
    "config",
    "trust",
    "resolve",
    "lock",
    "select",
    "formats",
    "scan",
    "policy",
    "layout",
    "hub",
    "chunk",
    "pack",
];
const STAGES: &[&str] = &[
    "bundle", "index", "fetch", "verify", "store", "inspect", "install", "mirror", "keys", "registry", "publish",
    "serve",
];

/// Rooms whose public functions may be async: the server, and sys for the two private users of async.
const ASYNC: &[&str] = &["serve", "sys"];

/// What a pure room may not name.
const EFFECT_WORDS: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "SystemTime",
    "Instant::now",
    "async fn",
    "reqwest",
    "gix::",
];

#[test]
fn rooms_import_what_the_table_allows() {
    let table: BTreeMap<&str, BTreeSet<&str>> = ROOMS
        .iter()
        .map(|(room, groups)| (*room, groups.iter().flat_map(|group| group.iter().copied()).collect()))
        .collect();
    let mut problems = Vec::new();
    for source in sources() {
        let Some(room) = &source.room else { continue };
        let Some(allowed) = table.get(room.as_str()) else {
            problems.push(format!("{}: `{room}` has no row in tests/tidy/rooms.rs", source.path));
            continue;
        };
        for (number, line) in source.shipped.iter().enumerate() {
            let place = format!("{}:{}", source.path, number + 1);
            for rest in line.split("crate::").skip(1) {
                let other: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if other.is_empty() {
                    problems.push(format!("{place}: one `use crate::room::…` a room, so that it can be read"));
                } else if other != *room && !allowed.contains(other.as_str()) {
                    let list = allowed.iter().copied().collect::<Vec<_>>().join(", ");
                    problems.push(format!("{place}: `{room}` imports `{other}`; allowed: {list}"));
                }
            }
            let leaves = line.contains("super::super::") || (line.contains("super::") && is_top(&source.path));
            if leaves {
                problems.push(format!("{place}: `super` leaves the room; write `crate::`"));
            }
        }
    }
    none(&problems, "docs/architecture.md#layers");
}

/// Whether `super` in this file is the crate. `pub(super)` in a room's mod.rs means the crate too.
fn is_top(path: &str) -> bool {
    let depth = path.split('/').count();
    depth == 2 || (depth == 3 && path.ends_with("/mod.rs"))
}

#[test]
fn the_table_points_one_way() {
    let order: BTreeMap<&str, usize> = ROOMS.iter().enumerate().map(|(at, (room, _))| (*room, at)).collect();
    let mut problems = Vec::new();
    for (room, groups) in ROOMS {
        for other in groups.iter().flat_map(|group| group.iter()) {
            if order.get(other).is_none_or(|at| *at >= order[room]) {
                problems.push(format!("`{room}` may import `{other}`, which has no row above it"));
            }
        }
    }
    none(&problems, "docs/architecture.md#layers");
}

#[test]
fn every_row_is_a_room_and_is_on_the_map() {
    let present: BTreeSet<String> = sources().into_iter().filter_map(|source| source.room).collect();
    let map = crate::read("docs/architecture.md");
    let gone = ROOMS.iter().filter(|(room, _)| !present.contains(*room)).map(|(room, _)| format!("`{room}` is gone"));
    let missing = present.iter().filter(|room| !map.contains(&format!("`{room}`")));
    let missing = missing.map(|room| format!("docs/architecture.md does not name `{room}`"));
    none(&gone.chain(missing).collect::<Vec<_>>(), "docs/architecture.md#code-map");
}

#[test]
fn pure_rooms_touch_no_world() {
    let mut problems = Vec::new();
    for source in sources() {
        let pure = source.room.as_deref().is_some_and(|room| room == "model" || PURE.contains(&room));
        for (number, line) in source.shipped.iter().enumerate().filter(|_| pure) {
            for word in EFFECT_WORDS.iter().filter(|word| line.contains(**word)) {
                problems.push(format!("{}:{}: `{word}` in a pure room", source.path, number + 1));
            }
        }
    }
    none(&problems, "docs/architecture.md#invariants");
}

#[test]
fn the_clock_is_read_in_one_place() {
    // Where the world of a run is built; leases note when they were taken, for people, and judge nothing by it.
    let allowed = ["src/sys/clock.rs", "src/sys/mod.rs", "src/sys/lease.rs", "src/cli/world.rs"];
    let reads = |line: &String| line.contains("SystemClock") || line.contains("SystemTime::now");
    let others = sources().into_iter().filter(|source| !allowed.contains(&source.path.as_str()));
    let problems: Vec<String> = others
        .filter(|source| source.shipped.iter().any(reads))
        .map(|source| format!("{} reads the clock: take the time of the run", source.path))
        .collect();
    none(&problems, "docs/trust.md#the-clients-walk");
}

#[test]
fn async_stays_inside() {
    let mut problems = Vec::new();
    for source in sources() {
        if source.room.as_deref().is_some_and(|room| ASYNC.contains(&room)) {
            continue;
        }
        let public = source.shipped.iter().enumerate().filter(|(_, line)| line.contains("pub async fn"));
        problems.extend(public.map(|(number, _)| format!("{}:{}: public and async", source.path, number + 1)));
    }
    none(&problems, "docs/architecture.md#invariants");
}

#[test]
fn only_keys_touches_secret_keys() {
    let uses = |line: &String| line.contains("minisign::");
    let other = sources()
        .into_iter()
        .filter(|source| source.room.as_deref() != Some("keys") && source.shipped.iter().any(uses));
    none(
        &other.map(|source| format!("{} uses minisign", source.path)).collect::<Vec<_>>(),
        "docs/architecture.md#invariants",
    );
}
