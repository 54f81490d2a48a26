//! A credential helper: a program of the user's that keeps tokens (docs/formats/credentials.md).
//!
//! One process a question, a line of JSON each way, bounded in time and in bytes. Its words are never shown with a token
//! in them. Refuses to know who may name it: only user and site configuration can.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::config::Secret;
use crate::config::parse_token;

/// Type of a question.
const ASKS: &str = "mpm.credential-request/1";
/// Type of an answer.
const ANSWERS: &str = "mpm.credential/1";
/// Most bytes of an answer.
const MAX_ANSWER: u64 = 64 << 10;
/// What is said of more.
const TOO_LARGE: &str = "it is larger than 64 KiB";
/// How long a helper may take; a person may have to touch a key.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at a process.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest word of a helper that is shown, in characters.
const MAX_WORD: usize = 200;

/// What a helper is asked.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// The token of a host.
    Get,
    /// Keep this token.
    Store(&'a Secret),
    /// Forget the token.
    Erase,
}

/// Why a helper gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It can't be started.
    #[error("it can't be started")]
    Start {
        /// Why.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("it did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// It ended with a code.
    #[error("it ended with {0}")]
    Failed(std::process::ExitStatus),
    /// What it wrote is no answer.
    #[error("what it wrote is no answer: {0}")]
    Answer(&'static str),
    /// It says that it can't.
    #[error("it says: {0:?}")]
    Says(String),
}

/// Asks a helper; `None`: it has no token for the host.
///
/// # Errors
/// It can't be started, takes too long, fails, or writes what is no answer.
pub fn ask(helper: &[String], host: &str, action: Action<'_>) -> Result<Option<Secret>, HelperError> {
    ask_within(helper, host, action, PATIENCE)
}

fn ask_within(
    helper: &[String],
    host: &str,
    action: Action<'_>,
    patience: Duration,
) -> Result<Option<Secret>, HelperError> {
    let start = |source| HelperError::Start { source };
    let (program, arguments) = helper.split_first().ok_or_else(|| start(std::io::ErrorKind::NotFound.into()))?;
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(start)?;
    let question = question(host, action);
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    // Threads, since either pipe may fill while the other is waited for; the end of the process ends both.
    let asked = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(question.as_bytes())));
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map(|stdout| stdout.take(MAX_ANSWER + 1).read_to_end(&mut bytes));
        // Nobody listens any more where patience ended.
        let _ = sender.send(read.is_some_and(|read| read.is_ok()).then_some(bytes));
    });
    let begin = Instant::now();
    let answer = receiver.recv_timeout(patience).ok().flatten();
    let status = wait(&mut child, begin, patience)?;
    let _ = asked.join();
    // Told first: a program whose words are no longer read ends by that.
    if answer.as_ref().is_some_and(|bytes| bytes.len() as u64 > MAX_ANSWER) {
        return Err(HelperError::Answer(TOO_LARGE));
    }
    if !status.success() {
        return Err(HelperError::Failed(status));
    }
    answer.ok_or(HelperError::Answer("it can't be read")).and_then(|bytes| parse(&bytes, action))
}

fn question(host: &str, action: Action<'_>) -> String {
    let mut document = json!({ "type": ASKS, "host": host });
    let (word, token) = match action {
        Action::Get => ("get", None),
        Action::Store(token) => ("store", Some(token.expose())),
        Action::Erase => ("erase", None),
    };
    document["action"] = word.into();
    if let Some(token) = token {
        document["token"] = token.into();
    }
    format!("{document}\n")
}

fn wait(child: &mut Child, begin: Instant, patience: Duration) -> Result<std::process::ExitStatus, HelperError> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if begin.elapsed() < patience => std::thread::sleep(PAUSE),
            _ => {
                // It may have ended this very moment.
                let _ = child.kill();
                let _ = child.wait();
                return Err(HelperError::Slow(patience));
            }
        }
    }
}

fn parse(bytes: &[u8], action: Action<'_>) -> Result<Option<Secret>, HelperError> {
    let document: Value =
        serde_json::from_slice(bytes).map_err(|_| HelperError::Answer("it is not one JSON document"))?;
    if document["type"] != ANSWERS {
        return Err(HelperError::Answer("its type is not mpm.credential/1"));
    }
    if let Some(said) = document.get("error").and_then(Value::as_str) {
        return Err(HelperError::Says(spoken(said, action)));
    }
    match document.get("token") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            parse_token(text).map(Some).ok_or(HelperError::Answer("its token is not printable ASCII without spaces"))
        }
        Some(_) => Err(HelperError::Answer("its token is no text")),
    }
}

/// A helper's own words, without the token that it was given, and cut.
fn spoken(said: &str, action: Action<'_>) -> String {
    let said = match action {
        Action::Store(token) => said.replace(token.expose(), "…"),
        Action::Get | Action::Erase => said.to_owned(),
    };
    said.chars().take(MAX_WORD).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Action, HelperError, ask_within};
    use crate::config::Secret;

    fn ask(script: &str, action: Action<'_>) -> Result<Option<Secret>, HelperError> {
        let helper = ["/bin/sh", "-c", script].map(str::to_owned);
        ask_within(&helper, "a.example", action, Duration::from_secs(10))
    }

    #[test]
    fn answers_are_read_strictly() {
        let token = |text: &str| format!("printf '%s' '{text}'");
        let good = ask(&token("{\"type\":\"mpm.credential/1\",\"token\":\"t0ken\"}"), Action::Get).expect("an answer");
        assert_eq!(good.map(|token| token.expose().to_owned()).as_deref(), Some("t0ken"));
        assert!(ask(&token("{\"type\":\"mpm.credential/1\",\"token\":null}"), Action::Get).expect("none").is_none());
        for (script, part) in [
            ("exit 3", "exit status: 3"),
            ("true", "not one JSON document"),
            ("echo '{}'", "its type"),
            ("echo '{\"type\":\"mpm.credential/2\",\"token\":\"t\"}'", "its type"),
            ("echo '{\"type\":\"mpm.credential/1\",\"token\":\"a b\"}'", "printable"),
            ("echo '{\"type\":\"mpm.credential/1\",\"token\":7}'", "no text"),
            ("yes | head -c 100000", "64 KiB"),
            ("echo '{\"type\":\"mpm.credential/1\",\"error\":\"locked\"}'", "locked"),
        ] {
            let error = ask(script, Action::Get).expect_err(script).to_string();
            assert!(error.contains(part), "{script}: {error}");
        }
        let missing = ask_within(&["/nonexistent".to_owned()], "a", Action::Get, Duration::from_secs(1));
        assert!(matches!(missing, Err(HelperError::Start { .. })));
    }

    #[test]
    fn a_token_is_handed_over_and_never_comes_back_in_words() {
        let secret = Secret::new("s3cret".to_owned());
        let script = "read line; case $line in *'\"action\":\"store\"'*s3cret*) \
                      echo '{\"type\":\"mpm.credential/1\",\"error\":\"no room for s3cret\"}';; esac";
        let error = ask(script, Action::Store(&secret)).expect_err("refused");
        assert!(error.to_string().contains("no room for …"), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }

    #[test]
    fn a_helper_that_does_not_end_is_ended() {
        let begin = Instant::now();
        let helper = ["/bin/sh", "-c", "exec sleep 100"].map(str::to_owned);
        let slow = ask_within(&helper, "a", Action::Get, Duration::from_millis(100));
        assert!(matches!(slow, Err(HelperError::Slow(_))) && begin.elapsed() < Duration::from_secs(20));
    }
}
