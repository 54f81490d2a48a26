//! The time before which a hub wants no request, for all threads of a run.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at a wish to stop.
const LOOK: Duration = Duration::from_millis(50);

/// A rate limit that was met.
#[derive(Debug, Default)]
pub struct Gate {
    until: Mutex<Option<Instant>>,
}

impl Gate {
    /// Waits until requests may go; `false` if somebody wished to stop meanwhile.
    pub fn pass(&self, stopped: &dyn Fn() -> bool) -> bool {
        loop {
            if stopped() {
                return false;
            }
            let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
            match until.and_then(|until| until.checked_duration_since(Instant::now())) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(LOOK)),
                _ => return true,
            }
        }
    }

    /// Lets nothing through for so long. Whether that is news: of many threads that meet one limit, one tells it.
    pub fn close(&self, wait: Duration) -> bool {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let closed = until.is_some_and(|until| until > now);
        let end = now + wait;
        if until.is_none_or(|until| until < end) {
            *until = Some(end);
        }
        !closed
    }
}
