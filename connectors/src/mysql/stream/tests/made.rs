//! Logs that are made here, event by event, as servers write them.
use bytes::Bytes;

use super::server::{Server, run};
use crate::mysql::binlog::{Xid, event_type as kinds};
use crate::mysql::stream::{Stream, StreamError, StreamOptions};
use crate::mysql::tests::golden::{log, raw_events};

/// A log that grows.
pub(super) struct Log {
    position: usize,
    pub(super) raws: Vec<Bytes>,
    number: u64,
}

pub(super) fn xid(name: &str) -> Xid {
    Xid {
        format: 1,
        global: name.as_bytes().to_vec(),
        branch: Vec::new(),
    }
}

impl Log {
    /// Of MySQL 9.7.
    pub(super) fn mysql() -> Self {
        Self::behind(raw_events(&log("mysql97")).swap_remove(0))
    }

    /// Of MariaDB.
    pub(super) fn mariadb() -> Self {
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
    pub(super) fn gtid(&mut self) -> &mut Self {
        self.number += 1;
        let mut content = vec![0, 0x10];
        content.extend_from_slice(&[0; 15]);
        content.extend_from_slice(&self.number.to_le_bytes());
        self.add(kinds::GTID, &content)
    }

    pub(super) fn anonymous(&mut self) -> &mut Self {
        self.add(kinds::ANONYMOUS_GTID, &[0; 25])
    }

    /// A GTID of MariaDB, `0-97-number`.
    pub(super) fn mariadb_gtid(&mut self, flags: u8, xid: Option<&Xid>) -> &mut Self {
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

    pub(super) fn query(&mut self, text: &str) -> &mut Self {
        let mut content = vec![7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'd', 0];
        content.extend_from_slice(text.as_bytes());
        self.add(kinds::QUERY, &content)
    }

    pub(super) fn load_data(&mut self, text: &str) -> &mut Self {
        let mut content = vec![7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        content.extend_from_slice(&[0; 13]);
        content.extend_from_slice(b"d\0");
        content.extend_from_slice(text.as_bytes());
        self.add(kinds::EXECUTE_LOAD_QUERY, &content)
    }

    /// Inserted rows of a table with one column.
    pub(super) fn rows(&mut self, table: &str, values: &[i32]) -> &mut Self {
        self.rows_of("d", table, kinds::WRITE_ROWS, values)
    }

    pub(super) fn rows_of(
        &mut self,
        database: &str,
        table: &str,
        event_type: u8,
        values: &[i32],
    ) -> &mut Self {
        let id = [table.len() as u8, database.len() as u8, 0, 0, 0, 0];
        let mut map = id.to_vec();
        map.extend_from_slice(&[1, 0]);
        for name in [database, table] {
            map.push(name.len() as u8);
            map.extend_from_slice(name.as_bytes());
            map.push(0);
        }
        map.extend_from_slice(&[1, 3, 0, 0]);
        self.add(kinds::TABLE_MAP, &map);
        let mut content = id.to_vec();
        content.extend_from_slice(&[1, 0, 2, 0, 1, 1]);
        for value in values {
            content.push(0);
            content.extend_from_slice(&value.to_le_bytes());
        }
        self.add(event_type, &content)
    }

    /// A transaction of these rows.
    pub(super) fn transaction(&mut self, table: &str, values: &[i32]) -> &mut Self {
        self.gtid().query("BEGIN").rows(table, values).commit()
    }

    pub(super) fn commit(&mut self) -> &mut Self {
        self.add(kinds::XID, &[0; 8])
    }

    pub(super) fn xa_prepare(&mut self, xid: &Xid, one_phase: bool) -> &mut Self {
        let mut content = vec![u8::from(one_phase)];
        content.extend_from_slice(&xid.format.to_le_bytes());
        content.extend_from_slice(&(xid.global.len() as u32).to_le_bytes());
        content.extend_from_slice(&(xid.branch.len() as u32).to_le_bytes());
        content.extend_from_slice(&xid.global);
        content.extend_from_slice(&xid.branch);
        self.add(kinds::XA_PREPARE, &content)
    }

    pub(super) fn incident(&mut self) -> &mut Self {
        self.add(kinds::INCIDENT, b"\x01\x00\x04LOST")
    }

    /// The server stopped without another word, and another file begins.
    pub(super) fn crash(&mut self) -> &mut Self {
        self.raws.push(self.raws[0].clone());
        self.position = 4 + self.raws[0].len();
        self
    }

    pub(super) fn server(&self) -> Server {
        Server::new("bin.000001", self.raws.clone())
    }

    /// All that is told of it, or why not.
    pub(super) fn told(&self, options: StreamOptions) -> Result<Vec<String>, StreamError> {
        let start = Server::start("bin.000001");
        let lines = run(&mut Stream::new(start, options), &self.raws, |_, _| true)?;
        Ok(lines.iter().map(|line| short(line)).collect())
    }
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
