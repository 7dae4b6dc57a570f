//! A server that sends a log from where it is asked to, and a client that notes what it is told.
use bytes::Bytes;

use crate::mysql::binlog::{Decoder, Event, Limits, Row};
use crate::mysql::stream::{Gtids, LogPosition, Resume, RowsStep, Step, Stream, StreamError, StreamOptions};

/// A log's raw events in groups.
pub(super) struct Server {
    file: String,
    /// What the file begins with.
    head: Vec<Raw>,
    groups: Vec<Group>,
}

#[derive(Clone)]
struct Raw {
    position: u64,
    bytes: Bytes,
}

struct Group {
    gtid: Option<Gtids>,
    events: Vec<Raw>,
}

impl Server {
    /// A server with one file of these raw events.
    pub(super) fn new(file: &str, raws: Vec<Bytes>) -> Self {
        let mut server = Self {
            file: file.to_owned(),
            head: Vec::new(),
            groups: Vec::new(),
        };
        let mut decoder = Decoder::new(file, 4, Limits::default());
        for bytes in raws {
            decoder.push(bytes.clone());
            let (mut starts, mut gtid, mut is_head, mut position) = (false, None, false, 0);
            while let Some(at) = decoder.advance().unwrap() {
                position = at.position;
                match decoder.read().unwrap() {
                    Event::Start(start) => {
                        starts = true;
                        gtid = start.gtid.map(|gtid| gtid.to_string());
                    }
                    Event::MariadbStart(start) => {
                        starts = true;
                        gtid = Some(start.gtid.to_string());
                    }
                    Event::Format { .. } | Event::PreviousGtids(_) | Event::MariadbGtids(_) => is_head = true,
                    _ => {}
                }
            }
            let raw = Raw { position, bytes };
            if starts {
                let gtid = gtid.map(|gtid| gtid.parse().unwrap());
                server.groups.push(Group {
                    gtid,
                    events: vec![raw],
                });
            } else if is_head || server.groups.is_empty() {
                server.head.push(raw);
            } else {
                server.groups.last_mut().unwrap().events.push(raw);
            }
        }
        server
    }

    /// What it sends to who has everything before `from`: by transactions, or by place.
    pub(super) fn dump(&self, from: &LogPosition, by_gtids: bool) -> Vec<Bytes> {
        let groups = || self.groups.iter();
        match (&from.gtids, by_gtids) {
            (Some(gtids), true) => {
                let wanted = |group: &&Group| !group.gtid.as_ref().is_some_and(|gtid| gtids.covers(gtid));
                let events = groups().filter(wanted).flat_map(|group| &group.events);
                self.sent(4, self.head.iter().chain(events))
            }
            _ => {
                // Behind its last event, the log goes on in a file without any.
                if *from.file != *self.file {
                    return vec![made_up_rotate(&from.file, from.position)];
                }
                let all = self.head.iter().chain(groups().flat_map(|group| &group.events));
                self.sent(from.position, all.filter(|raw| raw.position >= from.position))
            }
        }
    }

    /// Events with those before them that servers make up.
    fn sent<'a>(&self, position: u64, events: impl Iterator<Item = &'a Raw>) -> Vec<Bytes> {
        let mut sent = vec![made_up_rotate(&self.file, position)];
        if position > 4 {
            sent.push(without_position(&self.head[0].bytes));
        }
        sent.extend(events.map(|raw| raw.bytes.clone()));
        sent
    }

    /// The beginning of a file, without any transaction before it.
    pub(super) fn start(file: &str) -> Resume {
        Resume::at(LogPosition {
            gtids: Some("".parse().unwrap()),
            ..LogPosition::at(file.to_owned(), 4)
        })
    }
}

/// The event that says where a stream begins.
fn made_up_rotate(file: &str, position: u64) -> Bytes {
    let mut bytes = vec![0; 19];
    bytes[4] = 4;
    bytes[9] = 19 + 8 + file.len() as u8;
    bytes[17] = 0x20;
    bytes.extend_from_slice(&position.to_le_bytes());
    bytes.extend_from_slice(file.as_bytes());
    bytes.into()
}

/// The first event of a file as a server sends it to who begins elsewhere in it: it does not count.
fn without_position(format: &Bytes) -> Bytes {
    let mut bytes = format.to_vec();
    bytes[13..17].fill(0);
    // The flag of a log that is being written is not in the checksum.
    let content = bytes.len() - 4;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..17]);
    hasher.update(&[bytes[17] & !1]);
    hasher.update(&bytes[18..content]);
    bytes[content..].copy_from_slice(&hasher.finalize().to_le_bytes());
    bytes.into()
}

/// A step that is being delivered.
enum Delivery {
    Line(String),
    Rows(Box<RowsStep>),
}

fn delivery(step: Step) -> Option<Delivery> {
    Some(Delivery::Line(match step {
        Step::Begin {
            origin,
            resumed: false,
        } => format!("begin {}", origin.transaction.id),
        Step::Begin { .. } | Step::Moved => return None,
        Step::Commit(origin) => format!("commit {} {}", origin.transaction.id, origin.position),
        Step::Truncate(truncation) => format!("truncate {} {}", truncation.table, truncation.records),
        Step::Schema(change) => format!("{:?} {:?} {}", change.kind, change.touches, change.text),
        Step::Rows(rows) => return Some(Delivery::Rows(Box::new(rows))),
    }))
}

/// Runs a stream over raw events and notes what it tells. `goes_on` is asked behind each thing at which a client may go away; it gets what was
/// told so far, and can have the offset.
pub(super) fn run(
    stream: &mut Stream,
    raws: &[Bytes],
    mut goes_on: impl FnMut(&[String], &dyn Fn() -> Resume) -> bool,
) -> Result<Vec<String>, StreamError> {
    let mut lines = Vec::new();
    for raw in raws {
        stream.push(raw.clone())?;
        while let Some(step) = stream.next()? {
            match delivery(step) {
                None => {}
                Some(Delivery::Line(line)) => {
                    // Beginnings are never cut off from what follows.
                    let begins = line.starts_with("begin");
                    lines.push(line);
                    stream.settle();
                    if !begins && !goes_on(&lines, &|| stream.resume(None)) {
                        return Ok(lines);
                    }
                }
                Some(Delivery::Rows(mut step)) => {
                    while let Some(line) = row(&mut step)? {
                        lines.push(line);
                        if !goes_on(&lines, &|| stream.resume(Some(&step))) {
                            return Ok(lines);
                        }
                    }
                }
            }
        }
    }
    Ok(lines)
}

/// Reads one row, as if a batch ended behind it.
fn row(step: &mut RowsStep) -> Result<Option<String>, StreamError> {
    let (line, at) = {
        let (mut reader, mut row) = (step.rows.reader(), Row::default());
        if !reader.read_row(&mut row)? {
            return Ok(None);
        }
        (shown(step, &row), reader.next_row())
    };
    let delivered = at.ordinal <= step.fresh;
    step.rows.advance(at);
    Ok(Some(if delivered { format!("again {line}") } else { line }))
}

fn shown(step: &RowsStep, row: &Row<'_>) -> String {
    let (table, origin) = (&step.table, &step.origin);
    let query = origin.query.as_deref().unwrap_or("-");
    format!(
        "{} {}.{} {:?} {:?} {:?} {} {query}",
        origin.transaction.id,
        table.database,
        table.table,
        step.rows.change(),
        row.before,
        row.after,
        origin.position,
    )
}

/// All that a client without any accident is told, and the offset behind each thing.
pub(super) fn uncut(server: &Server, options: &StreamOptions) -> (Vec<String>, Vec<(usize, Resume)>) {
    let start = Server::start(&server.file);
    let mut stream = Stream::new(start.clone(), options.clone());
    let mut resumes = Vec::new();
    let lines = run(
        &mut stream,
        &server.dump(&start.position, false),
        |lines, resume| {
            resumes.push((lines.len(), resume()));
            true
        },
    );
    (lines.unwrap(), resumes)
}
