//! Row P11, the parts in memory: resolves 1,000 packages of 20 versions each and prints the median time; and builds the tree
//! of an index of 10^6 packages, and prints the most bytes that a look-up of one of them reads.
//!
//! `tests/perf/run P11` runs it; alone: `cargo bench --locked --bench resolve`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs, reason = "a benchmark")]

use std::time::Instant;

use modelpm::catalog::{
    Admitted, ListedRelease, Listing, Node, PackageLeaf, ReleaseEvent, Snapshot, build_packages, key_of,
};
use modelpm::model::{
    CheckpointNumber, DependencyKey, PackageKind, PackageName, PackageRef, Pin, RegistryId, Requirement, Sha256,
    Timestamp, Version,
};
use modelpm::resolve::{Preferences, Question, RootRequirement, Step, resolve};
use modelpm::statement::{Dependency, DependencyKind};

const PACKAGES: usize = 1000;
const VERSIONS: u64 = 20;
const RUNS: usize = 11;
const INDEX: usize = 1_000_000;
const LOOK_UPS: usize = 1000;

fn main() {
    let snapshot = universe();
    let question = question();
    let mut times = Vec::new();
    let mut releases = 0;
    for _ in 0..RUNS {
        let begin = Instant::now();
        match resolve(&question, &snapshot, &Preferences::default()) {
            Ok(Step::Done(resolution)) => releases = resolution.releases.len(),
            other => panic!("the universe has a solution: {other:?}"),
        }
        times.push(begin.elapsed());
    }
    times.sort();
    let median = times[RUNS / 2].as_secs_f64() * 1000.0;
    println!("resolve: {median:.1} ms, {PACKAGES} packages x {VERSIONS} versions, {releases} releases picked");
    println!("index: {} bytes, an index of {INDEX} packages", look_up());
}

/// The most bytes of nodes that a look-up reads.
fn look_up() -> usize {
    let leaf = |number: usize| PackageLeaf {
        name: PackageName::parse(&format!("ns{}/package-{number}", number % 977)).unwrap(),
        log: Pin::of(&number.to_le_bytes()),
        advisories: None,
    };
    let entries: Vec<PackageLeaf> = (0..INDEX).map(leaf).collect();
    let tree = build_packages(&entries).unwrap();
    let read = |entry: &PackageLeaf| {
        let key = key_of(&entry.name.normalised()).hex();
        let (mut digest, mut prefix, mut bytes) = (tree.root, String::new(), 0);
        loop {
            let node = &tree.nodes[&digest];
            bytes += node.len();
            let Node::Inner(children) = Node::parse_packages(node, &prefix).unwrap() else { return bytes };
            let digit = char::from(key.as_bytes()[prefix.len()]);
            prefix.push(digit);
            digest = children[&u8::try_from(digit.to_digit(16).unwrap()).unwrap()];
        }
    };
    entries.iter().step_by(INDEX / LOOK_UPS).map(read).max().unwrap_or_default()
}

fn registry() -> RegistryId {
    RegistryId::parse("bench").unwrap()
}

fn name(number: usize) -> PackageName {
    PackageName::parse(&format!("bench/p{number}")).unwrap()
}

fn package(number: usize) -> PackageRef {
    PackageRef { registry: registry(), name: name(number) }
}

fn question() -> Question {
    let root = |number: usize, requirement: &str| RootRequirement {
        key: DependencyKey::parse(name(number).as_str()).unwrap(),
        group: None,
        package: package(number),
        requirement: Requirement::parse(requirement).unwrap(),
        unique: false,
        line: number + 1,
    };
    Question { roots: vec![root(0, "^1"), root(1, ">=1.3, <1.15"), root(2, "*")], registries: [registry()].into() }
}

/// A tree with cross links: package n leads to 2n+1, 2n+2 and one far away, with ranges that narrow as versions rise.
fn universe() -> Snapshot {
    let listing = |number: usize| {
        let release = |minor: u64| {
            let event = event(number, minor);
            (event.version.clone(), ListedRelease { event, yanked: None })
        };
        (package(number), Some(Listing { package: package(number), releases: (0..VERSIONS).map(release).collect() }))
    };
    Snapshot { listings: (0..PACKAGES).map(listing).collect() }
}

fn event(number: usize, minor: u64) -> ReleaseEvent {
    let requirements = [
        (2 * number + 1, format!("^1.{}", minor / 2)),
        (2 * number + 2, format!(">=1.{}, <2", minor / 4)),
        (number + 37, format!("~1.{minor}")),
    ];
    let dependency = |(to, requirement): &(usize, String)| Dependency {
        kind: DependencyKind::Requires,
        name: name(*to),
        registry: None,
        requirement: Requirement::parse(requirement).unwrap(),
    };
    let version = Version::new(1, minor, 0);
    ReleaseEvent {
        statement: Pin { sha256: Sha256::of(format!("{number} {version}").as_bytes()), size: 1000 },
        version,
        kind: PackageKind::Model,
        dependencies: requirements.iter().filter(|(to, _)| *to < PACKAGES).map(dependency).collect(),
        size: 1 << 20,
        admitted: Admitted {
            checkpoint: CheckpointNumber { epoch: 1, number: 1 },
            time: Timestamp::from_seconds(1_700_000_000).unwrap(),
        },
    }
}
