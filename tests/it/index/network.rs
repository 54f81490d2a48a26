//! The client and the sparse index against a server that misbehaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use modelpm::config::Secret;
use modelpm::diagnose::{Class, Diagnose as _};
use modelpm::model::SafeUrl;
use modelpm::sys::git::MAX_FETCH;
use modelpm::sys::{AddressClass, Answer, HttpClient, HttpError, HttpSettings, NetworkPolicy, Patience, Scope, Small};

use super::fixture::{Index, Machine, Way, name};
use crate::support::server::{Fault, Server};

const LOOPBACK: Scope = Scope { class: AddressClass::Loopback };

/// A server with the file `a` of 1,000 bytes, and a quick client for it.
fn pair(change: impl FnOnce(&mut HttpSettings)) -> (tempfile::TempDir, Server, HttpClient) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), vec![b'x'; 1_000]).unwrap();
    let server = Server::start(folder.path());
    let patience = Patience {
        stall: Duration::from_millis(300),
        window: Duration::from_millis(200),
        least: 100,
        pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(5),
        ..Patience::default()
    };
    let mut settings = HttpSettings { patience, ..HttpSettings::default() };
    change(&mut settings);
    (folder, server, HttpClient::new(settings).unwrap())
}

fn get(server: &Server, client: &HttpClient, small: Small<'_>) -> Result<Answer, HttpError> {
    client.get_small(&SafeUrl::parse(&format!("{}a", server.url())).unwrap(), small, LOOPBACK)
}

const SMALL: Small<'_> = Small { cap: 1_000, etag: None, past_caches: false };

#[test]
fn bodies_that_are_cut_silent_slow_endless_or_encoded_are_refused_in_bounded_time() {
    let (_folder, server, client) = pair(|_| {});
    assert_eq!(get(&server, &client, SMALL).unwrap().body.len(), 1_000);
    for (fault, code) in [
        (Fault::Cut(0), "E0153"),
        (Fault::Cut(500), "E0153"),
        (Fault::Cut(999), "E0153"),
        (Fault::Stall(500), "E0155"),
        (Fault::Drip(Duration::from_millis(20)), "E0155"),
        (Fault::Endless, "E0156"),
        (Fault::Body(vec![b'x'; 1_001]), "E0156"),
        (Fault::Header("Content-Encoding", "gzip".to_owned()), "E0157"),
        (Fault::Status(403, None), "E0154"),
    ] {
        server.fault("a", usize::MAX, fault.clone());
        let begin = Instant::now();
        let error = get(&server, &client, SMALL).unwrap_err();
        assert_eq!((error.code().0, error.class()), (code, Class::Network), "{fault:?}: {error}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{fault:?}");
    }
}

#[test]
fn what_may_pass_is_tried_again_and_no_more_than_so_often() {
    let (_folder, server, client) = pair(|_| {});
    for (status, asked) in [(503, 3), (429, 3), (500, 3), (408, 3), (403, 1), (400, 1)] {
        server.fault("a", usize::MAX, Fault::Status(status, Some(9_999)));
        assert!(get(&server, &client, SMALL).is_err());
        assert_eq!(server.requests().len(), asked, "{status}");
        server.fault("a", 2, Fault::Status(status, None));
        assert_eq!(get(&server, &client, SMALL).is_ok(), asked == 3, "{status}");
        server.requests();
    }
    server.fault("a", 1, Fault::Status(503, Some(7)));
    let error = HttpClient::new(HttpSettings {
        patience: Patience { tries: 1, ..Patience::default() },
        ..client.settings().clone()
    })
    .and_then(|once| get(&server, &once, SMALL))
    .unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

#[test]
fn redirects_are_followed_by_rule() {
    let (_folder, server, client) = pair(|_| {});
    let there = format!("{}a?x=secret", server.url());
    server.fault("b", usize::MAX, Fault::Redirect(302, there));
    let url = |path: &str| SafeUrl::parse(&format!("{}{path}", server.url())).unwrap();
    assert_eq!(client.get_small(&url("b"), SMALL, LOOPBACK).unwrap().body.len(), 1_000);
    for target in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/a",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/a",
        "https://192.168.0.1/a",
        "https://[::ffff:10.0.0.1]/",
        "http://public.example/a",
        "https://user:secret@public.example/a",
        "/b",
    ] {
        server.fault("b", usize::MAX, Fault::Redirect(307, target.to_owned()));
        server.requests();
        let error = client.get_small(&url("b"), SMALL, LOOPBACK).unwrap_err();
        assert_eq!((error.code().0, error.class()), ("E0152", Class::Policy), "{target}: {error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        assert!(server.requests().len() <= 6);
    }
}

#[test]
fn an_address_inside_is_refused_to_a_public_index() {
    let (_folder, server, client) = pair(|_| {});
    let url = SafeUrl::parse(&format!("{}a", server.url())).unwrap();
    let named = SafeUrl::parse(&server.url().replace("127.0.0.1", "localhost")).unwrap();
    for url in [&url, &named] {
        let error = client.get_small(url, SMALL, Scope::public()).unwrap_err();
        assert_eq!(error.code().0, "E0152", "{url}: {error}");
        assert_eq!(client.scope_of(url).unwrap(), LOOPBACK);
    }
    assert!(server.requests().is_empty());
    // Unless the user lists it.
    let (_folder, server, client) = pair(|settings| {
        settings.allow_private.insert("127.0.0.1".to_owned());
    });
    let url = SafeUrl::parse(&format!("{}a", server.url())).unwrap();
    client.get_small(&url, SMALL, Scope::public()).unwrap();
}

#[test]
fn offline_opens_no_socket() {
    let (_folder, server, client) = pair(|settings| settings.policy = NetworkPolicy::Offline);
    assert_eq!(get(&server, &client, SMALL).unwrap_err().code().0, "E0151");
    assert!(server.requests().is_empty());
}

#[test]
fn a_token_goes_to_its_own_host_and_stays_behind_on_a_redirect() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), b"x").unwrap();
    let other = Server::start(folder.path());
    let (_folder, server, _) = pair(|_| {});
    let tokens: BTreeMap<_, _> = [(server.host(), Secret::new("t0ken".to_owned()))].into();
    let client = HttpClient::new(HttpSettings { tokens, ..HttpSettings::default() }).unwrap();
    let authorised = |server: &Server| {
        let asked = server.requests();
        asked.into_iter().map(|request| request.headers.get("authorization").cloned()).collect::<Vec<_>>()
    };
    get(&server, &client, SMALL).unwrap();
    assert_eq!(authorised(&server), [Some("Bearer t0ken".to_owned())]);
    get(&other, &client, SMALL).unwrap();
    assert_eq!(authorised(&other), [None]);
    server.fault("a", 1, Fault::Redirect(302, format!("{}a", other.url())));
    get(&server, &client, SMALL).unwrap();
    assert_eq!((authorised(&server).len(), authorised(&other)), (1, vec![None]));
    server.fault("a", 9, Fault::Status(401, None));
    let error = get(&server, &client, SMALL).unwrap_err();
    assert!(!format!("{error} {error:?} {:?}", client.settings()).contains("t0ken"));
}

#[test]
fn netrc_and_authorities_that_can_not_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "machine 127.0.0.1 login me password pass").unwrap();
    let (_folder, server, client) = pair(|settings| settings.netrc = Some(path.clone()));
    get(&server, &client, SMALL).unwrap();
    assert_eq!(server.requests()[0].headers["authorization"], "Basic bWU6cGFzcw==");
    let (_folder, server, client) = pair(|settings| settings.netrc = Some(folder.path().join("none")));
    assert_eq!(get(&server, &client, SMALL).unwrap_err().code().0, "E0159");
    let (_folder, server, client) = pair(|settings| settings.ca_file = Some(path.clone()));
    let error = get(&server, &client, SMALL).unwrap_err();
    assert_eq!((error.code().0, error.class()), ("E0158", Class::Yours));
    assert!(error.to_string().contains("file"), "{error}");
}

#[test]
fn a_sparse_index_asks_only_for_what_may_have_changed() {
    let mut index = Index::new();
    let machine = Machine::new();
    let wanted = BTreeSet::from([name("acme/minilm")]);
    let look = |index: &Index| {
        let registry = machine.open(index, Way::Sparse).unwrap();
        registry.listings(&wanted).unwrap();
        machine.server.requests().into_iter().map(|request| (request.path, request.status)).collect::<Vec<_>>()
    };
    look(&index);
    let again = look(&index);
    let mut plain: Vec<_> = again.iter().map(|(path, status)| (path.split(".json").next().unwrap(), *status)).collect();
    plain.sort_unstable();
    // The root that is not there yet, and the two that may have changed: unchanged.
    assert_eq!(plain, [("checkpoint", 304), ("checkpoint", 304), ("trust/root/2", 404)]);
    index.release("acme/minilm", "1.2.0");
    index.checkpoint();
    let changed = look(&index);
    assert!(changed.iter().any(|(path, status)| path == "packages/acme/minilm.jsonl" && *status == 200), "{changed:?}");
}

#[test]
fn a_damaged_copy_is_fetched_again() {
    let index = Index::new();
    let machine = Machine::new();
    let wanted = BTreeSet::from([name("acme/minilm")]);
    machine.open(&index, Way::Sparse).unwrap().listings(&wanted).unwrap();
    let mut damaged = 0;
    let mut folders = vec![machine.folder.path().join("cache")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                std::fs::write(entry.path(), b"\"etag\"\ndamaged").unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged > 5);
    machine.reopen(&index, Way::Sparse).unwrap().listings(&wanted).unwrap();
}

#[test]
fn a_signature_that_comes_apart_from_its_checkpoint_is_asked_for_past_caches() {
    let mut index = Index::new();
    let machine = Machine::new();
    let signature = index.path("checkpoint.json.", ".minisig");
    let old = index.files[&signature].clone();
    index.checkpoint();
    index.write(&machine.folder.path().join("index"));
    machine.server.fault(&signature, 1, Fault::Body(old));
    machine.reopen(&index, Way::Sparse).unwrap();
    let past = |request: &crate::support::server::Request| request.headers.contains_key("cache-control");
    let asked = machine.server.requests();
    assert!(asked.iter().any(|request| request.path == signature && past(request)));
    assert!(asked.iter().filter(|request| past(request)).all(|request| !request.headers.contains_key("if-none-match")));
}

#[test]
fn git_refuses_links_and_offline_reads_a_local_repository() {
    let mut index = Index::new();
    index.put("blobs/sha256/x.link", b"/etc/passwd".to_vec());
    index.put("checkpoint.link", b"/etc/passwd".to_vec());
    let machine = Machine { network: NetworkPolicy::Offline, ..Machine::new() };
    machine.open(&index, Way::Git).unwrap();
    let repository = SafeUrl::parse(&format!("file://{}", machine.folder.path().join("repository").display())).unwrap();
    let commit =
        modelpm::sys::git::fetch(&repository, machine.folder.path(), &machine.http(), Scope::public(), MAX_FETCH)
            .unwrap();
    assert!(commit.file("checkpoint.json", 1 << 20).unwrap().is_some());
    assert!(commit.file("trust", 1 << 20).unwrap().is_none());
    assert!(commit.file("none/at/all", 1 << 20).unwrap().is_none());
    assert_eq!(commit.file("checkpoint.link", 1 << 20).unwrap_err().code().0, "E0165");
    assert_eq!(commit.file("checkpoint.json", 10).unwrap_err().code().0, "E0164");
}

#[test]
fn git_over_http_is_refused_where_a_request_would_be() {
    let machine = Machine::new();
    for (url, code) in
        [("http://public.example/r.git", "E0152"), ("ssh://a.example/-x", "E0161"), ("file:///none/at/all", "E0163")]
    {
        let Ok(url) = SafeUrl::parse(url) else { continue };
        let copy = machine.folder.path().join("copy");
        let error = modelpm::sys::git::fetch(&url, &copy, &machine.http(), Scope::public(), MAX_FETCH).err().unwrap();
        assert_eq!(error.code().0, code, "{error}");
    }
}
