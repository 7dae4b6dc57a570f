//! MySQL's binary JSON: as the text that the server prints, and with partial updates applied.
//!
//! [`text`] and [`patched`] are all that is needed; `binary` reads what is there, `tree` holds what differences change.
mod binary;
mod patch;
mod print;
mod tree;

use crate::mysql::binlog::Damage;

/// Levels of a document: MySQL has at most 100.
pub(crate) const DEPTH_MAX: usize = 128;

/// Appends a value's text, as `SELECT` prints it.
///
/// # Errors
/// With bytes that are no document.
///
/// ```
/// let mut text = String::new();
/// millstream_connectors::mysql::json::text(&[0x05, 0x2a, 0x00], &mut text).unwrap();
/// assert_eq!(text, "42");
/// ```
pub fn text(document: &[u8], target: &mut String) -> Result<(), Damage> {
    print::print(&tree::Tree::read(document)?, document.len(), target)
}

/// Appends the text of a value as it is after a partial update, from what it was before and the differences.
///
/// # Errors
/// With bytes that are neither, or differences of another document.
pub fn patched(document: &[u8], differences: &[u8], target: &mut String) -> Result<(), Damage> {
    let mut tree = tree::Tree::read(document)?;
    patch::apply(&mut tree, differences)?;
    print::print(&tree, document.len() + differences.len(), target)
}
