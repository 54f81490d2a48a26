//! Named fault points, compiled in under the feature `faults` alone: tests end a process between two steps.

/// Ends the process with SIGKILL, or fails with an I/O error, if the environment's `MPM_FAULT` names this point.
///
/// # Errors
/// The injected error.
#[cfg(not(feature = "faults"))]
#[inline]
pub fn point(_name: &'static str) -> std::io::Result<()> {
    Ok(())
}

/// See above.
///
/// # Errors
/// The injected error.
#[cfg(feature = "faults")]
pub fn point(_name: &'static str) -> std::io::Result<()> {
    todo!()
}
