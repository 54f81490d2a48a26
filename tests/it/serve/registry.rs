//! The role of a registry: what `mpm` and curl read.

use std::process::Command;

use super::{Serving, blob_path, mirror};
use crate::flows::fixture::{folder, ok, placed, project, project_at, registry};
use crate::support::{blob, peers};

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n";

#[test]
fn a_mirror_is_served_to_mpm_as_the_registry_that_it_is() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let mut serving = Serving::start(&machine, &[&to.display().to_string()]);
    assert!(
        serving.said().contains("as the folder says") || {
            serving.says("as the folder says");
            true
        }
    );
    let expected = project(&registry, REST);
    ok(&expected, &["sync"]);
    for index in [serving.sparse(), format!("{}registries/acme/", serving.sparse())] {
        let client = project_at(&registry, &index, REST);
        ok(&client, &["sync"]);
        assert_eq!(placed(&client), placed(&expected));
        assert_eq!(client.text("Model.lock"), expected.text("Model.lock"));
    }
    // A folder that is a registry of its own is served as well.
    let origin = Serving::start(&machine, &[&folder(&registry), "--root", &registry.root_sha256().hex()]);
    let client = project_at(&registry, &origin.sparse(), REST);
    ok(&client, &["sync"]);
    assert!(!origin.said().contains("as the folder says"));
    // Asked to stop, it stops, and that is no failure.
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn blobs_have_ranges_and_tags_and_are_kept_for_ever() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string()]);
    let bytes = blob::safetensors(2, 3_000);
    let (path, size) = (blob_path(&bytes), bytes.len());
    let tag = format!("\"{}\"", modelpm::model::Sha256::of(&bytes).hex());
    let whole = serving.get(&path, &["accept-encoding: gzip, zstd"]);
    assert_eq!((whole.status, whole.body == bytes), (200, true));
    assert_eq!(whole.header("etag"), tag);
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("content-encoding"), "", "a blob is never compressed");
    assert!(whole.header("cache-control").contains("immutable"), "{:?}", whole.headers);
    let head = serving.ask("HEAD", &path, &[]);
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, &*size.to_string(), 0));

    let part = serving.get(&path, &["range: bytes=10-19"]);
    assert_eq!((part.status, &part.body[..]), (206, &bytes[10..20]));
    assert_eq!(part.header("content-range"), format!("bytes 10-19/{size}"));
    assert_eq!(serving.get(&path, &["range: bytes=-5"]).body, bytes[size - 5..]);
    assert_eq!(serving.get(&path, &[&format!("range: bytes={}-", size - 1)]).body, bytes[size - 1..]);
    for outside in [format!("bytes={size}-"), "bytes=9-2".to_owned(), "bytes=x-y".to_owned(), "bytes=-0".to_owned()] {
        let answer = serving.get(&path, &[&format!("range: {outside}")]);
        assert_eq!((answer.status, answer.header("content-range")), (416, &*format!("bytes */{size}")), "{outside}");
    }
    // Several ranges, even ten thousand of them, are answered with the whole, once.
    let many: Vec<String> = (0..10_000).map(|n| format!("{n}-{n}")).collect();
    for ranges in ["0-1,4-5".to_owned(), many.join(",")] {
        let answer = serving.get(&path, &[&format!("range: bytes={ranges}")]);
        assert!(answer.status == 200 && answer.body == bytes || answer.status == 431, "{}", answer.status);
    }
    let fits = serving.get(&path, &["range: bytes=0-3", &format!("if-range: {tag}")]);
    assert_eq!((fits.status, fits.body.len()), (206, 4));
    let other = serving.get(&path, &["range: bytes=0-3", "if-range: \"other\""]);
    assert_eq!((other.status, other.body.len()), (200, size));
    assert_eq!(serving.get(&path, &[&format!("if-none-match: {tag}")]).status, 304);
    assert_eq!(serving.get(&path, &["if-match: \"other\""]).status, 412);

    let head = serving.get("/checkpoint.json", &[]);
    assert_eq!((head.status, head.header("cache-control")), (200, "no-cache"));
    assert_eq!(serving.get("/checkpoint.json", &[&format!("if-none-match: {}", head.header("etag"))]).status, 304);
    assert!(serving.get("/trust/root/1.json", &[]).header("cache-control").contains("immutable"));
}

#[test]
fn what_is_asked_wrongly_is_answered_clearly_and_the_server_stays_up() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    std::fs::write(to.join("secret"), "secret").unwrap();
    let serving = Serving::start(&machine, &[&to.display().to_string()]);
    let bytes = blob::safetensors(2, 3_000);
    let path = blob_path(&bytes);
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let answer = serving.ask(method, &path, &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    for outside in [
        "/secret",
        "/copy.json",
        "/.mpm-mirror/registry",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/blobs/sha256/..%2f..%2fsecret",
        "/blobs/sha256/ab/../../../secret",
        "//etc/passwd",
        "/packages/acme/..%2f..%2fsecret.jsonl",
        "/registries/other/checkpoint.json",
        "/registries/acme/../secret",
        "/blobs/sha256/00/0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        let answer = serving.get(outside, &[]);
        assert!(
            answer.status == 404 && !answer.text().contains("secret"),
            "{outside}: {} {}",
            answer.status,
            answer.text()
        );
    }
    for (request, expected) in [
        (format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-long: {}\r\n\r\n", "a".repeat(1 << 20)).into_bytes(), 431),
        (format!("GET {path} HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(5_000)).into_bytes(), 431),
        (format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(200_000)).into_bytes(), 0),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n".to_vec(), 400),
        (b"nonsense\r\n\r\n".to_vec(), 400),
    ] {
        let answer = serving.raw(&request);
        let long = matches!(answer.status, 414 | 431 | 0);
        assert!(answer.status == expected || (expected == 0 && long), "{expected}: {}", answer.status);
    }
    assert_eq!(serving.get(&path, &[]).body, bytes);
    let health = serving.get("/health", &[]);
    assert_eq!((health.status, health.header("content-type")), (200, "application/json"));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&health.body).unwrap()["status"], "ok");
    assert!(serving.peak() < 128 << 20, "{}", serving.peak());
}

#[test]
fn curl_reads_ranges_and_what_was_cut_off() {
    let Some(curl) = peers::peer("curl") else { return };
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string()]);
    let bytes = blob::safetensors(2, 3_000);
    let (url, out) = (format!("{}{}", serving.url(), blob_path(&bytes)), machine.home().join("out"));
    std::fs::write(&out, &bytes[..1_000]).unwrap();
    let ran = Command::new(curl).args(["-sSf", "-C", "-", "-o"]).arg(&out).arg(&url).status().unwrap();
    assert!(ran.success());
    assert_eq!(std::fs::read(&out).unwrap(), bytes);
}

#[test]
fn a_mirror_that_changes_under_the_server_is_served_as_it_is() {
    let mut registry = registry();
    let (machine, to) = mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string()]);
    let client = project_at(&registry, &serving.sparse(), "[models]\n\"acme/vocab\" = \"1\"\n");
    ok(&client, &["sync"]);
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").publish();
    ok(&machine, &["mirror", "sync", &to.display().to_string(), "--all"]);
    ok(&client, &["update"]);
    ok(&client, &["sync"]);
    assert_eq!(placed(&client)["models/acme/vocab/vocab.txt"], b"four\n");
}

#[test]
fn what_can_not_be_served_is_said_before_anybody_comes() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let text = to.display().to_string();
    let empty = machine.home().join("empty");
    std::fs::create_dir(&empty).unwrap();
    machine.mpm(&["serve", &empty.display().to_string()]).expect(1).says(&["E1093", "mpm mirror sync"]);
    machine.mpm(&["serve", &text, "--root", &"0".repeat(64)]).expect(4).says(&[&registry.root_sha256().hex()]);
    let serving = Serving::start(&machine, &[&text]);
    machine.mpm(&["serve", &text, "--listen", &serving.address]).expect(1).says(&["E1091", "port that is free"]);
    machine.mpm(&["serve", &text, "--listen", "192.0.2.1:80"]).expect(1).says(&["E1091"]);
    machine.mpm(&["serve", &text, "--listen", "nonsense"]).expect(2);
    machine.mpm(&["serve", &text, "--tls-cert", "cert.pem"]).expect(2);
    machine.write("tokens", "format = \"other\"");
    machine
        .mpm(&["serve", &text, "--listen", "127.0.0.1:0", "--tokens", "tokens"])
        .expect(1)
        .says(&["E1094", "mpm serve token"]);
    let tls = ["--tls-cert", "tokens", "--tls-key", "tokens"];
    let arguments: Vec<&str> = ["serve", &text, "--listen", "127.0.0.1:0"].into_iter().chain(tls).collect();
    machine.mpm(&arguments).expect(1).says(&["E1095"]);
    let log = ["serve", &text, "--listen", "127.0.0.1:0", "--access-log", "no/such/folder"];
    machine.mpm(&log).expect(1).says(&["E1098"]);
    let state = machine.home().join(".local/state/mpm/serve");
    let own = std::fs::read_dir(&state).unwrap().next().unwrap().unwrap().path();
    drop(serving);
    std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    machine.mpm(&["serve", &text, "--listen", "127.0.0.1:0"]).expect(1).says(&["E1098", "chmod go-w"]);
    std::fs::remove_file(to.join("checkpoint.json")).unwrap();
    std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    machine.mpm(&["serve", &text, "--listen", "127.0.0.1:0"]).expect(3).says(&["checkpoint.json"]);
}

#[test]
fn what_stands_in_a_blobs_place_and_is_none_is_not_followed() {
    let registry = registry();
    let (machine, to) = mirror(&registry);
    let serving = Serving::start(&machine, &[&to.display().to_string(), "--scrub", "0"]);
    let bytes = blob::safetensors(2, 3_000);
    let (path, file) = (blob_path(&bytes), super::blob_file(&to, &bytes));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(serving.get(&path, &[]).status, 404);
    std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
    let answer = serving.get(&path, &[]);
    assert!(answer.status == 500 && answer.text().contains("E1092"), "{}", answer.text());
    assert!(!answer.text().contains("/etc") && !answer.text().contains("mirror/"), "no paths: {}", answer.text());
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(serving.get(&path, &[]).status, 500);
    serving.says("E1092");
    // A link in the place of a file of the index leads nowhere either.
    let log = to.join("packages/acme/minilm.jsonl");
    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &log).unwrap();
    assert_eq!(serving.get("/packages/acme/minilm.jsonl", &[]).status, 500);
}

#[test]
fn the_unit_says_what_a_server_may_do() {
    let machine = crate::support::project::Project::new();
    let unit = machine.mpm(&["serve", "unit", "/srv/models 100%", "--listen", "0.0.0.0:80"]).expect(0).stdout;
    assert!(
        unit.contains("ExecStart=/usr/local/bin/mpm serve \"/srv/models 100%%\" --listen 0.0.0.0:80 --access-log -\n")
    );
    for line in [
        "DynamicUser=yes",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "StateDirectory=mpm-serve",
        "Restart=on-failure",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}\n{unit}");
    }
    // Every line is a comment, a section or a setting.
    let good = |line: &str| line.is_empty() || line.starts_with(['#', '[']) || line.contains('=');
    assert!(unit.lines().all(good), "{unit}");
    if let Some(analyze) = peers::peer("systemd-analyze") {
        let file = machine.home().join("mpm-serve.service");
        let here = unit.replace("/usr/local/bin/mpm", env!("CARGO_BIN_EXE_mpm"));
        std::fs::write(&file, here).unwrap();
        let ran = Command::new(analyze).arg("verify").arg("--man=no").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(!said.contains("Unknown") && !said.contains("Failed to parse"), "{said}");
    }
}
