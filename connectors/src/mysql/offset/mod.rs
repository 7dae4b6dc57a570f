//! How far a source is, as it is stored. Names of fields are Debezium's where they mean the same, and what Debezium stored is understood.
//!
//! | field | what it is |
//! |---|---|
//! | `file`, `pos`, `gtids` | where the log has to be read from: the beginning of the transaction that is to be delivered next |
//! | `row` | how many rows of that transaction are delivered, of all tables together |
//! | `event` | how many of its events are, from BEGIN on (MariaDB: from its GTID on); `row` counts behind them. Debezium's alone |
//! | `transaction_id` | the GTID of the transaction that `row` is of |
//! | `delivered` | `file`, `pos`, `gtids`, `row`, `event` and `transaction_id` of the next transaction, if the log has to be read from before it: XA transactions are prepared |
//! | `server_id`, `ts_sec` | who committed the last transaction, and when |
//! | `server_uuid` | the server that was read |
//! | `snapshot`, `chunks` | that the initial snapshot is not done, and how far snapshots are |
//!
//! Debezium counts the events before the one that it was in and the rows in that event; ours has no `event`, and `row` counts from the
//! transaction's beginning, so that it also holds where another server logged the same rows in events of another size. Either is
//! read by the same rule: pass over the events, then the rows.
//!
//! What a source has to know of tables whose columns the log does not name is stored beside it, one entry for each table
//! ([`table_partition`]).
mod error;
#[cfg(test)]
mod tests;

pub use error::OffsetError;

use bytestring::ByteString;
use millstream_connect::plugin::{SourceOffset, SourcePartition};
use serde_json::{Map, Value as Json};

use super::snapshot::SnapshotState;
use super::stream::{Gtids, LogPosition, Resume};

/// Fields of ours.
const FIELDS: [&str; 13] = [
    "file",
    "pos",
    "gtids",
    "row",
    "event",
    "transaction_id",
    "delivered",
    "server_id",
    "ts_sec",
    "server_uuid",
    "snapshot",
    "snapshot_completed",
    "chunks",
];

/// What else Debezium stores: counts that are made anew, and snapshots of its own, which ours do not go on with.
const OF_DEBEZIUM: [&str; 2] = ["transaction_data_collection_order_", "incremental_snapshot_"];

/// How far a source is.
#[derive(Clone, Debug, PartialEq)]
pub struct Offset {
    /// What of the log is delivered.
    pub resume: Resume,
    /// The server that it was read from.
    pub server_uuid: Option<String>,
    /// The server that committed the last transaction first.
    pub server_id: Option<u32>,
    /// When the last statement began, in seconds since 1970.
    pub ts_sec: Option<u64>,
    /// What of tables is delivered.
    pub snapshot: Snapshots,
}

/// How far snapshots are.
#[derive(Clone, Debug, PartialEq)]
pub enum Snapshots {
    /// As far as this.
    At(SnapshotState),
    /// Debezium had begun an initial one, which cannot be gone on with.
    Unfinished,
}

/// By what a source's offset is stored.
#[must_use]
pub fn partition(prefix: &str) -> SourcePartition {
    SourcePartition::new().with("server", prefix)
}

/// By what the description of a table is stored.
#[must_use]
pub fn table_partition(prefix: &str, table: &str) -> SourcePartition {
    partition(prefix).with("table", table)
}

impl Offset {
    /// Of a place between two transactions, with nothing else to be done.
    #[must_use]
    pub fn at(position: LogPosition) -> Self {
        Self {
            resume: Resume::at(position),
            server_uuid: None,
            server_id: None,
            ts_sec: None,
            snapshot: Snapshots::At(SnapshotState::default()),
        }
    }

    /// As it is stored.
    ///
    /// ```
    /// use millstream_connectors::mysql::offset::Offset;
    /// use millstream_connectors::mysql::stream::LogPosition;
    ///
    /// let offset = Offset::at(LogPosition::at("bin.000003", 154));
    /// let stored = offset.to_stored();
    /// assert_eq!((stored.text("file"), stored.number("pos")), (Some("bin.000003"), Some(154)));
    /// assert_eq!(Offset::from_stored(&stored).unwrap(), offset);
    /// ```
    #[must_use]
    pub fn to_stored(&self) -> SourceOffset {
        let resume = &self.resume;
        let mut fields = Map::new();
        match &resume.read_from {
            None => {
                put_position(&mut fields, &resume.position);
                put_cut(&mut fields, resume);
            }
            Some(read_from) => {
                put_position(&mut fields, read_from);
                let mut delivered = Map::new();
                put_position(&mut delivered, &resume.position);
                put_cut(&mut delivered, resume);
                fields.insert("delivered".to_owned(), delivered.into());
            }
        }
        put(&mut fields, "server_uuid", self.server_uuid.as_deref());
        put(&mut fields, "server_id", self.server_id);
        put(&mut fields, "ts_sec", self.ts_sec);
        if let Snapshots::At(state) = &self.snapshot {
            put(&mut fields, "snapshot", state.is_initial().then_some("INITIAL"));
            put(&mut fields, "chunks", state.to_fields());
        } else {
            put(&mut fields, "snapshot", Some("INITIAL"));
        }
        SourceOffset(fields)
    }

    /// What is stored, by this source or by Debezium. Fields that are not known are left alone.
    ///
    /// # Errors
    /// With fields that say nothing that can be.
    pub fn from_stored(stored: &SourceOffset) -> Result<Self, OffsetError> {
        let fields = Fields(&stored.0);
        let (first, cut) = (fields.position()?, fields.cut()?);
        let (position, read_from, (event, row, transaction)) = match fields.object("delivered")? {
            None => (first, None, cut),
            Some(delivered) => (delivered.position()?, Some(first), delivered.cut()?),
        };
        Ok(Self {
            resume: Resume {
                position,
                read_from,
                event,
                row,
                transaction,
            },
            server_uuid: fields.text("server_uuid")?.map(str::to_owned),
            server_id: match fields.number("server_id")? {
                Some(id) => {
                    Some(u32::try_from(id).map_err(|_| fields.wrong("server_id", "a number of 32 bits"))?)
                }
                None => None,
            },
            ts_sec: fields.number("ts_sec")?,
            snapshot: fields.snapshots()?,
        })
    }

    /// Checks an offset that a user wants to set.
    ///
    /// # Errors
    /// With a partition of another source, with fields that are not known, and as [`Offset::from_stored`].
    pub fn check(
        prefix: &str,
        partition: &SourcePartition,
        stored: Option<&SourceOffset>,
    ) -> Result<(), OffsetError> {
        let server = partition.text("server");
        let is_table = partition.0.len() == 2 && partition.text("table").is_some();
        if server != Some(prefix) || !(partition.0.len() == 1 || is_table) {
            return Err(OffsetError::Partition {
                partition: Json::Object(partition.0.clone()).to_string(),
                prefix: prefix.to_owned(),
            });
        }
        let Some(stored) = stored else { return Ok(()) };
        if is_table {
            return Err(OffsetError::Description);
        }
        Fields(&stored.0).check_names(&FIELDS)?;
        if let Some(delivered) = Fields(&stored.0).object("delivered")? {
            delivered.check_names(&FIELDS[..6])?;
        }
        Self::from_stored(stored).map(drop)
    }
}

fn put(fields: &mut Map<String, Json>, name: &str, value: Option<impl Into<Json>>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value.into());
    }
}

fn put_position(fields: &mut Map<String, Json>, position: &LogPosition) {
    put(fields, "file", Some(&*position.file));
    put(fields, "pos", Some(position.position));
    put(fields, "gtids", position.gtids.as_ref().map(ToString::to_string));
}

fn put_cut(fields: &mut Map<String, Json>, resume: &Resume) {
    put(fields, "event", Some(resume.event).filter(|event| *event > 0));
    put(fields, "row", Some(resume.row).filter(|row| *row > 0));
    put(fields, "transaction_id", resume.transaction.as_deref());
}

/// Fields that are read.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a Map<String, Json>);

impl<'a> Fields<'a> {
    fn wrong(&self, field: &'static str, expected: &'static str) -> OffsetError {
        OffsetError::Field {
            field,
            found: self.0.get(field).map(ToString::to_string).unwrap_or_default(),
            expected,
        }
    }

    /// A field that is there and not null.
    fn get(&self, name: &str) -> Option<&'a Json> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, OffsetError> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, OffsetError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(name, "a whole number from 0")),
        }
    }

    fn object(&self, name: &'static str) -> Result<Option<Fields<'a>>, OffsetError> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Object(fields)) => Ok(Some(Fields(fields))),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    fn position(&self) -> Result<LogPosition, OffsetError> {
        let file = self.text("file")?.unwrap_or_default();
        let gtids = match self.text("gtids")?.map(str::parse::<Gtids>) {
            // Of an empty set it is not known of which kind of server it is, and it says nothing that `file` and `pos` do not.
            Some(Ok(gtids)) => Some(gtids).filter(|gtids| !gtids.is_empty() || file.is_empty()),
            Some(Err(error)) => return Err(OffsetError::Gtids(error)),
            None => None,
        };
        if file.is_empty() && gtids.is_none() {
            return Err(OffsetError::NoPlace);
        }
        // Before it there is nothing but four bytes that all files begin with.
        let position = self.number("pos")?.unwrap_or(4).max(4);
        Ok(LogPosition {
            file: file.into(),
            position,
            gtids,
        })
    }

    /// `event`, `row` and `transaction_id`.
    fn cut(&self) -> Result<(u64, u64, Option<ByteString>), OffsetError> {
        let event = self.number("event")?.unwrap_or(0);
        let row = self.number("row")?.unwrap_or(0);
        // Without GTIDs, Debezium's id is the place once more.
        let id = self.text("transaction_id")?.filter(|id| !id.contains('='));
        let id = id.filter(|_| event > 0 || row > 0);
        Ok((event, row, id.map(ByteString::from)))
    }

    fn snapshots(&self) -> Result<Snapshots, OffsetError> {
        if let Some(Fields(chunks)) = self.object("chunks")? {
            return SnapshotState::from_fields(chunks)
                .map(Snapshots::At)
                .map_err(|error| OffsetError::Chunks(error.to_string()));
        }
        // `true` or the kind of snapshot: it was going on. Debezium's later versions also say when it was done.
        let began = match self.get("snapshot") {
            None => false,
            Some(Json::Bool(began)) => *began,
            Some(Json::String(word)) => !matches!(&**word, "false" | "last"),
            Some(_) => return Err(self.wrong("snapshot", "a text or a boolean")),
        };
        let completed = match self.get("snapshot_completed") {
            None => false,
            Some(Json::Bool(completed)) => *completed,
            Some(Json::String(word)) => word == "true",
            Some(_) => return Err(self.wrong("snapshot_completed", "a boolean")),
        };
        Ok(match began && !completed {
            true => Snapshots::Unfinished,
            false => Snapshots::At(SnapshotState::default()),
        })
    }

    fn check_names(&self, known: &[&str]) -> Result<(), OffsetError> {
        let unknown = self.0.keys().find(|name| {
            !known.contains(&name.as_str()) && !OF_DEBEZIUM.iter().any(|prefix| name.starts_with(prefix))
        });
        match unknown {
            None => Ok(()),
            Some(name) => Err(OffsetError::Unknown {
                name: name.clone(),
                known: known.join(", "),
            }),
        }
    }
}
