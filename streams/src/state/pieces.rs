//! Records of a log that together are the state of something: a window, or a span of time.
//!
//! Records are ordered by owner, then by number. One adds to those before it, or is a piece of all that there is, which takes their place.
use super::Owner;

/// The number of a record among those of its owner in its window or span.
pub(super) type Number = u32;

/// A record in its window or span. What comes from a later owner is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    pub(super) owner: Owner,
    pub(super) number: Number,
}

/// What a record says.
pub(super) trait Says {
    /// The number of the first piece, and how many there are, of all that there was.
    fn whole(&self) -> Option<(Number, Number)>;
}

/// The first piece of the last whole state of which nothing is missing. Pieces are in order.
pub(super) fn last_whole<C: Says>(pieces: &[(Piece, C)]) -> Option<Piece> {
    let is_complete = |(piece, content): &&(Piece, C)| {
        content.whole().is_some_and(|(first, count)| {
            let there = |number: Number| {
                let wanted = Piece { number, ..*piece };
                pieces.binary_search_by_key(&wanted, |(piece, _)| *piece).is_ok()
            };
            piece.number == first && (first..first + count).all(there)
        })
    };
    pieces.iter().rfind(is_complete).map(|(piece, _)| *piece)
}

/// Whether a piece is part of the state whose last whole begins with `whole`.
///
/// An owner reads again whatever its predecessor had not committed, so that its whole state takes the place of all that its
/// predecessors wrote, even of what came to the log behind it.
pub(super) fn counts<C: Says>(piece: Piece, content: &C, whole: Option<Piece>) -> bool {
    match content.whole() {
        Some((first, _)) => {
            let begins = Piece {
                number: first,
                ..piece
            };
            whole == Some(begins)
        }
        None => whole.is_none_or(|whole| piece > whole),
    }
}
