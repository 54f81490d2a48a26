//! The main job as a user meets it: the real binary on a project, over real ways to reach a registry.

mod aged;
mod brought;
mod edits;
pub(crate) mod fixture;
mod flipped;
mod looking;
mod merged;
mod mirrors;
mod named;
mod newer;
mod updates;
mod versions;
mod wary;
