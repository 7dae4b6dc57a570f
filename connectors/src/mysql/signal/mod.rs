//! Signals: what a running source is asked for, by rows of a table or over REST. Their types and data are Debezium's.

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// `log`: a line in the log.
    Log {
        /// The line; `{}` stands for the log's place.
        message: String,
    },
    /// `execute-snapshot`.
    Execute(ExecuteSnapshot),
    /// `stop-snapshot`: of these tables; of all where there is none.
    Stop(Vec<String>),
    /// `pause-snapshot`.
    Pause,
    /// `resume-snapshot`.
    Resume,
}

/// A snapshot that is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecuteSnapshot {
    /// The signal's id.
    pub id: String,
    /// Expressions that are all of `database.table`.
    pub tables: Vec<String>,
    /// Expressions for tables, each with a condition in SQL that rows have to meet; the first that matches rules.
    pub conditions: Vec<(String, String)>,
    /// A column in whose order rows are read instead of the key's.
    pub surrogate_key: Option<String>,
}

/// Why a signal is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// Its type is not known.
    #[error(
        "the type {0:?} is none of log, execute-snapshot, stop-snapshot, pause-snapshot, resume-snapshot"
    )]
    UnknownType(String),
}

impl Signal {
    /// A signal of these three columns or fields; nothing for those that only Debezium itself writes.
    ///
    /// # Errors
    /// [`SignalError`] with what is wrong.
    pub fn parse(id: &str, kind: &str, data: Option<&str>) -> Result<Option<Self>, SignalError> {
        let _ = (id, data);
        Err(SignalError::UnknownType(kind.to_owned()))
    }
}
