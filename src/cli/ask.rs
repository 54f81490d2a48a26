//! Questions to a person at a terminal. Where there is none, nobody answers, and the command says which flag would have.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;

use crate::cli::bars::Bars;
use crate::cli::env::Environment;
use crate::cli::printer::{BOLD, paint, visible};
use crate::ops::{Ask, Question};

/// How often a question is put again after an answer that is none.
const TRIES: u32 = 3;

/// Asks at the terminal.
pub(super) struct Terminal {
    bars: Arc<Bars>,
}

impl Terminal {
    pub(super) fn new(bars: Arc<Bars>) -> Self {
        Self { bars }
    }
}

impl Ask for Terminal {
    fn ask(&self, question: &Question) -> Option<usize> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return None;
        }
        self.bars.aside(|| (0..TRIES).find_map(|_| put(question)))
    }
}

fn put(question: &Question) -> Option<usize> {
    let mut err = anstream::stderr().lock();
    let prompt = match question {
        Question::Which { text, labels } => {
            writeln!(err, "{}", paint(BOLD, visible(text))).ok()?;
            for (number, label) in labels.iter().enumerate() {
                writeln!(err, "  {}) {}", number + 1, visible(label)).ok()?;
            }
            format!("number from 1 to {}: ", labels.len())
        }
        Question::Confirm { text } => format!("{} [y/N] ", paint(BOLD, visible(text))),
    };
    write!(err, "{prompt}").ok()?;
    err.flush().ok()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).ok()?;
    answer(question, &line)
}

/// What a line means; none: nothing.
fn answer(question: &Question, line: &str) -> Option<usize> {
    let line = line.trim();
    match question {
        Question::Which { labels, .. } => {
            let number: usize = line.parse().ok()?;
            number.checked_sub(1).filter(|index| *index < labels.len())
        }
        Question::Confirm { .. } if matches!(line, "y" | "Y" | "yes") => Some(0),
        Question::Confirm { .. } if matches!(line, "" | "n" | "N" | "no") => Some(1),
        Question::Confirm { .. } => None,
    }
}

/// Answers questions for passwords: from the environment, else at the terminal, unseen; `None` where there is neither.
pub(super) fn password(environment: &Environment) -> impl Fn(&str) -> Option<String> {
    let given = environment.key_password.clone();
    move |what| match &given {
        Some(password) => Some(password.expose().to_owned()),
        None if std::io::stdin().is_terminal() => rpassword::prompt_password(format!("{what}: ")).ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::answer;
    use crate::ops::Question;

    #[test]
    fn answers_are_read_strictly() {
        let which = Question::Which { text: String::new(), labels: vec!["a".to_owned(), "b".to_owned()] };
        let confirm = Question::Confirm { text: String::new() };
        for (question, line, expected) in [
            (&which, "1\n", Some(0)),
            (&which, " 2 ", Some(1)),
            (&which, "0", None),
            (&which, "3", None),
            (&which, "", None),
            (&confirm, "y\n", Some(0)),
            (&confirm, "\n", Some(1)),
            (&confirm, "no", Some(1)),
            (&confirm, "maybe", None),
        ] {
            assert_eq!(answer(question, line), expected, "{line:?}");
        }
    }
}
