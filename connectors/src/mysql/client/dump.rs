//! A server's log as raw events.
use std::time::Duration;

use bytes::Bytes;

use super::server::Flavour;
use super::wire::answer::{Answer, ServerError};
use super::{Client, ClientError, LogError, LogErrorKind, malformed, quoted_text};
use crate::mysql::binlog::Place;
use crate::mysql::gtid::{GtidSet, mariadb};

const REGISTER_REPLICA: u8 = 0x15;
const DUMP: u8 = 0x12;
const DUMP_GTID: u8 = 0x1e;

/// BINLOG_SEND_ANNOTATE_ROWS_EVENT of MariaDB.
const SEND_ANNOTATE_ROWS: u16 = 2;

/// BINLOG_THROUGH_GTID.
const THROUGH_GTID: u16 = 4;

/// MariaDB's code for a replica that another one with its id replaced.
const SAME_ID: u16 = 4052;

/// How many heartbeats may be missing before a server counts as gone, and the least time.
const HEARTBEATS_MISSING: u32 = 4;
const SILENCE_MIN: Duration = Duration::from_secs(10);

/// From where, and as whom, a log is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpRequest {
    /// The number of this replica, which no other may have.
    pub server_id: u32,
    /// What tells replicas with the same number apart; the same connector always has the same ([`replica_uuid`]). On MySQL, one that comes
    /// again takes the place of the one before.
    pub replica_uuid: String,
    /// From where.
    pub start: DumpStart,
    /// How often the server says that it lives when it has nothing else to say; it is gone when it is silent for several of these.
    pub heartbeat: Duration,
    /// The most bytes of an event.
    pub event_bytes_max: usize,
    /// Whether MariaDB is to send the statements that made rows, if they are in its log; MySQL always does.
    pub statements: bool,
}

/// The beginning of what is read of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DumpStart {
    /// All transactions of MySQL but these.
    Gtids(GtidSet),
    /// All transactions of MariaDB behind these.
    MariadbGtids(mariadb::Position),
    /// From this place on, where an event begins.
    Place(Place),
}

/// Events as the server wrote them: header, content and checksum, to be pushed to a [`Decoder`](crate::mysql::binlog::Decoder).
///
/// The socket is read only while [`EventStream::next`] waits.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    /// Whether nothing of the log came yet, and it was asked for from a place.
    at_place: bool,
    silence_max: Duration,
}

/// A UUID for a connector of this name: always the same one, and another for each name.
///
/// ```
/// use millstream_connectors::mysql::client::dump::replica_uuid;
///
/// assert_eq!(replica_uuid("inventory"), replica_uuid("inventory"));
/// assert_ne!(replica_uuid("inventory"), replica_uuid("orders"));
/// assert_eq!(replica_uuid("inventory").len(), 36);
/// ```
#[must_use]
pub fn replica_uuid(name: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, format!("millstream {name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    // Version 8: made by a rule of one's own.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    crate::mysql::gtid::Source::server(bytes).to_string()
}

impl Client {
    /// Turns the connection into a stream of the server's log.
    ///
    /// # Errors
    /// When the account may not (`REPLICATION SLAVE`), or the connection breaks. That the server does not have what is asked for is told by
    /// the first [`EventStream::next`].
    pub async fn dump(mut self, request: &DumpRequest) -> Result<EventStream, ClientError> {
        let what = "asking for the binary log";
        for statement in self.preparations(request) {
            self.execute_for(what, &statement).await?;
        }
        self.send_command(what, &register(request.server_id)).await?;
        let answer = self.receive(what).await?;
        if let Answer::Error(error) = Answer::read(&answer).map_err(|error| malformed(what, error))? {
            return Err(self.refusal(what, error));
        }
        let command = match &request.start {
            DumpStart::Gtids(gtids) => dump_gtids(request.server_id, gtids),
            DumpStart::MariadbGtids(_) => dump_place(request, "", 4),
            DumpStart::Place(place) => {
                let position = u32::try_from(place.position).map_err(|_| LogError {
                    kind: LogErrorKind::BadPosition,
                    message: format!(
                        "{place} is beyond 4 GiB, where no log can be asked for by position; with GTIDs it can (gtid_mode=ON)"
                    ),
                })?;
                dump_place(request, &place.file, position)
            }
        };
        self.send_command(what, &command).await?;
        // One byte stands before each event.
        self.link.payload_bytes_max = request.event_bytes_max.saturating_add(1);
        Ok(EventStream {
            client: self,
            at_place: matches!(request.start, DumpStart::Place(_)),
            silence_max: (request.heartbeat * HEARTBEATS_MISSING).max(SILENCE_MIN),
        })
    }

    /// What a replica says of itself before: in variables of its session.
    fn preparations(&self, request: &DumpRequest) -> Vec<String> {
        let period = request.heartbeat.as_nanos();
        let uuid = quoted_text(&request.replica_uuid);
        let mut statements = Vec::new();
        // Servers know them under old and new names.
        for role in ["master", "source"] {
            statements.push(format!(
                "SET @{role}_heartbeat_period={period}, @{role}_binlog_checksum=@@GLOBAL.binlog_checksum"
            ));
        }
        if self.flavour() == Flavour::MySql {
            statements.push(format!("SET @slave_uuid={uuid}, @replica_uuid={uuid}"));
            return statements;
        }
        // It understands events with GTIDs.
        statements.push("SET @mariadb_slave_capability=4".to_owned());
        if let DumpStart::MariadbGtids(position) = &request.start {
            let position = quoted_text(&position.to_string());
            statements.push(format!(
                "SET @slave_connect_state={position}, @slave_gtid_strict_mode=1, @slave_gtid_ignore_duplicates=0"
            ));
        }
        statements
    }
}

impl EventStream {
    /// The next event; nothing when the server ended the stream, as it does when it stops: connect again. Giving up waiting loses nothing.
    ///
    /// # Errors
    /// When the server does not have what comes next ([`ClientError::Log`]), when it is silent for too long, and when the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let what = "reading the binary log";
        let link = &mut self.client.link;
        let lost = |error| super::link_error(what, error);
        let received = link.receive_unless_silent(self.silence_max).await;
        let packet = received.map_err(lost)?.ok_or_else(|| ClientError::Lost {
            what,
            reason: format!("no event and no heartbeat for {:?}", self.silence_max),
        })?;
        match packet.first() {
            Some(0) => {
                let event = packet.slice(1..);
                self.at_place &= is_artificial(&event);
                Ok(Some(event))
            }
            Some(0xfe) if packet.len() < 9 => Ok(None),
            Some(0xff) => {
                let error = ServerError::read(&packet).map_err(|error| malformed(what, error))?;
                Err(match error.code {
                    1236 => ClientError::Log(self.log_error(error.message)),
                    SAME_ID => ClientError::Log(LogError {
                        kind: LogErrorKind::Replaced,
                        message: error.message,
                    }),
                    _ => self.client.refusal(what, error),
                })
            }
            _ => Err(ClientError::Protocol {
                what,
                reason: "a packet that is no event",
            }),
        }
    }

    fn log_error(&self, message: String) -> LogError {
        let mut error = log_error(message);
        // What cannot be read right where it begins is in most cases no beginning.
        if self.at_place && matches!(error.kind, LogErrorKind::Damaged | LogErrorKind::TooLarge) {
            error.kind = LogErrorKind::BadPosition;
        }
        error
    }

    /// The number by which `KILL` knows the connection.
    #[must_use]
    pub fn connection_id(&self) -> u32 {
        self.client.connection_id()
    }

    /// Ends the connection. The server notices at its next event or heartbeat.
    pub async fn close(self) {
        self.client.close().await;
    }
}

/// Whether an event is not from the file: servers send it at the beginning of a stream, without the place behind it.
fn is_artificial(event: &[u8]) -> bool {
    event.get(13..17).is_none_or(|end| end == [0; 4])
}

fn register(server_id: u32) -> Vec<u8> {
    let host = b"millstream";
    let mut command = vec![REGISTER_REPLICA];
    command.extend_from_slice(&server_id.to_le_bytes());
    command.push(host.len() as u8);
    command.extend_from_slice(host);
    // No user, no password, no port; a rank and the source's number, which nobody uses.
    command.extend_from_slice(&[0; 2]);
    command.extend_from_slice(&[0; 10]);
    command
}

fn dump_place(request: &DumpRequest, file: &str, position: u32) -> Vec<u8> {
    let flags = if request.statements { SEND_ANNOTATE_ROWS } else { 0 };
    let mut command = vec![DUMP];
    command.extend_from_slice(&position.to_le_bytes());
    command.extend_from_slice(&flags.to_le_bytes());
    command.extend_from_slice(&request.server_id.to_le_bytes());
    command.extend_from_slice(file.as_bytes());
    command
}

fn dump_gtids(server_id: u32, gtids: &GtidSet) -> Vec<u8> {
    let set = encode(gtids);
    let mut command = vec![DUMP_GTID];
    command.extend_from_slice(&THROUGH_GTID.to_le_bytes());
    command.extend_from_slice(&server_id.to_le_bytes());
    // No file: the server finds it.
    command.extend_from_slice(&0_u32.to_le_bytes());
    command.extend_from_slice(&4_u64.to_le_bytes());
    command.extend_from_slice(&(set.len() as u32).to_le_bytes());
    command.extend_from_slice(&set);
    command
}

/// A set as PREVIOUS_GTIDS events have it: with tags only where there are some, which servers before MySQL 8.3 do not know.
fn encode(gtids: &GtidSet) -> Vec<u8> {
    let sources: Vec<_> = gtids.iter().collect();
    let tagged = sources.iter().any(|(source, _)| !source.tag.is_empty());
    let count = sources.len() as u64;
    let mut set = Vec::new();
    set.extend_from_slice(
        &match tagged {
            true => 1 << 56 | count << 8 | 1,
            false => count,
        }
        .to_le_bytes(),
    );
    for (source, ranges) in sources {
        set.extend_from_slice(&source.uuid);
        if tagged {
            // A number of variable size, whose lowest bit says that one byte is all of it.
            set.push((source.tag.len() as u8) << 1);
            set.extend_from_slice(source.tag.as_bytes());
        }
        set.extend_from_slice(&(ranges.len() as u64).to_le_bytes());
        for (start, end) in ranges {
            set.extend_from_slice(&start.to_le_bytes());
            set.extend_from_slice(&end.to_le_bytes());
        }
    }
    set
}

/// What error 1236 means, which only its words tell: those of MySQL 5.6 to 9.7 and of MariaDB.
fn log_error(message: String) -> LogError {
    use LogErrorKind::{BadPosition, Damaged, NoLog, Purged, Replaced, TooLarge, UnknownGtids, WithoutGtids};
    let table: [(&str, LogErrorKind); 27] = [
        ("with the same server_uuid/server_id", Replaced),
        ("with the same server_id", Replaced),
        ("more gtids than the", UnknownGtids),
        ("diverged", UnknownGtids),
        (
            "even though a subsequent sequence number does exist",
            UnknownGtids,
        ),
        (
            "even though both a prior and a subsequent sequence number does exist",
            UnknownGtids,
        ),
        ("has purged binary logs", Purged),
        ("purged required binary logs", Purged),
        ("purged", Purged),
        ("could not find first log file name", Purged),
        ("could not find gtid state requested", Purged),
        ("could not find next log", Purged),
        ("which is not in the master's binlog", UnknownGtids),
        ("impossible position", BadPosition),
        ("position > file size", BadPosition),
        ("exceeded max_allowed_packet", TooLarge),
        ("max_allowed_packet", TooLarge),
        ("auto_position mode", WithoutGtids),
        ("auto_position = 1", WithoutGtids),
        ("anonymous transaction", WithoutGtids),
        ("binary log is not open", NoLog),
        ("server id was not set", NoLog),
        ("misconfigured", NoLog),
        ("crc check", Damaged),
        ("binlog truncated in the middle of event", Damaged),
        ("i/o error reading log event", Damaged),
        ("bogus data in log event", Damaged),
    ];
    let lower = message.to_ascii_lowercase();
    let kind = table.iter().find(|(words, _)| lower.contains(words));
    LogError {
        kind: kind.map_or(LogErrorKind::Other, |(_, kind)| *kind),
        message,
    }
}
