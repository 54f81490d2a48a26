//! The world as one value, built once a run.

use std::sync::Arc;

use crate::config::Config;
use crate::model::Timestamp;
use crate::progress::Progress;
use crate::sys::{Cancel, Folders, HttpClient};

/// Built in `cli` and in tests. Stages never take it: they take the piece that they need.
pub struct Services {
    /// The time, read once.
    pub now: Timestamp,
    /// Where things are.
    pub folders: Folders,
    /// User over site configuration.
    pub config: Config,
    /// The client; offline is its property.
    pub http: HttpClient,
    /// Takes events.
    pub progress: Arc<dyn Progress>,
    /// Answers questions.
    pub ask: Arc<dyn Ask>,
    /// The wish to stop.
    pub cancel: Cancel,
}

/// A question that only a person, or a flag, can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// Which of these? Labels to show.
    Which {
        /// The question.
        text: String,
        /// The labels.
        labels: Vec<String>,
    },
    /// Yes or no?
    Confirm {
        /// The question.
        text: String,
    },
}

/// Answers questions; `None` where nobody can.
pub trait Ask: Send + Sync {
    /// The index of the label (0: yes, 1: no for `Confirm`), or `None`.
    fn ask(&self, question: &Question) -> Option<usize>;
}

/// Answers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Ask for Nobody {
    fn ask(&self, _: &Question) -> Option<usize> {
        None
    }
}
