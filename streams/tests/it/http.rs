//! A client of a job's `queries.listener`.
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::client::PATIENCE;

/// A connection that stays open.
pub struct Http {
    stream: TcpStream,
    left: Vec<u8>,
}

impl Http {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let left = Vec::new();
        Self { stream, left }
    }

    fn read_until(&mut self, is: impl Fn(&[u8]) -> Option<usize>) -> Vec<u8> {
        let mut piece = [0; 4096];
        loop {
            if let Some(end) = is(&self.left) {
                let rest = self.left.split_off(end);
                return std::mem::replace(&mut self.left, rest);
            }
            let count = self.stream.read(&mut piece).unwrap();
            assert!(
                count > 0,
                "the connection ended behind {:?}",
                String::from_utf8_lossy(&self.left)
            );
            self.left.extend_from_slice(&piece[..count]);
        }
    }

    /// Sends a head; the status and the body.
    pub fn send(&mut self, head: &str) -> (u16, Value) {
        self.stream.write_all(head.as_bytes()).unwrap();
        let end = |bytes: &[u8]| {
            bytes
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
                .map(|place| place + 4)
        };
        let head = String::from_utf8(self.read_until(end)).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .unwrap();
        let length: usize = length.parse().unwrap();
        let body = self.read_until(|bytes| (bytes.len() >= length).then_some(length));
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub fn ask(&mut self, target: &str) -> (u16, Value) {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    pub fn get(&mut self, target: &str) -> Value {
        let (status, page) = self.ask(target);
        assert_eq!(status, 200, "{target}: {page}");
        page
    }

    /// The count of a word, as an instance says it; none if it cannot now.
    pub fn count(&mut self, word: &str) -> Option<i64> {
        let (status, page) = self.ask(&format!("/stores/counts?key=%5B%22{word}%22%5D"));
        assert!([200, 503].contains(&status), "{status}: {page}");
        (status == 200).then(|| page["rows"][0]["n"].as_i64().unwrap_or(0))
    }

    pub fn all(&mut self) -> Option<BTreeMap<String, i64>> {
        let (status, page) = self.ask("/stores/counts?limit=10000");
        assert!([200, 503].contains(&status), "{status}: {page}");
        let rows = page["rows"].as_array()?;
        let row = |row: &Value| {
            (
                row["word"].as_str().unwrap().to_owned(),
                row["n"].as_i64().unwrap(),
            )
        };
        Some(rows.iter().map(row).collect())
    }
}
