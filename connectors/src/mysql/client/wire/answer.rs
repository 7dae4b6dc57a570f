//! What servers answer with: OK, ERR, ends of rows, and numbers of variable size.
use bytes::Bytes;

/// `SERVER_MORE_RESULTS_EXISTS`.
pub(in crate::mysql::client) const MORE_RESULTS: u16 = 8;

/// What of a packet an answer is.
#[derive(Debug)]
pub(in crate::mysql::client) enum Answer {
    /// Done.
    Ok(Done),
    /// Refused.
    Error(ServerError),
    /// Rows of so many columns follow.
    Columns(usize),
}

/// What a statement without rows did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows that it changed.
    pub affected_rows: u64,
    /// Warnings it left.
    pub warnings: u16,
    pub(in crate::mysql::client) status: u16,
}

/// An ERR packet.
#[derive(Debug, Clone)]
pub(in crate::mysql::client) struct ServerError {
    pub code: u16,
    pub state: String,
    pub message: String,
}

/// A packet that does not hold what it should.
#[derive(Debug, Clone, Copy)]
pub(in crate::mysql::client) struct Malformed(pub &'static str);

/// Reads a packet from its beginning.
pub(in crate::mysql::client) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::mysql::client) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(Malformed("a packet ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(in crate::mysql::client) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(in crate::mysql::client) fn uint(&mut self, bytes: usize) -> Result<u64, Malformed> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(in crate::mysql::client) fn u16(&mut self) -> Result<u16, Malformed> {
        self.uint(2).map(|number| number as u16)
    }

    pub(in crate::mysql::client) fn u32(&mut self) -> Result<u32, Malformed> {
        self.uint(4).map(|number| number as u32)
    }

    /// A number of one to nine bytes; nothing is NULL.
    #[inline]
    pub(in crate::mysql::client) fn packed(&mut self) -> Result<Option<u64>, Malformed> {
        match self.u8()? {
            first @ 0..=250 => Ok(Some(u64::from(first))),
            251 => Ok(None),
            252 => self.uint(2).map(Some),
            253 => self.uint(3).map(Some),
            254 => self.uint(8).map(Some),
            255 => Err(Malformed("a number begins with a byte that none has")),
        }
    }

    pub(in crate::mysql::client) fn number(&mut self) -> Result<u64, Malformed> {
        self.packed()?.ok_or(Malformed("a number is missing"))
    }

    /// Bytes behind their length; nothing is NULL.
    #[inline]
    pub(in crate::mysql::client) fn cell(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.packed()? {
            None => Ok(None),
            Some(length) => {
                let length = usize::try_from(length).map_err(|_| Malformed("a value ends too early"))?;
                self.take(length).map(Some)
            }
        }
    }

    pub(in crate::mysql::client) fn text(&mut self) -> Result<&'a [u8], Malformed> {
        self.cell()?.ok_or(Malformed("a text is missing"))
    }

    /// What is before the next zero byte, or all.
    pub(in crate::mysql::client) fn until_zero(&mut self) -> &'a [u8] {
        let end = memchr::memchr(0, self.0).unwrap_or(self.0.len());
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        text
    }
}

impl Answer {
    /// The first packet of an answer.
    pub(in crate::mysql::client) fn read(packet: &Bytes) -> Result<Self, Malformed> {
        match packet.first() {
            Some(0) => Done::read(packet).map(Self::Ok),
            Some(0xff) => ServerError::read(packet).map(Self::Error),
            Some(0xfb) => Err(Malformed("it asks for a local file")),
            Some(_) => {
                let columns = Reader(packet).number()?;
                match usize::try_from(columns) {
                    Ok(columns @ 1..=4096) => Ok(Self::Columns(columns)),
                    _ => Err(Malformed("no result has so many columns")),
                }
            }
            None => Err(Malformed("a packet is empty")),
        }
    }
}

impl Done {
    /// An OK packet, or one in its form that ends rows.
    pub(in crate::mysql::client) fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(packet);
        reader.u8()?;
        let affected_rows = reader.number()?;
        reader.number()?;
        let (status, warnings) = (reader.u16()?, reader.u16()?);
        Ok(Self {
            affected_rows,
            warnings,
            status,
        })
    }

    /// An EOF packet, which ends rows of servers before MySQL 5.7.
    pub(in crate::mysql::client) fn read_end(packet: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(packet);
        reader.u8()?;
        let (warnings, status) = (reader.u16()?, reader.u16()?);
        Ok(Self {
            affected_rows: 0,
            warnings,
            status,
        })
    }

    pub(in crate::mysql::client) fn more_results(&self) -> bool {
        self.status & MORE_RESULTS != 0
    }
}

impl ServerError {
    /// An ERR packet, with its SQLSTATE or, before the handshake ended, without.
    pub(in crate::mysql::client) fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(packet);
        reader.u8()?;
        let code = reader.u16()?;
        let state = match reader.0.first() {
            Some(b'#') => reader.take(6)?.get(1..).unwrap_or_default(),
            _ => b"HY000".as_slice(),
        };
        Ok(Self {
            code,
            state: String::from_utf8_lossy(state).into_owned(),
            message: String::from_utf8_lossy(reader.0).into_owned(),
        })
    }
}
