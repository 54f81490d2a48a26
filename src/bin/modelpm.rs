//! The binary `modelpm`: the same as `mpm`, because other tools are called mpm.

fn main() -> std::process::ExitCode {
    modelpm::cli::main()
}
