//! Verdicts: what a project allows, from what is selected and what was seen.
//!
//! Pure. Only this room makes [`Approved`] and [`Cleared`], and `install` takes nothing else.

use std::collections::BTreeMap;

use crate::diagnose::{Class, Code, Diagnose};
use crate::lock::Lock;
use crate::manifest::PolicyDeclaration;
use crate::model::{PackageId, RelPath, Sha256};
use crate::scan::Fact;
use crate::select::{Selected, SelectedPackage};

/// A project's policy together with what its lock recorded.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// `[policy]` of Model.toml.
    pub declared: PolicyDeclaration,
    /// Digest of each locked release's statement, for overrides that pin one.
    pub statements: BTreeMap<PackageId, Sha256>,
}

/// A selection that nothing known before fetching speaks against. Borrowed, so that it can't be carried elsewhere.
#[derive(Debug)]
pub struct Approved<'s> {
    selected: &'s Selected,
}

/// A selection whose content was looked at and is allowed.
#[derive(Debug)]
pub struct Cleared<'s> {
    selected: &'s Selected,
}

/// Facts by blob digest and file name: the same bytes may stand under several names.
pub type Facts = BTreeMap<(Sha256, RelPath), Fact>;

/// Everything that speaks against a selection.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for Refused {
    fn code(&self) -> Code {
        Code("E0601")
    }
    fn class(&self) -> Class {
        Class::Policy
    }
}

impl<'s> Approved<'s> {
    /// What was approved.
    pub fn selected(&self) -> &'s Selected {
        self.selected
    }
}

impl<'s> Cleared<'s> {
    /// What was cleared.
    pub fn selected(&self) -> &'s Selected {
        self.selected
    }
}

impl Policy {
    /// Judges what can be known before a byte travels: names that give code away, overrides that don't match.
    ///
    /// # Errors
    /// All reasons, not the first.
    pub fn judge<'s>(&self, selected: &'s Selected) -> Result<Approved<'s>, Refused> {
        todo!()
    }

    /// Judges content by its facts. A file without a fact is refused.
    ///
    /// # Errors
    /// All reasons, not the first, each with the `[policy.unsafe]` lines that would allow that one release.
    pub fn clear<'s>(&self, approved: Approved<'s>, facts: &Facts) -> Result<Cleared<'s>, Refused> {
        todo!()
    }
}
