//! Java's `.properties` format.
//!
//! Property files written for Kafka have to mean the same here, so this is `java.util.Properties.load`: comments, continued lines, escapes,
//! and `=`, `:` or blanks between a key and its value. Text is UTF-8; `\uXXXX` says any character, too.
use thiserror::Error;

use super::ConfigMap;

/// What is wrong with a properties file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PropertiesError {
    /// An escape that says no character. The line's text is not shown: it may be a secret.
    #[error("line {line}: \\u is not followed by four hexadecimal digits; write \\\\ for a backslash")]
    Escape {
        /// Counted from 1.
        line: usize,
    },
    /// Half of a surrogate pair.
    #[error("line {line}: \\u says half of a surrogate pair; write both halves, or the character itself")]
    Surrogate {
        /// Counted from 1.
        line: usize,
    },
}

/// The keys and values of `text`. Of a key that comes twice the last value counts.
///
/// ```
/// let parsed = millstream_connect::config::properties::parse("a = 1\n! comment\nb\\ c: x, \\\n   y\n")?;
/// assert_eq!(parsed["a"], "1");
/// assert_eq!(parsed["b c"], "x, y");
/// # Ok::<(), millstream_connect::config::properties::PropertiesError>(())
/// ```
///
/// # Errors
/// When an escape is wrong.
pub fn parse(text: &str) -> Result<ConfigMap, PropertiesError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut all = ConfigMap::new();
    let mut lines = natural_lines(text).enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start_matches(BLANKS);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while continues(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, more)) => logical.push_str(more.trim_start_matches(BLANKS)),
                None => break,
            }
        }
        let (key, value) = divide(&logical);
        let line = index + 1;
        all.insert(unescape(key, line)?, unescape(value, line)?);
    }
    Ok(all)
}

/// What Java takes for blank.
const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// Lines, ended by LF, CR or CR LF.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match text.find(['\n', '\r']) {
            Some(at) => {
                let end = if text[at..].starts_with("\r\n") { 2 } else { 1 };
                rest = Some(&text[at + end..]);
                Some(&text[..at])
            }
            None => {
                rest = None;
                Some(text)
            }
        }
    })
}

/// Whether a line ends with a backslash that is not itself escaped.
fn continues(line: &str) -> bool {
    let backslashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
    backslashes % 2 == 1
}

/// A line's key and value, with their escapes.
fn divide(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|char| {
        let ends = !escaped && (BLANKS.contains(&char) || char == '=' || char == ':');
        escaped = !escaped && char == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(BLANKS);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(BLANKS))
}

fn unescape(text: &str, line: usize) -> Result<String, PropertiesError> {
    let mut out = String::with_capacity(text.len());
    let mut high: Option<u32> = None;
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        let mut plain = char;
        if char == '\\' {
            let Some(escaped) = rest.chars().next() else { break };
            rest = &rest[escaped.len_utf8()..];
            if escaped == 'u' {
                let unit = four_digits(rest).ok_or(PropertiesError::Escape { line })?;
                rest = &rest[4..];
                match decoded(&mut high, unit) {
                    Some(Some(char)) => out.push(char),
                    Some(None) => {}
                    None => return Err(PropertiesError::Surrogate { line }),
                }
                continue;
            }
            plain = match escaped {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'f' => '\u{c}',
                other => other,
            };
        }
        if high.is_some() {
            return Err(PropertiesError::Surrogate { line });
        }
        out.push(plain);
    }
    match high {
        Some(_) => Err(PropertiesError::Surrogate { line }),
        None => Ok(out),
    }
}

fn four_digits(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    let good = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// A character from UTF-16 units one by one: `Some(None)` is half of one, `None` is wrong.
fn decoded(high: &mut Option<u32>, unit: u32) -> Option<Option<char>> {
    match (high.take(), unit) {
        (None, 0xd800..=0xdbff) => {
            *high = Some(unit);
            Some(None)
        }
        (Some(first), 0xdc00..=0xdfff) => {
            char::from_u32(0x10000 + ((first - 0xd800) << 10) + (unit - 0xdc00)).map(Some)
        }
        (None, _) => char::from_u32(unit).map(Some),
        (Some(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines `name TAB base16 of the file TAB key TAB value …` that `java.util.Properties` gave.
    const GOLDEN: &str = include_str!("../../golden/config/properties.json");

    #[test]
    fn files_mean_what_they_mean_to_java() {
        let cases: Vec<(String, ConfigMap)> = serde_json::from_str(GOLDEN).unwrap();
        assert!(cases.len() > 30);
        for (text, expected) in cases {
            assert_eq!(parse(&text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn wrong_escapes_name_their_line_and_not_their_text() {
        let wrong = parse("a=1\n\nsecret=x\\u12\n").unwrap_err();
        assert_eq!(wrong, PropertiesError::Escape { line: 3 });
        assert!(!wrong.to_string().contains("secret"));
        assert_eq!(parse("a=\\ud800x"), Err(PropertiesError::Surrogate { line: 1 }));
        assert_eq!(parse("a=\\ud83d\\ude00").unwrap()["a"], "😀");
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_panic(text in "[ \\t\\f\\r\\n\\\\u0-9a-d=:#!é😀]{0,60}") {
            drop(parse(&text));
        }
    }
}
