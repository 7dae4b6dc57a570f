//! The decoder: what is between raw events.
use bytes::Bytes;

use super::cursor::{Cursor, utf8};
use super::event_type as kinds;
use super::header::{Format, HEADER_BYTES, Header, checksums, verified};
use super::payload::Payload;
use super::query::{Query, XaPrepare};
use super::rows::{Change, Rows, RowsHead, RowsKind};
use super::tables::Tables;
use super::transaction::{MariadbStart, TransactionStart};
use super::{Damage, DecodeError, Event, Place, mariadb};
use crate::mysql::gtid::{GtidSet, mariadb as mariadb_gtid};

/// What events may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of one event, inflated. Servers split rows into events of `binlog_row_event_max_size` (8 KiB), but one row
    /// is never split: 1 GiB, their largest `max_allowed_packet`, is the default.
    pub event_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes_max: 1 << 30,
        }
    }
}

/// Makes events of raw ones, in their order.
///
/// ```
/// use bytes::Bytes;
/// use millstream_connectors::mysql::binlog::{Decoder, Limits};
///
/// let mut decoder = Decoder::new("bin.000001", 4, Limits::default());
/// decoder.push(Bytes::from_static(b"not an event"));
/// let error = decoder.next().unwrap_err();
/// assert_eq!(error.place.to_string(), "bin.000001:4");
/// assert!(decoder.next().unwrap().is_none());
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    format: Option<Format>,
    tables: Tables,
    /// Where the current event begins.
    place: Place,
    /// Where the next one does.
    next_position: u64,
    pending: Option<Bytes>,
    payload: Option<Payload>,
    current: Bytes,
    header: Option<Header>,
}

impl Decoder {
    /// A decoder of a stream that begins at this place.
    #[must_use]
    pub fn new(file: &str, position: u64, limits: Limits) -> Self {
        Self {
            limits,
            format: None,
            tables: Tables::default(),
            place: Place {
                file: file.to_owned(),
                position,
            },
            next_position: position,
            pending: None,
            payload: None,
            current: Bytes::new(),
            header: None,
        }
    }

    /// Takes the next raw event: header, body and checksum. It is read by [`Decoder::next`].
    ///
    /// # Panics
    /// While there are events of the last one to be read.
    pub fn push(&mut self, event: Bytes) {
        assert!(
            self.pending.is_none() && self.payload.is_none(),
            "the event before was read to its end"
        );
        self.pending = Some(event);
    }

    /// The next event of what was pushed; nothing when more has to be pushed. After an error, nothing is left of it.
    ///
    /// # Errors
    /// With bytes that are no event.
    #[allow(clippy::should_implement_trait, reason = "what it gives borrows from it")]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, DecodeError> {
        let within = self.payload.is_some();
        match self.take_raw() {
            Ok(Some(raw)) => self.current = raw,
            Ok(None) => return Ok(None),
            Err(damage) => {
                self.payload = None;
                return Err(damage.at(self.place.clone(), kinds::TRANSACTION_PAYLOAD));
            }
        }
        // What the event is comes first, so that an error can say it.
        let event_type = self.current.get(4).copied().unwrap_or(0);
        self.header = None;
        match self.unframe(within) {
            Ok(content) => self.event(content).map(Some),
            Err(damage) => {
                self.payload = None;
                Err(damage.at(self.place.clone(), event_type))
            }
        }
    }

    /// The header of the last event.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Where the last event begins; where it leads, when it is a ROTATE.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Where the event behind the last one begins. Within a compressed transaction that is behind all of it.
    #[must_use]
    pub fn next_position(&self) -> u64 {
        self.next_position
    }

    fn take_raw(&mut self) -> Result<Option<Bytes>, Damage> {
        if let Some(payload) = &mut self.payload {
            match payload.next(self.limits.event_bytes_max)? {
                Some(event) => return Ok(Some(event)),
                None => self.payload = None,
            }
        }
        Ok(self.pending.take())
    }

    /// Follows the log to this event, and cuts its content out.
    fn unframe(&mut self, within: bool) -> Result<Bytes, Damage> {
        let raw = self.current.clone();
        if raw.len() > self.limits.event_bytes_max {
            return Err(Damage::TooLarge {
                what: "an event",
                limit: self.limits.event_bytes_max,
            });
        }
        let (header, mut body) = Header::read(&raw)?;
        if !within {
            self.place.position = self.next_position;
            let artificial = header.is_artificial() || header.next_position == 0;
            if header.event_type == kinds::HEARTBEAT && header.next_position != 0 {
                // It is not in the file, and says how far the server has read it.
                self.next_position = at_or_after(self.next_position, header.next_position);
                self.place.position = self.next_position;
            } else if !artificial {
                let end = at_or_after(
                    self.next_position.saturating_add(u64::from(header.length)),
                    header.next_position,
                );
                self.place.position = end - u64::from(header.length);
                self.next_position = end;
            }
            if header.event_type == kinds::FORMAT_DESCRIPTION {
                let format = Format::read(&raw, body)?;
                self.format = Some(format);
                self.tables.clear();
            } else if self.format.as_ref().is_some_and(|format| format.checksums) {
                body = verified(&raw, body)?;
            } else if self.format.is_none()
                && checksums(&raw).is_some_and(|(found, computed)| found == computed)
            {
                // Before the format is known, as with the ROTATE that a stream begins with, the checksum tells of itself.
                body = &body[..body.len() - 4];
            }
        }
        self.header = Some(header);
        Ok(raw.slice(HEADER_BYTES..HEADER_BYTES + body.len()))
    }

    fn event(&mut self, content: Bytes) -> Result<Event<'_>, DecodeError> {
        let header = self.header.expect("it was read");
        self.current = content;
        let event_type = header.event_type;
        let place = self.place.clone();
        let result = match event_type {
            kinds::ROTATE => self.rotate(),
            kinds::TRANSACTION_PAYLOAD => self.open_payload(),
            kinds::TABLE_MAP => self.table(),
            _ => match rows_kind(event_type) {
                Some((kind, compressed)) => self.rows(kind, compressed, event_type),
                None => self.plain(header),
            },
        };
        result.map_err(|damage| damage.at(place, event_type))
    }

    fn rotate(&mut self) -> Result<Event<'_>, Damage> {
        let mut cursor = Cursor::new(&self.current);
        let position = cursor.u64("the position of the next file")?;
        let file = trim_file(cursor.rest());
        self.place.file = utf8(file, "the name of the next file")?.to_owned();
        self.next_position = position;
        self.place.position = position;
        Ok(Event::Rotate {
            file: &self.place.file,
            position,
        })
    }

    fn open_payload(&mut self) -> Result<Event<'_>, Damage> {
        self.payload = Some(Payload::open(&self.current)?);
        Ok(Event::Compressed)
    }

    /// The bytes of a table's id: four in logs of the oldest servers.
    fn id_bytes(&self, event_type: u8) -> usize {
        let post_header = self
            .format
            .as_ref()
            .map_or(8, |format| format.post_header(event_type, 8));
        if post_header == 6 { 4 } else { 6 }
    }

    fn table(&mut self) -> Result<Event<'_>, Damage> {
        let id_bytes = self.id_bytes(kinds::TABLE_MAP);
        let mariadb = self.format.as_ref().is_some_and(Format::is_mariadb);
        self.tables
            .describe(&self.current, id_bytes, mariadb)
            .map(Event::Table)
    }

    fn rows(&mut self, kind: RowsKind, compressed: bool, event_type: u8) -> Result<Event<'_>, Damage> {
        let id_bytes = self.id_bytes(event_type);
        let (table_id, ends_statement, offset) = {
            let head = RowsHead::read(kind, id_bytes, &self.current)?;
            (
                head.table_id,
                head.ends_statement,
                self.current.len() - head.body.len(),
            )
        };
        let found = self.tables.find(table_id);
        if ends_statement {
            self.tables.end_statement();
        }
        let Some(table) = found else {
            // An event for a table that is none only ends a statement.
            if table_id == 0x00ff_ffff && ends_statement {
                return Ok(Event::Other);
            }
            return Err(Damage::UnknownTable(table_id));
        };
        self.current = self.current.slice(offset..);
        if compressed {
            self.inflate_rows(kind)?;
        }
        let at = (&self.place, event_type);
        Rows::read(kind, ends_statement, &self.current, table, at).map(Event::Rows)
    }

    /// MariaDB compresses what follows the columns of the images.
    fn inflate_rows(&mut self, kind: RowsKind) -> Result<(), Damage> {
        let mut cursor = Cursor::new(&self.current);
        let columns = cursor.packed_length("the number of columns in rows")?;
        let bitmaps = if kind.change == Change::Update { 2 } else { 1 };
        cursor.take(columns.div_ceil(8).saturating_mul(bitmaps), "the columns of rows")?;
        self.inflate_behind(self.current.len() - cursor.left())
    }

    /// Inflates what of the current content is behind its first `head` bytes.
    fn inflate_behind(&mut self, head: usize) -> Result<(), Damage> {
        let mut inflated = self.current[..head].to_vec();
        mariadb::inflate_event(&self.current[head..], self.limits.event_bytes_max, &mut inflated)?;
        self.current = Bytes::from(inflated);
        Ok(())
    }

    /// Events that are read by themselves.
    fn plain(&mut self, header: Header) -> Result<Event<'_>, Damage> {
        if header.event_type == kinds::QUERY_COMPRESSED {
            let statement = Query::read(&self.current)?.statement.len();
            self.inflate_behind(self.current.len() - statement)?;
        }
        let content = &self.current[..];
        let mut cursor = Cursor::new(content);
        Ok(match header.event_type {
            kinds::FORMAT_DESCRIPTION => {
                let format = self.format.as_ref().expect("it was read with the frame");
                Event::Format {
                    server_version: &format.server_version,
                    mariadb: format.is_mariadb(),
                }
            }
            kinds::QUERY | kinds::QUERY_COMPRESSED => {
                self.tables.end_statement();
                Event::Query(Query::read(content)?)
            }
            kinds::EXECUTE_LOAD_QUERY => {
                self.tables.end_statement();
                Event::LoadData(Query::read_load(content)?)
            }
            kinds::XID => {
                self.tables.end_statement();
                Event::Commit(cursor.u64("a transaction's number")?)
            }
            kinds::XA_PREPARE => Event::XaPrepare(XaPrepare::read(content)?),
            kinds::GTID => Event::Start(TransactionStart::read(content, false)?),
            kinds::ANONYMOUS_GTID => Event::Start(TransactionStart::read(content, true)?),
            kinds::GTID_TAGGED => Event::Start(TransactionStart::read_tagged(content)?),
            kinds::MARIADB_GTID => Event::MariadbStart(MariadbStart::read(content, header.server_id)?),
            kinds::PREVIOUS_GTIDS => Event::PreviousGtids(GtidSet::read(content)?),
            kinds::MARIADB_GTID_LIST => Event::MariadbGtids(mariadb_gtid::Position::read(content)?),
            // A length of one byte stands before it, which says nothing of longer ones.
            kinds::ROWS_QUERY => Event::RowsQuery(content.get(1..).unwrap_or_default()),
            kinds::ANNOTATE_ROWS => Event::RowsQuery(content),
            kinds::HEARTBEAT | kinds::HEARTBEAT_V2 => Event::Heartbeat,
            kinds::STOP => Event::Stop,
            kinds::INCIDENT => {
                cursor.u16("an incident")?;
                let length = cursor.u8("an incident's message")?;
                Event::Incident {
                    message: cursor.take(usize::from(length), "an incident's message")?,
                }
            }
            kinds::START_ENCRYPTION => {
                return Err(Damage::Unsupported(
                    "the log is encrypted (encrypt_binlog); read it through the server, which decrypts it, not from its file",
                ));
            }
            // Statements of old formats and their variables, group replication, and what is marked as to be passed over.
            1 | 5..=14 | 17 | kinds::IGNORABLE | kinds::TRANSACTION_CONTEXT | kinds::VIEW_CHANGE => {
                Event::Other
            }
            kinds::BINLOG_CHECKPOINT => Event::Other,
            _ if header.flags & IGNORABLE_FLAG != 0 => Event::Other,
            _ => {
                return Err(Damage::Unsupported(
                    "a type of event that is not known; the server may be newer than this connector",
                ));
            }
        })
    }
}

/// A flag: who does not know an event's type may pass over it.
const IGNORABLE_FLAG: u16 = 0x80;

/// The first number from `least` whose low 32 bits are `low`: headers hold no more of a position.
fn at_or_after(least: u64, low: u32) -> u64 {
    least.saturating_add(u64::from(low.wrapping_sub(least as u32)))
}

/// A file's name without what MariaDB puts behind it in the first event of a stream. Names end with digits.
fn trim_file(name: &[u8]) -> &[u8] {
    let dot = name
        .iter()
        .rposition(|byte| *byte == b'.')
        .map_or(name.len(), |at| at + 1);
    let digits = name[dot..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits == 0 { name } else { &name[..dot + digits] }
}

fn rows_kind(event_type: u8) -> Option<(RowsKind, bool)> {
    use Change::{Delete, Insert, Update};
    let (change, version_2, compressed) = match event_type {
        kinds::WRITE_ROWS_V1 => (Insert, false, false),
        kinds::UPDATE_ROWS_V1 => (Update, false, false),
        kinds::DELETE_ROWS_V1 => (Delete, false, false),
        kinds::WRITE_ROWS => (Insert, true, false),
        kinds::UPDATE_ROWS | kinds::PARTIAL_UPDATE_ROWS => (Update, true, false),
        kinds::DELETE_ROWS => (Delete, true, false),
        kinds::WRITE_ROWS_COMPRESSED_V1 => (Insert, false, true),
        kinds::UPDATE_ROWS_COMPRESSED_V1 => (Update, false, true),
        kinds::DELETE_ROWS_COMPRESSED_V1 => (Delete, false, true),
        kinds::WRITE_ROWS_COMPRESSED => (Insert, true, true),
        kinds::UPDATE_ROWS_COMPRESSED => (Update, true, true),
        kinds::DELETE_ROWS_COMPRESSED => (Delete, true, true),
        _ => return None,
    };
    let partial = event_type == kinds::PARTIAL_UPDATE_ROWS;
    Some((
        RowsKind {
            change,
            version_2,
            partial,
        },
        compressed,
    ))
}

#[cfg(test)]
mod tests;
