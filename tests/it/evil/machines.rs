//! The machine that meets the enemy: an umask of nobody's care, a trust folder that others may write.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::{Knowing, MET, Site, Stranger};
use crate::support::project::Ran;

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_careless_umask_leaves_the_trust_folder_private() {
    let Some(site) = Site::of_a_stranger() else { return };
    site.evil.serve(MET);
    let project = &site.victims[&Stranger];
    let mpm = project.command(&["sync"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 000 && exec \"$@\"", "sh"]).arg(mpm.get_program()).args(mpm.get_args());
    shell.current_dir(project.folder()).env_clear().stdin(Stdio::null());
    shell.envs(mpm.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ran::of(&shell.output().unwrap()).expect(0);
    let mut folders = vec![project.home().join(".local/state/mpm/trust")];
    let mut met = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                met += 1;
            }
        }
    }
    assert!(met > 3);
}

#[test]
fn a_trust_folder_that_others_may_write_is_told() {
    let Some(site) = Site::new() else { return };
    let project = &site.victims[&Knowing];
    let trust = project.home().join(".local/state/mpm/trust");
    let inner = trust.join(site.evil.registry.root_sha256().hex());
    for (folder, mode, told) in
        [(&trust, 0o777, true), (&inner, 0o720, true), (&inner, 0o702, true), (&inner, 0o755, false)]
    {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        let ran = project.mpm(&["update"]).expect(0);
        let says = ran.stderr.contains("others may write in ") && ran.stderr.contains("registry acme");
        assert_eq!(says, told, "{mode:o}\n{}", ran.stderr);
        assert!(!told || ran.stderr.contains(folder.to_str().unwrap()), "{}", ran.stderr);
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert!(!project.mpm(&["update"]).expect(0).stderr.contains("others may write"));
}
