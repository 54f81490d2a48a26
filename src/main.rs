//! The binary `mpm`.

fn main() -> std::process::ExitCode {
    modelpm::cli::main()
}
