//! Pickle: a walk over its opcodes that executes nothing. Headers tell protocols 2 to 5; older ones are told by a program
//! that runs to its end and calls something.

use memchr::memmem;

use crate::formats::{Cursor, Source};

/// Most opcodes that are walked before a program without header counts as none.
const MAX_OPCODES: usize = 100_000;
/// Longest line argument.
const MAX_LINE: usize = 4_096;

/// A pickle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pickle {
    /// Whether its program runs to its end and calls something; else only its header tells.
    pub runs: bool,
    /// Whether joblib wrote it.
    pub joblib: bool,
    /// Names that it imports, as far as the walk came; at most 8.
    pub imports: Vec<String>,
}

/// Looks for a pickle at the beginning; what follows its end does not matter, because a loader does not look there either.
///
/// # Errors
/// The bytes can't be read.
pub fn pickle(source: Source<'_>) -> std::io::Result<Option<Pickle>> {
    let head = source.read(0, 4_096)?;
    let headed = matches!(head.as_slice(), [0x80, 0..=5, ..]);
    let mut walk = Walk { cursor: Cursor::new(source, 0), found: Pickle::default(), calls: false };
    let ended = walk.run()?;
    walk.found.runs = ended && walk.calls;
    walk.found.joblib = memmem::find(&head, b"joblib").is_some();
    Ok((headed || walk.found.runs).then_some(walk.found))
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    found: Pickle,
    calls: bool,
}

impl Walk<'_> {
    /// Whether the program runs to its STOP.
    fn run(&mut self) -> std::io::Result<bool> {
        for _ in 0..MAX_OPCODES {
            let Some(opcode) = self.cursor.byte()? else { return Ok(false) };
            if opcode == b'.' {
                return Ok(true);
            }
            if self.argument(opcode)?.is_none() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Passes an opcode's argument; `None` if there is no such opcode or the argument does not end.
    fn argument(&mut self, opcode: u8) -> std::io::Result<Option<()>> {
        let done = match opcode {
            b'('
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | b'Q'
            | b'a'
            | b'd'
            | b'}'
            | b'e'
            | b'l'
            | b']'
            | b's'
            | b't'
            | b')'
            | b'u'
            | 0x85..=0x89
            | 0x8f..=0x91
            | 0x94
            | 0x97
            | 0x98 => Some(()),
            b'R' | b'b' | b'o' | 0x81 | 0x92 | 0x93 => {
                self.calls = true;
                Some(())
            }
            b'c' | b'i' => {
                self.calls = true;
                return self.import();
            }
            b'F' | b'I' | b'L' | b'S' | b'V' | b'P' | b'g' | b'p' => return Ok(self.line()?.map(|_| ())),
            0x80 | b'K' | b'h' | b'q' | 0x82 => self.cursor.skip(1),
            b'M' | 0x83 => self.cursor.skip(2),
            b'J' | b'j' | b'r' | 0x84 => self.cursor.skip(4),
            b'G' | 0x95 => self.cursor.skip(8),
            b'U' | 0x8c | 0x8a | b'C' => {
                let length = self.cursor.byte()?;
                length.and_then(|length| self.cursor.skip(u64::from(length)))
            }
            b'T' | b'X' | b'B' | 0x8b => {
                let length = self.cursor.u32()?;
                length.and_then(|length| self.cursor.skip(u64::from(length)))
            }
            0x8d | 0x8e | 0x96 => {
                let length = self.cursor.u64()?;
                length.and_then(|length| self.cursor.skip(length))
            }
            _ => None,
        };
        Ok(done)
    }

    fn import(&mut self) -> std::io::Result<Option<()>> {
        let (Some(module), Some(name)) = (self.line()?, self.line()?) else { return Ok(None) };
        let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "._<>".contains(c));
        if !word(&module) || !word(&name) {
            return Ok(None);
        }
        if self.found.imports.len() < 8 {
            self.found.imports.push(format!("{module}.{name}").chars().take(80).collect());
        }
        Ok(Some(()))
    }

    fn line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = Vec::new();
        while line.len() < MAX_LINE {
            match self.cursor.byte()? {
                None => return Ok(None),
                Some(b'\n') => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
                Some(byte) => line.push(byte),
            }
        }
        Ok(None)
    }
}
