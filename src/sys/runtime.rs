//! The one async runtime.

use std::future::Future;

/// Runs a future to its end on the process's runtime. Never from inside another runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    todo!()
}

/// Runs at most `limit` of the futures at a time; results in the order of the jobs.
pub async fn run_bounded<F: Future>(limit: usize, jobs: Vec<F>) -> Vec<F::Output> {
    todo!()
}
