//! The only room that knows a terminal: arguments, text, JSON, bars, errors to exit codes. Decides nothing.

/// Runs the command line; returns the exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
