//! The one async runtime, made when it is first needed and never before.
//!
//! Refuses to know what runs on it. Public faces of the library are synchronous: async stays inside the rooms that move
//! bytes.

use std::future::Future;
use std::sync::OnceLock;

use futures_util::StreamExt as _;

static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();

/// Threads of the runtime: sockets need few, hashing and file writes have blocking threads of their own.
const THREADS: usize = 2;

/// Threads of a server that may wait for disks and for others.
const WAITING: usize = 64;

/// Runs a future to its end on the process's runtime. Never from inside another runtime.
///
/// # Panics
/// The machine can't start a thread, or the caller is inside a runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

/// Begins a future on the process's runtime; its answer can be waited for, or left.
///
/// # Panics
/// The machine can't start a thread.
pub fn begin<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    runtime().spawn(future)
}

/// Runs a server's future to its end, on a runtime of its own with a thread a core: nothing that the server waits for can use up
/// the threads on which the rest of the process moves bytes. When it ends, what still runs there is given up.
///
/// # Errors
/// The machine can't start the threads.
pub fn block_on_server<F: Future>(future: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("mpm-serve")
        .max_blocking_threads(WAITING)
        .enable_all()
        .build()?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(result)
}

/// Runs at most `limit` of the futures at a time; results in the order of the jobs.
pub fn run_bounded<F: Future>(limit: usize, jobs: Vec<F>) -> impl Future<Output = Vec<F::Output>> {
    futures_util::stream::iter(jobs).buffered(limit.max(1)).collect()
}

#[expect(clippy::expect_used, reason = "a machine that can't start two threads can't run this program")]
fn runtime() -> &'static tokio::runtime::Runtime {
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("mpm-io")
            .enable_all()
            .build()
            .expect("threads for the runtime can be started")
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{block_on, run_bounded};

    #[test]
    fn jobs_are_bounded_and_answers_keep_their_order() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let jobs: Vec<_> = (0..20)
            .map(|number| {
                let (running, most) = (&running, &most);
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    number
                }
            })
            .collect();
        assert_eq!(block_on(run_bounded(4, jobs)), (0..20).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= 4);
    }
}
