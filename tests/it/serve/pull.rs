//! Pull-through: what is not here is brought, once, verified, and for whom it may be.

use std::process::Command;
use std::time::{Duration, Instant};

use modelpm::chunk::{ChunkHash, ChunkList};
use modelpm::model::Pin;

use super::{Serving, blob_path};
use crate::flows::fixture::{manifest, ok, placed, project, project_at, registry};
use crate::support::blob;
use crate::support::http::Fault;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::Server;

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n";

/// A machine that pulls a registry through from a server.
fn gateway(registry: &TestRegistry, upstream: &Server) -> Project {
    Project::new().manifest(&manifest(registry, &format!("sparse+{}", upstream.url()), ""))
}

fn blobs(upstream: &Server) -> Vec<String> {
    let requests = upstream.requests().into_iter();
    requests.filter(|request| request.path.contains("blobs/")).map(|request| request.path).collect()
}

#[test]
fn a_registry_is_pulled_through_and_each_byte_once() {
    let registry = registry();
    let upstream = Server::start(registry.folder());
    let machine = gateway(&registry, &upstream);
    let serving = Serving::start(&machine, &["--pull-through", "acme"]);
    let expected = project(&registry, REST);
    ok(&expected, &["sync"]);
    let clients: Vec<Project> = (0..4).map(|_| project_at(&registry, &serving.sparse(), REST)).collect();
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| ok(client, &["sync"]));
        }
    });
    for client in &clients {
        assert_eq!(placed(client), placed(&expected));
    }
    let mut asked = blobs(&upstream);
    let number = asked.len();
    asked.sort();
    asked.dedup();
    assert!(number > 5 && asked.len() == number, "{number} requests for {} blobs", asked.len());

    // What was pulled is there when nobody can be asked.
    drop(upstream);
    let late = project_at(&registry, &serving.sparse(), REST);
    late.write("Model.lock", clients[0].read("Model.lock").unwrap());
    ok(&late, &["sync"]);
    assert_eq!(placed(&late), placed(&expected));
    assert_eq!(serving.get(&blob_path(b"never heard of"), &[]).status, 404);
}

#[test]
fn only_what_is_listed_is_pulled_and_a_head_is_answered_from_the_statement() {
    let registry = registry();
    let upstream = Server::start(registry.folder());
    let machine = gateway(&registry, &upstream);
    machine.mpm(&["serve", "--pull-through", "other"]).expect(1).says(&["other"]);
    machine.mpm(&["serve", "--pull-through", "acme:../x"]).expect(2);
    machine.mpm(&["serve", "--quota", "1G"]).expect(2);
    let serving = Serving::start(&machine, &["--pull-through", "acme:acme"]);
    let client = project_at(&registry, &serving.sparse(), "[datasets]\n\"uci/digits\" = \"1\"\n");
    client.mpm(&["sync"]).expect(3);
    let bytes = blob::safetensors(2, 3_000);
    // Before its statement was read, nobody promises a blob.
    assert_eq!(serving.ask("HEAD", &blob_path(&bytes), &[]).status, 404);
    let release = format!("/releases/{}.json", registry.statement_sha256("acme/minilm", "1.1.0").hex());
    assert_eq!(serving.get(&release, &[]).status, 200);
    upstream.requests();
    let head = serving.ask("HEAD", &blob_path(&bytes), &[]);
    assert_eq!((head.status, head.header("content-length")), (200, &*bytes.len().to_string()));
    assert!(blobs(&upstream).is_empty(), "a HEAD brings nothing");
    let part = serving.get(&blob_path(&bytes), &["range: bytes=5-9"]);
    assert_eq!((part.status, &part.body[..]), (206, &bytes[5..10]));
    assert_eq!(blobs(&upstream).len(), 1);
    // A statement of a namespace that is not listed is not handed on either.
    let other = format!("/releases/{}.json", registry.statement_sha256("uci/digits", "1.0.0").hex());
    assert_eq!(serving.get(&other, &[]).status, 404);
}

#[test]
fn wrong_bytes_of_the_upstream_reach_nobody() {
    let registry = registry();
    let upstream = Server::start(registry.folder());
    let bytes = blob::safetensors(2, 3_000);
    let path = blob_path(&bytes);
    let machine = gateway(&registry, &upstream);
    let serving = Serving::start(&machine, &["--pull-through", "acme"]);
    let release = format!("/releases/{}.json", registry.statement_sha256("acme/minilm", "1.1.0").hex());
    assert_eq!(serving.get(&release, &[]).status, 200);
    upstream.fault(&path[1..], 100, Fault::Flip(7_000));
    let answer = serving.get(&path, &[]);
    assert_eq!(answer.status, 502, "{}", answer.text());
    serving.says("E0724");
    upstream.mend();
    assert_eq!(serving.get(&path, &[]).body, bytes);
}

/// A registry with a blob in chunks.
fn chunked() -> (TestRegistry, Vec<u8>) {
    let mut registry = registry();
    let bytes = blob::safetensors(99, 8 << 20);
    let chunks = bytes.chunks(256 << 10).map(|chunk| (u32::try_from(chunk.len()).unwrap(), ChunkHash::of(chunk)));
    let index = ChunkList::new(Pin::of(&bytes), chunks).unwrap().render();
    registry.put_blob(&index);
    registry
        .release("acme/large", "1.0.0")
        .file("model.safetensors", &bytes)
        .chunks("model.safetensors", &index)
        .publish();
    (registry, bytes)
}

#[test]
fn a_blob_in_chunks_is_sent_while_it_comes_and_brought_once() {
    let (registry, bytes) = chunked();
    let upstream = Server::start(registry.folder());
    let machine = gateway(&registry, &upstream).variable("MPM_LIMIT_RATE", "16M");
    let serving = Serving::start(&machine, &["--pull-through", "acme"]);
    let release = format!("/releases/{}.json", registry.statement_sha256("acme/large", "1.0.0").hex());
    assert_eq!(serving.get(&release, &[]).status, 200);
    let path = blob_path(&bytes);
    let begun = Instant::now();
    let first = std::thread::scope(|scope| {
        let many: Vec<_> = (0..4).map(|_| scope.spawn(|| serving.get(&path, &[]))).collect();
        let mut stream = serving.connect();
        use std::io::{Read as _, Write as _};
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut some = vec![0; 64 << 10];
        stream.read_exact(&mut some).unwrap();
        let first = begun.elapsed();
        drop(stream);
        for one in many {
            assert!(one.join().unwrap().body == bytes);
        }
        first
    });
    let all = begun.elapsed();
    assert!(first * 2 < all, "the first bytes came after {first:?}, all after {all:?}");
    assert_eq!(serving.figure("pulled_total"), 1);
    let sent: u64 = upstream.requests().iter().filter(|request| request.path.contains("blobs/")).count() as u64;
    assert!(sent > 0);
    assert_eq!(serving.get(&path, &["range: bytes=-3"]).body, bytes[bytes.len() - 3..]);
}

#[test]
fn a_quota_makes_room_and_what_is_larger_is_refused() {
    let (registry, bytes) = chunked();
    let upstream = Server::start(registry.folder());
    let machine = gateway(&registry, &upstream);
    let serving = Serving::start(&machine, &["--pull-through", "acme", "--quota", "30K"]);
    let minilm = [(1, "1.0.0"), (2, "1.1.0"), (3, "2.0.0")];
    for (seed, version) in minilm {
        let release = format!("/releases/{}.json", registry.statement_sha256("acme/minilm", version).hex());
        assert_eq!(serving.get(&release, &[]).status, 200);
        let bytes = blob::safetensors(seed, 3_000);
        assert_eq!(serving.get(&blob_path(&bytes), &[]).body, bytes);
    }
    let pulled = machine.store().with_file_name("pulled");
    let size: u64 =
        crate::flows::fixture::tree(&pulled.join("v1/blobs")).values().map(|bytes| bytes.len() as u64).sum();
    assert!(size <= 30 << 10, "{size}");
    let release = format!("/releases/{}.json", registry.statement_sha256("acme/large", "1.0.0").hex());
    assert_eq!(serving.get(&release, &[]).status, 200);
    let answer = serving.get(&blob_path(&bytes), &[]);
    assert!(answer.status == 503 && answer.text().contains("E1090") || answer.body.is_empty(), "{}", answer.status);
    // What was sent off is brought again.
    let first = blob::safetensors(1, 3_000);
    assert_eq!(serving.get(&blob_path(&first), &[]).body, first);
}

#[test]
fn a_lock_is_brought_before_anybody_asks() {
    let registry = registry();
    let upstream = Server::start(registry.folder());
    let locked = project(&registry, REST);
    ok(&locked, &["sync"]);
    let machine = gateway(&registry, &upstream);
    machine.write("other/Model.lock", locked.read("Model.lock").unwrap());
    let serving = Serving::start(&machine, &["--pull-through", "acme", "--prefetch", "other/Model.lock"]);
    serving.says("is here");
    drop(upstream);
    let bytes = blob::safetensors(2, 3_000);
    assert_eq!(serving.get(&blob_path(&bytes), &[]).body, bytes);
    assert_eq!(serving.get(&blob_path(b"x,y\n1,2\n"), &[]).body, b"x,y\n1,2\n");
}

#[test]
fn what_came_with_a_credential_goes_only_to_tokens() {
    let registry = registry();
    let upstream = Server::start(registry.folder());
    let machine = gateway(&registry, &upstream);
    let with = || machine.command(&["serve", "--listen", "127.0.0.1:0", "--pull-through", "acme"]);
    let config = machine.home().join(".config/mpm/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, format!("[tokens]\n\"{}\" = \"upstream-secret\"\n", upstream.host())).unwrap();
    let refused = with().output().unwrap();
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("E1097"));
    machine.write("tokens.toml", "format = \"mpm.tokens/1\"\nanonymous = [\"*\"]\n");
    let made = machine.mpm(&["serve", "token", "reader", "--tokens", "tokens.toml", "--read", "acme"]).expect(0);
    let bearer = format!("authorization: Bearer {}", made.stdout.trim());
    let tokens = |mut command: Command| {
        command.args(["--tokens", "tokens.toml"]);
        Serving::run(command)
    };
    let serving = tokens(with());
    let release = format!("/releases/{}.json", registry.statement_sha256("acme/minilm", "1.1.0").hex());
    assert_eq!(serving.get(&release, &[]).status, 401, "the anonymous may read everything, but not this");
    assert_eq!(serving.get(&release, &[&bearer]).status, 200);
    let path = blob_path(&blob::safetensors(2, 3_000));
    assert_eq!((serving.get(&path, &[]).status, serving.get(&path, &[&bearer]).status), (401, 200));
    assert_eq!(serving.get("/checkpoint.json", &[]).status, 401);
    drop(serving);
    // The credential is gone; what came with it is here, and guarded still.
    std::fs::write(&config, "").unwrap();
    assert_eq!(with().output().unwrap().status.code(), Some(5));
    let serving = tokens(with());
    assert_eq!((serving.get(&path, &[]).status, serving.get(&path, &[&bearer]).status), (401, 200));
    std::thread::sleep(Duration::from_millis(1));
}
