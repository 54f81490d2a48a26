//! `mpm completions`: scripts for shells, and pages for `man`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::args::Cli;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::{CliError, Failed};
use crate::sys::files;

/// Print a script that completes commands and names in a shell, or write the pages for man
#[derive(Debug, Args)]
pub(in crate::cli) struct Completions {
    /// The shell
    #[arg(required_unless_present = "man")]
    shell: Option<Shell>,
    /// Write the pages for man into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "shell")]
    man: Option<PathBuf>,
}

/// Names for bash: what the static script offers stays, names of packages and keys come beside it.
const BASH: &str = r#"
_mpm_named() {
    _mpm "$@"
    local IFS=$'\n' word="${COMP_WORDS[COMP_CWORD]}"
    case $word in -*) return 0 ;; esac
    COMPREPLY+=($("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$word" 2>/dev/null))
}
complete -F _mpm_named -o nosort -o bashdefault -o default mpm
"#;

/// The same for zsh.
const ZSH: &str = r#"
_mpm_named() {
    local -a named
    named=(${(f)"$(mpm complete -- ${words[2,CURRENT]} 2>/dev/null)"})
    (( $#named )) && compadd -a named
    _mpm "$@"
}
compdef _mpm_named mpm
"#;

/// The same for fish.
const FISH: &str = r"
complete -c mpm -f -n 'not __fish_use_subcommand' -a '(mpm complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
";

impl Completions {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        if let Some(folder) = &self.man {
            let folder = context.settings.start.join(folder);
            let pages = man(&folder).map_err(|source| CliError::Pages { path: folder.clone(), source })?;
            context.printer.say(&format!("Wrote {pages} pages into {}", folder.display()));
            return Ok(Status::Done);
        }
        let Some(shell) = self.shell else { return Ok(Status::Done) };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "mpm", &mut script);
        script.extend_from_slice(match shell {
            Shell::Bash => BASH.as_bytes(),
            Shell::Zsh => ZSH.as_bytes(),
            Shell::Fish => FISH.as_bytes(),
            _ => b"",
        });
        // A reader that went away has read enough.
        let _ = std::io::stdout().lock().write_all(&script);
        Ok(Status::Done)
    }
}

/// Writes a page for each command, `mpm-store-gc.1` for `mpm store gc`; returns how many.
fn man(folder: &Path) -> std::io::Result<usize> {
    std::fs::create_dir_all(folder)?;
    let mut command = Cli::command();
    command.build();
    let mut open = vec![("mpm".to_owned(), command)];
    let mut pages = 0;
    while let Some((name, command)) = open.pop() {
        let below = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
        open.extend(below.map(|below| (format!("{name}-{}", below.get_name()), below.clone())));
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        files::write_atomic(&folder.join(format!("{name}.1")), &page)?;
        pages += 1;
    }
    Ok(pages)
}
