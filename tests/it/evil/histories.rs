//! What is served is signed, or was: old states, mixtures, and what a stolen index key can make of logs and trees.

use modelpm::catalog::{Admitted, PackageLog, ReleaseEvent};
use modelpm::model::{CheckpointNumber, PackageName, Pin};
use modelpm::statement::Statement;

use super::{BEFORE, COMMANDS, Knowing, Locked, MET, NEWEST, NOW, Site, Stranger, other, path_of, tiny};
use crate::support::evil::lines;
use crate::support::keys::key;

const NEW_TRUST: &[&str] = &["update", "add"];
const ALL: &[&str] = &["sync", "lock", "update", "add"];

fn minilm() -> PackageName {
    "acme/tiny".parse().unwrap()
}

#[test]
fn a_rollback_meets_memory_and_floor() {
    let Some(site) = Site::new() else { return };
    site.evil.serve(BEFORE);
    // Who has met more goes on with that, and is told.
    let told = site.victims[&Knowing].mpm(&["update"]).expect(0);
    assert!(told.stderr.contains("is behind") && told.stderr.contains("seen by this machine"), "{}", told.stderr);
    site.meet("rollback", &[(Locked, &["sync", "update", "add"], 4)]);
}

#[test]
fn a_freeze_ends_with_the_checkpoint_that_is_served() {
    let Some(site) = Site::new() else { return };
    let late = (NOW + 100 * 86_400).to_string();
    site.evil.serve(MET);
    for (who, project) in &site.victims {
        for arguments in COMMANDS {
            let ran = project.command(arguments).env("MPM_TEST_NOW", &late).output().unwrap();
            let ran = crate::support::project::Ran::of(&ran);
            let needs_nothing_new = match who {
                Knowing => matches!(arguments[0], "sync" | "lock"),
                Locked => matches!(arguments[0], "sync" | "lock"),
                Stranger => false,
            };
            assert_eq!(ran.code, if needs_nothing_new { 0 } else { 4 }, "{who:?} {arguments:?}\n{}", ran.stderr);
            assert!(needs_nothing_new || ran.stderr.contains("expired 10 days ago"), "{}", ran.stderr);
        }
    }
    site.recover("freeze");
}

#[test]
fn mixtures_of_two_moments_are_refused() {
    type Kind = fn(&str) -> bool;
    let kinds: [(&str, Kind, i32); 6] = [
        ("the checkpoint of before", |path| path == "checkpoint.json", 4),
        ("its signature", |path| path.starts_with("checkpoint.json."), 4),
        ("the nodes", |path| path.starts_with("tree/"), 3),
        ("the logs", |path| path.starts_with("packages/"), 4),
        ("the statements", |path| path.starts_with("releases/"), 3),
        ("the blobs", |path| path.starts_with("blobs/"), 3),
    ];
    for (what, kind, code) in kinds {
        let Some(site) = Site::new() else { return };
        site.evil.serve(NEWEST);
        site.evil.mix(BEFORE, kind);
        let commands: &[&str] = match what {
            // They concern whoever takes something from them.
            "the blobs" => &["sync", "add"],
            "the statements" => &["sync", "lock", "update"],
            _ => ALL,
        };
        site.meet(what, &[(Stranger, commands, code)]);
    }
}

#[test]
fn nodes_and_statements_under_the_names_of_others_are_refused() {
    for what in ["nodes", "statements", "signatures", "registrar files", "blobs"] {
        let Some(site) = Site::new() else { return };
        site.evil.serve(NEWEST);
        let start = match what {
            "nodes" => "tree/",
            "registrar files" => "trust/registrar/",
            "blobs" => "blobs/",
            _ => "releases/",
        };
        let wanted = |path: &str| path.starts_with(start) && path.ends_with(".minisig") == (what == "signatures");
        let paths = site.evil.paths(wanted);
        assert!(paths.len() > 1, "{what}: {paths:?}");
        let bytes: Vec<Vec<u8>> = paths.iter().map(|path| site.evil.read(path)).collect();
        for (path, other) in paths.iter().zip(bytes.iter().cycle().skip(1)) {
            site.evil.put(path, other);
        }
        let commands: &[&str] = if what == "blobs" { &["sync", "add"] } else { ALL };
        site.meet(what, &[(Stranger, commands, 4)]);
    }
}

#[test]
fn an_equivocation_meets_memory() {
    let Some(mut site) = Site::new() else { return };
    site.evil.serve(MET);
    site.evil.forge_logs(0, |logs| {
        let log = logs.get_mut(&minilm()).unwrap();
        *log = lines(log)[..1].concat();
    });
    site.meet_thief("equivocation", &[(Knowing, NEW_TRUST, 4), (Locked, &["sync", "update"], 4)]);
}

#[test]
fn edited_logs_are_refused_by_whoever_read_or_locked_them() {
    for what in ["cut", "turned around", "taken away"] {
        let Some(mut site) = Site::new() else { return };
        site.evil.serve(NEWEST);
        site.evil.forge_logs(1, |logs| {
            let log = logs.get_mut(&minilm()).unwrap();
            let mut all = lines(log);
            match what {
                "cut" => all.truncate(1),
                "turned around" => all.reverse(),
                _ => {
                    logs.remove(&minilm());
                    return;
                }
            }
            *log = all.concat();
        });
        // Turned around, everything that is locked is still there.
        let locked: &[&str] = if what == "turned around" { &[] } else { &["sync", "update"] };
        let mut refused = vec![(Knowing, &["update"][..], 4), (Locked, locked, 4)];
        if what == "taken away" {
            // Who knows nothing of it is told that there is none.
            refused.retain(|(who, ..)| *who == Knowing);
            site_meets_with_absence(&mut site, what);
            continue;
        }
        site.meet_thief(what, &refused);
    }
}

/// Like a meeting, but a stranger is told that there is no such package, which is exit 1.
fn site_meets_with_absence(site: &mut Site, what: &str) {
    let run = |who| site.victims[&who].mpm(&["update"]);
    let knowing = run(Knowing);
    assert_eq!(knowing.code, 4, "{what}\n{}", knowing.stderr);
    assert!(
        knowing.stderr.contains("E0117") && knowing.stderr.contains("no longer lists acme/tiny"),
        "{}",
        knowing.stderr
    );
    let locked = run(Locked).expect(4);
    assert!(locked.stderr.contains("E0119"), "{}", locked.stderr);
    run(Stranger).expect(1).says(&["acme has no package acme/tiny"]);
    let synced = site.victims[&Locked].mpm(&["sync"]);
    assert_eq!(synced.code, 4, "what is locked is not there\n{}", synced.stderr);
    site.recover_by_epoch(what);
}

#[test]
fn what_no_publisher_signed_is_not_taken() {
    for what in ["nobody", "the index", "a stranger", "another release's signature"] {
        let Some(mut site) = Site::new() else { return };
        site.evil.serve(NEWEST);
        let registry = &site.evil.registry;
        let genuine = format!("releases/{}.json", registry.statement_sha256("acme/tiny", "1.2.0"));
        let mut statement = Statement::parse(&site.evil.read(&genuine)).unwrap();
        statement.version = "1.9.0".parse().unwrap();
        let bytes = statement.render();
        let pin = Pin::of(&bytes);
        let path = format!("releases/{}.json", pin.sha256);
        site.evil.put(&path, &bytes);
        match what {
            "the index" => site.evil.sign(&path, &registry.index),
            "a stranger" => site.evil.sign(&path, &key()),
            "another release's signature" => {
                let publisher = registry.publisher("acme").public();
                let from = modelpm::keys::signature_path(&genuine, publisher);
                site.evil.put(&modelpm::keys::signature_path(&path, publisher), &site.evil.read(&from));
            }
            _ => {}
        }
        let admitted = Admitted { checkpoint: CheckpointNumber { epoch: 1, number: 9 }, time: registry.now() };
        let line = PackageLog::render_release(&ReleaseEvent::of(&statement, pin, admitted));
        site.evil.forge_logs(1, |logs| logs.get_mut(&minilm()).unwrap().extend(line));
        site.meet_thief(what, &[(Knowing, &["update"], 4), (Locked, &["update"], 4), (Stranger, &["lock", "sync"], 4)]);
    }
}

#[test]
fn an_event_that_says_other_things_than_its_statement_is_not_believed() {
    for (what, from, to) in [
        (
            "a dependency",
            "\"dependencies\":[]",
            "\"dependencies\":[{\"kind\":\"requires\",\"name\":\"acme/other\",\"requirement\":\"*\"}]",
        ),
        ("another size", "\"size\":", "\"size\":1"),
        ("another size of the statement", "\"size\":", "\"size\":1"),
        ("another kind", "\"kind\":\"model\"", "\"kind\":\"dataset\""),
        ("another statement", "", ""),
    ] {
        let Some(mut site) = Site::new() else { return };
        site.evil.serve(NEWEST);
        let registry = &site.evil.registry;
        let [newest, foreign] = [("acme/tiny", "1.2.0"), ("acme/other", "1.0.0")]
            .map(|(name, at)| registry.statement_sha256(name, at).hex());
        site.evil.forge_logs(1, |logs| {
            let log = logs.get_mut(&minilm()).unwrap();
            let mut all = lines(log);
            let last = String::from_utf8(all.pop().unwrap()).unwrap();
            let changed = match what {
                "another statement" => last.replace(&newest, &foreign),
                // Keys are sorted: the size of all files, then that of the statement.
                "another size" => last.replacen(from, to, 1),
                "another size of the statement" => {
                    let at = last.rfind(from).unwrap();
                    format!("{}{to}{}", &last[..at], &last[at + from.len()..])
                }
                _ => last.replace(from, to),
            };
            assert_ne!(changed, last, "{what}");
            all.push(changed.into_bytes());
            *log = all.concat();
        });
        site.meet_thief(what, &[(Locked, &["update"], 4), (Stranger, &["lock", "sync"], 4)]);
    }
}

#[test]
fn roots_that_nobody_may_make_are_refused() {
    for what in ["unsigned", "by the index", "by a stranger that names itself"] {
        let Some(site) = Site::new() else { return };
        site.evil.serve(NEWEST);
        let registry = &site.evil.registry;
        let mut root = registry.newest_root();
        root.number = 2;
        let stranger = key();
        let role = |key: &modelpm::keys::SecretKey| modelpm::trust::RoleKeys {
            keys: vec![key.public().clone()],
            threshold: 1,
        };
        if what.starts_with("by a stranger") {
            root.roles.insert(modelpm::trust::Role::Root, role(&stranger));
            root.roles.insert(modelpm::trust::Role::Index, role(&stranger));
        }
        site.evil.put("trust/root/2.json", &root.render());
        match what {
            "by the index" => site.evil.sign("trust/root/2.json", &registry.index),
            "unsigned" => {}
            _ => site.evil.sign("trust/root/2.json", &stranger),
        }
        site.meet(what, &[(Knowing, NEW_TRUST, 4), (Locked, &["sync", "update", "add"], 4), (Stranger, ALL, 4)]);
    }
}

#[test]
fn swapped_and_foreign_blobs_are_refused() {
    let Some(site) = Site::new() else { return };
    site.evil.serve(NEWEST);
    // Of one size, so that nothing but the digest tells.
    site.evil.put(&path_of(&tiny(2)), &tiny(0));
    site.evil.put(&path_of(&tiny(1)), &tiny(0));
    site.evil.put(&path_of(&other()), &tiny(1)[..other().len()]);
    site.meet("foreign blobs", &[(Locked, &["sync", "add"], 4), (Stranger, &["sync", "add"], 4)]);
}
