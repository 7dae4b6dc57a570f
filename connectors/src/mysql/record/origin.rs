//! Where a change comes from.
use bytestring::ByteString;
use millstream_connect::record::Value;

use super::Moment;

/// Where a row, or a change of tables, comes from: what the block `source` of its record says beside database and table. One is kept
/// and changed from event to event; its texts are shared with the records.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// When it happened, as the server says: the transaction's commit where the log has it to the microsecond
    /// (`originally_committed_us`), else the second of the event's header. Rows of a snapshot: when they were read.
    pub moment: Moment,
    /// Whether it is a row of a snapshot.
    pub snapshot: Snapshot,
    /// The log's file.
    pub file: ByteString,
    /// Where in the file the event begins.
    pub position: u64,
    /// Which row of the event it is, from 0.
    pub row: u32,
    /// The server that wrote it; 0 for a snapshot's.
    pub server_id: u32,
    /// The transaction's GTID.
    pub gtid: Option<ByteString>,
    /// The session that wrote it.
    pub thread: Option<u32>,
    /// The statement that wrote it; it is shown with `include.query` only.
    pub query: Option<ByteString>,
}

/// Whether a row belongs to a snapshot, and where it stands in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Snapshot {
    /// It does not: it is a change.
    #[default]
    No,
    /// The first row of all.
    First,
    /// The first row of a table.
    FirstInTable,
    /// A row.
    Yes,
    /// The last row of a table.
    LastInTable,
    /// The last row of all.
    Last,
    /// A row of an incremental snapshot.
    Incremental,
}

impl Snapshot {
    /// What the block `source` says of it. A change says nothing, which stands for `false`.
    pub(super) fn value(self) -> Value {
        let word = match self {
            Self::No => return Value::Null,
            Self::First => "first",
            Self::FirstInTable => "first_in_data_collection",
            Self::Yes => "true",
            Self::LastInTable => "last_in_data_collection",
            Self::Last => "last",
            Self::Incremental => "incremental",
        };
        Value::String(ByteString::from_static(word))
    }
}

impl Origin {
    /// Where it is, as messages say it.
    pub(super) fn place(&self) -> String {
        match self.snapshot {
            Snapshot::No => format!("{}:{} row {}", self.file, self.position, self.row),
            _ => "the snapshot".to_owned(),
        }
    }
}
