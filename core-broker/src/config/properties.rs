//! Reader for Java `.properties` text.
//!
//! Why: Kafka users bring their `server.properties`. Owns: the syntax of `java.util.Properties.load` (comments,
//! continuation lines, the three separators, escapes including `\uXXXX`). Does not own: what the keys mean.

/// One `key=value` and the line it began on, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped.
    pub value: String,
    /// Line of the file on which the property starts.
    pub line: usize,
}

/// A `\uXXXX` escape that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \\u must be followed by four hexadecimal digits")]
pub struct PropertiesError {
    /// Line of the file, counted from 1.
    pub line: usize,
}

/// Reads every property in order; a repeated key appears twice, the later one wins for Java.
///
/// # Errors
/// Names the line of a malformed `\u` escape.
///
/// ```
/// use millstream_broker::config::parse_properties;
/// let list = parse_properties("# a comment\nlog.dirs = /var/lib/\\\n    millstream\nnode.id:1\n").unwrap();
/// assert_eq!((list[0].key.as_str(), list[0].value.as_str(), list[0].line), ("log.dirs", "/var/lib/millstream", 2));
/// assert_eq!((list[1].key.as_str(), list[1].value.as_str()), ("node.id", "1"));
/// ```
pub fn parse_properties(text: &str) -> Result<Vec<Property>, PropertiesError> {
    let mut properties = Vec::new();
    let mut lines = split_lines(text).enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while ends_in_continuation(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, more)) => logical.push_str(more.trim_start_matches(is_blank)),
                None => break,
            }
        }
        let line = index + 1;
        let (key, value) = split_key(&logical);
        properties.push(Property {
            key: unescape(key, line)?,
            value: unescape(value, line)?,
            line,
        });
    }
    Ok(properties)
}

/// Natural lines: ended by LF, CR or CR LF.
fn split_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// The key ends at the first unescaped separator; one `=` or `:` among blanks is eaten.
fn split_key(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if is_blank(c) || c == '=' || c == ':' {
            let rest = line[at..].trim_start_matches(is_blank);
            let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            return (&line[..at], rest.trim_start_matches(is_blank));
        }
    }
    (line, "")
}

fn unescape(text: &str, line: usize) -> Result<String, PropertiesError> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0u16; 2];
    while let Some(c) = chars.next() {
        let c = if c == '\\' {
            match chars.next() {
                None => break,
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let mut unit = 0u16;
                    for _ in 0..4 {
                        let digit = chars
                            .next()
                            .and_then(|d| d.to_digit(16))
                            .ok_or(PropertiesError { line })?;
                        unit = unit << 4 | digit as u16;
                    }
                    units.push(unit);
                    continue;
                }
                Some(other) => other,
            }
        } else {
            c
        };
        units.extend_from_slice(c.encode_utf16(&mut buffer));
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse_properties(text)
            .unwrap()
            .into_iter()
            .map(|p| (p.key, p.value))
            .collect()
    }

    #[test]
    fn the_three_separators_and_blanks() {
        for text in ["k=v", "k:v", "k v", "  k = v", "k\t:\tv", "k   v"] {
            assert_eq!(pairs(text), [("k".into(), "v".into())], "{text:?}");
        }
        assert_eq!(pairs("k"), [("k".into(), String::new())]);
        assert_eq!(pairs("k=="), [("k".into(), "=".into())]);
        assert_eq!(pairs("k=v  "), [("k".into(), "v  ".into())]);
    }

    #[test]
    fn comments_blank_lines_and_line_ends() {
        assert_eq!(pairs("# c\r\n! c\r\n\r\n a=1\rb=2\n").len(), 2);
        assert_eq!(
            pairs("a=1 # not a comment"),
            [("a".into(), "1 # not a comment".into())]
        );
    }

    #[test]
    fn continuations_and_escapes() {
        assert_eq!(pairs("a=1,\\\n   2"), [("a".into(), "1,2".into())]);
        assert_eq!(pairs("a=1\\\\\nb=2").len(), 2);
        assert_eq!(pairs("a=1\\"), [("a".into(), "1".into())]);
        assert_eq!(
            pairs("a\\=b\\:c\\ d=\\t\\u00e9\\q"),
            [("a=b:c d".into(), "\té".to_owned() + "q")]
        );
        assert_eq!(pairs("a=\\uD83D\\uDE00"), [("a".into(), "😀".into())]);
        assert_eq!(parse_properties("\na=\\u12G4"), Err(PropertiesError { line: 2 }));
    }
}
