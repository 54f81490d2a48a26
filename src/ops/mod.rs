//! One file a verb: Request, Outcome, Error, run(). Puts stages in order; decides nothing that a stage could.

pub mod services;

pub use services::{Ask, Question, Services};
