//! What a configuration file may say, and what a site forbids.

use proptest::prelude::{any, proptest};

use crate::config::{Config, LinkMode, RegistryRule, parse};
use crate::diagnose::Diagnose;
use crate::model::Sha256;

/// Compares the error's code, line and column; no secret is ever shown.
fn check(text: &str, code: &str, line: usize, column: usize) {
    let error = parse(text, "/etc/mpm/config.toml").expect_err(text);
    let place = error.spot().map(|spot| (spot.line(), spot.column())).unwrap_or_default();
    assert_eq!((error.code().0, place), (code, (line, column)), "{error}\n{text}");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    let shown = format!("{error} {error:?} {:?} {source:?}", error.hints());
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_broken_file_is_refused_with_its_place_and_without_its_secrets() {
    check("[tokens]\nhost = \"s3cret", "E0351", 2, 15);
    check(&" ".repeat((1 << 20) + 1), "E0351", 0, 0);
    check("[network]\ncafile = \"s3cret\"", "E0352", 2, 1);
    check("proxy = \"http://me:s3cret@x\"", "E0352", 1, 1);
    check("[network]\njobs = \"s3cret\"", "E0353", 2, 8);
    check("tokens = [\"s3cret\"]", "E0353", 1, 10);
    check("[network]\njobs = 0", "E0354", 2, 8);
    check("[network]\nlimit-rate = \"512\"", "E0354", 2, 14);
    check("[network]\nlimit-rate = 4096", "E0353", 2, 14);
    check("[store]\ndir = \"store\"", "E0354", 2, 7);
    check("[install]\nlink = \"soft\"", "E0354", 2, 8);
    check("registries = \"all\"", "E0354", 1, 14);
    check("[tokens]\n\"https://x\" = \"s3cret\"", "E0354", 2, 15);
    check("[tokens]\nx = \"s3cret\\r\\nother: y\"", "E0354", 2, 5);
    check("[trusted]\nacme = \"sha256:00\"", "E0354", 2, 8);
    let root = Sha256::of(b"").prefixed();
    check(&format!("[mirrors]\n\"{root}\" = [\"https://me:s3cret@x/\"]"), "E0354", 2, 78);
    check(&format!("[mirrors]\n\"{root}\" = [\"ftp://s3cret\"]"), "E0354", 2, 78);
}

#[test]
fn a_whole_file_says_what_it_says() {
    let root = Sha256::of(b"");
    let text = format!(
        "registries = \"listed\"\n[store]\ndir = \"/srv/store\"\n[install]\nlink = \"hard\"\n[network]\njobs = 4\nlimit-rate = \"2M\"\nca-file = \
         \"/ca.pem\"\nnetrc = \"/n\"\nallow-http = [\"LOCALHOST:80\"]\nallow-private = [\"[::1]:80\"]\n[tokens]\n\"a.b\" = \
         \"s3cret\"\n[trusted]\n\"{0}\" = \"acme\"\n[mirrors]\n\"{0}\" = [\"https://m/\", \"/srv/m\"]\n",
        root.prefixed()
    );
    let config = parse(&text, "x").unwrap();
    assert_eq!(
        (config.link, config.jobs, config.registry_rule),
        (Some(LinkMode::Hard), Some(4), Some(RegistryRule::Listed))
    );
    assert_eq!(config.limit_rate, Some(2 << 20));
    assert!(config.allow_http.contains("localhost:80"));
    assert_eq!(config.tokens["a.b"].expose(), "s3cret");
    assert_eq!((config.trusted[&root].as_str(), config.mirrors[&root].len()), ("acme", 2));
    assert!(!format!("{config:?}").contains("s3cret"));
    assert_eq!(parse("", "x").unwrap(), Config::default());
}

#[test]
fn a_user_adds_to_the_site_and_cannot_loosen_it() {
    let (one, two) = (Sha256::of(b"1"), Sha256::of(b"2"));
    let trusted = |root: &Sha256| {
        format!(
            "[trusted]\n\"{}\" = \"a\"\n[mirrors]\n\"{}\" = [\"/{}\"]\n",
            root.prefixed(),
            one.prefixed(),
            root.short()
        )
    };
    let site = |rule: &str| {
        parse(&format!("registries = \"{rule}\"\n{}[network]\njobs = 2\nallow-http = [\"a\"]\n", trusted(&one)), "site")
            .unwrap()
    };
    let user =
        parse(&format!("registries = \"any\"\n{}[network]\njobs = 3\nallow-http = [\"b\"]\n", trusted(&two)), "user")
            .unwrap();
    let closed = site("listed").under(user.clone());
    assert_eq!(closed.registry_rule, Some(RegistryRule::Listed));
    assert_eq!(closed.trusted.keys().collect::<Vec<_>>(), [&one]);
    assert_eq!((closed.jobs, closed.allow_http.len()), (Some(3), 2));
    assert_eq!(closed.mirrors[&one], [format!("/{}", two.short()), format!("/{}", one.short())]);
    let open = site("any").under(user.clone());
    assert_eq!((open.registry_rule, open.trusted.len()), (Some(RegistryRule::Any), 2));
    assert_eq!(user.clone().under(site("listed")).registry_rule, Some(RegistryRule::Listed));
    assert_eq!(Config::default().under(user.clone()), user);
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&String::from_utf8_lossy(&bytes), "x");
    }
}
