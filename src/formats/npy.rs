//! npy: one plain array. An array of objects is a pickle.

use crate::formats::{Shape, Source};

/// Largest header.
const MAX_HEADER: usize = 1 << 20;

/// What an array holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Npy {
    /// Numbers or strings of fixed width.
    Plain,
    /// Python objects: a pickle.
    Objects,
}

/// Reads the header of an npy file.
///
/// # Errors
/// The bytes can't be read.
pub fn npy(source: Source<'_>) -> std::io::Result<Shape<Npy>> {
    let head = source.read(0, 12)?;
    if !head.starts_with(b"\x93NUMPY") {
        return Ok(Shape::Other);
    }
    let (length, start) = match head.as_slice() {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 10_u64),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d] => {
            (usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX), 12)
        }
        _ => return Ok(Shape::Broken("a version that is not known".to_owned())),
    };
    if length > MAX_HEADER {
        return Ok(Shape::Broken(format!("a header of {length} bytes where at most {MAX_HEADER} are allowed")));
    }
    let header = source.read(start, length)?;
    if header.len() < length {
        return Ok(Shape::Broken("ends within its header".to_owned()));
    }
    let Ok(header) = String::from_utf8(header) else { return Ok(Shape::Broken("a header that is no text".to_owned())) };
    let data = source.size().saturating_sub(start).saturating_sub(length as u64);
    Ok(parse(&header, data))
}

/// The header is a Python dictionary; what matters are the type's words, in quotes.
fn parse(header: &str, data: u64) -> Shape<Npy> {
    let Some((_, rest)) = header.split_once("'descr'") else { return Shape::Broken("no 'descr'".to_owned()) };
    let Some((descr, shape)) = rest.split_once("'fortran_order'").map(|(descr, _)| descr).zip(shape(header)) else {
        return Shape::Broken("no order or shape".to_owned());
    };
    let words: Vec<&str> = descr.split('\'').skip(1).step_by(2).collect();
    if words.iter().any(|word| word.contains('O')) && words.iter().any(|word| is_object(word)) {
        return Shape::Whole(Npy::Objects);
    }
    match words.as_slice() {
        [one] => match item(one).and_then(|item| shape.checked_mul(item)) {
            Some(bytes) if bytes == data => Shape::Whole(Npy::Plain),
            Some(bytes) => Shape::Broken(format!("shape and type need {bytes} bytes, {data} are there")),
            None => Shape::Broken("a type or shape that is not known".to_owned()),
        },
        [] => Shape::Broken("a type that is not known".to_owned()),
        _ => Shape::Whole(Npy::Plain),
    }
}

fn is_object(word: &str) -> bool {
    matches!(word.trim_start_matches(['|', '<', '>', '=']), "O" | "O4" | "O8")
}

/// Bytes of one element.
fn item(word: &str) -> Option<u64> {
    let word = word.trim_start_matches(['|', '<', '>', '=']);
    let (kind, width) = (word.chars().next()?, word.get(1..)?);
    let digits: String = width.chars().take_while(char::is_ascii_digit).collect();
    let width: u64 = digits.parse().ok()?;
    match kind {
        'b' | 'i' | 'u' | 'f' | 'c' | 'S' | 'V' | 'm' | 'M' | 'a' => Some(width),
        'U' => width.checked_mul(4),
        _ => None,
    }
}

/// The product of the shape.
fn shape(header: &str) -> Option<u64> {
    let (_, rest) = header.split_once("'shape'")?;
    let (numbers, _) = rest.split_once('(')?.1.split_once(')')?;
    numbers
        .split(',')
        .map(str::trim)
        .filter(|number| !number.is_empty())
        .try_fold(1_u64, |product, number| product.checked_mul(number.trim_end_matches('L').parse().ok()?))
}
