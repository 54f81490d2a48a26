//! The JSON shapes of statements.

use crate::diagnose::{Class, Code, Diagnose};
use crate::statement::Statement;

/// Largest statement, in bytes.
pub const MAX_STATEMENT: u64 = 1 << 20;
/// Most files that stand inline.
pub const MAX_INLINE_FILES: usize = 1_000;
/// Largest file list, in bytes.
pub const MAX_LIST: u64 = 64 << 20;

/// Why bytes are not a statement or file list.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for StatementError {
    fn code(&self) -> Code {
        Code("E0201")
    }
    fn class(&self) -> Class {
        Class::Trust
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Statement, StatementError> {
    todo!()
}

pub(super) fn render(statement: &Statement) -> Vec<u8> {
    todo!()
}
