//! Events of long work on the terminal: bars where there is one, a line for each large file where there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::args::{Color, Global};
use crate::cli::printer::{CYAN, YELLOW, paint, visible};
use crate::cli::{json, text};
use crate::progress::{Doing, Event, Notice, Progress, Task};

/// Most rows below the total.
const ROWS: usize = 6;
/// Without a terminal, files of fewer bytes get no line.
const WORTH_A_LINE: u64 = 16 << 20;

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// As bars.
    Bars,
    /// A line for each large file.
    Lines,
    /// Only notices.
    Notices,
    /// Notices as JSON.
    Json,
}

/// Shows events.
pub(super) struct Bars {
    shown: Shown,
    quiet: bool,
    colour: bool,
    multi: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Task, Row>,
    total: Option<ProgressBar>,
    /// Bytes in the total of tasks that have not begun.
    needed: u64,
    /// Notices that were shown: each is told once.
    told: BTreeSet<(&'static str, String)>,
}

struct Row {
    doing: Doing,
    what: String,
    bytes: Option<u64>,
    bar: Option<ProgressBar>,
}

impl Bars {
    pub(super) fn new(global: &Global) -> Self {
        let shown = match (global.json, global.quiet) {
            (true, _) => Shown::Json,
            (_, true) => Shown::Notices,
            _ if io::stderr().is_terminal() && !global.no_progress => Shown::Bars,
            _ => Shown::Lines,
        };
        let target = if shown == Shown::Bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            shown,
            quiet: global.quiet,
            colour: global.color != Color::Never,
            multi: MultiProgress::with_draw_target(target),
            state: Mutex::default(),
        }
    }

    /// Takes every bar away; words follow.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for row in std::mem::take(&mut state.rows).into_values() {
            if let Some(bar) = row.bar {
                bar.finish_and_clear();
            }
        }
        if let Some(total) = state.total.take() {
            total.finish_and_clear();
        }
    }

    /// Does something with the terminal while no bar is drawn.
    pub(super) fn aside<R>(&self, does: impl FnOnce() -> R) -> R {
        self.multi.suspend(does)
    }

    fn line(&self, line: &str) {
        // Nobody is left to be told that stderr is gone.
        self.aside(|| {
            let _ = writeln!(anstream::stderr().lock(), "{line}");
        });
    }

    fn notice(&self, notice: &Notice) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.told.insert((notice.code, notice.text.clone())) {
            return;
        }
        drop(state);
        match self.shown {
            Shown::Json => self.line(&json::notice(notice).to_string()),
            _ if notice.warning => self.line(&format!("{}: {}", paint(YELLOW, "warning"), visible(&notice.text))),
            _ if self.quiet => {}
            _ => self.line(&format!("{}: {}", paint(CYAN, "note"), visible(&notice.text))),
        }
    }

    fn started(&self, task: Task, doing: Doing, what: &str, bytes: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let what = visible(what);
        let mut bar = None;
        if self.shown == Shown::Bars {
            if doing == Doing::Fetch {
                let bytes = bytes.unwrap_or(0);
                let known = bytes.min(state.needed);
                state.needed -= known;
                self.total(&mut state).inc_length(bytes - known);
            }
            if state.rows.values().filter(|row| row.bar.is_some()).count() < ROWS {
                bar = Some(self.row(doing, &what, bytes));
            }
        }
        state.rows.insert(task, Row { doing, what, bytes, bar });
    }

    fn needed(&self, bytes: u64) {
        if self.shown == Shown::Bars && bytes > 0 {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.needed = state.needed.saturating_add(bytes);
            self.total(&mut state).inc_length(bytes);
        }
    }

    fn total<'s>(&self, state: &'s mut State) -> &'s ProgressBar {
        state.total.get_or_insert_with(|| {
            let total = ProgressBar::new(0).with_style(self.style(Sort::Total)).with_message("total");
            self.multi.add(total)
        })
    }

    fn row(&self, doing: Doing, what: &str, bytes: Option<u64>) -> ProgressBar {
        let bar = match bytes {
            Some(bytes) => ProgressBar::new(bytes).with_style(self.style(Sort::Bytes)),
            None => ProgressBar::new_spinner().with_style(self.style(Sort::Spinner)),
        };
        let bar = self.multi.add(bar.with_message(format!("{} {what}", word(doing))));
        if bytes.is_none() {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        bar
    }

    fn advanced(&self, task: Task, bytes: u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = state.rows.get(&task) else { return };
        if let Some(bar) = &row.bar {
            bar.inc(bytes);
        }
        if let (Doing::Fetch, Some(total)) = (row.doing, &state.total) {
            total.inc(bytes);
        }
    }

    fn kept(&self, task: Task, bytes: u64) {
        self.advanced(task, bytes);
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let row = state.rows.get(&task).and_then(|row| row.bar.as_ref());
        for bar in row.into_iter().chain(&state.total) {
            // Speed and time left are those of what comes from now on.
            bar.reset_eta();
        }
    }

    fn finished(&self, task: Task, ok: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = state.rows.remove(&task) else { return };
        drop(state);
        if let Some(bar) = row.bar {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
        if let (Shown::Lines, Doing::Fetch, true, Some(bytes)) = (self.shown, row.doing, ok, row.bytes)
            && bytes >= WORTH_A_LINE
        {
            self.line(&format!("fetched {} ({})", row.what, text::bytes(bytes)));
        }
    }

    fn style(&self, sort: Sort) -> ProgressStyle {
        let bar = if self.colour { "{bar:16.cyan/dim}" } else { "{bar:16}" };
        // The name comes last and is cut where the terminal ends: no row ever takes two lines.
        let done = format!("{bar} {{binary_bytes:>11}} of {{binary_total_bytes:11}}");
        let (template, fallback) = match sort {
            Sort::Total => (
                format!("{done} {{binary_bytes_per_sec:>13}} {{eta:>4}} left  {{wide_msg}}"),
                ProgressStyle::default_bar(),
            ),
            Sort::Bytes => (format!("{done} {{wide_msg}}"), ProgressStyle::default_bar()),
            Sort::Spinner => ("{spinner} {wide_msg}".to_owned(), ProgressStyle::default_spinner()),
        };
        ProgressStyle::with_template(&template).unwrap_or(fallback)
    }
}

/// Sorts of bars.
#[derive(Debug, Clone, Copy)]
enum Sort {
    Total,
    Bytes,
    Spinner,
}

fn word(doing: Doing) -> &'static str {
    match doing {
        Doing::Index => "reading",
        Doing::Resolve => "resolving",
        Doing::Fetch => "fetching",
        Doing::Hash => "hashing",
        Doing::Install => "placing",
    }
}

impl Progress for Bars {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Started { task, doing, what, bytes } => self.started(*task, *doing, what, *bytes),
            Event::Needed { bytes } => self.needed(*bytes),
            Event::Advanced { task, bytes } => self.advanced(*task, *bytes),
            Event::Kept { task, bytes } => self.kept(*task, *bytes),
            Event::Finished { task, ok } => self.finished(*task, *ok),
            Event::Notice(notice) => self.notice(notice),
        }
    }
}
