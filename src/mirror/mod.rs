//! Copies of registries: all or a part, in a folder that any web server can serve and that is itself a registry.
//!
//! Owns a mirror's folder (docs/formats/mirror.md): what may be written there, in which order, and what may go again. Every
//! byte comes out of `index` or `fetch` verified. Holds no key and vouches for nothing: readers check a mirror as they check
//! any place. Refuses to know projects and configuration.
//!
//! * Bytes before what names them: blobs, statements, logs and nodes, and `checkpoint.json` last. A reader sees the copy that
//!   was there before, or the new one.
//! * What a run did not place, no run removes.
//!
//! A bundle is the same copy in one file (`pack`), and comes into a mirror as a copy does, after it was looked through as what a
//! stranger brought (`take`).

mod copy;
mod destination;
mod error;
mod held;
mod look;
mod pack;
mod plan;
mod prune;
mod record;
mod survey;
mod sync;
mod take;
mod wish;
mod writing;

pub use destination::Destination;
pub use error::MirrorError;
pub use held::Held;
pub use pack::{Packed, Packing, pack};
pub use survey::{Corrupt, Depth, Survey, survey};
pub use sync::{Amount, Contents, Extra, Outcome, Rules, Supply, sync};
pub use take::{Found, Inspected, Inspection, inspect, list_bytes, open_bundle};
pub use wish::{Pattern, Wish};
