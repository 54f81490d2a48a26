//! Which addresses may be met: TLS or not, public or not, and where a redirect may lead.
//!
//! Owns the rules of docs/trust.md for addresses. Refuses to know requests.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::sys::http::HttpSettings;

/// The class of an address: anything but `Public` is met only where the configured index is of the same class, or where
/// the user lists the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum AddressClass {
    /// Reachable from everywhere.
    #[default]
    Public,
    /// This machine.
    Loopback,
    /// A site's own network.
    Private,
    /// The same cable; where clouds put their metadata.
    LinkLocal,
    /// Carrier-grade NAT.
    Shared,
    /// Unspecified, multicast, documentation and whatever else no server has.
    Reserved,
}

/// What requests on behalf of one configured index may reach besides public addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Scope {
    /// The class of the index's own host.
    pub class: AddressClass,
}

impl Scope {
    /// Public addresses alone.
    pub fn public() -> Self {
        Self::default()
    }

    /// Whether an address of this class may be met.
    pub fn admits(self, class: AddressClass) -> bool {
        class == AddressClass::Public || (class == self.class && class != AddressClass::Reserved)
    }
}

/// The class of an address; one that carries an IPv4 address inside is of that one's class.
pub(super) fn class_of(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => class_of_v4(address),
        IpAddr::V6(address) => class_of_v6(address),
    }
}

fn class_of_v4(address: Ipv4Addr) -> AddressClass {
    match address.octets() {
        [127, ..] => AddressClass::Loopback,
        [10, ..] | [192, 168, ..] => AddressClass::Private,
        [172, second, ..] if (16..32).contains(&second) => AddressClass::Private,
        [169, 254, ..] => AddressClass::LinkLocal,
        [100, second, ..] if (64..128).contains(&second) => AddressClass::Shared,
        [0 | 224..=255, ..] | [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            AddressClass::Reserved
        }
        _ => AddressClass::Public,
    }
}

fn class_of_v6(address: Ipv6Addr) -> AddressClass {
    let embedded = |high: u16, low: u16| class_of_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        // Mapped, compatible, and the two prefixes of NAT64; then 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0 | 1, .., high, low] | [0x2002, high, low, ..] => {
            embedded(high, low)
        }
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => AddressClass::Private,
        // Global unicast is 2000::/3, less Teredo, ORCHID and documentation.
        [0x2001, second, ..] if !matches!(second, 0 | 0x10..=0x2f | 0xdb8) => AddressClass::Public,
        [0x2000 | 0x2002..=0x3fff, ..] => AddressClass::Public,
        _ => AddressClass::Reserved,
    }
}

/// Why an address is not met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No TLS, to a host that is neither loopback nor listed.
    #[error("plain http is spoken to loopback and to hosts that user configuration lists, not to {host}")]
    PlainHttp {
        /// The host.
        host: String,
    },
    /// A scheme that is not HTTP.
    #[error("the scheme {scheme:?} is neither https nor http")]
    Scheme {
        /// What was found.
        scheme: String,
    },
    /// An address inside some network, which the index has no business to name.
    #[error(
        "{host} stands at {address}, which is a {class:?} address, and neither the index does nor does user configuration list it"
    )]
    Class {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
        /// Of this class.
        class: AddressClass,
    },
    /// A redirect that gives up TLS.
    #[error("the redirect leads from https to http")]
    Downgrade,
    /// A redirect that carries a user name or password, or does not parse.
    #[error("the redirect's address is not one that can be followed")]
    Location,
    /// More redirects than anybody needs.
    #[error("more than {limit} redirects")]
    Hops {
        /// The limit.
        limit: usize,
    },
}

/// Which resolver a request goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Public addresses, and those of the scope's class.
    Within(Scope),
    /// The user listed this host: any address.
    Listed,
}

/// Applies the rules that need no name resolution; says how the name must be resolved.
pub(super) fn judge(url: &url::Url, scope: Scope, settings: &HttpSettings) -> Result<Reach, AddressError> {
    let host = url.host_str().unwrap_or_default().to_owned();
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(url) || lists(&settings.allow_http, url) => {}
        "http" => return Err(AddressError::PlainHttp { host }),
        scheme => return Err(AddressError::Scheme { scheme: scheme.chars().take(20).collect() }),
    }
    if lists(&settings.allow_private, url) {
        return Ok(Reach::Listed);
    }
    if let Some(address) = literal(url) {
        let class = class_of(address);
        if !scope.admits(class) {
            return Err(AddressError::Class { host, address, class });
        }
    }
    Ok(Reach::Within(scope))
}

/// The address of a host that is written as one.
pub(super) fn literal(url: &url::Url) -> Option<IpAddr> {
    match url.host()? {
        url::Host::Ipv4(address) => Some(IpAddr::V4(address)),
        url::Host::Ipv6(address) => Some(IpAddr::V6(address)),
        url::Host::Domain(_) => None,
    }
}

/// Whether the host is this machine by its name or address.
pub(super) fn is_loopback(url: &url::Url) -> bool {
    literal(url)
        .map_or_else(|| url.host_str() == Some("localhost"), |address| class_of(address) == AddressClass::Loopback)
}

/// Whether a list of `host` or `host:port` has this URL's host.
fn lists(list: &BTreeSet<String>, url: &url::Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let port = url.port_or_known_default().unwrap_or_default();
    list.contains(host) || list.contains(&format!("{host}:{port}"))
}

/// Names that requests were made for. A name that is asked for and is none of them is a proxy's, which the user's
/// environment chose.
pub(super) type Targets = Arc<Mutex<BTreeSet<String>>>;

/// Resolves names and drops addresses that the rules refuse.
pub(super) struct Guard {
    pub(super) reach: Reach,
    pub(super) targets: Targets,
}

impl reqwest::dns::Resolve for Guard {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let host = name.as_str().to_ascii_lowercase();
        let is_target = self.targets.lock().unwrap_or_else(PoisonError::into_inner).contains(&host);
        let reach = if is_target { self.reach } else { Reach::Listed };
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let kept: Box<dyn Iterator<Item = SocketAddr> + Send> =
                Box::new(admitted(&host, found, reach)?.into_iter());
            Ok(kept)
        })
    }
}

/// The addresses of a name that may be met; an error if it has some and none may.
pub(super) fn admitted(host: &str, found: Vec<SocketAddr>, reach: Reach) -> Result<Vec<SocketAddr>, AddressError> {
    let Reach::Within(scope) = reach else { return Ok(found) };
    let refused = found.iter().find(|address| !scope.admits(class_of(address.ip()))).copied();
    let kept: Vec<SocketAddr> = found.into_iter().filter(|address| scope.admits(class_of(address.ip()))).collect();
    match refused {
        Some(address) if kept.is_empty() => {
            let address = address.ip();
            Err(AddressError::Class { host: host.to_owned(), address, class: class_of(address) })
        }
        _ => Ok(kept),
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressClass, AddressError, Reach, Scope, admitted, class_of, judge};
    use crate::sys::HttpSettings;

    #[test]
    fn addresses_have_classes() {
        for (text, class) in [
            ("8.8.8.8", AddressClass::Public),
            ("127.0.0.1", AddressClass::Loopback),
            ("127.9.9.9", AddressClass::Loopback),
            ("10.0.0.1", AddressClass::Private),
            ("172.16.0.1", AddressClass::Private),
            ("172.32.0.1", AddressClass::Public),
            ("192.168.1.1", AddressClass::Private),
            ("169.254.169.254", AddressClass::LinkLocal),
            ("100.64.0.1", AddressClass::Shared),
            ("0.0.0.0", AddressClass::Reserved),
            ("224.0.0.1", AddressClass::Reserved),
            ("255.255.255.255", AddressClass::Reserved),
            ("::", AddressClass::Reserved),
            ("::1", AddressClass::Loopback),
            ("::ffff:127.0.0.1", AddressClass::Loopback),
            ("::10.0.0.1", AddressClass::Private),
            ("64:ff9b::169.254.169.254", AddressClass::LinkLocal),
            ("2002:7f00:1::", AddressClass::Loopback),
            ("fe80::1", AddressClass::LinkLocal),
            ("fd00::1", AddressClass::Private),
            ("ff02::1", AddressClass::Reserved),
            ("2001:db8::1", AddressClass::Reserved),
            ("2606:4700::1111", AddressClass::Public),
        ] {
            assert_eq!(class_of(text.parse().expect("an address")), class, "{text}");
        }
    }

    #[test]
    fn urls_are_judged_before_a_socket() {
        let settings = HttpSettings {
            allow_http: ["plain.example".to_owned()].into(),
            allow_private: ["10.1.1.1:8443".to_owned()].into(),
            ..HttpSettings::default()
        };
        let public = Scope::public();
        let loopback = Scope { class: AddressClass::Loopback };
        for (url, scope, good) in [
            ("https://a.example/", public, true),
            ("http://a.example/", public, false),
            ("http://plain.example/", public, true),
            ("ftp://a.example/", public, false),
            ("file:///etc/passwd", public, false),
            ("https://127.0.0.1/", public, false),
            ("http://127.0.0.1/", loopback, true),
            ("http://localhost/", loopback, true),
            ("https://0x7f.1/", public, false),
            ("https://2130706433/", public, false),
            ("https://[::ffff:169.254.169.254]/", loopback, false),
            ("https://10.0.0.1/", loopback, false),
            ("https://10.1.1.1:8443/", public, true),
            ("https://10.1.1.1/", public, false),
        ] {
            let judged = judge(&url.parse().expect("a URL"), scope, &settings);
            assert_eq!(judged.is_ok(), good, "{url}: {judged:?}");
        }
    }

    #[test]
    fn names_lose_the_addresses_that_are_refused() {
        let found = vec!["8.8.8.8:0".parse().expect("good"), "10.0.0.1:0".parse().expect("good")];
        let within = Reach::Within(Scope::public());
        assert_eq!(admitted("a", found.clone(), within).expect("one is left").len(), 1);
        assert_eq!(admitted("a", found.clone(), Reach::Listed).expect("all").len(), 2);
        let alone = vec!["10.0.0.1:0".parse().expect("good")];
        assert!(matches!(admitted("a", alone, within), Err(AddressError::Class { .. })));
        assert!(admitted("a", Vec::new(), within).expect("nothing").is_empty());
    }
}
