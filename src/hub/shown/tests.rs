use super::{CommitWords, Detail, NoPage, TreeQuery, find, render_info, render_paths, render_refs, render_tree};
use crate::model::{FileClass, HubCommit, PackageKind, Pin, RelPath, Sha256, Timestamp};
use crate::statement::FileEntry;

fn files(paths: &[&str]) -> Vec<FileEntry> {
    let entry = |path: &&str| FileEntry {
        path: RelPath::parse(path).expect("a path"),
        pin: Pin { sha256: Sha256::of(path.as_bytes()), size: path.len() as u64 },
        class: FileClass::Data,
        variant: None,
        pack: None,
        chunks: None,
    };
    let mut files: Vec<FileEntry> = paths.iter().map(entry).collect();
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files
}

fn with_words<T>(test: impl FnOnce(&CommitWords<'_>) -> T) -> T {
    let commit = HubCommit::of(&Sha256::of(b"x"));
    test(&CommitWords {
        kind: PackageKind::Model,
        id: "a/b",
        commit: &commit,
        time: Timestamp::EPOCH,
        licence: Some("Apache-2.0"),
        description: None,
    })
}

/// The paths of a page, folders with a slash, and where the next one begins.
fn page(files: &[FileEntry], query: &TreeQuery<'_>) -> Result<(String, Option<usize>), NoPage> {
    let page = with_words(|words| render_tree(words, files, query))?;
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&page.body).expect("a list");
    let word = |entry: &serde_json::Value| {
        let path = entry["path"].as_str().expect("a path").to_owned();
        if entry["type"] == "directory" { format!("{path}/") } else { path }
    };
    Ok((entries.iter().map(word).collect::<Vec<_>>().join(" "), page.next))
}

const ALL: [&str; 8] = ["a.json", "b/c/d.bin", "b/c/e.bin", "b/f", "b-x", "b0", "z/y/x/w", "z/y2"];

#[test]
fn trees_are_exact() {
    let files = files(&ALL);
    let query = |folder, recursive| TreeQuery { folder, recursive, expand: false, limit: 1000, cursor: None };
    let shown = |folder, recursive| page(&files, &query(folder, recursive)).map(|(text, _)| text);
    assert_eq!(shown("", false).expect("a page"), "a.json b-x b/ b0 z/");
    assert_eq!(
        shown("", true).expect("a page"),
        "a.json b-x b/ b/c/ b/c/d.bin b/c/e.bin b/f b0 z/ z/y/ z/y/x/ z/y/x/w z/y2"
    );
    assert_eq!(shown("b", false).expect("a page"), "b/c/ b/f");
    assert_eq!(shown("b", true).expect("a page"), "b/c/ b/c/d.bin b/c/e.bin b/f");
    assert_eq!(shown("z/y", true).expect("a page"), "z/y/x/ z/y/x/w");
    for missing in ["c", "b/", "a.json", "b/c/d", "z/y/x/w", "/"] {
        assert_eq!(shown(missing, true), Err(NoPage::Folder), "{missing}");
    }
    assert_eq!(page(&[], &query("", true)).expect("a page"), (String::new(), None));
}

#[test]
fn pages_put_together_are_the_whole() {
    let files = files(&ALL);
    for (folder, recursive) in [("", true), ("", false), ("b", true), ("b", false), ("z", true)] {
        let query = |limit, cursor| TreeQuery { folder, recursive, expand: false, limit, cursor };
        let (whole, end) = page(&files, &query(1000, None)).expect("a page");
        assert_eq!(end, None);
        for limit in 0..9 {
            let (mut parts, mut cursor) = (Vec::new(), None);
            for _ in 0..20 {
                let (text, next) = page(&files, &query(limit, cursor)).expect("a page");
                // Only what stands in folders that are new may be more.
                assert!(text.split(' ').count() <= limit.max(4), "{text}");
                parts.push(text);
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(parts.join(" "), whole, "{folder} {recursive} {limit}");
        }
    }
    for (folder, cursor) in [("", 9), ("b", 0), ("b", 8), ("z", usize::MAX)] {
        let query = TreeQuery { folder, recursive: true, expand: false, limit: 10, cursor: Some(cursor) };
        assert_eq!(page(&files, &query), Err(NoPage::Cursor), "{folder} {cursor}");
    }
}

#[test]
fn our_own_reader_of_a_hub_reads_them() {
    let files = files(&ALL);
    let id = crate::model::HubId::parse("hf:a/b").expect("an id");
    let query = TreeQuery { folder: "", recursive: true, expand: true, limit: 1000, cursor: None };
    with_words(|words| {
        let page = render_tree(words, &files, &query).expect("a page");
        let read = crate::hub::parse_tree(&id, &page.body).expect("a listing");
        assert_eq!(read.len(), ALL.len());
        assert!(read.iter().zip(&files).all(|(read, file)| {
            read.path == file.path && read.identity == crate::hub::HubIdentity::Large(file.pin)
        }));
        let info = render_info(words, &files, Detail::Blobs);
        assert_eq!(crate::hub::parse_commit(&id, &info).expect("a commit"), *words.commit);
        let info: serde_json::Value = serde_json::from_slice(&info).expect("JSON");
        assert_eq!(info["siblings"][0]["lfs"]["sha256"], files[0].pin.sha256.hex());
        assert_eq!(info["lastModified"], "1970-01-01T00:00:00.000Z");
        assert_eq!(info["cardData"]["license"], "Apache-2.0");
    });
}

#[test]
fn paths_are_files_folders_or_nothing() {
    let files = files(&ALL);
    let asked: Vec<String> =
        ["b", "a.json", "no", "b/c", "a.json", "", "b/c/", "../a.json"].map(str::to_owned).to_vec();
    let body = with_words(|words| render_paths(words, &files, &asked, true));
    let found: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("a list");
    let words: Vec<String> =
        found.iter().map(|one| format!("{} {}", one["type"], one["path"]).replace('"', "")).collect();
    assert_eq!(words, ["directory b", "file a.json", "directory b/c"]);
    assert!(found.iter().all(|one| one["lastCommit"]["id"].as_str().is_some_and(|id| id.len() == 40)));
    assert!(find(&files, "b").is_none() && find(&files, "b/f").is_some());
}

#[test]
fn refs_name_where_they_lead() {
    let commit = HubCommit::of(&Sha256::of(b"x"));
    let body = render_refs(&[("main".to_owned(), commit.clone())], &[("1.0.0-int8".to_owned(), commit.clone())]);
    let text = String::from_utf8(body).expect("text");
    assert_eq!(
        text,
        format!(
            r#"{{"branches":[{{"name":"main","ref":"refs/heads/main","targetCommit":"{commit}"}}],"tags":[{{"name":"1.0.0-int8","ref":"refs/tags/1.0.0-int8","targetCommit":"{commit}"}}],"converts":[]}}"#
        )
    );
}
