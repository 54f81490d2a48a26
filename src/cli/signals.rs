//! Ctrl-c and its kind: the first sets the wish to stop, the second ends the process.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::sys::Cancel;

/// The signal that came first; 0: none did.
static RECEIVED: AtomicU8 = AtomicU8::new(0);

/// Signals that ask for an end: hang-up, interrupt, terminate.
const ASKING: [u8; 3] = [1, 2, 15];

/// The signal that asked this process to stop, if one did.
pub(super) fn received() -> Option<u8> {
    Some(RECEIVED.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}

/// Listens from now on. For commands that work long: others die of the signal at once, which is what it asks for.
pub(super) fn listen(cancel: &Cancel) {
    let cancel = cancel.clone();
    // Where no thread can be had, signals do what they always do.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(wait(&cancel));
    });
}

async fn wait(cancel: &Cancel) {
    let [hang_up, interrupt, terminate] = ASKING.map(|number| signal(SignalKind::from_raw(i32::from(number))));
    let (Ok(mut hang_up), Ok(mut interrupt), Ok(mut terminate)) = (hang_up, interrupt, terminate) else { return };
    loop {
        let number = tokio::select! {
            _ = hang_up.recv() => ASKING[0],
            _ = interrupt.recv() => ASKING[1],
            _ = terminate.recv() => ASKING[2],
        };
        if cancel.is_cancelled() {
            end(number);
        }
        RECEIVED.store(number, Ordering::Relaxed);
        cancel.cancel();
    }
}

#[expect(clippy::disallowed_methods, reason = "the second ctrl-c means: now")]
fn end(signal: u8) -> ! {
    std::process::exit(128 + i32::from(signal));
}
