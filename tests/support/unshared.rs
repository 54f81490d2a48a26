//! `mpm` with no network at all.

use std::path::Path;
use std::process::Command;

use super::peers;
use super::project::Project;

/// Runs `mpm` with the network taken from it, and looks that it opens no socket of the internet; `false` where that can't be done
/// here.
#[track_caller]
pub fn runs_without_sockets(site: &Project, arguments: &[&str], trace: &Path) -> bool {
    let (Some(unshare), Some(strace)) = (peers::peer("unshare"), peers::peer("strace")) else { return false };
    let command = site.command(arguments);
    let mut outer = Command::new(unshare);
    outer.args(["-n", "--"]).arg(strace).args(["-f", "-e", "trace=socket", "-o"]).arg(trace);
    outer.arg(command.get_program()).args(command.get_args()).current_dir(site.folder()).env_clear();
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = outer.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("unshare failed") || said.contains("PTRACE_TRACEME") {
        peers::skip("the right to take the network from a process");
        return false;
    }
    assert!(output.status.success(), "{arguments:?}: {said}");
    let sockets = std::fs::read_to_string(trace).unwrap();
    let inet: Vec<&str> = sockets.lines().filter(|line| line.contains("AF_INET")).collect();
    assert!(inet.is_empty(), "{arguments:?}: {inet:?}");
    true
}
