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
    /// A record a line, but for line ends between quotes.
    Quoted { quote: u8 },
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
            Self::Quoted { quote } => quoted(*quote, data),
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

fn quoted(quote: u8, data: &[u8]) -> Option<Found> {
    let mut inside = false;
    for at in memchr::memchr2_iter(b'\n', quote, data) {
        if data[at] == quote {
            inside = !inside;
        } else if !inside {
            let content = if at > 0 && data[at - 1] == b'\r' {
                at - 1
            } else {
                at
            };
            return Some(Found {
                content,
                whole: at + 1,
            });
        }
    }
    None
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
        let quoted = Splitter::Quoted { quote: b'"' };
        let rows = all(&quoted, b"a,\"b\n\"\"c\"\r\nd,e\n\"f", false);
        assert_eq!(rows, ["a,\"b\n\"\"c\"", "d,e"]);
    }
}
