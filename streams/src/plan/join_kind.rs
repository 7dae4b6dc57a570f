//! Inner, left, outer.
use std::fmt;

/// Which keys of two tables are in a join, and whose rows of two streams come that meet none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    /// Keys that both have; only pairs.
    Inner,
    /// All of the left side.
    Left,
    /// All of both sides.
    Outer,
}

impl JoinKind {
    /// Whether a key is there that is, or is not, in the sides.
    pub(crate) fn has(self, left: bool, right: bool) -> bool {
        match self {
            Self::Inner => left && right,
            Self::Left => left,
            Self::Outer => left || right,
        }
    }

    /// Whether rows of side 0, the left one, or 1 are emitted if they meet none.
    pub(crate) fn keeps(self, side: usize) -> bool {
        self.has(side == 0, side == 1)
    }

    /// What stands before "join" where its kind is said, with a space behind; an inner join is just one.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Inner => "",
            Self::Left => "left ",
            Self::Outer => "outer ",
        }
    }
}

impl fmt::Display for JoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner => "inner",
            Self::Left => "left",
            Self::Outer => "outer",
        })
    }
}
