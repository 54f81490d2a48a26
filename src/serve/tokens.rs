//! Who may read what: a file of tokens, each as the digest of its text (docs/formats/serve.md).
//!
//! A token is 256 random bits, so its digest can be guessed as little as the token itself, and the file gives nobody away.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};
use ct_codecs::{Base64, Base64UrlSafeNoPadding, Decoder as _, Encoder as _};
use serde::Deserialize;

use crate::model::{Namespace, RegistryId, Sha256, Timestamp};
use crate::progress::Progress;
use crate::serve::ServeError;
use crate::sys::files;

/// What the file says it is.
const FORMAT: &str = "mpm.tokens/1";
/// Largest file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Shortest token that counts, in characters: what a person makes up is not random enough for a bare digest.
const SHORTEST: usize = 32;
/// Longest that is looked at.
const LONGEST: usize = 512;
/// What begins a token of ours.
const PREFIX: &str = "mpms_";
/// What stands in a registry's place for commits of the hub.
const HUB: &str = "hf";
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What may be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rights(Vec<Right>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Right {
    /// None: any.
    registry: Option<RegistryId>,
    /// None: any.
    namespace: Option<Namespace>,
}

/// A token's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// What people call it; it stands in logs.
    pub(super) name: String,
    rights: Rights,
    expires: Option<Timestamp>,
}

/// The file's content.
#[derive(Debug, Default)]
struct Table {
    anonymous: Rights,
    tokens: BTreeMap<Sha256, Arc<Token>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    #[serde(default)]
    anonymous: Vec<String>,
    #[serde(default)]
    token: Vec<TokenWire>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenWire {
    name: String,
    sha256: String,
    read: Vec<String>,
    expires: Option<u64>,
}

/// The file, read again when it changes.
pub(super) struct Tokens {
    path: PathBuf,
    progress: Arc<dyn Progress>,
    now: Mutex<Now>,
}

struct Now {
    looked: Instant,
    stood: Option<Stood>,
    table: Arc<Table>,
}

type Stood = (u64, u64, i64, i64);

impl Rights {
    /// Whether they hold for a namespace.
    pub(super) fn cover(&self, registry: &RegistryId, namespace: &Namespace) -> bool {
        self.0.iter().any(|right| {
            right.registry.as_ref().is_none_or(|own| own == registry)
                && right.namespace.as_ref().is_none_or(|own| own.normalised() == namespace.normalised())
        })
    }

    /// Whether they hold for anything of a registry.
    pub(super) fn touch(&self, registry: &RegistryId) -> bool {
        self.0.iter().any(|right| right.registry.as_ref().is_none_or(|own| own == registry))
    }

    /// Whether they hold for everything.
    pub(super) fn are_all(&self) -> bool {
        self.0.iter().any(|right| right.registry.is_none() && right.namespace.is_none())
    }

    /// Whether they hold for commits of the hub, which are no registry's: `hf:*` says so, and `*`.
    pub(super) fn hold_for_hub(&self) -> bool {
        let hub = |right: &Right| right.registry.as_ref().is_none_or(|own| own.as_str() == HUB);
        self.0.iter().any(|right| right.namespace.is_none() && hub(right))
    }

    fn parse(words: &[String]) -> Result<Self, String> {
        let right = |word: &String| {
            let (registry, namespace) = match word.split_once(':') {
                Some((registry, namespace)) => (Some(RegistryId::parse(registry)), namespace),
                None => (None, word.as_str()),
            };
            let bad = || format!("`{word}` is no right: write a namespace, `registry:namespace`, `registry:*` or `*`");
            Ok(Right {
                registry: registry.transpose().map_err(|_| bad())?,
                namespace: match namespace {
                    "*" => None,
                    other => Some(Namespace::parse(other).map_err(|_| bad())?),
                },
            })
        };
        words.iter().map(right).collect::<Result<_, _>>().map(Self)
    }
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// `E1094`: it is none, or others may write it.
    pub(super) fn open(path: &Path, progress: Arc<dyn Progress>) -> Result<Self, ServeError> {
        let (stood, table) = read(path)?;
        let now = Now { looked: Instant::now(), stood, table: Arc::new(table) };
        Ok(Self { path: path.to_owned(), progress, now: Mutex::new(now) })
    }

    /// The table as the file says now; where it can't be read, as it said last.
    fn table(&self) -> Arc<Table> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.looked.elapsed() >= LOOK {
            now.looked = Instant::now();
            let stood = stood(&self.path);
            if stood != now.stood {
                match read(&self.path) {
                    Ok((stood, table)) => (now.stood, now.table) = (stood, Arc::new(table)),
                    Err(error) => {
                        now.stood = stood;
                        let text = format!("the token file goes on counting as it was: {error}");
                        self.progress.warn("tokens", text);
                    }
                }
            }
        }
        Arc::clone(&now.table)
    }

    /// What needs no token.
    pub(super) fn anonymous(&self) -> Rights {
        self.table().anonymous.clone()
    }

    /// The token of a text, if it is one and has not expired.
    pub(super) fn find(&self, text: &str, now: Timestamp) -> Option<Arc<Token>> {
        if !(SHORTEST..=LONGEST).contains(&text.len()) {
            return None;
        }
        let found = self.table().tokens.get(&Sha256::of(text.as_bytes())).map(Arc::clone);
        found.filter(|token| token.expires.is_none_or(|expires| expires > now))
    }
}

impl Token {
    /// What it may read.
    pub(super) fn rights(&self) -> &Rights {
        &self.rights
    }
}

/// The token that a request carries: as bearer, or as the password of a user of any name. None: it carries none.
pub(super) fn presented(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::AUTHORIZATION).and_then(|value: &HeaderValue| value.to_str().ok())?;
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(rest.to_owned()),
        "basic" if rest.len() <= 2 * LONGEST => {
            let plain = String::from_utf8(Base64::decode_to_vec(rest, None).ok()?).ok()?;
            plain.split_once(':').map(|(_, password)| password.to_owned())
        }
        // Something was presented, and it is none of ours.
        _ => Some(String::new()),
    }
}

/// What a token is made of.
///
/// # Errors
/// The system gives no random bytes.
pub fn random() -> Result<[u8; 32], String> {
    let mut random = [0; 32];
    let source = rustls::crypto::ring::default_provider().secure_random;
    source.fill(&mut random).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(random)
}

/// A new token, and the lines of the file that stand for it.
///
/// # Errors
/// A right or a name that is none.
pub fn new_token(
    name: &str,
    read: &[String],
    expires: Option<Timestamp>,
    random: [u8; 32],
) -> Result<(String, String), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
        return Err("a token's name has letters, digits, `-`, `_` and `.`, at most 64".to_owned());
    }
    Rights::parse(read)?;
    let text = Base64UrlSafeNoPadding::encode_to_string(random).map_err(|error| error.to_string())?;
    let token = format!("{PREFIX}{text}");
    let rights: Vec<String> = read.iter().map(|right| format!("\"{right}\"")).collect();
    let mut lines = format!(
        "\n[[token]]\nname = \"{name}\"\nsha256 = \"{}\"\nread = [{}]\n",
        Sha256::of(token.as_bytes()),
        rights.join(", ")
    );
    if let Some(expires) = expires {
        let _ = writeln!(lines, "expires = {}", expires.seconds());
    }
    Ok((token, lines))
}

/// Adds lines to a token file, which is made if it is missing.
///
/// # Errors
/// `E1094`: it is none, has a token of that name, or can't be written.
pub fn add_token(path: &Path, name: &str, lines: &str) -> Result<(), ServeError> {
    let fail = |reason: String| ServeError::Tokens { path: path.to_owned(), reason };
    let before = files::read_capped(path, MAX_FILE).map_err(|error| fail(error.to_string()))?;
    let mut text = match before {
        Some(bytes) => {
            let table = parse(&bytes).map_err(fail)?;
            if table.tokens.values().any(|token| token.name == name) {
                return Err(fail(format!("it has a token of the name {name} already")));
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
        None => format!("format = \"{FORMAT}\"\nanonymous = []\n"),
    };
    text.push_str(lines);
    files::write_private(path, text.as_bytes()).map_err(|error| fail(error.to_string()))
}

fn stood(path: &Path) -> Option<Stood> {
    let found = path.metadata().ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

fn read(path: &Path) -> Result<(Option<Stood>, Table), ServeError> {
    let fail = |reason: String| ServeError::Tokens { path: path.to_owned(), reason };
    let stood = stood(path);
    // Secrets of clusters are mounted as links, so links are followed.
    let real = path.canonicalize().map_err(|error| fail(error.to_string()))?;
    if real.metadata().is_ok_and(|found| found.mode() & 0o022 != 0) {
        return Err(fail("others may write it: `chmod go-w` takes that from them".to_owned()));
    }
    let bytes = files::read_capped(&real, MAX_FILE).map_err(|error| fail(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| fail("it is not there".to_owned()))?;
    Ok((stood, parse(&bytes).map_err(fail)?))
}

fn parse(bytes: &[u8]) -> Result<Table, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let wire: Wire = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if wire.format != FORMAT {
        return Err(format!("its format is not \"{FORMAT}\""));
    }
    let mut tokens = BTreeMap::new();
    for line in wire.token {
        let digest = Sha256::parse(&line.sha256).map_err(|_| format!("the sha256 of {} is none", line.name))?;
        let expires = line.expires.map(Timestamp::from_seconds).transpose();
        let token = Token {
            rights: Rights::parse(&line.read)?,
            expires: expires.map_err(|_| format!("`expires` of {} is no second since 1970", line.name))?,
            name: line.name,
        };
        if let Some(other) = tokens.insert(digest, Arc::new(token)) {
            return Err(format!("the token of {} stands twice", other.name));
        }
    }
    Ok(Table { anonymous: Rights::parse(&wire.anonymous)?, tokens })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{new_token, parse, presented};
    use crate::model::{Namespace, RegistryId, Timestamp};

    #[test]
    fn rights_are_per_namespace_and_registry() {
        let (token, lines) =
            new_token("ci", &["acme".to_owned(), "other:*".to_owned()], Some(Timestamp::EPOCH), [7; 32]).expect("made");
        let text = format!("format = \"mpm.tokens/1\"\nanonymous = [\"open\"]\n{lines}");
        assert!(!text.contains(&token), "the file must not hold the token");
        let table = parse(text.as_bytes()).expect("read");
        let found = table.tokens.values().next().expect("one");
        let covers = |registry: &str, namespace: &str| {
            let id = RegistryId::parse(registry).expect("an id");
            found.rights().cover(&id, &Namespace::parse(namespace).expect("a name"))
        };
        assert!(covers("main", "acme") && covers("other", "acme") && covers("other", "uci"));
        let hub = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            super::Rights::parse(&words).expect("rights").hold_for_hub()
        };
        assert!(hub(&["acme", "hf:*"]) && hub(&["*"]) && !hub(&["hf:acme", "acme", "other:*"]) && !hub(&[]));
        assert!(!covers("main", "uci") && !covers("main", "acme-two") && !found.rights().are_all());
    }

    #[test]
    fn the_example_of_the_page_is_read() {
        let page = include_str!("../../docs/formats/serve.md");
        let block = page.split("<!-- example: tokens -->\n```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let table = parse(block.expect("an example").as_bytes()).expect("a token file");
        assert_eq!(table.tokens.len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            drop(parse(&bytes));
            let text = [b"format = \"mpm.tokens/1\"\n", &bytes[..]].concat();
            drop(parse(&text));
        }
    }

    #[test]
    fn files_that_are_none_are_refused() {
        for bad in [
            "",
            "format = \"mpm.tokens/2\"",
            "format = \"mpm.tokens/1\"\nsurplus = 1",
            "format = \"mpm.tokens/1\"\n[[token]]\nname = \"a\"\nsha256 = \"x\"\nread = []",
            "format = \"mpm.tokens/1\"\nanonymous = [\"../x\"]",
            "format = \"mpm.tokens/1\"\nanonymous = [\"a:b:c\"]",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(&[0xff]).is_err());
        assert!(
            new_token("a b", &[], None, [0; 32]).is_err() && new_token("a", &["A".to_owned()], None, [0; 32]).is_err()
        );
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_a_password() {
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(text).expect("text"));
            presented(&headers)
        };
        assert_eq!(with("Bearer  abc "), Some("abc".to_owned()));
        assert_eq!(with("bearer abc"), Some("abc".to_owned()));
        assert_eq!(with("Basic dXNlcjphYmM="), Some("abc".to_owned()));
        assert_eq!(with("Digest x"), Some(String::new()));
        assert_eq!(with("Bearer"), Some(String::new()));
        assert_eq!(presented(&HeaderMap::new()), None);
    }
}
