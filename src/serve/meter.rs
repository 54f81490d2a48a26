//! What a server counts, in the text form of Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Counters of a server.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Answers by the first digit of their status.
    answers: [AtomicU64; 6],
    sent: AtomicU64,
    connections: AtomicI64,
    accepted: AtomicU64,
    turned_away: AtomicU64,
    slow: AtomicU64,
    too_many: AtomicU64,
    hashed: AtomicU64,
    corrupt: AtomicU64,
    scrubbed: AtomicU64,
    fills: AtomicU64,
    filled: AtomicU64,
    unfilled: AtomicU64,
    lines_lost: AtomicU64,
}

/// One more.
fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Meter {
    pub(super) fn answered(&self, status: u16) {
        if let Some(counter) = self.answers.get(usize::from(status / 100)) {
            add(counter, 1);
        }
    }
    pub(super) fn sent(&self, bytes: u64) {
        add(&self.sent, bytes);
    }
    pub(super) fn connected(&self) {
        add(&self.accepted, 1);
        self.connections.fetch_add(1, Ordering::Relaxed);
    }
    pub(super) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
    pub(super) fn turned_away(&self) {
        add(&self.turned_away, 1);
    }
    pub(super) fn slow(&self) {
        add(&self.slow, 1);
    }
    pub(super) fn too_many(&self) {
        add(&self.too_many, 1);
    }
    pub(super) fn hashed(&self, bytes: u64) {
        add(&self.hashed, bytes);
    }
    pub(super) fn corrupt(&self) {
        add(&self.corrupt, 1);
    }
    pub(super) fn scrubbed(&self, at: u64) {
        self.scrubbed.store(at, Ordering::Relaxed);
    }
    pub(super) fn filled(&self, bytes: u64) {
        add(&self.fills, 1);
        add(&self.filled, bytes);
    }
    pub(super) fn unfilled(&self) {
        add(&self.unfilled, 1);
    }
    pub(super) fn line_lost(&self) {
        add(&self.lines_lost, 1);
    }

    /// The counters as Prometheus reads them.
    pub(super) fn render(&self, corrupt_now: usize) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, values: &[(String, String)]| {
            let _ = write!(text, "# HELP mpm_serve_{name} {help}\n# TYPE mpm_serve_{name} {kind}\n");
            for (labels, value) in values {
                let _ = writeln!(text, "mpm_serve_{name}{labels} {value}");
            }
        };
        let plain = |counter: &AtomicU64| vec![(String::new(), counter.load(Ordering::Relaxed).to_string())];
        let answers: Vec<_> = (1_u8..)
            .zip(self.answers.iter().skip(1))
            .map(|(class, counter)| (format!("{{class=\"{class}xx\"}}"), counter.load(Ordering::Relaxed).to_string()))
            .collect();
        family("answers_total", "counter", "Answers, by class of their status.", &answers);
        family("sent_bytes_total", "counter", "Bytes of bodies that were sent.", &plain(&self.sent));
        let open = vec![(String::new(), self.connections.load(Ordering::Relaxed).max(0).to_string())];
        family("connections", "gauge", "Connections that are open.", &open);
        family("connections_total", "counter", "Connections that were taken.", &plain(&self.accepted));
        family("turned_away_total", "counter", "Connections beyond the limits.", &plain(&self.turned_away));
        family(
            "slow_total",
            "counter",
            "Connections that were ended because the client was too slow.",
            &plain(&self.slow),
        );
        family("too_many_requests_total", "counter", "Requests beyond an address's rate.", &plain(&self.too_many));
        family("hashed_bytes_total", "counter", "Bytes that were hashed to verify blobs.", &plain(&self.hashed));
        family("corrupt_total", "counter", "Blobs that were found wrong.", &plain(&self.corrupt));
        let now = vec![(String::new(), corrupt_now.to_string())];
        family("corrupt", "gauge", "Blobs that are wrong now and not served.", &now);
        family(
            "scrubbed_timestamp_seconds",
            "gauge",
            "When the last scrub ended; 0: none did.",
            &plain(&self.scrubbed),
        );
        family("pulled_total", "counter", "Blobs that were pulled through.", &plain(&self.fills));
        family("pulled_bytes_total", "counter", "Bytes of these.", &plain(&self.filled));
        family("pull_failures_total", "counter", "Blobs that could not be pulled through.", &plain(&self.unfilled));
        family("log_lines_lost_total", "counter", "Lines of the access log that were lost.", &plain(&self.lines_lost));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Meter;

    #[test]
    fn every_family_has_its_lines_in_the_form_of_prometheus() {
        let meter = Meter::default();
        meter.answered(206);
        meter.sent(7);
        let text = meter.render(1);
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["#", "HELP", name, ..] => assert!(name.starts_with("mpm_serve_"), "{line}"),
                ["#", "TYPE", _, kind] => assert!(matches!(*kind, "counter" | "gauge"), "{line}"),
                [name, value] => {
                    assert!(name.starts_with("mpm_serve_") && value.parse::<u64>().is_ok(), "{line}");
                }
                _ => panic!("{line}"),
            }
        }
        assert!(text.contains("mpm_serve_answers_total{class=\"2xx\"} 1") && text.contains("mpm_serve_corrupt 1"));
        assert!(text.contains("mpm_serve_sent_bytes_total 7"));
    }
}
