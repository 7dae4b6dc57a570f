//! Logs that are made here, event by event, as servers write them.
use bytes::Bytes;

use super::server::{Server, run};
use crate::mysql::binlog::{Xid, event_type as kinds};
use crate::mysql::stream::{Stream, StreamError, StreamOptions};
use crate::mysql::tests::golden::{log, raw_events};

/// A log that grows.
pub(in crate::mysql) struct Log {
    position: usize,
    pub(in crate::mysql) raws: Vec<Bytes>,
    number: u64,
}

pub(in crate::mysql) fn xid(name: &str) -> Xid {
    Xid {
        format: 1,
        global: name.as_bytes().to_vec(),
        branch: Vec::new(),
    }
}

impl Log {
    /// Of MySQL 9.7.
    pub(in crate::mysql) fn mysql() -> Self {
        Self::behind(raw_events(&log("mysql97")).swap_remove(0))
    }

    /// Of MariaDB.
    pub(in crate::mysql) fn mariadb() -> Self {
        Self::behind(raw_events(&log("mariadb")).swap_remove(0))
    }

    fn behind(format: Bytes) -> Self {
        Self {
            position: 4 + format.len(),
            raws: vec![format],
            number: 0,
        }
    }

    fn add(&mut self, event_type: u8, content: &[u8]) -> &mut Self {
        let length = 19 + content.len() + 4;
        self.position += length;
        let mut raw = Vec::with_capacity(length);
        raw.extend_from_slice(&1_700_000_000_u32.to_le_bytes());
        raw.push(event_type);
        raw.extend_from_slice(&97_u32.to_le_bytes());
        raw.extend_from_slice(&(length as u32).to_le_bytes());
        raw.extend_from_slice(&(self.position as u32).to_le_bytes());
        raw.extend_from_slice(&[0; 2]);
        raw.extend_from_slice(content);
        raw.extend_from_slice(&crc32fast::hash(&raw).to_le_bytes());
        self.raws.push(raw.into());
        self
    }

    /// A GTID of MySQL, `10…0:number`.
    pub(in crate::mysql) fn gtid(&mut self) -> &mut Self {
        self.number += 1;
        let mut content = vec![0, 0x10];
        content.extend_from_slice(&[0; 15]);
        content.extend_from_slice(&self.number.to_le_bytes());
        self.add(kinds::GTID, &content)
    }

    pub(in crate::mysql) fn anonymous(&mut self) -> &mut Self {
        self.add(kinds::ANONYMOUS_GTID, &[0; 25])
    }

    /// A GTID of MariaDB, `0-97-number`.
    pub(in crate::mysql) fn mariadb_gtid(&mut self, flags: u8, xid: Option<&Xid>) -> &mut Self {
        self.number += 1;
        let mut content = self.number.to_le_bytes().to_vec();
        content.extend_from_slice(&[0; 4]);
        content.push(flags);
        if let Some(xid) = xid {
            content.extend_from_slice(&xid.format.to_le_bytes());
            content.extend_from_slice(&[xid.global.len() as u8, xid.branch.len() as u8]);
            content.extend_from_slice(&xid.global);
            content.extend_from_slice(&xid.branch);
        }
        self.add(kinds::MARIADB_GTID, &content)
    }

    pub(in crate::mysql) fn query(&mut self, text: &str) -> &mut Self {
        let mut content = vec![7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'd', 0];
        content.extend_from_slice(text.as_bytes());
        self.add(kinds::QUERY, &content)
    }

    pub(in crate::mysql) fn load_data(&mut self, text: &str) -> &mut Self {
        let mut content = vec![7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        content.extend_from_slice(&[0; 13]);
        content.extend_from_slice(b"d\0");
        content.extend_from_slice(text.as_bytes());
        self.add(kinds::EXECUTE_LOAD_QUERY, &content)
    }

    /// Inserted rows of a table with one column.
    pub(in crate::mysql) fn rows(&mut self, table: &str, values: &[i32]) -> &mut Self {
        self.rows_of("d", table, kinds::WRITE_ROWS, values)
    }

    pub(in crate::mysql) fn rows_of(
        &mut self,
        database: &str,
        table: &str,
        event_type: u8,
        values: &[i32],
    ) -> &mut Self {
        let images = values.iter().map(|value| value.to_le_bytes().to_vec());
        self.images((database, table), &[3, 0, 0], event_type, true, images)
    }

    /// As [`Self::rows`], and more rows of the same statement follow.
    pub(in crate::mysql) fn rows_within(&mut self, table: &str, values: &[i32]) -> &mut Self {
        let images = values.iter().map(|value| value.to_le_bytes().to_vec());
        self.images(("d", table), &[3, 0, 0], kinds::WRITE_ROWS, false, images)
    }

    /// Inserted rows of a table with one column, `at DATETIME`, whose name the log tells: midnight of these days of January 2024. One that is
    /// not told is no datetime at all.
    pub(in crate::mysql) fn days(&mut self, table: &str, days: &[Option<u8>]) -> &mut Self {
        let images = days.iter().map(|day| {
            let months = 2024 * 13 + 1;
            let whole = day.map_or(0, |day| 0x80_0000_0000_u64 | months << 22 | u64::from(day) << 17);
            whole.to_be_bytes()[3..].to_vec()
        });
        let column = [18, 1, 0, 0, 4, 3, 2, b'a', b't'];
        self.images(("d", table), &column, kinds::WRITE_ROWS, true, images)
    }

    /// Rows of a table with one column, described by its type and what follows.
    fn images(
        &mut self,
        (database, table): (&str, &str),
        column: &[u8],
        event_type: u8,
        ends_statement: bool,
        images: impl Iterator<Item = Vec<u8>>,
    ) -> &mut Self {
        let id = [table.len() as u8, database.len() as u8, 0, 0, 0, 0];
        let mut map = id.to_vec();
        map.extend_from_slice(&[1, 0]);
        for name in [database, table] {
            map.push(name.len() as u8);
            map.extend_from_slice(name.as_bytes());
            map.push(0);
        }
        map.push(1);
        map.extend_from_slice(column);
        self.add(kinds::TABLE_MAP, &map);
        let mut content = id.to_vec();
        content.extend_from_slice(&[u8::from(ends_statement), 0, 2, 0, 1, 1]);
        for image in images {
            content.push(0);
            content.extend_from_slice(&image);
        }
        self.add(event_type, &content)
    }

    /// The text of the statement whose rows follow.
    pub(in crate::mysql) fn rows_query(&mut self, text: &str) -> &mut Self {
        let mut content = vec![text.len().min(255) as u8];
        content.extend_from_slice(text.as_bytes());
        self.add(kinds::ROWS_QUERY, &content)
    }

    /// A transaction of these rows.
    pub(in crate::mysql) fn transaction(&mut self, table: &str, values: &[i32]) -> &mut Self {
        self.gtid().query("BEGIN").rows(table, values).commit()
    }

    pub(in crate::mysql) fn commit(&mut self) -> &mut Self {
        self.add(kinds::XID, &[0; 8])
    }

    pub(in crate::mysql) fn xa_prepare(&mut self, xid: &Xid, one_phase: bool) -> &mut Self {
        let mut content = vec![u8::from(one_phase)];
        content.extend_from_slice(&xid.format.to_le_bytes());
        content.extend_from_slice(&(xid.global.len() as u32).to_le_bytes());
        content.extend_from_slice(&(xid.branch.len() as u32).to_le_bytes());
        content.extend_from_slice(&xid.global);
        content.extend_from_slice(&xid.branch);
        self.add(kinds::XA_PREPARE, &content)
    }

    pub(in crate::mysql) fn incident(&mut self) -> &mut Self {
        self.add(kinds::INCIDENT, b"\x01\x00\x04LOST")
    }

    /// The server stopped without another word, and another file begins.
    pub(in crate::mysql) fn crash(&mut self) -> &mut Self {
        self.raws.push(self.raws[0].clone());
        self.position = 4 + self.raws[0].len();
        self
    }

    /// An event that says how far the server is; it is not in the log.
    pub(in crate::mysql) fn heartbeat(&self, position: u64) -> Bytes {
        heartbeat_of("bin.000001", position)
    }

    /// The end of a file, as it is in the log, or as a server makes it up.
    pub(in crate::mysql) fn rotate(&self, file: &str, made_up_by_server: bool) -> Bytes {
        let mut content = 4_u64.to_le_bytes().to_vec();
        content.extend_from_slice(file.as_bytes());
        match made_up_by_server {
            true => made_up(kinds::ROTATE, 0, 0x20, &content),
            false => made_up(kinds::ROTATE, 1 << 20, 0, &content),
        }
    }

    pub(super) fn server(&self) -> Server {
        Server::new("bin.000001", self.raws.clone())
    }

    /// All that is told of it, or why not.
    pub(in crate::mysql) fn told(&self, options: StreamOptions) -> Result<Vec<String>, StreamError> {
        let start = Server::start("bin.000001");
        let lines = run(&mut Stream::new(start, options), &self.raws, |_, _| true)?;
        Ok(lines.iter().map(|line| short(line)).collect())
    }
}

/// An event that says how far the server is in this file; it is not in the log.
pub(in crate::mysql) fn heartbeat_of(file: &str, position: u64) -> Bytes {
    made_up(kinds::HEARTBEAT, position as u32, 0, file.as_bytes())
}

fn made_up(event_type: u8, next_position: u32, flags: u16, content: &[u8]) -> Bytes {
    let mut raw = vec![0; 4];
    raw.push(event_type);
    raw.extend_from_slice(&97_u32.to_le_bytes());
    raw.extend_from_slice(&(19 + content.len() as u32 + 4).to_le_bytes());
    raw.extend_from_slice(&next_position.to_le_bytes());
    raw.extend_from_slice(&flags.to_le_bytes());
    raw.extend_from_slice(content);
    raw.extend_from_slice(&crc32fast::hash(&raw).to_le_bytes());
    raw.into()
}

/// A line without what is the same in all logs that are made here: `begin 1`, `i 5`, `commit 1`.
fn short(line: &str) -> String {
    let words: Vec<_> = line.split(' ').collect();
    let number = |id: &str| id.rsplit([':', '-']).next().unwrap().to_owned();
    match words[0] {
        "begin" | "commit" => format!("{} {}", words[0], number(words[1])),
        id if id.contains(':') || id.contains("0-97-") || id.starts_with("file=") => {
            let value = line.split("Int(").nth(1).and_then(|rest| rest.split(')').next());
            format!("{}:{} {}", number(id), words[1], value.unwrap_or("?"))
        }
        _ => line.to_owned(),
    }
}
