//! Writing Model.lock.

use crate::lock::Lock;

pub(super) fn render(lock: &Lock) -> String {
    todo!()
}
