//! Rows as the server prints them.
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::wire::answer::{Malformed, Reader};
use super::{Client, ClientError};

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name or alias.
    pub name: String,
    /// The collation its text comes in; 63: bytes.
    pub collation: u16,
    /// The number of its type.
    pub type_code: u8,
    /// Its flags: 32 is unsigned, 128 binary.
    pub flags: u16,
}

impl ResultColumn {
    pub(super) fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(packet);
        // Catalog, database, table, the table's own name.
        for _ in 0..4 {
            reader.text()?;
        }
        let name = String::from_utf8_lossy(reader.text()?).into_owned();
        reader.text()?;
        reader.number()?;
        let collation = reader.u16()?;
        reader.u32()?;
        let type_code = reader.u8()?;
        let flags = reader.u16()?;
        Ok(Self {
            name,
            collation,
            type_code,
            flags,
        })
    }
}

/// A row: for each column the text that the server prints, or nothing for NULL.
///
/// Its bytes are a slice of what was read from the connection; cells borrow from it. [`Row::cells`] walks over them once, which is the
/// way for many rows; [`Row::get`] walks up to its column.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    bytes: Bytes,
}

impl Row {
    /// A row of so many columns; nothing is wrong with it behind this.
    pub(super) fn read(bytes: Bytes, columns: usize) -> Result<Self, Malformed> {
        let mut reader = Reader(&bytes);
        for _ in 0..columns {
            reader.cell()?;
        }
        match reader.0.is_empty() {
            true => Ok(Self { bytes }),
            false => Err(Malformed("a row has more columns than were said")),
        }
    }

    /// The cells from the first column on.
    #[must_use]
    pub fn cells(&self) -> Cells<'_> {
        Cells(Reader(&self.bytes))
    }

    /// The cell of a column, which is nothing for NULL, and for a column that is none.
    #[must_use]
    pub fn get(&self, column: usize) -> Option<&[u8]> {
        self.cells().nth(column).flatten()
    }

    /// The text of a column; nothing for NULL. The connection's character set is UTF-8; what is none is replaced.
    #[must_use]
    pub fn text(&self, column: usize) -> Option<String> {
        self.get(column)
            .map(|cell| String::from_utf8_lossy(cell).into_owned())
    }

    /// A cell as shared bytes: no copy.
    ///
    /// # Panics
    /// With bytes that are not from this row.
    #[must_use]
    pub fn share(&self, cell: &[u8]) -> Bytes {
        self.bytes.slice_ref(cell)
    }

    /// The bytes it takes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.cells().map(|cell| cell.map(String::from_utf8_lossy));
        f.debug_list().entries(texts).finish()
    }
}

/// The cells of a row.
pub struct Cells<'a>(Reader<'a>);

impl<'a> Iterator for Cells<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        self.0.cell().ok()
    }
}

/// Rows that come one after the other. What is not read is passed over by the next statement; to give a large result up, drop the
/// client, too.
pub struct RowStream<'a> {
    pub(super) client: &'a mut Client,
    pub(super) columns: Arc<[ResultColumn]>,
    pub(super) what: &'static str,
}

impl RowStream<'_> {
    /// What rows have.
    #[must_use]
    pub fn columns(&self) -> &Arc<[ResultColumn]> {
        &self.columns
    }

    /// The next row; nothing behind the last one. Giving up waiting loses nothing.
    ///
    /// # Errors
    /// When the connection breaks, or the server stops the statement.
    pub async fn next(&mut self) -> Result<Option<Row>, ClientError> {
        self.client.next_row(self.columns.len(), self.what).await
    }
}
