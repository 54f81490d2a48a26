//! Other places of a registry: asked for what the one that is read lacks, and opened when that happens first.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::index::reader::open_origin;
use crate::index::{Opening, Origin, World};
use crate::manifest::IndexAddress;
use crate::model::Timestamp;
use crate::progress::Silent;
use crate::sys::{HttpClient, Scope};

/// A place that may be opened later.
pub(super) struct Elsewhere {
    opening: Opening,
    address: IndexAddress,
    http: HttpClient,
    cache: PathBuf,
    now: Timestamp,
    scope: OnceLock<Scope>,
    opened: OnceLock<Option<Arc<dyn Origin>>>,
}

/// What relative bases are resolved against.
pub(super) struct Standing<'a> {
    pub(super) address: &'a IndexAddress,
    pub(super) scope: Scope,
    /// Its files, where it is open.
    pub(super) origin: Option<&'a dyn Origin>,
}

impl Elsewhere {
    /// Nothing is opened yet.
    pub(super) fn new(opening: &Opening, address: &IndexAddress, world: &World<'_>) -> Self {
        Self {
            opening: opening.clone(),
            address: address.clone(),
            http: world.http.clone(),
            cache: world.cache.clone(),
            now: world.now,
            scope: OnceLock::new(),
            opened: OnceLock::new(),
        }
    }

    /// Its files; none where it can't be opened.
    pub(super) fn origin(&self) -> Option<&Arc<dyn Origin>> {
        let open = || {
            let (http, cache, now) = (&self.http, self.cache.clone(), self.now);
            let world = World { http, trust: PathBuf::new(), cache, now, progress: &Silent };
            open_origin(&self.opening, &self.address, &world).ok().map(|(origin, _)| origin)
        };
        self.opened.get_or_init(open).as_ref()
    }

    /// Which addresses may be met there; its name is looked up when this is asked first, and not before.
    fn scope(&self) -> Scope {
        *self.scope.get_or_init(|| match &self.address {
            IndexAddress::Sparse(url) | IndexAddress::Git(url) => self.http.scope_of(url).unwrap_or_default(),
            IndexAddress::Folder(_) | IndexAddress::Builtin => Scope::public(),
        })
    }

    /// What bases are resolved against there; blobs inside of a repository count only where it was opened.
    pub(super) fn standing(&self) -> Standing<'_> {
        let origin = self.opened.get().and_then(Option::as_ref).map(|origin| &**origin);
        Standing { address: &self.address, scope: self.scope(), origin }
    }
}
