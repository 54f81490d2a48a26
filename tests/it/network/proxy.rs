//! A proxy that the environment names: index, blobs and git travel through it, over http and over tunnels.

use super::{comes, does_not_come, machine};
use crate::flows::fixture::registry;
use crate::support::certificates::{Authority, Flaw};
use crate::support::peers;
use crate::support::proxy::{Proxy, nowhere};
use crate::support::server::Server;

#[test]
fn plain_requests_are_forwarded_by_the_proxy_of_the_environment() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let place = nowhere();
    let proxy = Proxy::start(&[(&place, &server.host())]);
    let index = format!("sparse+http://{place}/");
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        comes(&machine(&registry, &index).variable(variable, proxy.url()));
        let seen = proxy.requests();
        for part in ["checkpoint.json", "/blobs/sha256/"] {
            assert!(seen.iter().any(|line| line.starts_with("GET http://") && line.contains(part)), "{seen:?}");
        }
    }
    // Nothing listens there: whoever goes without the proxy does not arrive.
    does_not_come(&machine(&registry, &index), &[&place]);
    does_not_come(&machine(&registry, &index).variable("https_proxy", proxy.url()), &[&place]);
    assert_eq!(proxy.requests(), Vec::<String>::new());
}

#[test]
fn a_place_that_no_proxy_is_for_is_met_without_one() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let (place, proxy) = (nowhere(), Proxy::start(&[]));
    let direct = machine(&registry, &format!("sparse+{}", server.url()));
    comes(&direct.variable("http_proxy", proxy.url()).variable("NO_PROXY", "other.example,127.0.0.1"));
    let direct = machine(&registry, &format!("sparse+http://{place}/"));
    let direct = direct.variable("http_proxy", proxy.url()).variable("no_proxy", "127.0.0.0/8");
    does_not_come(&direct, &[&place]);
    assert_eq!(proxy.requests(), Vec::<String>::new());
    // And one that it is for is asked there alone, though it could be met.
    let through = machine(&registry, &format!("sparse+{}", server.url()));
    server.requests();
    does_not_come(&through.variable("http_proxy", proxy.url()).variable("NO_PROXY", "other.example"), &["502"]);
    assert!(!proxy.requests().is_empty() && server.requests().is_empty());
}

#[test]
fn tls_goes_through_a_tunnel_and_is_checked_at_its_end() {
    let Some(authority) = Authority::new() else { return };
    let registry = registry();
    let git = registry.as_git();
    let serve = |flaw| peers::nginx_tls(registry.folder(), git.bare.parent(), &authority.identity(flaw)?);
    let (Some(good), Some(bad)) = (serve(Flaw::Nothing), serve(Flaw::OtherName)) else { return };
    let host = |url: &str| url.trim_start_matches("https://").to_owned();
    let (place, trap) = (nowhere(), nowhere());
    let proxy = Proxy::start(&[(&place, &host(&good.url)), (&trap, &host(&bad.url))]);
    let file = authority.certificate().display().to_string();
    let with = |index: &str| {
        let machine = machine(&registry, index).variable("MPM_CA_FILE", &file);
        machine.variable("https_proxy", proxy.url())
    };
    for index in [format!("sparse+https://{place}/"), format!("git+https://{place}/git/bare.git")] {
        comes(&with(&index));
        let seen = proxy.requests();
        assert!(!seen.is_empty() && seen.iter().all(|line| line.starts_with(&format!("CONNECT {place} "))), "{seen:?}");
        does_not_come(&with(&index.replace(&place, &trap)), &["certificate", "127.0.0.1"]);
        assert!(!proxy.requests().is_empty());
    }
    assert_eq!(bad.requests(), Vec::<String>::new());
    // A proxy that opens no tunnel is a matter of the network, and nobody goes around it.
    let closed = Proxy::start(&[]);
    let machine = machine(&registry, &format!("sparse+{}/", good.url)).variable("MPM_CA_FILE", &file);
    let before = good.requests().len();
    does_not_come(&machine.variable("https_proxy", closed.url()), &["127.0.0.1", "tunnel"]);
    assert_eq!(good.requests().len(), before);
}

#[test]
fn git_over_plain_http_goes_through_the_proxy() {
    let registry = registry();
    let git = registry.as_git();
    let Some(server) = peers::nginx(registry.folder(), git.bare.parent()) else { return };
    let place = nowhere();
    let proxy = Proxy::start(&[(&place, server.url.trim_start_matches("http://"))]);
    let index = format!("git+http://{place}/git/bare.git");
    comes(&machine(&registry, &index).variable("http_proxy", proxy.url()));
    let seen = proxy.requests();
    assert!(seen.iter().any(|line| line.starts_with("POST http://") && line.contains("git-upload-pack")), "{seen:?}");
    does_not_come(&machine(&registry, &index), &[&place]);
}

#[test]
fn a_proxys_password_is_sent_to_it_and_shown_to_nobody() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let place = nowhere();
    let proxy = Proxy::start(&[(&place, &server.host())]);
    let with_password = proxy.url().replace("http://", "http://me:s3cret@");
    let machine = machine(&registry, &format!("sparse+http://{place}/")).variable("http_proxy", &with_password);
    let ran = machine.mpm(&["sync", "--verbose"]).expect(0);
    assert!(!ran.stderr.contains("s3cret") && !ran.stdout.contains("s3cret"), "{}", ran.stderr);
    let seen = proxy.requests();
    assert!(seen.iter().all(|line| line.to_lowercase().contains("proxy-authorization: basic ")), "{seen:?}");
    assert!(server.requests().iter().all(|request| !request.headers.contains_key("proxy-authorization")));
    drop(proxy);
    let ran = machine.mpm(&["update", "--verbose"]).expect(3);
    assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
}
