//! What each address has open and has asked: nobody takes all of the server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::serve::Limits;

/// Addresses that are remembered at most; those that are at rest are forgotten first.
const REMEMBERED: usize = 4096;
/// Seconds' worth of requests that may come at once.
const BURST: f64 = 10.0;

/// Addresses.
pub(super) struct Addresses {
    limits: Limits,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    open: usize,
    each: HashMap<IpAddr, Address>,
}

struct Address {
    open: usize,
    /// Requests that may come now.
    left: f64,
    at: Instant,
}

/// A place among the connections, given back when it is dropped.
pub(super) struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, known: Mutex::default() })
    }

    /// A place for a connection, unless there are too many.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = who(address);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.open >= self.limits.connections {
            return None;
        }
        if known.each.len() >= REMEMBERED {
            // Whoever has nothing open and has not asked for long begins anew.
            known.each.retain(|_, one| one.open > 0);
        }
        let burst = f64::from(self.limits.requests) * BURST;
        let one = known.each.entry(address).or_insert_with(|| Address { open: 0, left: burst, at: Instant::now() });
        if one.open >= self.limits.connections_each {
            return None;
        }
        one.open = one.open.saturating_add(1);
        known.open = known.open.saturating_add(1);
        Some(Place { addresses: Arc::clone(self), address })
    }

    /// Whether an address may ask once more now.
    pub(super) fn may_ask(&self, address: IpAddr) -> bool {
        let address = who(address);
        let rate = f64::from(self.limits.requests);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(one) = known.each.get_mut(&address) else { return true };
        let now = Instant::now();
        one.left = (one.left + now.duration_since(one.at).as_secs_f64() * rate).min(rate * BURST);
        one.at = now;
        if one.left < 1.0 {
            return false;
        }
        one.left -= 1.0;
        true
    }
}

/// Whom an address stands for: one site has all addresses of an IPv6 network of 64 bits.
fn who(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.addresses.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.open = known.open.saturating_sub(1);
        if let Some(one) = known.each.get_mut(&self.address) {
            one.open = one.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Addresses;
    use crate::serve::Limits;

    #[test]
    fn places_are_bounded_and_given_back() {
        let limits = Limits { connections: 3, connections_each: 2, ..Limits::default() };
        let addresses = Addresses::new(limits);
        let at = |last: u8| std::net::IpAddr::from([127, 0, 0, last]);
        let (first, second) = (addresses.enter(at(1)), addresses.enter(at(1)));
        assert!(first.is_some() && second.is_some() && addresses.enter(at(1)).is_none());
        let third = addresses.enter(at(2));
        assert!(third.is_some() && addresses.enter(at(3)).is_none());
        drop(first);
        assert!(addresses.enter(at(1)).is_some());
    }

    #[test]
    fn requests_of_an_address_are_bounded() {
        let addresses = Addresses::new(Limits { requests: 1, ..Limits::default() });
        let (one, two) = (std::net::IpAddr::from([1, 1, 1, 1]), std::net::IpAddr::from([2, 2, 2, 2]));
        let _places = (addresses.enter(one), addresses.enter(two));
        let allowed = (0..30).filter(|_| addresses.may_ask(one)).count();
        assert!((10..=12).contains(&allowed), "{allowed}");
        assert!(addresses.may_ask(two));
    }
}
