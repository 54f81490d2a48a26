//! How fast bodies may come, over all connections of a client.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may come at once after a silence, in seconds' worth.
const BURST: Duration = Duration::from_millis(200);

/// A rate that all bodies share.
#[derive(Debug)]
pub(super) struct Limit {
    rate: u64,
    /// When what came so far may have come.
    due: Mutex<Option<Instant>>,
}

impl Limit {
    /// So many bytes a second, at least one.
    pub(super) fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), due: Mutex::new(None) }
    }

    /// Waits until so many bytes more may have come.
    pub(super) async fn pay(&self, bytes: u64) {
        tokio::time::sleep_until(self.due(bytes, Instant::now())).await;
    }

    fn due(&self, bytes: u64, now: Instant) -> Instant {
        let micros = u128::from(bytes).saturating_mul(1_000_000) / u128::from(self.rate);
        let cost = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let next = due.map_or(earliest, |due| due.max(earliest)) + cost;
        *due = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Limit;

    #[test]
    fn a_rate_holds_over_all_who_pay() {
        let limit = Limit::new(1000);
        let now = Instant::now();
        let mut due = now;
        for _ in 0..10 {
            due = limit.due(500, now);
        }
        assert_eq!(due.duration_since(now), Duration::from_millis(4800));
        let later = now + Duration::from_mins(1);
        assert_eq!(limit.due(1000, later).duration_since(later), Duration::from_millis(800), "silence is not saved up");
    }
}
