//! What the stand-in answers, byte by byte, without any client.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::blob;
use crate::support::hub::{Access, Hub, Life, blob_id};
use crate::support::server::Fault;

/// An answer as it came.
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a document")
    }

    #[track_caller]
    fn has(&self, status: u16, headers: &[(&str, &str)]) {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        for (name, value) in headers {
            assert_eq!(self.headers.get(*name).map(String::as_str), Some(*value), "{name}: {:?}", self.headers);
        }
    }
}

/// One request on a connection of its own. A body that is cut short is what came of it.
fn ask(method: &str, address: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host.replace("localhost", "127.0.0.1")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut head = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = Vec::new();
    let wanted = if method == "HEAD" { 0 } else { length };
    reader.take(wanted).read_to_end(&mut body).unwrap();
    Reply { status, headers, body }
}

fn get(hub: &Hub, path: &str) -> Reply {
    ask("GET", &format!("{}/{path}", hub.url()), &[], "")
}

#[test]
fn small_files_have_the_id_that_git_gives_them() {
    assert_eq!(blob_id(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    assert_eq!(blob_id(b"what is up, doc?"), "bd9dbf5aae1a3862dd1526723246b20206e5fc37");
}

#[test]
fn branches_tags_and_pull_requests_lead_to_commits() {
    let hub = Hub::start();
    let first = hub.model("org/m").file("a", "1").commit("main");
    let second = hub.model("org/m").file("a", "2").commit("main");
    let other = hub.model("org/m").file("b", "3").commit("refs/pr/1");
    hub.model("org/m").tag("v1", &first);
    assert!(first.len() == 40 && first != second);
    let cases = [
        ("main", &second),
        ("v1", &first),
        ("refs%2Fpr%2F1", &other),
        ("refs%2Fheads%2Fmain", &second),
        (&first, &first),
    ];
    for (revision, commit) in cases {
        assert_eq!(get(&hub, &format!("api/models/org/m/revision/{revision}")).json()["sha"], **commit, "{revision}");
        let file = get(&hub, &format!("org/m/resolve/{revision}/a"));
        file.has(200, &[("x-repo-commit", commit), ("accept-ranges", "bytes")]);
    }
    get(&hub, "org/m/resolve/refs/pr/1/b").has(200, &[("x-repo-commit", &other)]);
    assert_eq!(get(&hub, "api/models/org/m").json()["sha"], *second);
    let references = get(&hub, "api/models/org/m/refs?include_prs=1").json();
    assert_eq!(references["branches"][0]["ref"], "refs/heads/main");
    assert_eq!(
        references["tags"][0],
        serde_json::json!({ "name": "v1", "ref": "refs/tags/v1", "targetCommit": first })
    );
    assert_eq!(references["pullRequests"][0]["targetCommit"], *other);
    // The same content makes the same commits on another hub.
    assert_eq!(Hub::start().model("org/m").file("a", "1").commit("main"), first);
    hub.model("org/m").rewind("main", &first);
    assert_eq!(get(&hub, "api/models/org/m").json()["sha"], *first);
    hub.model("org/m").forget(&second);
    get(&hub, &format!("api/models/org/m/revision/{second}")).has(404, &[("x-error-code", "RevisionNotFound")]);
}

#[test]
fn listings_have_folders_sizes_and_pages() {
    let hub = Hub::start();
    let weights = blob::random(1, 3_000);
    let draft = hub.dataset("org/d").file("data/x/one", "1").file("data/two", "22").file("z", "");
    let commit = draft.lfs("weights", weights).commit("main");
    let paths = |reply: Reply| -> Vec<String> {
        reply.json().as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
    };
    let tree = format!("api/datasets/org/d/tree/{commit}");
    assert_eq!(paths(get(&hub, &tree)), ["data", "weights", "z"]);
    assert_eq!(paths(get(&hub, &format!("{tree}/data?recursive=false"))), ["data/two", "data/x"]);
    let all = ["data", "data/two", "data/x", "data/x/one", "weights", "z"];
    assert_eq!(paths(get(&hub, &format!("{tree}?recursive=True&expand=true"))), all);
    get(&hub, &format!("{tree}/nothing")).has(404, &[("x-error-code", "EntryNotFound")]);

    let entry = &get(&hub, &tree).json()[1];
    let sha256 = modelpm::model::Sha256::of(&blob::random(1, 3_000)).hex();
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 3000\n");
    let lfs = serde_json::json!({ "oid": sha256, "size": 3000, "pointerSize": pointer.len() });
    assert_eq!((&entry["lfs"], entry["oid"].as_str().unwrap()), (&lfs, blob_id(pointer.as_bytes()).as_str()));
    let siblings = get(&hub, "api/datasets/org/d?blobs=true").json()["siblings"].clone();
    assert_eq!(siblings[2]["lfs"]["sha256"], *sha256);
    assert_eq!(siblings[3], serde_json::json!({ "rfilename": "z", "size": 0, "blobId": blob_id(b"") }));

    hub.page_size(4);
    let first = get(&hub, &format!("{tree}?recursive=true"));
    let next = first.headers["link"].strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    let second = ask("GET", &next, &[], "");
    assert!(!second.headers.contains_key("link"));
    assert_eq!([paths(first), paths(second)].concat(), all);

    let form = "paths=data&paths=z&paths=nothing&expand=false";
    let address = format!("{}/api/datasets/org/d/paths-info/main", hub.url());
    assert_eq!(
        paths(ask("POST", &address, &[("Content-Type", "application/x-www-form-urlencoded")], form)),
        ["data", "z"]
    );
}

#[test]
fn large_files_are_on_another_host_under_addresses_that_expire() {
    let hub = Hub::start();
    let weights = blob::random(2, 300_000);
    let commit = hub.model("org/m").lfs("w.bin", weights.clone()).commit("main");
    let resolve = || get(&hub, "org/m/resolve/main/w.bin");
    let found = resolve();
    let sha256 = format!("\"{}\"", modelpm::model::Sha256::of(&weights).hex());
    found.has(302, &[("x-repo-commit", &commit), ("x-linked-size", "300000"), ("x-linked-etag", &sha256)]);
    let address = found.headers["location"].clone();
    assert!(address.starts_with("http://localhost:") && address.contains("Signature="), "{address}");
    let whole = ask("GET", &address, &[], "");
    assert!(whole.status == 200 && whole.body == weights);
    let part = ask("GET", &address, &[("Range", "bytes=299990-"), ("If-Range", &whole.headers["etag"])], "");
    part.has(206, &[("content-range", "bytes 299990-299999/300000")]);
    assert_eq!(part.body, weights[299_990..]);
    ask("GET", &address, &[("Range", "bytes=7-9")], "").has(206, &[("content-length", "3")]);
    ask("GET", &address, &[("Range", "bytes=-4")], "").has(206, &[("content-range", "bytes 299996-299999/300000")]);
    ask("GET", &address, &[("Range", "bytes=300000-")], "").has(416, &[("content-range", "bytes */300000")]);
    ask("GET", &address, &[("Range", "bytes=1-"), ("If-Range", "\"other\"")], "").has(200, &[]);
    ask("GET", &address, &[("Authorization", "Bearer x")], "").has(400, &[]);
    ask("GET", &address.replace("w.bin", "v.bin"), &[], "").has(403, &[]);
    ask("GET", &address[..address.len() - 1], &[], "").has(403, &[]);
    let downloads = hub.downloads();
    assert_eq!((downloads.len(), downloads[0].sent, downloads[1].sent), (9, 300_000, 10));

    hub.signature_life(Life::Requests(2));
    let address = resolve().headers["location"].clone();
    let statuses = [(); 3].map(|()| ask("GET", &address, &[], "").status);
    assert_eq!(statuses, [200, 200, 403]);

    hub.signature_life(Life::Bytes(200_000));
    let address = resolve().headers["location"].clone();
    assert_eq!(ask("GET", &address, &[], "").body, weights[..200_000]);
    let expired = ask("GET", &address, &[("Range", "bytes=200000-")], "");
    assert!(expired.status == 403 && expired.body.starts_with(b"<?xml"));
    let rest = ask("GET", &resolve().headers["location"], &[("Range", "bytes=200000-")], "");
    assert!(rest.status == 206 && rest.body == weights[200_000..]);
}

#[test]
fn who_may_not_is_told_so_and_how() {
    let hub = Hub::start();
    hub.token("all", Access::All);
    hub.token("public", Access::Public);
    hub.model("org/open").file("f", "1").commit("main");
    hub.model("org/gated").gated().file("f", "1").commit("main");
    hub.model("org/private").private().file("f", "1").commit("main");
    let cases: &[(&str, Option<&str>, u16, Option<&str>)] = &[
        ("org/open/resolve/main/f", None, 200, None),
        ("org/open/resolve/main/f", Some("wrong"), 401, None),
        ("org/open/resolve/main/g", None, 404, Some("EntryNotFound")),
        ("org/open/resolve/next/f", None, 404, Some("RevisionNotFound")),
        ("org/none/resolve/main/f", None, 404, Some("RepoNotFound")),
        ("api/models/org/none", Some("all"), 404, Some("RepoNotFound")),
        ("api/models/org/gated", None, 200, None),
        ("org/gated/resolve/main/f", None, 401, Some("GatedRepo")),
        ("org/gated/resolve/main/f", Some("public"), 403, Some("GatedRepo")),
        ("org/gated/resolve/main/f", Some("all"), 200, None),
        ("api/models/org/private", None, 404, Some("RepoNotFound")),
        ("api/models/org/private", Some("public"), 404, Some("RepoNotFound")),
        ("api/models/org/private", Some("all"), 200, None),
        ("api/whoami-v2", None, 404, None),
    ];
    for (path, token, status, code) in cases {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        let reply = ask("GET", &format!("{}/{path}", hub.url()), &headers, "");
        let said = reply.headers.get("x-error-code").map(String::as_str);
        assert_eq!((reply.status, said), (*status, *code), "{path} as {token:?}");
    }
    hub.hide_what_is_missing();
    get(&hub, "api/models/org/none").has(401, &[("x-error-message", "Invalid username or password.")]);
    hub.moved("org/old", "org/open");
    get(&hub, "api/models/org/old/tree/main").has(307, &[("location", "/api/models/org/open/tree/main")]);
}

#[test]
fn limits_are_told_and_pass() {
    let hub = Hub::start();
    hub.model("org/m").file("f", "1").commit("main");
    let ask_file = || get(&hub, "org/m/resolve/main/f");
    hub.limit("resolvers", 2, Duration::from_secs(600));
    ask_file().has(200, &[("ratelimit-policy", "\"fixed window\";\"resolvers\";q=2;w=600")]);
    for status in [200, 429] {
        let reply = ask_file();
        reply.has(status, &[]);
        assert!(reply.headers["ratelimit"].starts_with("\"resolvers\";r=0;t="), "{:?}", reply.headers);
    }
    get(&hub, "api/models/org/m").has(200, &[]);
    assert_eq!(hub.requests().iter().filter(|request| request.status == 429).count(), 1);
    hub.limit("resolvers", 1, Duration::from_millis(1));
    let begin = Instant::now();
    let passed = std::iter::repeat_with(|| ask_file().status).filter(|status| *status == 200).take(3).count();
    assert!(passed == 3 && begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn faults_are_where_the_bytes_are() {
    let hub = Hub::start();
    let draft = hub.model("org/m").file("a/small", "0123456789").lfs("large", blob::random(3, 1_000));
    let commit = draft.commit("main");
    let large = || ask("GET", &get(&hub, "org/m/resolve/main/large").headers["location"], &[], "");
    hub.fault("large", 1, Fault::Flip(500));
    assert_eq!(ask("HEAD", &format!("{}/org/m/resolve/main/large", hub.url()), &[], "").status, 302);
    let bytes = large().body;
    assert_eq!((bytes[500] ^ 1, large().body[500]), (blob::random(3, 1_000)[500], blob::random(3, 1_000)[500]));
    let small =
        |headers: &[(&str, &str)]| ask("GET", &format!("{}/org/m/resolve/main/a/small", hub.url()), headers, "");
    for (fault, status, body) in [
        (Fault::Cut(4), 200, "0123"),
        (Fault::Flip(0), 200, "1123456789"),
        (Fault::Body(b"abcdefghij".to_vec()), 200, "abcdefghij"),
        (Fault::Page("<html>".to_owned()), 200, "<html>"),
        (Fault::Status(503, Some(1)), 503, ""),
    ] {
        hub.fault("small", 1, fault.clone());
        let reply = small(&[]);
        assert_eq!((reply.status, reply.body.as_slice()), (status, body.as_bytes()), "{fault:?}");
        assert_eq!(small(&[]).body, b"0123456789", "{fault:?} is over");
    }
    hub.fault("small", 1, Fault::Flip(7));
    assert_eq!(small(&[("Range", "bytes=6-8")]).body, b"668");
    hub.fault("small", 1, Fault::Without("X-Repo-Commit"));
    assert!(!small(&[]).headers.contains_key("x-repo-commit"));
    hub.fault("small", 1, Fault::Header("X-Repo-Commit", "lie".to_owned()));
    small(&[]).has(200, &[("x-repo-commit", "lie")]);
    hub.fault("large", 1, Fault::Redirect(302, "file:///etc/passwd".to_owned()));
    let lie = get(&hub, "org/m/resolve/main/large");
    lie.has(302, &[("location", "file:///etc/passwd"), ("x-repo-commit", &commit), ("x-linked-size", "1000")]);
}
