//! Errors on the terminal: code, message, causes, hints; the same as JSON. The exit code follows from the class alone.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::printer::{BOLD, CYAN, Printer, RED, paint, visible};
use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::sys::FoldersError;

/// Why a command ended early, whatever it was.
pub(super) struct Failed(pub(super) Box<dyn Diagnose>);

impl<E: Diagnose + 'static> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

/// What goes wrong before or beside a command.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The arguments; only shown as JSON, since clap shows its own text.
    #[error("{message}")]
    Usage {
        /// What clap says.
        message: String,
    },
    /// The folders of this machine.
    #[error("the folders of mpm can't be told")]
    Folders {
        /// Why.
        source: FoldersError,
    },
    /// A configuration file.
    #[error("the configuration file {} can't be read", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The working folder is gone.
    #[error("the working folder can't be told: it may have been removed")]
    NoWorkingFolder,
    /// A variable that says something else than it may.
    #[error("{name} must be {expected}, found {found:?}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Pages for man that can't be written.
    #[error("pages can't be written into {}", path.display())]
    Pages {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The command of `mpm run` can't be started.
    #[error("can't start {command:?}")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Diagnose for CliError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Usage { .. } => "E0991",
            Self::Folders { .. } => "E0992",
            Self::Config { .. } => "E0993",
            Self::NoWorkingFolder => "E0994",
            Self::Variable { .. } => "E0995",
            Self::Start { .. } => "E0996",
            Self::Pages { .. } => "E0997",
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Usage { .. } | Self::Variable { .. } => Class::Usage,
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Usage { .. } | Self::Variable { .. } => vec![Hint::Run("mpm help".to_owned())],
            Self::Folders { .. } => vec![Hint::Note("set HOME to an absolute path".to_owned())],
            Self::NoWorkingFolder => vec![Hint::Note("pass -C with an absolute folder".to_owned())],
            Self::Start { .. } => vec![Hint::Note("mpm looks for it in PATH, or takes a path with a slash".to_owned())],
            Self::Config { .. } | Self::Pages { .. } => vec![Hint::Note("nothing was changed".to_owned())],
        }
    }
}

/// Shows an error; `-q` does not hide it.
pub(super) fn show(error: &dyn Diagnose, printer: &mut Printer) {
    if printer.is_json() {
        show_json(error, &mut std::io::stderr().lock());
        return;
    }
    let label = format!("error[{}]", error.code());
    printer.always(&format!("{}: {}", paint(RED, label), paint(BOLD, visible(&error.to_string()))));
    for cause in causes(error) {
        printer.always(&format!("  caused by: {}", visible(&cause)));
    }
    for line in error.details() {
        printer.always(&format!("  {}", visible(&line)));
    }
    let hints = error.hints();
    if !hints.is_empty() {
        printer.always("");
    }
    for hint in hints {
        printer.always(&hint_text(&hint));
    }
}

/// The same as one line of JSON.
pub(super) fn show_json(error: &dyn Diagnose, out: &mut dyn Write) {
    let hints: Vec<serde_json::Value> = error
        .hints()
        .iter()
        .map(|hint| match hint {
            Hint::Run(command) => serde_json::json!({ "run": command }),
            Hint::Note(text) => serde_json::json!({ "note": text }),
            Hint::Add { file, lines } => serde_json::json!({ "add": { "file": file, "lines": lines } }),
        })
        .collect();
    let document = serde_json::json!({
        "schema": "mpm.error/1",
        "error": {
            "code": error.code().to_string(),
            "class": error.class().as_str(),
            "message": error.to_string(),
            "causes": causes(error),
            "details": error.details(),
            "hints": hints,
        },
    });
    // Nobody is left to be told that stderr is gone.
    let _ = writeln!(out, "{document}");
}

/// The chain of causes, without what the message above already says.
fn causes(error: &dyn Diagnose) -> Vec<String> {
    let mut said = error.to_string();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            causes.push(text.clone());
        }
        said = text;
        next = cause.source();
    }
    causes
}

fn hint_text(hint: &Hint) -> String {
    let label = paint(CYAN, "hint");
    match hint {
        Hint::Run(command) => format!("{label}: run {}", paint(CYAN, format!("`{}`", visible(command)))),
        Hint::Note(text) => format!("{label}: {}", visible(text).replace('\n', "\n      ")),
        Hint::Add { file, lines } => {
            let lines: Vec<String> = visible(lines).lines().map(|line| format!("    {line}")).collect();
            format!("{label}: add to {file}:\n{}", lines.join("\n"))
        }
    }
}
