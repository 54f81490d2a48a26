use std::cell::RefCell;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use crate::diagnose::{Class, Diagnose as _};
use crate::model::Timestamp;
use crate::model::shaken::{put, shaken};
use crate::sys::files;
use crate::sys::holder::{Holder, Life};
use crate::sys::lease::{Lease, LeaseError, counter, remove};

const LONG: Duration = Duration::from_mins(1);

fn holder() -> Holder {
    Holder::ourselves(Timestamp::from_seconds(1_795_392_000).expect("in range"))
}

/// The text of a lease with some fields set to other values.
fn text(changes: &[(&str, serde_json::Value)]) -> String {
    let mut value: serde_json::Value = serde_json::from_str(holder().text().trim()).expect("its own form");
    for (field, to) in changes {
        value[*field] = to.clone();
    }
    format!("{value}\n{}", counter(0))
}

fn dead_process() -> u32 {
    let mut child = Command::new("true").stdin(Stdio::null()).spawn().expect("a process");
    child.wait().expect("it ends");
    child.id()
}

#[test]
fn a_lease_is_one_holders_at_a_time_and_is_given_up_when_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/lease");
    let first = Lease::take(&path, LONG, &|_| ()).expect("free");
    assert!(first.is_ours() && Lease::is_held(&path));
    let told = RefCell::new(Vec::new());
    let error = Lease::take(&path, Duration::from_millis(300), &|who| told.borrow_mut().push(who.to_owned()))
        .expect_err("it is held");
    assert_eq!((error.code().0, error.class()), ("E0171", Class::Busy));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(told.borrow().len(), 1, "told once");
    drop(first);
    assert!(!Lease::is_held(&path));
    drop(Lease::take(&path, Duration::ZERO, &|_| ()).expect("free again"));
    assert!(files::list(path.parent().expect("a folder")).expect("readable").is_empty(), "nothing is left");
}

#[test]
fn a_lease_whose_folder_can_not_be_is_told_from_one_that_is_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    files::write_atomic(&file, b"no folder").expect("written");
    for error in [
        Lease::take(&file.join("lease"), LONG, &|_| ()).expect_err("no folder"),
        Lease::mark(&file).expect_err("no folder"),
        // A pipe or a folder in its place is nobody's lease, and is neither read nor removed.
        Lease::take(folder.path(), LONG, &|_| ()).expect_err("a folder"),
    ] {
        assert_eq!((error.code().0, error.class()), ("E0172", Class::Yours), "{error}");
    }
    assert!(folder.path().is_dir());
}

#[test]
fn the_lease_of_a_dead_process_is_taken_over_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lease");
    let cases = [
        text(&[("process", dead_process().into())]),
        // The number is in use again, by a process that started at another time: ourselves.
        text(&[("started", 1.into())]),
    ];
    for case in cases {
        files::write_atomic(&path, case.as_bytes()).expect("written");
        let lease = Lease::take(&path, LONG, &|_| ()).expect("taken over");
        assert!(lease.is_ours());
    }
}

#[test]
fn a_process_that_cannot_be_seen_from_here_is_not_called_dead() {
    let gone = || ("process", dead_process().into());
    for change in [("host", "elsewhere".into()), ("boot", "other".into()), ("namespace", "pid:[1]".into())] {
        let other = Holder::parse(&text(&[gone(), change.clone()])).expect("a holder");
        assert_eq!(other.life(), Life::Unknown, "{change:?}");
    }
    assert_eq!(holder().life(), Life::Alive);
}

#[test]
fn a_heartbeat_that_stands_still_is_taken_over_and_one_that_beats_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lease");
    let elsewhere = text(&[("host", "elsewhere".into())]);
    for stuck in [elsewhere.as_str(), "", "{damaged", "\u{0}\u{1}"] {
        files::write_atomic(&path, stuck.as_bytes()).expect("written");
        let early = Lease::take_watching(&path, Duration::from_millis(20), LONG, &|_| ());
        assert!(matches!(early, Err(LeaseError::Held { .. })));
        let lease = Lease::take_watching(&path, LONG, Duration::from_millis(50), &|_| ()).expect("taken over");
        assert!(lease.is_ours());
    }
    let seen = text(&[("host", "elsewhere".into())]);
    files::write_atomic(&path, seen.replace(&counter(0), &counter(7)).as_bytes()).expect("written");
    assert!(!remove(&path, &seen, &holder()).expect("asked"), "it beat since it was seen");
    assert!(path.exists());
}

#[test]
fn only_the_lease_that_was_seen_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lease");
    let old = text(&[("process", dead_process().into())]);
    let ours = Lease::take(&path, LONG, &|_| ()).expect("free");
    assert!(!remove(&path, &old, &holder()).expect("asked"));
    assert!(ours.is_ours());
    files::write_atomic(&path, text(&[]).as_bytes()).expect("written");
    drop(ours);
    assert!(path.exists(), "dropping removes only one's own");
}

#[test]
fn many_threads_never_hold_it_together_while_dead_leases_are_planted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lease");
    files::write_atomic(&path, text(&[("process", dead_process().into())]).as_bytes()).expect("written");
    let (inside, times) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let lease = Lease::take(&path, LONG, &|_| ()).expect("in time");
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                    times.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(lease);
                }
            });
        }
    });
    assert_eq!(times.load(Ordering::SeqCst), 40);
}

proptest! {
    #[test]
    fn any_bytes_are_somebodys_lease(bytes in shaken(text(&[]).as_bytes())) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lease");
        put(&path, &bytes);
        let told = RefCell::new(String::new());
        let standing = Lease::standing(&path).expect("readable").expect("there");
        let taken = Lease::take(&path, Duration::ZERO, &|who| told.borrow_mut().push_str(who));
        // Nobody who may be alive is robbed, and nothing of the file reaches a terminal raw.
        prop_assert_eq!(taken.is_ok(), standing.life == Life::Dead);
        prop_assert!(told.borrow().chars().all(|letter| letter.is_ascii() && !letter.is_control()), "{:?}", told);
        drop(taken);
        Lease::clear_unfinished(folder.path());
    }
}

#[test]
fn a_number_that_is_no_process_asks_about_nobody() {
    for number in [0, -1, i32::MIN] {
        let odd = Holder::parse(&text(&[("process", number.into())])).expect("a holder");
        assert_eq!(odd.life(), Life::Unknown, "{number}");
    }
}

#[test]
fn a_lease_file_that_is_too_large_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lease");
    put(&path, &vec![b' '; 5_000]);
    assert_eq!(Lease::take(&path, LONG, &|_| ()).expect_err("too large").code().0, "E0172");
}
