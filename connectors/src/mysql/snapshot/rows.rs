//! Rows as text cells, one behind the other in few allocations.

/// The bit of a cell's end that says that it is NULL.
const NULL: u32 = 1 << 31;

/// The most bytes of cells: ends have 31 bits.
pub const BYTES_MAX: usize = NULL as usize - 1;

/// Rows of as many cells each: those that are told, and behind them those of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    bytes: Vec<u8>,
    /// Where each cell ends in `bytes`.
    ends: Vec<u32>,
    width: usize,
}

impl Rows {
    /// No rows, of so many cells.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    /// Adds a row; whether there is room for it.
    ///
    /// ```
    /// use millstream_connectors::mysql::snapshot::Rows;
    ///
    /// let mut rows = Rows::new(2);
    /// assert!(rows.push([Some(&b"1"[..]), None]));
    /// let mut cells = Vec::new();
    /// rows.row(0, 0..2, &mut cells);
    /// assert_eq!(cells, [Some(&b"1"[..]), None]);
    /// ```
    ///
    /// # Panics
    /// With another number of cells.
    pub fn push<'c>(&mut self, cells: impl IntoIterator<Item = Option<&'c [u8]>>) -> bool {
        let (bytes, ends) = (self.bytes.len(), self.ends.len());
        for cell in cells {
            self.bytes.extend_from_slice(cell.unwrap_or_default());
            if self.bytes.len() > BYTES_MAX {
                self.bytes.truncate(bytes);
                self.ends.truncate(ends);
                return false;
            }
            let null = if cell.is_none() { NULL } else { 0 };
            self.ends.push(self.bytes.len() as u32 | null);
        }
        assert_eq!(self.ends.len() - ends, self.width, "rows have as many cells each");
        true
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The cells of each row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The bytes that they take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + size_of::<u32>() * self.ends.len()
    }

    /// Puts some cells of a row into `target`.
    pub fn row<'a>(&'a self, row: usize, cells: std::ops::Range<usize>, target: &mut Vec<Option<&'a [u8]>>) {
        target.clear();
        let first = row * self.width + cells.start;
        let mut start = match first.checked_sub(1) {
            Some(before) => (self.ends[before] & !NULL) as usize,
            None => 0,
        };
        for end in &self.ends[first..row * self.width + cells.end] {
            let to = (end & !NULL) as usize;
            target.push((end & NULL == 0).then(|| &self.bytes[start..to]));
            start = to;
        }
    }
}
