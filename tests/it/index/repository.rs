//! Git repositories for tests, written through the same library and without its binary.

use std::collections::BTreeMap;
use std::path::Path;

use gix::objs::tree::{Entry, EntryKind};

/// Commits exactly these files to the default branch of a bare repository.
pub fn commit(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let options = gix::open::Options::isolated().config_overrides(["user.name=t", "user.email=t@t.example"]);
    let repository = if folder.join("HEAD").exists() {
        options.open_path_as_is(true).open(folder).unwrap().to_thread_local()
    } else {
        gix::ThreadSafeRepository::init_opts(folder, gix::create::Kind::Bare, gix::create::Options::default(), options)
            .unwrap()
            .to_thread_local()
    };
    let entries: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let tree = write_tree(&repository, &entries);
    let parents = repository.head_id().ok().map(gix::Id::detach);
    repository.commit("HEAD", "index", tree, parents).unwrap();
}

fn write_tree(repository: &gix::Repository, files: &[(&str, &[u8])]) -> gix::ObjectId {
    let mut folders: BTreeMap<&str, Vec<(&str, &[u8])>> = BTreeMap::new();
    let mut tree = gix::objs::Tree::empty();
    for (path, bytes) in files {
        match path.split_once('/') {
            Some((folder, rest)) => folders.entry(folder).or_default().push((rest, bytes)),
            None => {
                let oid = repository.write_blob(bytes).unwrap().detach();
                // A name that ends so is written as a link, for the tests that want one.
                let kind = if path.ends_with(".link") { EntryKind::Link } else { EntryKind::Blob };
                tree.entries.push(Entry { mode: kind.into(), filename: (*path).into(), oid });
            }
        }
    }
    for (folder, files) in folders {
        let oid = write_tree(repository, &files);
        tree.entries.push(Entry { mode: EntryKind::Tree.into(), filename: folder.into(), oid });
    }
    tree.entries.sort();
    repository.write_object(&tree).unwrap().detach()
}
