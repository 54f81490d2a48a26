//! The lowest numbers that may be accepted from a registry.

use std::cmp::Ordering;
use std::fmt;

/// A checkpoint's place in the history of an index: epochs first, then numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointNumber {
    /// The epoch of the root that the checkpoint was made under.
    pub epoch: u64,
    /// The checkpoint's number within all epochs; it rises by at least one each time.
    pub number: u64,
}

impl fmt::Display for CheckpointNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.number)
    }
}

/// The lowest numbers that a lock accepts from a registry: the rollback memory of a machine that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// Number of the newest root.
    pub root_number: u64,
    /// Number of the newest registrar file.
    pub registrar: u64,
    /// Epoch and number of the newest checkpoint.
    pub checkpoint: CheckpointNumber,
}

impl Floor {
    /// The floor that accepts only what both accept: the higher of each number. A higher epoch begins the numbers of
    /// registrar files anew, so those of a lower one say nothing about it.
    #[must_use]
    pub fn highest(self, other: Self) -> Self {
        let registrar = match self.checkpoint.epoch.cmp(&other.checkpoint.epoch) {
            Ordering::Less => other.registrar,
            Ordering::Equal => self.registrar.max(other.registrar),
            Ordering::Greater => self.registrar,
        };
        Self {
            root_number: self.root_number.max(other.root_number),
            registrar,
            checkpoint: self.checkpoint.max(other.checkpoint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CheckpointNumber, Floor};

    #[test]
    fn the_highest_floor_is_one_that_the_newer_epoch_can_meet() {
        let floor = |root_number, registrar, epoch, number| Floor {
            root_number,
            registrar,
            checkpoint: CheckpointNumber { epoch, number },
        };
        for (left, right, expected) in [
            (floor(1, 7, 1, 50), floor(2, 6, 1, 51), floor(2, 7, 1, 51)),
            (floor(1, 7, 1, 50), floor(2, 1, 2, 1), floor(2, 1, 2, 1)),
        ] {
            assert_eq!(left.highest(right), expected);
            assert_eq!(right.highest(left), expected);
        }
    }
}
