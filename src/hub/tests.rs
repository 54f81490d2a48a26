//! What a hub says, and what is made of it.

use proptest::prelude::{any, prop_assert, proptest};

use crate::diagnose::Diagnose as _;
use crate::hub::{Endpoint, HubFile, HubIdentity, Listing, Pages, Refusal, Told, next_query, parse_commit, parse_tree};
use crate::model::{HubCommit, HubId, Pin, RelPath, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn id(text: &str) -> HubId {
    HubId::parse(text).expect(text)
}

#[test]
fn addresses_escape_each_part() {
    let commit = HubCommit::parse(COMMIT).expect("a commit");
    let path = RelPath::parse("a b/c#d%.json").expect("a path");
    for endpoint in ["https://hub.example", "https://hub.example/"] {
        let endpoint = Endpoint::parse(endpoint).expect("an endpoint");
        let text = |url: Result<crate::model::SafeUrl, _>| url.expect("an address").inner().to_string();
        let model = id("hf:Org/Name@refs/pr/1");
        assert_eq!(text(endpoint.revision(&model)), "https://hub.example/api/models/Org/Name/revision/refs%2Fpr%2F1");
        assert_eq!(
            text(endpoint.tree(&id("hf:datasets/gpt2"), &commit, None)),
            format!("https://hub.example/api/datasets/gpt2/tree/{COMMIT}?recursive=true&expand=false")
        );
        assert_eq!(
            text(endpoint.file(&model, &commit, &path)),
            format!("https://hub.example/Org/Name/resolve/{COMMIT}/a%20b/c%23d%25.json")
        );
        assert_eq!(endpoint.page(&id("hf:datasets/a/b")), "https://hub.example/datasets/a/b");
    }
    let below = Endpoint::parse("http://127.0.0.1:81/hub/").expect("an endpoint");
    assert_eq!(below.host(), "127.0.0.1:81");
    assert!(below.file(&id("hf:a/b"), &commit, &path).expect("fits").inner().path().starts_with("/hub/a/b/resolve/"));
}

#[test]
fn refusals_are_told_apart() {
    let told = |code, message, with_token| Told { code, message, with_token };
    for (status, told, expected) in [
        (404, told(Some("RepoNotFound"), None, false), Some(Refusal::NoRepository)),
        (401, told(Some("RepoNotFound"), None, true), Some(Refusal::NoRepository)),
        (401, told(None, None, false), Some(Refusal::NoRepository)),
        (401, told(None, Some("Invalid credentials in Authorization header"), true), Some(Refusal::Token)),
        (401, told(None, None, true), Some(Refusal::Token)),
        (401, told(Some("GatedRepo"), None, false), Some(Refusal::Gated)),
        (403, told(Some("GatedRepo"), None, true), Some(Refusal::Gated)),
        (404, told(Some("RevisionNotFound"), None, false), Some(Refusal::NoRevision)),
        (404, told(Some("EntryNotFound"), None, false), Some(Refusal::NoFile)),
        (403, told(None, Some("no\u{1b}[31m"), false), Some(Refusal::Other("no\\u{1b}[31m".to_owned()))),
        (429, told(None, None, false), None),
        (500, told(Some("RepoNotFound"), None, false), None),
    ] {
        assert_eq!(Refusal::of(status, told), expected, "{status} {told:?}");
    }
}

#[test]
fn listings_are_read_and_lies_are_named() {
    let large = "ab".repeat(32);
    let text = format!(
        r#"[{{"type":"directory","path":"sub","oid":"x","size":0}},
            {{"type":"file","path":"a.json","oid":"{COMMIT}","size":3,"new":[]}},
            {{"type":"file","path":"w.safetensors","oid":"{COMMIT}","size":9,"lfs":{{"oid":"{large}","size":9,"pointerSize":1}}}}]"#
    );
    let files = parse_tree(&id("hf:a/b"), text.as_bytes()).expect("a listing");
    assert_eq!(files.len(), 2);
    assert!(matches!(files[0].identity, HubIdentity::Small { size: 3, .. }));
    assert!(matches!(files[1].identity, HubIdentity::Large(pin) if pin.sha256.hex() == large));
    for (broken, code) in [
        ("<!DOCTYPE html><html>", "E0674"),
        ("{}", "E0674"),
        (r#"[{"type":"file","path":"a","size":1}]"#, "E0674"),
        (r#"[{"type":"file","path":"a","oid":"zz","size":1}]"#, "E0674"),
        (r#"[{"type":"file","path":"../a","oid":"0123456789abcdef0123456789abcdef01234567","size":1}]"#, "E0675"),
        (r#"[{"type":"file","path":"a","lfs":{"oid":"12","size":1},"size":1}]"#, "E0674"),
    ] {
        let error = parse_tree(&id("hf:a/b"), broken.as_bytes()).expect_err(broken);
        assert_eq!(error.code().0, code, "{error}");
    }
    assert!(parse_commit(&id("hf:a/b"), b"{\"id\":\"a/b\"}").is_err());
    assert!(parse_commit(&id("hf:a/b"), b"{\"sha\":\"main\"}").is_err());
}

#[test]
fn only_the_query_of_a_next_page_is_taken() {
    for (link, expected) in [
        ("<https://evil.example/api/x?recursive=true&cursor=abc>; rel=\"next\"", Some("recursive=true&cursor=abc")),
        ("</a?c=1>; rel=prev, </a?c=2>; rel=next", Some("c=2")),
        ("</a?c=1>; rel=\"prev\"", None),
        ("</a>; rel=next", None),
        ("", None),
    ] {
        assert_eq!(next_query(link).as_deref(), expected, "{link}");
    }
}

#[test]
fn a_listing_that_no_lock_can_hold_is_refused() {
    let file = |path: &str, size: u64| HubFile {
        path: RelPath::parse(path).expect(path),
        identity: HubIdentity::Large(Pin { sha256: Sha256::of(path.as_bytes()), size }),
    };
    let commit = || HubCommit::parse(COMMIT).expect("a commit");
    let half = 1_u64 << 62;
    for (files, code) in [
        (vec![], "E0675"),
        (vec![file("a", u64::MAX)], "E0674"),
        (vec![file("a", 1 << 63)], "E0674"),
        (vec![file("a", half), file("b", half)], "E0674"),
        (vec![file("a", u64::MAX), file("b", 1)], "E0674"),
        (vec![file("Model.bin", 1), file("model.bin", 1)], "E0675"),
        (vec![file("a", 1), file("a", 1)], "E0675"),
        (vec![file("a", 1), file("a/b", 1)], "E0675"),
    ] {
        let error = Listing::new(&id("hf:a/b"), commit(), files).expect_err(code);
        assert_eq!(error.code().0, code, "{error}");
    }
    let listing = Listing::new(&id("hf:a/b"), commit(), vec![file("b", half), file("a", 1)]).expect("a listing");
    assert_eq!(listing.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn pages_that_lead_in_a_circle_are_left() {
    let mut pages = Pages::default();
    let mut follow = |cursor: u32| pages.after(&id("hf:a/b"), Some(&format!("</x?cursor={cursor}>; rel=next")));
    assert_eq!(follow(1).expect("a page").as_deref(), Some("cursor=1"));
    assert_eq!(follow(2).expect("a page").as_deref(), Some("cursor=2"));
    assert_eq!(follow(1).expect_err("a circle").code().0, "E0674");
    assert!((3..20_000).any(|cursor| follow(cursor).is_err()), "pages without end");
    assert_eq!(pages.after(&id("hf:a/b"), None).expect("the last"), None);
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\":,a-z0-9]{0,60}") {
        for body in [bytes.as_slice(), text.as_bytes()] {
            let _ = parse_commit(&id("hf:a/b"), body);
            if let Ok(files) = parse_tree(&id("hf:a/b"), body) {
                prop_assert!(files.len() <= body.len());
            }
        }
        let _ = next_query(&text);
    }
}
