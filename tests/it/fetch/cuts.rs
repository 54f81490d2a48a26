//! A body cut at every byte there is, of a blob and of a small file.

use modelpm::model::{Pin, SafeUrl};
use modelpm::sys::{AddressClass, NetworkPolicy, Scope, Small};

use super::{Scene, Server, blob, client};
use crate::support::server::{Fault, Server as Files};

#[test]
fn a_blob_cut_at_every_byte_lands_whole() {
    let bytes = blob(61, 3);
    let pin = Pin::of(&bytes);
    for cut in 0..bytes.len() {
        let server = Server::cutting(&[&bytes], vec![cut]);
        let scene = Scene::new();
        scene.fetch_one(pin, vec![server.place(&scene.http)]).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
    }
    // One byte at a time, and then one that is too many, or none.
    for more in [&b"x"[..], b"", b"xx"] {
        let mut other = bytes.clone();
        other.pop();
        other.extend_from_slice(more);
        let server = Server::new(move |_, stream| super::plain(stream, "200 OK", &other));
        let scene = Scene::new();
        scene.fetch_one(pin, vec![server.place(&scene.http)]).unwrap_err();
        assert!(scene.leftovers().is_empty(), "{:?}", scene.leftovers());
    }
}

#[test]
fn a_small_file_cut_at_every_byte_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), vec![b'x'; 61]).unwrap();
    let (server, http) = (Files::start(folder.path()), client(NetworkPolicy::Online));
    let url = SafeUrl::parse(&format!("{}a", server.url())).unwrap();
    let get = || {
        let small = Small { cap: 1_000, etag: None, past_caches: false };
        http.get_small(&url, small, Scope { class: AddressClass::Loopback })
    };
    for cut in 0..61 {
        server.fault("a", usize::MAX, Fault::Cut(cut));
        let found = get();
        assert!(found.is_err(), "cut at {cut}: {:?}", found.map(|answer| answer.body));
    }
    server.mend();
    assert_eq!(get().unwrap().body.len(), 61);
}
