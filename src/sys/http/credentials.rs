//! Credentials: bearer tokens from configuration, file and helper, and netrc entries, each for the hosts that the user bound
//! it to.
//!
//! Refuses to show any of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::config::Secret;
use crate::sys::credentials_file;
use crate::sys::http::helper::{self, Action};
use crate::sys::http::{HttpError, HttpSettings, address};

/// Largest netrc file, in bytes.
const MAX_NETRC: u64 = 1 << 20;
/// Largest file that holds a token, in bytes.
const MAX_TOKEN: u64 = 16 << 10;

/// What may be sent where.
pub(super) struct Credentials {
    tokens: BTreeMap<String, Secret>,
    machines: BTreeMap<String, (String, Secret)>,
    helper: Option<Vec<String>>,
    /// What the helper said: each host is asked about once a run.
    said: Mutex<BTreeMap<String, Option<Secret>>>,
}

impl Credentials {
    pub(super) fn read(settings: &HttpSettings) -> Result<Self, HttpError> {
        let machines = match &settings.netrc {
            None => BTreeMap::new(),
            Some(path) => parse_netrc(&read_text(path)?)
                .map_err(|reason| HttpError::Netrc { path: path.clone(), reason: reason.to_owned() })?,
        };
        let mut tokens = match &settings.credentials {
            None => BTreeMap::new(),
            Some(path) => credentials_file::read(path).map_err(|error| HttpError::Credentials(Box::new(error)))?,
        };
        tokens.extend(settings.tokens.clone());
        if let Some((host, path)) = &settings.token_file
            && !tokens.contains_key(host)
            && let Some(token) = read_token(path)
        {
            tokens.insert(host.clone(), token);
        }
        Ok(Self { tokens, machines, helper: settings.helper.clone(), said: Mutex::default() })
    }

    /// The value of `Authorization` for a URL: only over TLS or to this machine, only to exactly the host and port that
    /// the user named.
    pub(super) fn for_url(&self, url: &url::Url) -> Result<Option<reqwest::header::HeaderValue>, HttpError> {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Ok(None) };
        if url.scheme() != "https" && !address::is_loopback(url) {
            return Ok(None);
        }
        let plain = if url.port().is_none() { self.tokens.get(host) } else { None };
        let token = match self.tokens.get(&format!("{host}:{port}")).or(plain) {
            Some(token) => Some(token.clone()),
            None => self.ask(&url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))?,
        };
        let text = match (token, self.machines.get(host)) {
            (Some(token), _) => format!("Bearer {}", token.expose()),
            (None, Some((login, password))) => {
                format!("Basic {}", base64(format!("{login}:{}", password.expose()).as_bytes()))
            }
            (None, None) => return Ok(None),
        };
        let Ok(mut value) = reqwest::header::HeaderValue::from_str(&text) else { return Ok(None) };
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// What the helper has for a host.
    fn ask(&self, host: &str) -> Result<Option<Secret>, HttpError> {
        let Some(helper) = &self.helper else { return Ok(None) };
        // Held while it is asked, so that requests in parallel ask once.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = said.get(host) {
            return Ok(answer.clone());
        }
        let program = helper.first().cloned().unwrap_or_default();
        let answer = helper::ask(helper, host, Action::Get).map_err(|source| HttpError::Helper {
            program,
            host: host.to_owned(),
            source: Box::new(source),
        })?;
        said.insert(host.to_owned(), answer.clone());
        Ok(answer)
    }
}

/// The token in a file that another program keeps, often a link to where secrets are mounted. One that is not there, or holds no
/// token, is none.
fn read_token(path: &Path) -> Option<Secret> {
    let bytes = crate::sys::files::read_capped(&path.canonicalize().ok()?, MAX_TOKEN).ok()??;
    let text = std::str::from_utf8(&bytes).ok()?.trim();
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Secret::new(text.to_owned()))
}

fn read_text(path: &Path) -> Result<String, HttpError> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_NETRC).read_to_string(&mut text))
        .map_err(|source| HttpError::Netrc { path: path.to_owned(), reason: source.to_string() })?;
    Ok(text)
}

/// The hosts for which a netrc file (the form of ftp(1) and curl(1)) has a login; no secret comes out.
///
/// # Errors
/// What the file breaks, in words.
pub fn netrc_hosts(text: &str) -> Result<Vec<String>, &'static str> {
    parse_netrc(text).map(|machines| machines.into_keys().collect())
}

/// Reads `machine NAME login NAME password WORD`, in any order after `machine`, `#` to the line's end a comment, `macdef`
/// up to an empty line skipped. `default` is not used: it would send a password to every host.
fn parse_netrc(text: &str) -> Result<BTreeMap<String, (String, Secret)>, &'static str> {
    let mut found: BTreeMap<String, (String, Secret)> = BTreeMap::new();
    let mut current: Option<(String, Option<String>, Option<String>)> = None;
    let mut finish = |entry: Option<(String, Option<String>, Option<String>)>| {
        if let Some((machine, login, Some(password))) = entry {
            found.entry(machine).or_insert((login.unwrap_or_default(), Secret::new(password)));
        }
    };
    let mut in_macro = false;
    for line in text.lines() {
        if in_macro {
            in_macro = !line.trim().is_empty();
            continue;
        }
        // A comment begins a line or a word: a password may hold `#` inside.
        let mut words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
        while let Some(word) = words.next() {
            match word {
                "machine" => {
                    finish(current.take());
                    let name = words.next().ok_or("`machine` without a name")?;
                    current = Some((name.to_ascii_lowercase(), None, None));
                }
                "default" => finish(current.take()),
                "macdef" => in_macro = true,
                "login" | "password" | "account" => {
                    // A password that begins with `#` can't be told from a comment.
                    let value = words.next().ok_or("a field without its value on the same line")?.to_owned();
                    if let Some((_, login, password)) = &mut current {
                        match word {
                            "login" => *login = Some(value),
                            "password" => *password = Some(value),
                            _ => {}
                        }
                    }
                }
                _ if in_macro => {}
                _ => return Err("a word that is none of machine, login, password, account, default, macdef"),
            }
        }
    }
    finish(current.take());
    Ok(found)
}

/// Base64 with padding (RFC 4648 section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = group >> (18 - 6 * place) & 63;
            let letter = usize::try_from(letter).ok().and_then(|index| ALPHABET.get(index)).copied();
            text.push(if place <= chunk.len() { letter.map_or('=', char::from) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Credentials, MAX_NETRC, base64, parse_netrc, read_text};
    use crate::config::Secret;
    use crate::model::shaken::{put, shaken};

    proptest! {
        #[test]
        fn any_text_is_a_netrc_or_refused(
            words in "((machine|login|password|account|default|macdef|#x|a\\.example|\\PC{0,4})[ \t\n\r]{1,2}){0,20}",
            bytes in shaken(b"machine a.example login me password s3cret\nmacdef x\n\n"),
        ) {
            for text in [words, String::from_utf8_lossy(&bytes).into_owned()] {
                match parse_netrc(&text) {
                    Ok(machines) => prop_assert!(machines.len() <= text.matches("machine").count()),
                    // What is wrong is told without a word of the file: any of them may be a password.
                    Err(reason) => prop_assert!(!reason.contains("s3cret")),
                }
            }
        }
    }

    #[test]
    fn no_more_of_a_netrc_is_read_than_its_cap() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("netrc");
        put(&path, &vec![b'\n'; usize::try_from(MAX_NETRC).expect("small") + 1]);
        assert_eq!(read_text(&path).expect("read").len() as u64, MAX_NETRC);
        put(&path, b"machine \xff");
        assert!(read_text(&path).is_err());
    }

    #[test]
    fn a_token_is_read_from_a_file_and_through_the_link_of_a_mounted_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("secret"), folder.path().join("token"));
        let read = || super::read_token(&link).map(|token| token.expose().to_owned());
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        assert_eq!(read(), None);
        put(&file, b"hf_secret\n");
        assert_eq!(read().as_deref(), Some("hf_secret"));
        for bytes in [&b"two words"[..], b"a\nb", b"\xff", b"", &vec![b'x'; 17 << 10]] {
            put(&file, bytes);
            assert_eq!(read(), None);
        }
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("a:b~\u{fc}", "YTpifsO8")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn netrc_gives_machines_alone() {
        let text = "# all mine\nmachine A.example login me password s#cret\nmachine b.example\n\tpassword p # old\n\
                    macdef init\ncd /pub machine x\n\ndefault login any password all\n";
        let machines = parse_netrc(text).expect("parses");
        assert_eq!(machines.keys().map(String::as_str).collect::<Vec<_>>(), ["a.example", "b.example"]);
        assert_eq!(machines["a.example"].1.expose(), "s#cret");
        assert!(parse_netrc("machine").is_err());
        assert!(parse_netrc("machin a").is_err());
    }

    #[test]
    fn credentials_go_to_exactly_the_host_they_are_for() {
        let token = Secret::new("t0ken".to_owned());
        let tokens =
            [("a.example".to_owned(), token.clone()), ("127.0.0.1:81".to_owned(), token)].into_iter().collect();
        let machines = parse_netrc("machine n.example login l password p").expect("parses");
        let credentials = Credentials { tokens, machines, helper: None, said: std::sync::Mutex::default() };
        for (url, scheme) in [
            ("https://a.example/x", Some("Bearer")),
            ("https://a.example:444/x", None),
            ("http://a.example/x", None),
            ("https://b.a.example/x", None),
            ("https://a.example.evil/x", None),
            ("http://127.0.0.1:81/x", Some("Bearer")),
            ("http://127.0.0.1:82/x", None),
            ("https://n.example/", Some("Basic")),
            ("http://n.example/", None),
        ] {
            let value = credentials.for_url(&url.parse().expect("a URL")).expect("no helper fails");
            let found = value.as_ref().map(|value| value.to_str().expect("text").split(' ').next().unwrap_or_default());
            assert_eq!(found, scheme, "{url}");
            assert!(!format!("{value:?}").contains("t0ken"));
        }
    }
}
