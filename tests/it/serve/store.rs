//! The store as a server: what verified statements name, and nothing else.

use super::{Serving, blob_path};
use crate::flows::fixture::{elsewhere, folder, ok, placed, project, registry};
use crate::support::blob;
use crate::support::project::Project;

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\nlocal = { path = \"local\" }\n";

#[test]
fn the_store_gives_blobs_that_verified_statements_name_and_no_others() {
    let registry = registry();
    let nothing = Serving::start(&Project::new(), &[]);
    nothing.says("nothing to serve");
    let machine = project(&registry, REST).file("local/config.json", "{\"private\": true}\n");
    ok(&machine, &["sync"]);
    let serving = Serving::start(&machine, &[]);
    serving.says("the store holds no index");
    let bytes = blob::safetensors(2, 3_000);
    assert_eq!(serving.get(&blob_path(&bytes), &[]).body, bytes);
    assert_eq!(serving.get(&blob_path(b"{\"private\": true}\n"), &[]).status, 404, "no statement names it");
    assert_eq!(serving.get("/checkpoint.json", &[]).status, 404);

    // Another machine has the lock, and takes blobs from here.
    let config = format!("[mirrors]\n\"{}\" = [\"{}/\"]\n", registry.root_sha256().prefixed(), serving.url());
    let other = elsewhere(&machine).config(&config);
    other.write("local/config.json", "{\"private\": true}\n");
    assert!(folder(&registry).starts_with('/'));
    let before = serving.figure("sent_bytes_total");
    ok(&other, &["sync"]);
    assert_eq!(placed(&other), placed(&machine));
    assert!(serving.figure("sent_bytes_total") > before + bytes.len() as u64);
    // What is verified later is served later.
    let third = blob::safetensors(3, 3_000);
    assert_eq!(serving.get(&blob_path(&third), &[]).status, 404);
    ok(&machine, &["get", "acme/minilm@2.0.0", "--to", "out"]);
    let begun = std::time::Instant::now();
    while serving.get(&blob_path(&third), &[]).status != 200 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{}", serving.said());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
