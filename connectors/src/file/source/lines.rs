//! Where records end in the data of a file.
use regex::bytes::Regex;

/// A record that was found at the beginning of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// How long it is, without what ends it.
    pub content: usize,
    /// With what ends it.
    pub whole: usize,
}

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// LF, CR LF, and CR alone, as Kafka's connector has it.
    Any,
    /// LF and CR LF.
    LineFeed,
}

/// How data are divided into records.
#[derive(Debug, Clone)]
pub(super) enum Splitter {
    /// A record a line.
    Lines(LineEnd),
    /// A record begins with a line that matches, and has all lines up to the next.
    Blocks {
        end: LineEnd,
        start: Regex,
        lines_max: usize,
    },
    /// A record a line, but for line ends in fields between quotes.
    Quoted { quote: u8, delimiter: u8 },
}

impl LineEnd {
    #[inline]
    fn find(self, data: &[u8], at_end: bool) -> Option<Found> {
        let at = match self {
            Self::Any => memchr::memchr2(b'\n', b'\r', data)?,
            Self::LineFeed => memchr::memchr(b'\n', data)?,
        };
        if data[at] == b'\r' {
            return match data.get(at + 1) {
                Some(b'\n') => Some(Found {
                    content: at,
                    whole: at + 2,
                }),
                Some(_) => Some(Found {
                    content: at,
                    whole: at + 1,
                }),
                None if at_end => Some(Found {
                    content: at,
                    whole: at + 1,
                }),
                // The line feed that belongs to it may not be written yet.
                None => None,
            };
        }
        let before = self == Self::LineFeed && at > 0 && data[at - 1] == b'\r';
        let content = if before { at - 1 } else { at };
        Some(Found {
            content,
            whole: at + 1,
        })
    }
}

impl Splitter {
    /// The first record of `data`. With `at_end` nothing will come behind them, and what no line end ends is a record, too.
    #[inline]
    pub fn next(&self, data: &[u8], at_end: bool) -> Option<Found> {
        let found = match self {
            Self::Lines(end) => end.find(data, at_end),
            Self::Blocks {
                end,
                start,
                lines_max,
            } => block(*end, start, *lines_max, data, at_end),
            Self::Quoted { quote, delimiter } => quoted(*quote, *delimiter, data, at_end),
        };
        let rest = Found {
            content: data.len(),
            whole: data.len(),
        };
        found.or((at_end && !data.is_empty()).then_some(rest))
    }
}

impl Splitter {
    /// Behind the line that `data` are the rest of.
    pub fn behind_line(&self, data: &[u8], at_end: bool) -> Option<usize> {
        let end = match self {
            Self::Lines(end) | Self::Blocks { end, .. } => *end,
            Self::Quoted { .. } => LineEnd::LineFeed,
        };
        end.find(data, at_end).map(|found| found.whole)
    }
}

fn block(end: LineEnd, start: &Regex, lines_max: usize, data: &[u8], at_end: bool) -> Option<Found> {
    let mut found = end.find(data, at_end)?;
    for _ in 1..lines_max {
        let rest = &data[found.whole..];
        let Some(next) = end.find(rest, at_end) else {
            // Whether the next line begins a record is not known before it is whole.
            return (at_end && (rest.is_empty() || start.is_match(rest))).then_some(found);
        };
        if start.is_match(&rest[..next.content]) {
            return Some(found);
        }
        found = Found {
            content: found.whole + next.content,
            whole: found.whole + next.whole,
        };
    }
    Some(found)
}

/// A quote opens a field only where one begins. What does not go on as it must behind a closing quote, and at the end a quote that nothing
/// closes, makes a row that cannot be parsed, and ends with its line: so one bad row does not take those behind it.
fn quoted(quote: u8, delimiter: u8, data: &[u8], at_end: bool) -> Option<Found> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'\n', quote, &data[from..])?;
        if data[at] == b'\n' {
            return Some(row_to(data, at));
        }
        from = at + 1;
        if at > 0 && data[at - 1] != delimiter {
            continue;
        }
        let Some(behind) = behind_quoted(quote, data, from) else {
            return if at_end { line_from(data, from) } else { None };
        };
        // The end of the line is none of this field's, whether something stands before it or not.
        if *data.get(behind)? != delimiter {
            return line_from(data, behind);
        }
        from = behind + 1;
    }
}

/// Behind the quote that closes the field whose text begins at `from`.
fn behind_quoted(quote: u8, data: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let close = from + memchr::memchr(quote, &data[from..])?;
        if data.get(close + 1) != Some(&quote) {
            return Some(close + 1);
        }
        from = close + 2;
    }
}

/// The row whose line ends first at or behind `from`.
fn line_from(data: &[u8], from: usize) -> Option<Found> {
    memchr::memchr(b'\n', &data[from..]).map(|end| row_to(data, from + end))
}

/// The row before the line feed at `at`.
fn row_to(data: &[u8], at: usize) -> Found {
    let carriage = at > 0 && data[at - 1] == b'\r';
    Found {
        content: at - usize::from(carriage),
        whole: at + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(splitter: &Splitter, mut data: &[u8], at_end: bool) -> Vec<String> {
        let mut records = Vec::new();
        while let Some(found) = splitter.next(data, at_end) {
            records.push(String::from_utf8(data[..found.content].to_vec()).unwrap());
            data = &data[found.whole..];
        }
        records
    }

    #[test]
    fn lines_end_as_in_kafka() {
        let any = Splitter::Lines(LineEnd::Any);
        assert_eq!(
            all(&any, b"a\nb\r\nc\rd\n\n\re", false),
            ["a", "b", "c", "d", "", ""]
        );
        assert_eq!(all(&any, b"a\r", false), [""; 0], "the line feed may follow");
        assert_eq!(all(&any, b"a\r", true), ["a"]);
        assert_eq!(all(&any, b"a\nb", true), ["a", "b"]);
        let feed = Splitter::Lines(LineEnd::LineFeed);
        assert_eq!(all(&feed, b"a\rb\r\nc\n\r\n", false), ["a\rb", "c", ""]);
    }

    #[test]
    fn blocks_go_to_the_next_start() {
        let start = Regex::new("^[0-9]").unwrap();
        let blocks = |lines_max| Splitter::Blocks {
            end: LineEnd::LineFeed,
            start: start.clone(),
            lines_max,
        };
        let text = b"1 a\n  b\n\n2 c\r\n  d\n";
        assert_eq!(all(&blocks(100), text, false), ["1 a\n  b\n"]);
        assert_eq!(all(&blocks(100), text, true), ["1 a\n  b\n", "2 c\r\n  d"]);
        assert_eq!(all(&blocks(1), text, false), ["1 a", "  b", "", "2 c", "  d"]);
        assert_eq!(all(&blocks(100), b"1 a\n2", false), [""; 0]);
        assert_eq!(all(&blocks(100), b"1 a\n2", true), ["1 a", "2"]);
        assert_eq!(all(&blocks(100), b"1 a\nb", true), ["1 a\nb"]);
    }

    #[test]
    fn quotes_keep_line_ends() {
        let quoted = Splitter::Quoted {
            quote: b'"',
            delimiter: b',',
        };
        let rows = all(&quoted, b"a,\"b\n\"\"c\"\r\nd,e\n\"f", false);
        assert_eq!(rows, ["a,\"b\n\"\"c\"", "d,e"]);
    }

    #[test]
    fn quotes_open_where_fields_begin_only() {
        let quoted = Splitter::Quoted {
            quote: b'"',
            delimiter: b',',
        };
        let rows = all(&quoted, b"2,5\" pipe\n3,x\r\n4,\"\"\n\"\",\"\n\"\n", false);
        assert_eq!(rows, ["2,5\" pipe", "3,x", "4,\"\"", "\"\",\"\n\""]);
        // Behind a closing quote only a delimiter or the line's end may stand; the next line is read again.
        let rows = all(&quoted, b"2,\"5\" pipe, \"x\n3,\"y\" \"\r\n4,z\n", false);
        assert_eq!(rows, ["2,\"5\" pipe, \"x", "3,\"y\" \"", "4,z"]);
        let open = b"1,a\n2,\"b\n3,c\n";
        assert_eq!(all(&quoted, open, false), ["1,a"], "what closes it may follow");
        assert_eq!(all(&quoted, open, true), ["1,a", "2,\"b", "3,c"]);
        for cut in 0..open.len() {
            let rows = all(&quoted, &open[..cut], false);
            assert_eq!(rows.len(), usize::from(cut > 3), "{cut}");
        }
    }
}
