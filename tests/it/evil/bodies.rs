//! Answers that are no files: endless, cut, of another length, slow, redirected, pages for people; for each kind of file.

use std::time::Duration;

use super::{ANY, NEWEST, Site, Stranger, path_of, tiny};
use crate::support::server::Fault;

type Kind = fn(&str) -> bool;

const ALL: &[&str] = &["sync", "lock", "update", "add"];

/// Kinds of files, and with which commands a stranger meets them.
const KINDS: &[(&str, Kind, &[&str])] = &[
    ("root", |path| path == "trust/root/1.json", ALL),
    ("checkpoint", |path| path == "checkpoint.json", ALL),
    ("signature", |path| path.starts_with("checkpoint.json."), ALL),
    ("registrar", |path| path.starts_with("trust/registrar/") && path.ends_with(".json"), ALL),
    ("nodes", |path| path.starts_with("tree/"), ALL),
    ("logs", |path| path.starts_with("packages/"), ALL),
    ("statements", |path| path.starts_with("releases/") && path.ends_with(".json"), ALL),
    ("blobs", |path| path.starts_with("blobs/"), &["sync", "add"]),
];

/// Lets a stranger meet each kind of file with a fault. `code` of a kind: none where it may get through all the same.
fn each(what: &str, fault: &Fault, code: impl Fn(&str) -> Option<i32>) {
    let Some(mut site) = Site::of_a_stranger() else { return };
    for (kind, paths, commands) in KINDS {
        // Another stranger each time: the one before has recovered, and keeps copies.
        site.victims = [(Stranger, site.project())].into();
        site.evil.serve(NEWEST);
        site.evil.with_all(paths, fault);
        let refused = code(kind).map(|code| (Stranger, *commands, code));
        site.meet(&format!("{what}: {kind}"), refused.as_slice());
    }
}

#[test]
fn endless_bodies_of_every_kind_are_refused() {
    each("endless", &Fault::Endless, |_| Some(4));
}

#[test]
fn cut_bodies_of_every_kind_are_refused_or_gone_on_with() {
    // A signature of which the half came is none, and a log may be longer than what its checkpoint pins.
    each("cut at once", &Fault::Cut(0), |_| Some(3));
    each("cut", &Fault::Cut(40), |kind| (kind != "blobs").then_some(3));
}

#[test]
fn lies_about_length_are_refused_for_every_kind() {
    each("too short", &Fault::Length(20), |_| Some(ANY));
    each("too long", &Fault::Length(1 << 20), |kind| (kind != "blobs").then_some(ANY));
    each("a gigabyte", &Fault::Repeat(b"x", 1 << 30), |_| Some(ANY));
}

#[test]
fn flipped_bits_and_pages_of_every_kind_are_refused() {
    each("flipped", &Fault::Flip(120), |_| Some(4));
    each("a page", &Fault::Page("<!doctype html><title>Please log in</title>".to_owned()), |_| Some(ANY));
    each("nothing", &Fault::Body(Vec::new()), |_| Some(ANY));
}

#[test]
fn slow_and_silent_servers_are_left_for_every_kind() {
    each("slow", &Fault::Drip(Duration::from_millis(5)), |_| Some(3));
    each("silent", &Fault::Stall(0), |_| Some(3));
}

#[test]
fn busy_and_broken_servers_are_left_for_every_kind() {
    each("busy", &Fault::Status(503, Some(0)), |_| Some(3));
    each("forbidden", &Fault::Status(403, None), |_| Some(3));
    each("encoded", &Fault::Header("Content-Encoding", "gzip".to_owned()), |_| Some(ANY));
}

#[test]
fn redirects_of_every_kind_are_judged() {
    for to in ["file:///etc/passwd", "http://169.254.169.254/latest/meta-data/", "ftp://127.0.0.1/x"] {
        each(to, &Fault::Redirect(302, to.to_owned()), |_| Some(5));
    }
    each("round and round", &Fault::Redirect(302, "/checkpoint.json".to_owned()), |_| Some(ANY));
}

#[test]
fn redirects_to_another_host_leave_the_token_behind() {
    for (kind, paths, _) in KINDS {
        let Some(site) = Site::of_a_stranger() else { return };
        site.evil.serve(NEWEST);
        for path in site.evil.paths(paths) {
            let there = Fault::Redirect(307, format!("{}{path}", site.spy.url()));
            site.evil.server.fault(&path, usize::MAX, there);
        }
        // The spy is an honest copy: it may be read, and must not be told the token.
        site.victims[&Stranger].mpm(&["sync"]).expect(0);
        site.check_tokens(kind);
        assert!(site.asked.get() > 0, "{kind}");
        site.recover(kind);
    }
}

#[test]
fn a_wrong_range_never_becomes_part_of_a_blob() {
    for fault in [
        Fault::WrongRange("bytes 0-9/12104".to_owned()),
        Fault::WrongRange("bytes 5-/x".to_owned()),
        Fault::NoRange,
        Fault::Flip(5_000),
    ] {
        let Some(site) = Site::of_a_stranger() else { return };
        site.evil.serve(NEWEST);
        let path = path_of(&tiny(2));
        // Some of it is there; the rest comes wrong.
        site.evil.server.fault(&path, usize::MAX, Fault::Cut(4_000));
        let _ = site.victims[&Stranger].mpm(&["sync"]);
        site.evil.server.fault(&path, usize::MAX, fault.clone());
        site.meet(&format!("{fault:?}"), &[]);
    }
}
