//! What stops a source, and what is to be done about it.
use millstream_connect::plugin::{ErrorKind, PluginError};

use crate::mysql::binlog::{DecodeError, Kind, Place};
use crate::mysql::client::{ClientError, LogErrorKind};
use crate::mysql::offset::OffsetError;
use crate::mysql::record::RecordError;
use crate::mysql::schema::{TableError, TableId};
use crate::mysql::snapshot::SnapshotError;
use crate::mysql::stream::StreamError;

/// Why a source does not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// The connection, or what the server answers.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The log.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A row of the log.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A row that becomes no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What a table is.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Reading what is there already.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What is stored.
    #[error(
        "the stored offset cannot be read: {0}; delete it (DELETE /connectors/NAME/offsets) to begin anew, or set another one"
    )]
    Offset(#[from] OffsetError),
    /// A server that is not ready for being read.
    #[error("{0}")]
    Server(String),
    /// Another server than the one that was read.
    #[error(
        "the server is {found}, but the stored offset is of {expected}, and without GTIDs its file and position say nothing here; connect to \
         the server that was read, or delete the offset (DELETE /connectors/NAME/offsets) to begin anew with a snapshot"
    )]
    OtherServer {
        /// The one that was read.
        expected: String,
        /// The one that answers.
        found: String,
    },
    /// A server that lost transactions.
    #[error(
        "the server does not have transactions that were read already ({lost}): it is another one, or was restored from a backup; connect to the \
         one that was read, or begin anew with a snapshot: delete the offset, or set snapshot.mode=when_needed"
    )]
    LostTransactions {
        /// Those.
        lost: String,
    },
    /// An offset that says transactions where the server has none.
    #[error(
        "the stored offset is known by GTIDs ({gtids}), which the server does not have; set gtid_mode=ON there, or an offset with file and pos"
    )]
    WithoutGtids {
        /// Those.
        gtids: String,
    },
    /// What comes next is gone, and a start takes a snapshot then.
    #[error("{0}; the connector starts again, and takes a new snapshot (snapshot.mode=when_needed)")]
    StartsAnew(Box<SourceError>),
    /// XA transactions that do not end.
    #[error(
        "XA transactions are prepared on the server since before this source began ({names}), so that it will not know their rows; commit \
         them or roll them back (XA RECOVER lists them)"
    )]
    Prepared {
        /// Their names.
        names: String,
    },
    /// A table of which it is not known what it was.
    #[error(
        "at {place} there are rows of {table}, but it is not known what its columns were: the log does not name them, and {reason}; with \
         MySQL 8.0 or MariaDB 10.5 SET GLOBAL binlog_row_metadata = FULL; otherwise begin anew with a snapshot (delete the offset), or, if \
         the table was not changed since, set snapshot.mode=recovery once"
    )]
    UnknownTable {
        /// The table.
        table: TableId,
        /// Where its rows are.
        place: Place,
        /// Why not.
        reason: String,
    },
}

impl SourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Client(error) => error.kind(),
            Self::Stream(error) => of_log(error.kind()),
            Self::Decode(error) => of_log(error.damage.kind()),
            Self::Snapshot(SnapshotError::Disconnected(_)) => ErrorKind::Disconnected,
            Self::Prepared { .. } => ErrorKind::Disconnected,
            // Those are started again.
            Self::StartsAnew(_) => ErrorKind::Fatal,
            _ => ErrorKind::UserConfig,
        }
    }

    /// Where bytes are damaged, which may be others when they are read once more.
    pub(super) fn damaged_at(&self) -> Option<&Place> {
        match self {
            Self::Stream(StreamError::Decode(error)) | Self::Decode(error)
                if error.damage.kind() == Kind::Damaged =>
            {
                Some(&error.place)
            }
            _ => None,
        }
    }

    /// Whether the server does not have what comes behind the offset, so that only a snapshot helps.
    pub(super) fn needs_snapshot(&self) -> bool {
        match self {
            Self::Client(ClientError::Log(error)) => matches!(
                error.kind,
                LogErrorKind::Purged | LogErrorKind::UnknownGtids | LogErrorKind::BadPosition
            ),
            Self::OtherServer { .. } | Self::LostTransactions { .. } | Self::WithoutGtids { .. } => true,
            _ => false,
        }
    }
}

fn of_log(kind: Kind) -> ErrorKind {
    match kind {
        Kind::Damaged => ErrorKind::Fatal,
        Kind::Settings => ErrorKind::UserConfig,
    }
}

impl From<SourceError> for PluginError {
    fn from(error: SourceError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
