//! The world: clock, files, staged writes, leases, HTTP, git, places on disk.
//!
//! The only room that touches it. Refuses to know what the bytes mean.

mod behind;
mod blobs;
mod cancel;
mod clock;
pub mod credentials_file;
mod existing;
mod extents;
pub mod fault;
pub mod files;
pub mod git;
pub mod hash;
mod history;
mod holder;
mod http;
mod lease;
mod places;
mod runtime;
mod staged;
pub mod trial;

pub use behind::Piece;
pub use blobs::{BlobReader, blob_path};
pub use cancel::Cancel;
pub use clock::{Clock, FixedClock, SystemClock};
pub use existing::{Bringing, Copying, Digests, Existing, Known, NotBrought, Way, may_link};
pub use extents::{Extent, Extents};
pub use history::{HistoryError, file_at};
pub use holder::Life;
pub(crate) use http::Lines;
pub use http::{
    AddressClass, AddressError, Answer, ByteRange, HelperAction, HelperError, HttpClient, HttpError, HttpSettings,
    NetworkPolicy, Patience, RangeBody, Reply, Said, Scope, Small, ask_helper, netrc_hosts, parse_content_range,
};
pub use lease::{Attempt, Lease, LeaseError, Standing};
pub use places::{EnvironmentValues, Folders, FoldersError};
pub use runtime::{begin, block_on, block_on_server, run_bounded};
pub use staged::{Grain, Hashed, Staged, Staging};
