//! A publisher who signs something harmful: paths that lead out of a project, names that some system takes for others. The
//! statement is signed, listed and pinned as any other.

use modelpm::catalog::{Admitted, PackageLog, ReleaseEvent};
use modelpm::model::{CheckpointNumber, Pin};
use modelpm::statement::Statement;

use super::{NEWEST, Site, Stranger};
use crate::flows::fixture::tree;

/// A site whose newest release of `acme/tiny` is this text, whatever it says.
fn with_statement(change: impl Fn(&str) -> String) -> Option<Site> {
    let site = Site::of_a_stranger()?;
    site.evil.serve(NEWEST);
    let registry = &site.evil.registry;
    let genuine = format!("releases/{}.json", registry.statement_sha256("acme/tiny", "1.2.0"));
    let honest = Statement::parse(&site.evil.read(&genuine)).unwrap();
    let next = Statement { version: "1.3.0".parse().unwrap(), ..honest };
    let text = String::from_utf8(next.render()).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text);
    let pin = Pin::of(changed.as_bytes());
    let path = format!("releases/{}.json", pin.sha256);
    site.evil.put(&path, changed.as_bytes());
    site.evil.sign(&path, registry.publisher("acme"));
    let admitted = Admitted { checkpoint: CheckpointNumber { epoch: 1, number: 9 }, time: registry.now() };
    let line = PackageLog::render_release(&ReleaseEvent::of(&next, pin, admitted));
    site.evil.forge_logs(1, |logs| logs.get_mut(&"acme/tiny".parse().unwrap()).unwrap().extend(line));
    Some(site)
}

fn check(what: &str, change: impl Fn(&str) -> String) {
    let Some(site) = with_statement(change) else { return };
    let project = &site.victims[&Stranger];
    let before = tree(&project.folder());
    let around = || std::fs::read_dir(project.folder().parent().unwrap()).unwrap().count();
    let entries = around();
    for arguments in [&["sync"][..], &["lock"], &["update"], &["add", "acme/tiny"]] {
        let ran = project.mpm(arguments);
        assert_eq!(ran.code, 4, "{what}, {arguments:?}\n{}", ran.stderr);
        assert!(ran.stderr.contains("acme/tiny"), "{what}\n{}", ran.stderr);
        // Nothing of it commands the terminal.
        assert!(!ran.stderr.chars().any(|c| c.is_control() && c != '\n'), "{what}: {:?}", ran.stderr);
    }
    let visible = |files: std::collections::BTreeMap<String, Vec<u8>>| {
        files.into_iter().filter(|(path, _)| !path.starts_with(".mpm/")).collect::<Vec<_>>()
    };
    assert_eq!(visible(tree(&project.folder())), visible(before), "{what}");
    assert_eq!(around(), entries, "{what}: something stands beside the project");
}

fn path(to: &str) -> impl Fn(&str) -> String {
    move |text: &str| text.replace("\"model.safetensors\"", &format!("\"{to}\""))
}

#[test]
fn signed_paths_that_lead_elsewhere_are_refused() {
    for to in ["../x", "/etc/x", "a/../../x", "C:\\\\x", "C:/x", "\\\\\\\\srv\\\\s", "a/./b", "a//b", "", ".", ".."] {
        check(to, path(to));
    }
}

#[test]
fn signed_paths_with_control_characters_are_refused_and_not_echoed() {
    for to in ["a\\u0000b", "a\\nb", "\\u001b[31mred", "a\\u009b31m", "a\\u202eb", "e\\u0301"] {
        check(to, path(to));
    }
}

#[test]
fn signed_names_that_some_system_reserves_are_refused() {
    for to in ["CON", "aux.txt", "sub/nul", "x.", "x ", "x:stream"] {
        check(to, path(to));
    }
}

#[test]
fn signed_paths_that_clash_are_refused() {
    for (first, second) in [("Model.bin", "model.bin"), ("a", "a/b"), ("model.bin", "model.bin"), ("ß", "SS")] {
        check(&format!("{first} and {second}"), |text| {
            // The one file twice, under the two names.
            let (before, rest) = text.split_once("\"files\": [").unwrap();
            let (entry, after) = rest.split_once("\n  ]").unwrap();
            let named = |name: &str| entry.replace("\"model.safetensors\"", &format!("\"{name}\""));
            format!("{before}\"files\": [{},{}\n  ]{after}", named(first), named(second))
        });
    }
}

#[test]
fn signed_paths_that_are_long_or_deep_are_refused() {
    for to in ["x".repeat(256), vec!["d"; 200].join("/")] {
        check(&to, path(&to));
    }
}
