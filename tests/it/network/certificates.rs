//! TLS with an authority that no system knows, and with certificates that are good for nothing.

use super::{comes, does_not_come, machine};
use crate::flows::fixture::registry;
use crate::support::certificates::{Authority, Flaw};
use crate::support::peers;

#[test]
fn an_authority_of_the_sites_own_is_believed_where_it_is_named() {
    let Some(authority) = Authority::new() else { return };
    let registry = registry();
    let git = registry.as_git();
    let identity = authority.identity(Flaw::Nothing).expect("a certificate");
    let Some(server) = peers::nginx_tls(registry.folder(), git.bare.parent(), &identity) else { return };
    let file = authority.certificate().display().to_string();
    for index in [format!("sparse+{}/", server.url), format!("git+{}/git/bare.git", server.url)] {
        assert!(index.contains("https://"));
        does_not_come(&machine(&registry, &index), &["certificate"]);
        comes(&machine(&registry, &index).variable("MPM_CA_FILE", &file));
        comes(&machine(&registry, &index).config(&format!("[network]\nca-file = \"{file}\"\n")));
        // Another authority's word is none.
        let other = Authority::new().expect("openssl");
        let other = other.certificate().display().to_string();
        does_not_come(&machine(&registry, &index).variable("MPM_CA_FILE", &other), &["certificate"]);
    }
}

#[test]
fn a_file_that_names_no_authority_is_told() {
    let Some(authority) = Authority::new() else { return };
    let registry = registry();
    let identity = authority.identity(Flaw::Nothing).expect("a certificate");
    let Some(server) = peers::nginx_tls(registry.folder(), None, &identity) else { return };
    let index = format!("sparse+{}/", server.url);
    let folder = registry.folder();
    for file in [folder.join("none.pem"), folder.join("checkpoint.json"), folder.to_owned()] {
        let machine = machine(&registry, &index).variable("MPM_CA_FILE", &file);
        machine.mpm(&["sync"]).expect(1).says(&["E0158", &file.display().to_string()]);
    }
}

#[test]
fn a_bad_certificate_is_refused_over_every_way_and_said_to_be_the_reason() {
    let Some(authority) = Authority::new() else { return };
    let registry = registry();
    let git = registry.as_git();
    let file = authority.certificate().display().to_string();
    for (flaw, word) in [(Flaw::SelfSigned, "UnknownIssuer"), (Flaw::Expired, "expired"), (Flaw::OtherName, "name")] {
        let Some(identity) = authority.identity(flaw) else { continue };
        let Some(server) = peers::nginx_tls(registry.folder(), git.bare.parent(), &identity) else { return };
        for index in [format!("sparse+{}/", server.url), format!("git+{}/git/bare.git", server.url)] {
            let machine = machine(&registry, &index).variable("MPM_CA_FILE", &file);
            let how =
                if index.starts_with("sparse") { "its certificate is refused" } else { "invalid peer certificate" };
            does_not_come(&machine, &[how, word, "127.0.0.1"]);
        }
        assert_eq!(server.requests(), Vec::<String>::new(), "{flaw:?}: nothing was asked");
    }
}

#[test]
fn blobs_behind_a_bad_certificate_do_not_come() {
    let Some(authority) = Authority::new() else { return };
    let registry = registry();
    let good = authority.identity(Flaw::Nothing).expect("a certificate");
    let Some(index) = peers::nginx_tls(registry.folder(), None, &good) else { return };
    let Some(bad) = authority.identity(Flaw::Expired) else { return };
    let Some(blobs) = peers::nginx_tls(registry.folder(), None, &bad) else { return };
    // The mirror is asked first, and the registry's own base, which is good, after it.
    let config = format!(
        "[network]\nca-file = \"{}\"\n[mirrors]\n\"{}\" = [\"{}/\"]\n",
        authority.certificate().display(),
        registry.root_sha256().prefixed(),
        blobs.url
    );
    let machine = machine(&registry, &format!("sparse+{}/", index.url)).config(&config);
    comes(&machine);
    assert_eq!(blobs.requests(), Vec::<String>::new());
}
