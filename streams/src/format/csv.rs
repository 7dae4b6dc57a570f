//! Records of comma-separated values: a record is one line, as RFC 4180 has it.
//!
//! Cells are texts that are cast to their columns' types, all rows of a column together; where that fails, the row is to blame.
use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, filter};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::custom::{
    DecodedRecords, EncodeRow, EncodedRecord, OutputBatch, OutputRows, RecordDecoder, RecordEncoder,
    RecordFormat,
};
use super::{Format, FormatError};

const NAME: &str = "csv";

/// Lines of cells; made by [`csv()`], and a [`Format`] wherever one is wanted.
#[derive(Debug, Clone)]
pub struct Csv {
    schema: SchemaRef,
    delimiter: u8,
    quote: u8,
    null: String,
}

/// Lines of cells with these columns, for reading and writing: one record is one line, without a line of names.
///
/// Reading casts the cells as [`cast`](crate::cast) does; a record with more or fewer cells, or one that does not cast, fails the job
/// with its place, unless [`Stream::on_error`](crate::Stream::on_error) says otherwise. An empty cell is null, an empty text stands in
/// quotes. A null value is a row of nulls. A line break at the end is passed over, others belong to quoted cells.
///
/// Writing takes all columns that are not the key, whatever the schema says; keys are those of [`json`](super::json).
///
/// ```
/// use millstream_streams::{TestDriver, TestRecord, csv, prelude::*};
/// let orders = Schema::new(vec![
///     Field::new("id", DataType::Int64, false),
///     Field::new("item", DataType::Utf8, true),
/// ]);
/// let app = Streams::new("orders");
/// app.stream("orders", csv(orders.clone()).delimiter(b';')).to("copies", csv(orders));
/// let mut driver = TestDriver::new(&app)?;
/// driver.pipe("orders", TestRecord::new(r#"7;"a ""b"", c""#))?;
/// driver.commit()?;
/// assert_eq!(driver.read("copies")[0].as_text().1, r#"7,"a ""b"", c""#);
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub fn csv(schema: Schema) -> Csv {
    Csv {
        schema: Arc::new(schema),
        delimiter: b',',
        quote: b'"',
        null: String::new(),
    }
}

impl Csv {
    /// What stands between cells; a comma unless told.
    ///
    /// ```
    /// use millstream_streams::{Schema, csv};
    /// let tabs = csv(Schema::empty()).delimiter(b'\t');
    /// ```
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// What stands around cells that have delimiters, line breaks or quotes in them, and is doubled within; `"` unless told.
    ///
    /// ```
    /// use millstream_streams::{Schema, csv};
    /// let single = csv(Schema::empty()).quote(b'\'');
    /// ```
    pub fn quote(mut self, quote: u8) -> Self {
        self.quote = quote;
        self
    }

    /// What stands for null, without quotes; nothing at all unless told.
    ///
    /// ```
    /// use millstream_streams::{Schema, csv};
    /// let postgres = csv(Schema::empty()).null("\\N");
    /// ```
    pub fn null(mut self, null: impl Into<String>) -> Self {
        self.null = null.into();
        self
    }

    fn check(&self) -> Result<(), FormatError> {
        let legal = |byte: u8| byte.is_ascii() && !matches!(byte, b'\n' | b'\r');
        if legal(self.delimiter) && legal(self.quote) && self.delimiter != self.quote {
            return Ok(());
        }
        let reason = "delimiter and quote have to be two ASCII characters, and no line breaks";
        Err(FormatError::unwritable(NAME, reason))
    }

    /// Takes a line apart: the cells, each with whether it stood in quotes.
    fn cells<'a>(&self, line: &'a str) -> Result<Vec<(Cow<'a, str>, bool)>, String> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (delimiter, quote) = (char::from(self.delimiter), char::from(self.quote));
        let (mut cells, mut rest) = (Vec::new(), line);
        loop {
            rest = match rest.strip_prefix(quote) {
                Some(quoted) => {
                    let (cell, behind) = unquoted(quoted, quote)
                        .ok_or_else(|| format!("the quotes around cell {} do not end", cells.len() + 1))?;
                    cells.push((cell, true));
                    behind
                }
                None => {
                    let (cell, behind) = rest.split_at(rest.find(delimiter).unwrap_or(rest.len()));
                    cells.push((cell.into(), false));
                    behind
                }
            };
            if rest.is_empty() {
                return Ok(cells);
            }
            rest = rest
                .strip_prefix(delimiter)
                .ok_or_else(|| format!("there is more behind the quotes of cell {}", cells.len()))?;
        }
    }
}

/// The text up to the quote that ends it, and what lies behind.
fn unquoted(text: &str, quote: char) -> Option<(Cow<'_, str>, &str)> {
    let mut whole = String::new();
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_once(quote)?;
        match behind.strip_prefix(quote) {
            Some(after) => {
                whole.push_str(part);
                whole.push(quote);
                rest = after;
            }
            None if whole.is_empty() => return Some((part.into(), behind)),
            None => {
                whole.push_str(part);
                return Some((whole.into(), behind));
            }
        }
    }
}

impl From<Csv> for Format {
    fn from(csv: Csv) -> Self {
        Self::custom(Arc::new(csv))
    }
}

impl RecordFormat for Csv {
    fn name(&self) -> String {
        let mut name = NAME.to_owned();
        if (self.delimiter, self.quote) != (b',', b'"') {
            let both = [self.delimiter, self.quote].map(|byte| byte.escape_ascii().to_string());
            name.push_str(&format!("[{} {}]", both[0], both[1]));
        }
        if !self.null.is_empty() {
            name.push_str(&format!("[{}]", self.null));
        }
        name
    }

    fn schema(&self, _topic: &str) -> Result<Option<SchemaRef>, FormatError> {
        self.check()?;
        for field in self.schema.fields() {
            let to = field.data_type();
            if to.is_nested() || !can_cast_types(&DataType::Utf8, to) {
                let reason = format!("column {:?} is {to}, which no cell can be", field.name());
                return Err(FormatError::unreadable(NAME, reason));
            }
        }
        Ok(Some(Arc::clone(&self.schema)))
    }

    fn decoder(&self, columns: &SchemaRef) -> Box<dyn RecordDecoder> {
        let builders = columns.fields().iter().map(|_| StringBuilder::new());
        Box::new(Lines {
            format: self.clone(),
            cells: builders.collect(),
            decoded: DecodedRecords::default(),
            count: 0,
        })
    }

    fn encoder(&self, rows: &OutputRows<'_>) -> Result<Box<dyn RecordEncoder>, FormatError> {
        self.check()?;
        let columns: Vec<usize> = rows.values().collect();
        if columns.is_empty() {
            let reason = "all columns are the key, and a line needs one; add a column, or use json()";
            return Err(FormatError::unwritable(NAME, reason));
        }
        for column in &columns {
            let field = rows.schema.field(*column);
            let (name, from) = (field.name(), field.data_type());
            if from.is_nested() || !can_cast_types(from, &DataType::Utf8) {
                let reason = format!(
                    "column {name:?} is {from}, which no cell can hold; select others, or use json()"
                );
                return Err(FormatError::unwritable(NAME, reason));
            }
        }
        Ok(Box::new(LineEncoder {
            format: self.clone(),
            columns,
        }))
    }
}

/// Texts by column, as far as their records have as many cells as there are columns.
struct Lines {
    format: Csv,
    cells: Vec<StringBuilder>,
    decoded: DecodedRecords,
    /// The records pushed.
    count: usize,
}

impl RecordDecoder for Lines {
    fn push(&mut self, record: &EncodedRecord<'_>) {
        let place = self.count;
        self.count += 1;
        let Some(value) = record.value else {
            self.cells.iter_mut().for_each(StringBuilder::append_null);
            self.decoded.records.push(place);
            return;
        };
        let line = std::str::from_utf8(value).map_err(|error| format!("it is not UTF-8: {error}"));
        let columns = self.cells.len();
        let cells = line
            .and_then(|line| self.format.cells(line))
            .and_then(|cells| match cells.len() {
                count if count == columns => Ok(cells),
                count => Err(format!("it has {count} cells, the stream has {columns} columns")),
            });
        match cells {
            Ok(cells) => {
                for ((text, is_quoted), column) in cells.into_iter().zip(&mut self.cells) {
                    let is_null = !is_quoted && text == self.format.null;
                    column.append_option((!is_null).then_some(text));
                }
                self.decoded.records.push(place);
            }
            Err(reason) => self.decoded.unfit(place, FormatError::unreadable(NAME, reason)),
        }
    }

    fn take(&mut self) -> Result<DecodedRecords, FormatError> {
        let mut decoded = std::mem::take(&mut self.decoded);
        self.count = 0;
        let mut fits = vec![true; decoded.records.len()];
        for (field, texts) in self.format.schema.fields().iter().zip(&mut self.cells) {
            let texts: StringArray = texts.finish();
            let values = cast_with_options(&texts, field.data_type(), &options(true))?;
            for row in (0..texts.len()).filter(|row| values.is_null(*row)) {
                let reason = match texts.is_null(row) {
                    true if field.is_nullable() => continue,
                    true => format!("column {:?} is empty", field.name()),
                    false => {
                        let (text, data_type) = (texts.value(row), field.data_type());
                        format!("{text:?} in column {:?} is no {data_type}", field.name())
                    }
                };
                if std::mem::replace(&mut fits[row], false) {
                    let place = decoded.records[row];
                    decoded.unfit(place, FormatError::unreadable(NAME, reason));
                }
            }
            decoded.columns.push(values);
        }
        decoded.keep(&fits)?;
        Ok(decoded)
    }
}

fn options(safe: bool) -> CastOptions<'static> {
    CastOptions {
        safe,
        ..CastOptions::default()
    }
}

impl DecodedRecords {
    /// Keeps the rows that `fits` says, and puts what cannot be read in its order.
    pub(super) fn keep(&mut self, fits: &[bool]) -> Result<(), FormatError> {
        if fits.contains(&false) {
            let good = fits.to_vec().into();
            for column in &mut self.columns {
                *column = filter(column, &good)?;
            }
            let mut fits = fits.iter();
            self.records.retain(|_| fits.next() == Some(&true));
        }
        self.undecodable.sort_by_key(|(place, _)| *place);
        Ok(())
    }
}

struct LineEncoder {
    format: Csv,
    columns: Vec<usize>,
}

struct LineRows<'a> {
    format: &'a Csv,
    columns: Vec<ArrayRef>,
}

impl RecordEncoder for LineEncoder {
    fn batch<'a>(&'a mut self, batch: &'a OutputBatch) -> Result<Box<dyn EncodeRow + 'a>, FormatError> {
        let columns = self.columns.iter().map(|column| {
            cast_with_options(batch.rows.column(*column), &DataType::Utf8, &options(false))
                .map_err(|cause| FormatError::unwritable(NAME, cause.to_string()))
        });
        Ok(Box::new(LineRows {
            columns: columns.collect::<Result<_, _>>()?,
            format: &self.format,
        }))
    }
}

impl EncodeRow for LineRows<'_> {
    fn value(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        let (delimiter, quote) = (self.format.delimiter, self.format.quote);
        for (place, column) in self.columns.iter().enumerate() {
            if place > 0 {
                out.push(delimiter);
            }
            let column = column.as_string::<i32>();
            if column.is_null(row) {
                out.extend_from_slice(self.format.null.as_bytes());
                continue;
            }
            let text = column.value(row);
            let is_special = |byte: u8| byte == delimiter || byte == quote || matches!(byte, b'\n' | b'\r');
            if text != self.format.null && !text.bytes().any(is_special) {
                out.extend_from_slice(text.as_bytes());
                continue;
            }
            out.push(quote);
            for byte in text.bytes() {
                if byte == quote {
                    out.push(quote);
                }
                out.push(byte);
            }
            out.push(quote);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Field, Streams, StreamsError, TestDriver, TestRecord, cast, col, dead_letter, json};

    #[test]
    fn lines_are_taken_apart() {
        let csv = csv(Schema::empty());
        let cells = |line| {
            let cells = csv.cells(line)?.into_iter();
            Ok::<_, String>(
                cells
                    .map(|(text, quoted)| (text.into_owned(), quoted))
                    .collect::<Vec<_>>(),
            )
        };
        let plain = |text: &str| (text.to_owned(), false);
        let quoted = |text: &str| (text.to_owned(), true);
        assert_eq!(cells(""), Ok(vec![plain("")]));
        assert_eq!(cells("a,,c\r\n"), Ok(vec![plain("a"), plain(""), plain("c")]));
        assert_eq!(cells("a,"), Ok(vec![plain("a"), plain("")]));
        assert_eq!(
            cells(r#""a,""b""ä","",c"d"#),
            Ok(vec![quoted("a,\"b\"ä"), quoted(""), plain("c\"d")])
        );
        assert_eq!(cells("\"two\nlines\""), Ok(vec![quoted("two\nlines")]));
        assert_eq!(cells(r#""""""#), Ok(vec![quoted("\"")]));
        assert_eq!(
            cells(r#"a,"b"#),
            Err("the quotes around cell 2 do not end".to_owned())
        );
        assert_eq!(
            cells(r#""a"b"#),
            Err("there is more behind the quotes of cell 1".to_owned())
        );
    }

    fn orders() -> Schema {
        Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("price", DataType::Decimal128(10, 2), true),
            Field::new("day", DataType::Date32, true),
            Field::new("note", DataType::Utf8, true),
        ])
    }

    #[test]
    fn what_is_written_is_read_again() {
        let app = Streams::new("csv");
        let format = || csv(orders()).delimiter(b';').quote(b'\'').null("\\N");
        app.stream("in", format()).to("out", format());
        app.stream("other", csv(orders())).to("json", json());
        let mut driver = TestDriver::new(&app).unwrap();
        let lines = [
            r"1;2.50;2026-01-31;'a;''b'''",
            r"2;\N;\N;\N",
            r"3;0.00;1969-12-31;",
            r"4;\N;\N;'\N'",
        ];
        for line in lines {
            driver.pipe("in", TestRecord::new(line)).unwrap();
        }
        driver.pipe("other", TestRecord::new("5,1,,\"\"\n")).unwrap();
        driver.commit().unwrap();
        let written = driver.read("out");
        let written: Vec<&str> = written.iter().map(|record| record.as_text().1).collect();
        assert_eq!(written, lines);
        let expected = r#"{"id":5,"price":1.00,"day":null,"note":""}"#;
        assert_eq!(driver.read("json")[0].as_text().1, expected);
    }

    #[test]
    fn the_record_that_is_no_line_is_named() {
        let app = Streams::new("csv");
        app.stream("in", csv(orders()))
            .on_error(dead_letter("dead"))
            .to("out", json());
        let mut driver = TestDriver::new(&app).unwrap();
        let bad: [(&[u8], &str); 6] = [
            (b"1,2,2026-01-01", "it has 3 cells, the stream has 4 columns"),
            (b"x,2,2026-01-01,", "\"x\" in column \"id\" is no Int64"),
            (b",2,2026-01-01,", "column \"id\" is empty"),
            (b"1,2,soon,", "\"soon\" in column \"day\" is no Date32"),
            (b"1,,,\"", "the quotes around cell 4 do not end"),
            (b"\xff,,,", "it is not UTF-8"),
        ];
        for (line, _) in bad {
            driver.pipe("in", TestRecord::new(line)).unwrap();
            driver.pipe("in", TestRecord::new("7,,,")).unwrap();
        }
        driver.pipe("in", TestRecord::null()).unwrap();
        driver.commit().unwrap();
        assert_eq!(driver.read("out").len(), bad.len());
        let dead = driver.read("dead");
        assert_eq!(dead.len(), bad.len() + 1);
        for (letter, (line, cause)) in dead.iter().zip(bad) {
            assert_eq!(letter.value.as_deref(), Some(line));
            let message = letter.headers.iter().find(|(name, _)| name.ends_with("message"));
            let message = String::from_utf8(message.unwrap().1.clone().unwrap()).unwrap();
            let expected = format!("it cannot be read as csv: {cause}");
            assert!(message.starts_with(&expected), "{message}");
        }
        // A record without a value has none of the columns that must be there.
        assert_eq!(dead[bad.len()].value, None);
    }

    #[test]
    fn what_no_cell_can_hold_is_refused_when_the_job_is_built() {
        let app = Streams::new("csv");
        let list = DataType::new_list(DataType::Int64, true);
        app.stream("in", csv(Schema::new(vec![Field::new("list", list, true)])))
            .to("out", json());
        let error = app.build().unwrap_err();
        assert!(matches!(error, StreamsError::Plan(_)), "{error}");
        assert!(error.to_string().contains("which no cell can be"), "{error}");
        let app = Streams::new("csv");
        app.stream("in", csv(orders()).quote(b',')).to("out", json());
        assert!(
            app.build()
                .unwrap_err()
                .to_string()
                .contains("two ASCII characters")
        );
        let app = Streams::new("csv");
        let ids = app
            .stream("in", csv(orders()))
            .select([cast(col("id"), DataType::Utf8).alias("id")]);
        ids.to_table("ids", [col("id")]).to("out", csv(orders()));
        assert!(
            app.build()
                .unwrap_err()
                .to_string()
                .contains("all columns are the key")
        );
    }
}
