//! The resolver against an oracle, against its own answers as a lock, and its explanations.

use std::collections::{BTreeMap, BTreeSet};

use modelpm::catalog::{Admitted, ListedRelease, Listing, ReleaseEvent, Snapshot};
use modelpm::diagnose::{Class, Diagnose, Hint};
use modelpm::model::{
    CheckpointNumber, DependencyKey, PackageId, PackageKind, PackageName, PackageRef, Pin, RegistryId, Requirement,
    Sha256, Timestamp, Version,
};
use modelpm::resolve::{NoSolution, Preferences, Question, Resolution, RootRequirement, Step, resolve};
use modelpm::statement::{Dependency, DependencyKind};
use proptest::prelude::*;

fn package(name: &str) -> PackageRef {
    let (registry, name) = name.split_once(':').unwrap_or(("acme", name));
    PackageRef { registry: RegistryId::parse(registry).unwrap(), name: PackageName::parse(name).unwrap() }
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

/// A world under construction.
#[derive(Debug, Default, Clone)]
struct World {
    snapshot: Snapshot,
    question: Question,
    prefer: Preferences,
}

impl World {
    /// A release line: `a/b 1.0.0 -> a/c ^1, other:x/y =2.0.0`; a version that ends in `!` is yanked.
    fn release(mut self, line: &str) -> Self {
        let (head, dependencies) = line.split_once(" -> ").unwrap_or((line, ""));
        let (name, text) = head.split_once(' ').unwrap();
        let (text, yanked) = text.strip_suffix('!').map_or((text, None), |text| (text, Some(Sha256::of(b"yank"))));
        let dependencies = dependencies.split(", ").filter(|part| !part.is_empty()).map(|part| {
            let (name, requirement) = part.split_once(' ').unwrap();
            let target = package(name);
            Dependency {
                kind: DependencyKind::Requires,
                name: target.name,
                registry: name.contains(':').then_some(target.registry),
                requirement: Requirement::parse(requirement).unwrap(),
            }
        });
        let event = ReleaseEvent {
            version: version(text),
            statement: Pin::of(line.as_bytes()),
            kind: PackageKind::Model,
            dependencies: dependencies.collect(),
            size: 1,
            admitted: Admitted {
                checkpoint: CheckpointNumber { epoch: 1, number: 1 },
                time: Timestamp::from_seconds(1).unwrap(),
            },
        };
        let package = package(name);
        let listing = self.snapshot.listings.entry(package.clone()).or_insert(None);
        let listing = listing.get_or_insert(Listing { package, releases: BTreeMap::new() });
        listing.releases.insert(event.version.clone(), ListedRelease { event, yanked });
        self
    }

    fn absent(mut self, name: &str) -> Self {
        self.snapshot.listings.insert(package(name), None);
        self
    }

    /// A line of Model.toml: `key a/b ^1`, with ` unique` behind it for one version for all.
    fn asks(mut self, line: &str) -> Self {
        let (rest, unique) = line.strip_suffix(" unique").map_or((line, false), |rest| (rest, true));
        let mut parts = rest.splitn(3, ' ');
        let (key, name, requirement) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let package = package(name);
        self.question.registries.insert(package.registry.clone());
        self.question.roots.push(RootRequirement {
            key: DependencyKey::parse(key).unwrap(),
            group: None,
            package,
            requirement: Requirement::parse(requirement).unwrap(),
            unique,
            line: self.question.roots.len() + 4,
        });
        self
    }

    fn locked(mut self, ids: &[&str]) -> Self {
        for id in ids {
            let id = PackageId::parse(&format!("acme:{id}")).unwrap();
            self.prefer.locked.entry(id.package).or_default().insert(id.version);
        }
        self
    }

    fn lock_of(mut self, resolution: &Resolution) -> Self {
        self.prefer.direct = resolution.direct.clone();
        for (id, resolved) in &resolution.releases {
            self.prefer.locked.entry(id.package.clone()).or_default().insert(id.version.clone());
            self.prefer.edges.insert(id.clone(), resolved.dependencies.iter().cloned().collect());
        }
        self
    }

    fn run(&self) -> Result<Resolution, NoSolution> {
        match resolve(&self.question, &self.snapshot, &self.prefer)? {
            Step::Done(resolution) => Ok(resolution),
            Step::Need(missing) => panic!("everything is loaded, and yet it needs {missing:?}"),
        }
    }

    /// Loads listings only as they are needed; returns the rounds too.
    fn run_lazily(&self) -> (Result<Resolution, NoSolution>, usize) {
        let mut known = Snapshot::default();
        for round in 1.. {
            match resolve(&self.question, &known, &self.prefer) {
                Err(error) => return (Err(error), round),
                Ok(Step::Done(resolution)) => return (Ok(resolution), round),
                Ok(Step::Need(missing)) => {
                    assert!(!missing.is_empty());
                    for package in missing {
                        assert!(!known.listings.contains_key(&package), "{package} is loaded already");
                        let listing = self.snapshot.listings.get(&package).cloned().flatten();
                        known.listings.insert(package, listing);
                    }
                }
            }
        }
        unreachable!()
    }
}

fn direct(resolution: &Resolution) -> Vec<String> {
    resolution.direct.iter().map(|((key, _), id)| format!("{key}={}", id.version)).collect()
}

fn releases(resolution: &Resolution) -> Vec<String> {
    resolution.releases.keys().map(|id| format!("{}@{}", id.package.name, id.version)).collect()
}

fn digits() -> World {
    World::default()
        .release("d/mlp 0.9.0!")
        .release("d/mlp 1.0.0")
        .release("d/mlp 1.1.0")
        .release("d/mlp 2.0.0-rc.1")
        .release("d/lora 1.0.0 -> d/mlp =1.0.0")
        .release("d/tuned 1.0.0 -> d/mlp >=1")
}

#[test]
fn picks_are_what_a_user_of_cargo_expects() {
    fn check(what: &str, world: &World, expected: &[&str]) {
        let resolution = world.run().unwrap_or_else(|error| panic!("{what}: {error} {:?}", error.explain()));
        assert_eq!(direct(&resolution), expected, "{what}");
        let (lazily, _) = world.run_lazily();
        assert_eq!(lazily.unwrap(), resolution, "{what}, lazily");
        let again = world.clone().lock_of(&resolution);
        let mut again = again;
        again.prefer.released.clear();
        again.prefer.precise.clear();
        assert_eq!(again.run().unwrap(), resolution, "{what}, from its own lock");
    }
    check("highest that is no pre-release", &digits().asks("m d/mlp *"), &["m=1.1.0"]);
    check("a pre-release that is named", &digits().asks("m d/mlp >=2.0.0-rc.0"), &["m=2.0.0-rc.1"]);
    check("side by side", &digits().asks("l d/lora 1").asks("m d/mlp 1"), &["l=1.0.0", "m=1.1.0"]);
    check("two keys, one exact", &digits().asks("m d/mlp 1").asks("o d/mlp =1.0.0"), &["m=1.1.0", "o=1.0.0"]);
    check("unique gives one", &digits().asks("l d/lora 1").asks("m d/mlp 1 unique"), &["l=1.0.0", "m=1.0.0"]);
    check("the lock is kept", &digits().asks("m d/mlp 1").locked(&["d/mlp@1.0.0"]), &["m=1.0.0"]);
    check("a lock that no longer satisfies", &digits().asks("m d/mlp ^1.1").locked(&["d/mlp@1.0.0"]), &["m=1.1.0"]);
    check("a yanked release in the lock", &digits().asks("m d/mlp <1").locked(&["d/mlp@0.9.0"]), &["m=0.9.0"]);
    let mut precise = digits().asks("m d/mlp <2").locked(&["d/mlp@1.1.0"]);
    precise.prefer.precise.insert(PackageId::parse("acme:d/mlp@0.9.0").unwrap());
    check("a yanked release by name", &precise, &["m=0.9.0"]);
    let mut released = digits().asks("m d/mlp 1").locked(&["d/mlp@1.0.0"]);
    released.prefer.released.insert(package("d/mlp"));
    check("update lets go", &released, &["m=1.1.0"]);
}

#[test]
fn edges_share_what_is_picked() {
    let resolution = digits().asks("m d/mlp =1.0.0").asks("t d/tuned 1").run().unwrap();
    assert_eq!(releases(&resolution), ["d/mlp@1.0.0", "d/tuned@1.0.0"]);
}

#[test]
fn an_added_requirement_leaves_locked_edges_alone() {
    let world = digits().asks("m d/mlp 1");
    let mut first = world.clone();
    first.prefer.locked.insert(package("d/mlp"), BTreeSet::from([version("1.0.0")]));
    let first = first.run().unwrap();
    let resolution = world.asks("n d/mlp ^1.1").lock_of(&first).run().unwrap();
    assert_eq!(direct(&resolution), ["m=1.0.0", "n=1.1.0"]);
}

#[test]
fn cycles_are_visited_once() {
    let world = World::default().release("a/x 1.0.0 -> a/y 1").release("a/y 1.0.0 -> a/x 1, a/y 1").asks("x a/x 1");
    assert_eq!(releases(&world.run().unwrap()), ["a/x@1.0.0", "a/y@1.0.0"]);
    let unique = World::default().release("a/x 1.0.0 -> a/y 1").release("a/y 1.0.0 -> a/x 1").asks("x a/x 1 unique");
    assert_eq!(releases(&unique.run().unwrap()), ["a/x@1.0.0", "a/y@1.0.0"]);
}

#[test]
fn listings_of_one_depth_are_needed_together() {
    let mut world = World::default();
    for index in 0..9 {
        world = world.release(&format!("r/n{index} 1.0.0 -> s/n{index} 1, t/n{index} 1"));
        world = world.release(&format!("s/n{index} 1.0.0")).release(&format!("t/n{index} 1.0.0"));
        world = world.asks(&format!("n{index} r/n{index} 1"));
    }
    let (resolution, rounds) = world.run_lazily();
    assert_eq!(resolution.unwrap().releases.len(), 27);
    assert_eq!(rounds, 3, "roots, their dependencies, the answer");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn failures_are_explained() {
    fn check(world: &World, code: &str, class: Class, headline: &str, sentences: &[&str], hint: &str) {
        let error = world.run().expect_err(headline);
        assert_eq!(error.to_string(), headline);
        assert_eq!((error.code().0, error.class()), (code, class), "{headline}");
        assert_eq!(error.explain(), sentences, "{headline}");
        let hints: Vec<String> = error
            .hints()
            .into_iter()
            .filter_map(|hint| match hint {
                Hint::Run(command) => Some(command),
                Hint::Add { file, lines } => Some(format!("{file}: {}", lines.lines().next().unwrap())),
                Hint::Note(note) if note.starts_with("did you") => Some(note),
                _ => None,
            })
            .collect();
        assert_eq!(hints.join("; "), hint, "{headline}");
        assert_eq!(world.run_lazily().0.expect_err(headline).explain(), sentences, "{headline}, lazily");
    }
    let last = "the requirements of Model.toml can't be met";
    check(
        &digits().asks("m d/mlp ^3"),
        "E0401",
        Class::Yours,
        "no version of d/mlp satisfies ^3, which Model.toml line 4 asks for",
        &[
            "because Model.toml line 4 asks for d/mlp ^3",
            "and because no version of d/mlp satisfies ^3 (there are 2.0.0-rc.1, 1.1.0 and 1.0.0),",
            last,
        ],
        "mpm add d/mlp@1.1.0 --as m",
    );
    check(
        &digits().asks("m d/mlp ^2"),
        "E0401",
        Class::Yours,
        "no version of d/mlp satisfies ^2, which Model.toml line 4 asks for",
        &[
            "because Model.toml line 4 asks for d/mlp ^2",
            "and because no version of d/mlp satisfies ^2 (there are 1.1.0 and 1.0.0); 2.0.0-rc.1 is a pre-release that \
             the requirement does not name,",
            last,
        ],
        "mpm add d/mlp@1.1.0 --as m",
    );
    check(
        &digits().asks("m d/mlp <1"),
        "E0401",
        Class::Yours,
        "no version of d/mlp satisfies <1, which Model.toml line 4 asks for",
        &[
            "because Model.toml line 4 asks for d/mlp <1",
            "and because no version of d/mlp satisfies <1 (there are 2.0.0-rc.1, 1.1.0 and 1.0.0); 0.9.0 is yanked,",
            last,
        ],
        "mpm add d/mlp@1.1.0 --as m",
    );
    check(
        &digits().asks("l d/lora 1").asks("m d/mlp ^1.1 unique"),
        "E0401",
        Class::Yours,
        "the requirements can't be met together",
        &[
            "because Model.toml line 4 asks for d/lora 1",
            "and because Model.toml line 5 asks for d/mlp ^1.1",
            "and because d/lora 1.0.0 depends on d/mlp =1.0.0",
            "and because one version of d/mlp must serve all of these (unique, Model.toml line 5) and none of \
             2.0.0-rc.1, 1.1.0 and 1.0.0 does,",
            last,
        ],
        "mpm info d/mlp",
    );
    check(
        &digits().release("d/top 1.0.0 -> d/mid 1").release("d/mid 1.0.0 -> d/mlp ^7").asks("t d/top 1"),
        "E0401",
        Class::Yours,
        "no version of d/mlp satisfies ^7",
        &[
            "because Model.toml line 4 asks for d/top 1",
            "and because d/top 1.0.0 depends on d/mid 1",
            "and because d/mid 1.0.0 depends on d/mlp ^7",
            "and because no version of d/mlp satisfies ^7 (there are 2.0.0-rc.1, 1.1.0 and 1.0.0),",
            last,
        ],
        "mpm info d/top",
    );
    check(
        &digits().release("d/top 1.0.0 -> d/gone 1").absent("d/gone").asks("t d/top 1"),
        "E0401",
        Class::Yours,
        "registry acme has no package d/gone",
        &[
            "because Model.toml line 4 asks for d/top 1",
            "and because d/top 1.0.0 depends on d/gone 1",
            "and because registry acme has no package d/gone,",
            last,
        ],
        "mpm info d/top",
    );
    check(
        &digits().absent("d/mpl").asks("m d/mpl 1").asks("n d/mlp 1"),
        "E0402",
        Class::Yours,
        "registry acme has no package d/mpl",
        &["Model.toml line 4 asks for it"],
        "did you mean d/mlp?",
    );
    check(
        &World::default().release("a/x 1.0.0 -> other:o/y 1").release("other:o/y 1.0.0").asks("x a/x 1"),
        "E0403",
        Class::Policy,
        "acme:a/x@1.0.0 depends on o/y of registry other, which Model.toml does not name",
        &["Model.toml line 4 asks for a/x"],
        "Model.toml: [registries.other]",
    );
    let mut precise = digits().asks("m d/mlp ^1");
    precise.prefer.precise.insert(PackageId::parse("acme:d/mlp@0.9.0").unwrap());
    check(
        &precise,
        "E0404",
        Class::Yours,
        "acme:d/mlp@0.9.0 is not admitted by any requirement",
        &["Model.toml line 4 asks for ^1"],
        "mpm info d/mlp",
    );
}

#[test]
fn a_contradiction_is_a_bug_of_ours() {
    let error = NoSolution::Internal { what: "x".to_owned() };
    assert_eq!((error.code().0, error.class().exit_code()), ("E0405", 70));
}

/// Whether any choice of versions works, by brute force: for each choice of one version (or none) of every `unique`
/// package, the largest set of releases whose dependencies all lead into the set must serve every root.
fn oracle(world: &World) -> bool {
    let unique: Vec<&PackageRef> = world.snapshot.listings.keys().filter(|name| is_unique(world, name)).collect();
    let mut choices: Vec<BTreeMap<&PackageRef, Option<Version>>> = vec![BTreeMap::new()];
    for name in unique {
        let versions = world.snapshot.listings[name].iter().flat_map(|listing| listing.releases.keys().cloned());
        let options: Vec<Option<Version>> = versions.map(Some).chain([None]).collect();
        choices = choices
            .into_iter()
            .flat_map(|choice| {
                options.iter().map(move |option| {
                    let mut choice = choice.clone();
                    choice.insert(name, option.clone());
                    choice
                })
            })
            .collect();
    }
    choices.iter().any(|choice| {
        let mut good: BTreeSet<(&PackageRef, &Version)> = BTreeSet::new();
        for (name, listing) in &world.snapshot.listings {
            for (version, release) in listing.iter().flat_map(|listing| &listing.releases) {
                let chosen = choice.get(name).is_none_or(|chosen| chosen.as_ref() == Some(version));
                let kept = world.prefer.locked.get(name).is_some_and(|held| held.contains(version));
                if chosen && (release.yanked.is_none() || kept) {
                    good.insert((name, version));
                }
            }
        }
        let serves = |good: &BTreeSet<(&PackageRef, &Version)>, name: &PackageRef, requirement: &Requirement| {
            good.iter().any(|(found, version)| *found == name && requirement.matches(version))
        };
        loop {
            let bad: Vec<_> = good
                .iter()
                .filter(|(name, version)| {
                    let listing = world.snapshot.listings[*name].as_ref().unwrap();
                    listing.releases[*version].event.dependencies.iter().any(|dependency| {
                        let on = PackageRef { registry: name.registry.clone(), name: dependency.name.clone() };
                        !serves(&good, &on, &dependency.requirement)
                    })
                })
                .copied()
                .collect();
            if bad.is_empty() {
                break;
            }
            for entry in bad {
                good.remove(&entry);
            }
        }
        world.question.roots.iter().all(|root| serves(&good, &root.package, &root.requirement))
    })
}

fn is_unique(world: &World, name: &PackageRef) -> bool {
    world.question.roots.iter().any(|root| root.unique && root.package == *name)
}

/// Every edge satisfied, nothing superfluous, one version of what is unique, no yanked release that nobody kept.
fn assert_valid(world: &World, resolution: &Resolution) {
    let mut reached: BTreeSet<&PackageId> = BTreeSet::new();
    for root in &world.question.roots {
        let id = &resolution.direct[&(root.key.clone(), None)];
        assert!(id.package == root.package && root.requirement.matches(&id.version), "{id} for {}", root.requirement);
        reached.insert(id);
    }
    for (id, resolved) in &resolution.releases {
        let release = &world.snapshot.listings[&id.package].as_ref().unwrap().releases[&id.version];
        let kept = world.prefer.locked.get(&id.package).is_some_and(|held| held.contains(&id.version));
        assert!(release.yanked.is_none() || kept, "{id} is yanked");
        for dependency in &release.event.dependencies {
            let served = resolved
                .dependencies
                .iter()
                .any(|to| to.package.name == dependency.name && dependency.requirement.matches(&to.version));
            assert!(served, "{id} needs {} {}", dependency.name, dependency.requirement);
        }
        reached.extend(&resolved.dependencies);
        assert!(resolved.dependencies.is_sorted());
    }
    assert_eq!(reached, resolution.releases.keys().collect(), "all that is reached, and nothing else");
    for name in world.snapshot.listings.keys().filter(|name| is_unique(world, name)) {
        assert!(resolution.releases.keys().filter(|id| id.package == *name).count() <= 1, "{name} is unique");
    }
}

const VERSIONS: [&str; 6] = ["1.0.0", "1.1.0", "1.2.0-rc.1", "2.0.0-rc.1", "2.0.0", "3.0.0"];
const REQUIREMENTS: [&str; 9] = ["1", "^1.1", "=1.0.0", "*", ">=2", ">=2.0.0-rc.0, <3", "<2.0.0", "^3", "~1.2.0-rc.0"];

fn world() -> impl Strategy<Value = World> {
    let edge = (0..4_usize, 0..REQUIREMENTS.len());
    let release = (prop::bool::weighted(0.15), prop::collection::vec(edge.clone(), 0..3));
    let releases = prop::collection::vec(prop::option::weighted(0.7, release), 4 * VERSIONS.len());
    let root = (edge, prop::bool::weighted(0.4));
    let locked = prop::collection::vec((0..4_usize, 0..VERSIONS.len()), 0..3);
    (releases, prop::collection::vec(root, 1..4), locked).prop_map(|(releases, roots, locked)| {
        let mut world = World::default();
        for index in 0..4 {
            world = world.absent(&format!("p/n{index}"));
        }
        for (index, release) in releases.into_iter().enumerate() {
            let Some((yanked, edges)) = release else { continue };
            let edges: Vec<String> = edges
                .iter()
                .map(|(to, requirement)| format!("p/n{to} {}", REQUIREMENTS[*requirement].replace(", ", ",")))
                .collect();
            let (name, version) = (index / VERSIONS.len(), VERSIONS[index % VERSIONS.len()]);
            let yanked = if yanked { "!" } else { "" };
            world = world.release(&format!("p/n{name} {version}{yanked} -> {}", edges.join(", ")));
        }
        for (index, ((name, requirement), unique)) in roots.into_iter().enumerate() {
            let unique = if unique { " unique" } else { "" };
            world = world.asks(&format!("k{index} p/n{name} {}{unique}", REQUIREMENTS[requirement]));
        }
        let ids: Vec<String> = locked.iter().map(|(name, v)| format!("p/n{name}@{}", VERSIONS[*v])).collect();
        world.locked(&ids.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    #[test]
    fn a_solution_is_found_where_the_oracle_finds_one(world in world()) {
        match world.run() {
            Ok(resolution) => {
                assert_valid(&world, &resolution);
                assert!(oracle(&world));
                let mut reversed = world.clone();
                reversed.question.roots.reverse();
                prop_assert_eq!(&reversed.run().unwrap(), &resolution, "order of Model.toml");
                prop_assert_eq!(&world.run_lazily().0.unwrap(), &resolution, "loaded lazily");
                prop_assert_eq!(&world.clone().lock_of(&resolution).run().unwrap(), &resolution, "its own lock");
            }
            Err(error) => {
                let unknown = matches!(error, NoSolution::Unknown { .. });
                assert!(unknown || !oracle(&world), "{error} {:?}", error.explain());
                assert!(!matches!(error, NoSolution::Internal { .. }), "{error}");
                assert!(!error.hints().is_empty());
            }
        }
    }
}

/// 1,000 packages of 20 versions each, five dependencies a release.
fn large(unique: bool) -> World {
    let mut world = World::default();
    for index in 0..1_000_usize {
        for minor in 0..20 {
            let edges: Vec<String> = [1, 7, 31, 127, 509]
                .iter()
                .map(|step| index * 2 + step)
                .filter(|to| *to < 1_000)
                .map(|to| format!("p/n{to} ^1.{}", (minor + to) % 12))
                .collect();
            world = world.release(&format!("p/n{index} 1.{minor}.0 -> {}", edges.join(", ")));
        }
        if unique || index < 20 {
            world = world.asks(&format!("k{index} p/n{index} 1{}", if unique { " unique" } else { "" }));
        }
    }
    world
}

/// Milliseconds of one resolution of a world of 1,000 packages × 20 versions, and how many releases came out.
pub(crate) fn p11_in_memory(unique: bool) -> (u128, usize) {
    let world = large(unique);
    let start = std::time::Instant::now();
    let resolution = world.run().unwrap();
    (start.elapsed().as_millis(), resolution.releases.len())
}

#[test]
#[expect(clippy::print_stderr, clippy::disallowed_methods, reason = "a measurement, printed behind a switch")]
fn speed_is_printed() {
    if std::env::var_os("MPM_FULL").is_none() {
        return;
    }
    for unique in [false, true] {
        let (milliseconds, count) = p11_in_memory(unique);
        eprintln!(
            "P11 in memory: {milliseconds} ms for {count} releases of 1,000 packages × 20 versions, unique: {unique}"
        );
    }
}
