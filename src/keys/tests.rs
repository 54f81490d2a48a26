use crate::diagnose::Diagnose as _;
use crate::keys::{SecretKey, public_key_text, read_key, read_public_key, signature_path, write_key};
use crate::model::Signature;

/// `minisign -G -W` of stock minisign 0.11: its checksum is zero.
const STOCK: &str = include_str!("../../tests/golden/minisign/stock-passwordless.key");
const STOCK_PUBLIC: &str = include_str!("../../tests/golden/minisign/stock-passwordless.pub");

fn verifies(key: &SecretKey, bytes: &[u8], signature: &str) -> bool {
    let public = minisign::PublicKey::from_base64(key.public().as_str()).expect("a key");
    let signature = minisign::SignatureBox::from_string(signature).expect("a signature");
    minisign::verify(&public, &signature, std::io::Cursor::new(bytes), true, false, false).is_ok()
}

#[test]
fn a_stock_passwordless_key_signs() {
    let key = SecretKey::open(STOCK, None).expect("opens");
    assert_eq!(STOCK_PUBLIC.lines().nth(1), Some(key.public().as_str()));
    let signature = key.sign(b"bytes", "file:x").expect("signs");
    Signature::parse(signature.as_bytes()).expect("strict form");
    assert!(verifies(&key, b"bytes", &signature) && !verifies(&key, b"other", &signature));
    assert!(signature.contains(&key.public().fingerprint().hex()));
}

#[test]
fn what_a_password_closed_it_alone_opens() {
    let key = SecretKey::generate().expect("made");
    let text = key.to_text(Some("one"), "a key").expect("written");
    let again = SecretKey::open(&text, Some("one")).expect("opens");
    assert!(again.is_protected() && again.public() == key.public());
    assert!(verifies(&key, b"x", &again.sign(b"x", "").expect("signs")));
    for (password, code) in [(None, "E0802"), (Some("two"), "E0803")] {
        assert_eq!(SecretKey::open(&text, password).expect_err("stays closed").code().0, code);
    }
    let plain = again.to_text(None, "a key").expect("written");
    assert!(!SecretKey::open(&plain, None).expect("opens").is_protected());
}

#[test]
fn what_is_no_key_is_refused() {
    let good = SecretKey::generate().expect("made").to_text(None, "x").expect("written");
    let line = |from: usize, to: &str| {
        let mut text = good.clone();
        let start = text.find('\n').expect("two lines") + 1 + from;
        text.replace_range(start..=start, to);
        text
    };
    for text in ["", "x\ny\n", "untrusted comment: x\n", "untrusted comment: x\nRWQ=\n", &line(100, "!")] {
        assert_eq!(SecretKey::open(text, None).expect_err("refused").code().0, "E0801", "{text}");
    }
    let changed = if good.lines().nth(1).and_then(|l| l.chars().nth(100)) == Some('A') { "B" } else { "A" };
    assert_eq!(SecretKey::open(&line(100, changed), None).expect_err("checksum").code().0, "E0801");
    let mut stock = STOCK.to_owned();
    let seed = stock.find('\n').expect("two lines") + 1 + 100;
    let other = if stock.get(seed..=seed) == Some("A") { "B" } else { "A" };
    stock.replace_range(seed..=seed, other);
    assert_eq!(SecretKey::open(&stock, None).expect_err("its signature does not hold").code().0, "E0801");
}

#[test]
fn comments_stay_on_their_line_and_checksums_are_not_invented() {
    let key = SecretKey::open(STOCK, None).expect("opens");
    assert_eq!(key.sign(b"", "a\nb").expect_err("refused").code().0, "E0806");
    assert_eq!(key.to_text(None, "a\nb").expect_err("refused").code().0, "E0806");
    assert_eq!(key.to_text(Some("one"), "x").expect_err("refused").code().0, "E0807");
    assert_eq!(format!("{key:?}"), format!("SecretKey({})", key.public().fingerprint()));
}

#[test]
fn key_files_are_private_and_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys/main.key");
    let key = SecretKey::generate().expect("made");
    write_key(&path, &key, None).expect("written");
    assert_eq!(write_key(&path, &key, None).expect_err("stands").code().0, "E0804");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(&read_public_key(&folder.path().join("keys/main.key.pub")).expect("reads"), key.public());
    let unasked = |_: &str| panic!("a passwordless key asks nothing");
    assert_eq!(read_key(&path, &unasked).expect("reads").public(), key.public());
    assert_eq!(read_key(&folder.path().join("none"), &unasked).expect_err("missing").code().0, "E0805");
    assert!(public_key_text(key.public()).ends_with(&format!("{}\n", key.public().as_str())));
    assert!(signature_path("a/b.json", key.public()).starts_with("a/b.json."));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,300}") {
        let _ = SecretKey::open(&text, Some(""));
        let _ = SecretKey::open(&format!("untrusted comment: x\n{text}\n"), None);
    }
}
