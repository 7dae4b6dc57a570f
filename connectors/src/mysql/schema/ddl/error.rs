//! Why it is not known what a statement makes of a table.
use crate::mysql::schema::TableId;

/// Characters of a statement that an error shows.
const SHOWN_CHARS: usize = 40;

/// What is not understood of a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DdlError {
    /// A word that is not expected there.
    #[error("it is not understood from {0:?} on")]
    Syntax(String),
    /// It ends too early.
    #[error("its end is not understood")]
    End,
    /// It builds on a table of which nothing is known.
    #[error("it is not known what {0} was before")]
    Before(TableId),
    /// A column or an index that is not there, so that the table was not what is known of it.
    #[error("it names {0}, which is not in what is known of the table")]
    Absent(String),
    /// A column that is there already.
    #[error("it adds {0}, which is in what is known of the table already")]
    Present(String),
    /// A character set or collation that is not known.
    #[error("the character set or collation {0} is not known")]
    Charset(String),
    /// The default character set of the database is not known.
    #[error("the default character set of its database is not known")]
    DatabaseCharset,
    /// A default whose value servers write otherwise than the statement does.
    #[error("what the default of {0} is as a value of its type is not known")]
    Default(String),
    /// A type that servers make another of.
    #[error("what the type of {0} becomes is not known")]
    Type(String),
    /// What only a server can say.
    #[error("{0} is not read from statements")]
    Beyond(&'static str),
}

impl DdlError {
    /// What is not understood, from here on.
    pub(super) fn near(text: &str) -> Self {
        Self::Syntax(text.chars().take(SHOWN_CHARS).collect())
    }
}
