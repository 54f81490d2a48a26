//! The one reader behind the four ways.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{ListedRelease, Listing};
use crate::index::{Base, IndexError, Opening, VerifiedStatement, World};
use crate::model::{Fingerprint, Floor, Namespace, PackageName, Pin, RegistryId, Sha256, Version};
use crate::trust::{Revocations, YankRecord};

/// An opened registry: roots walked, checkpoint and registrar file checked.
pub struct Registry {
    id: RegistryId,
}

impl Registry {
    /// Opens: steps 1 to 4 of the client's rules.
    ///
    /// # Errors
    /// `E0111` and following; class trust for what is wrong, network for what can't be reached.
    pub fn open(opening: &Opening, world: &World<'_>) -> Result<Self, IndexError> {
        todo!()
    }

    /// Its id.
    pub fn id(&self) -> &RegistryId {
        &self.id
    }

    /// The numbers that were met: what a lock's floor becomes.
    pub fn floor(&self) -> Floor {
        todo!()
    }

    /// Whether the root says `demo`.
    pub fn is_demo(&self) -> bool {
        todo!()
    }

    /// What is revoked.
    pub fn revocations(&self) -> &Revocations {
        todo!()
    }

    /// Listings of packages, looked up in parallel; `None` is a verified absence. Checks stored log prefixes.
    ///
    /// # Errors
    /// Step 5 of the rules.
    pub fn listings(
        &self,
        names: &BTreeSet<PackageName>,
    ) -> Result<BTreeMap<PackageName, Option<Listing>>, IndexError> {
        todo!()
    }

    /// Names near a name that does not exist, from the leaves that were read.
    pub fn names_near(&self, name: &PackageName) -> Vec<PackageName> {
        todo!()
    }

    /// The statement of a listed release, checked: step 6 of the rules. With its file lists still to be read as blobs.
    ///
    /// # Errors
    /// Too few signatures, another identity, revoked, an event that differs from the statement.
    pub fn statement(&self, name: &PackageName, release: &ListedRelease) -> Result<VerifiedStatement, IndexError> {
        todo!()
    }

    /// The same for a release that a lock pins: it must be in the log under this digest.
    ///
    /// # Errors
    /// As above; and a pin that disagrees with the log.
    pub fn locked_statement(
        &self,
        name: &PackageName,
        version: &Version,
        pin: &Pin,
    ) -> Result<VerifiedStatement, IndexError> {
        todo!()
    }

    /// The yank record in force for a listed release, checked.
    ///
    /// # Errors
    /// It is missing, or not signed by publishers or registrars.
    pub fn yank(&self, name: &PackageName, release: &ListedRelease) -> Result<Option<YankRecord>, IndexError> {
        todo!()
    }

    /// Whether these signers of a namespace are remembered, or reached from remembered ones by handovers; also from the
    /// signers that a lock remembers.
    ///
    /// # Errors
    /// The chain of entries can't be read.
    pub fn knows_signers(
        &self,
        namespace: &Namespace,
        signers: &BTreeSet<Fingerprint>,
        locked: &BTreeSet<Fingerprint>,
    ) -> Result<Familiarity, IndexError> {
        todo!()
    }

    /// Where its blobs can be had.
    ///
    /// # Errors
    /// A base that the rules refuse.
    pub fn bases(&self) -> Result<Vec<Base>, IndexError> {
        todo!()
    }

    /// Writes what was learnt into the memory, under a lease: after verification, at the end of a run that succeeded.
    /// `accepted` are namespaces with the signers that the user has now accepted.
    ///
    /// # Errors
    /// The memory can't be written.
    pub fn remember(&self, accepted: &BTreeMap<Namespace, BTreeSet<Fingerprint>>) -> Result<(), IndexError> {
        todo!()
    }
}

/// How well the signers of a namespace are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Familiarity {
    /// Never met: first trust.
    New,
    /// Remembered, or reached by handovers.
    Known,
    /// Others were remembered.
    Changed {
        /// Those.
        remembered: BTreeSet<Fingerprint>,
    },
}
