//! Words of statements, as far as names of tables need it: quoting, comments, and comments that are none (`/*! … */`).

/// Modes of a session that decide what quotes mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quoting {
    /// `ANSI_QUOTES`: double quotes are around names.
    pub ansi_quotes: bool,
    /// `NO_BACKSLASH_ESCAPES`: a backslash in a text is one.
    pub no_backslash_escapes: bool,
}

impl Quoting {
    /// As `sql_mode` says, a bit for each mode.
    #[must_use]
    pub fn of_mode(sql_mode: u64) -> Self {
        Self {
            ansi_quotes: sql_mode & 4 != 0,
            no_backslash_escapes: sql_mode & 1 << 20 != 0,
        }
    }
}

/// A word of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A keyword or a name without quotes.
    Word(&'a str),
    /// A name in quotes, without them.
    Quoted(String),
    /// A text, without its quotes and with what stands behind backslashes.
    Text(String),
    /// Any other character.
    Sign(char),
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(in crate::mysql) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// The name that it is, if it can be one.
    pub(in crate::mysql) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Quoted(name) => Some(name),
            Self::Text(_) | Self::Sign(_) => None,
        }
    }
}

/// Reads words one by one.
#[derive(Clone, Debug)]
pub(in crate::mysql) struct Lexer<'a> {
    rest: &'a str,
    quoting: Quoting,
    mariadb: bool,
}

impl<'a> Lexer<'a> {
    pub(in crate::mysql) fn new(statement: &'a str, quoting: Quoting) -> Self {
        Self {
            rest: statement,
            quoting,
            mariadb: true,
        }
    }

    /// `/*M! … */` is a comment like others.
    pub(in crate::mysql) fn of_mysql(self) -> Self {
        Self {
            mariadb: false,
            ..self
        }
    }

    /// Passes over spaces and comments. What stands in `/*! … */` and `/*M! … */` is part of the statement, whichever version it asks for: the
    /// server that logged it is not asked, and a table too many that a statement is thought to touch does no harm.
    fn skip_blank(&mut self) {
        loop {
            let trimmed = self.rest.trim_start();
            let markers = match self.mariadb {
                true => &["/*!", "/*M!", "/*m!"][..],
                false => &["/*!"],
            };
            let marker = markers.iter().find(|marker| trimmed.starts_with(**marker));
            self.rest = if let Some(marker) = marker {
                trimmed[marker.len()..].trim_start_matches(|digit: char| digit.is_ascii_digit())
            } else if trimmed.starts_with("/*") {
                behind(trimmed, "*/")
            } else if let Some(end) = trimmed.strip_prefix("*/") {
                // The end of a comment that was none. Nowhere else do these signs follow each other.
                end
            } else if trimmed.starts_with('#') || is_dash_comment(trimmed) {
                behind(trimmed, "\n")
            } else {
                self.rest = trimmed;
                return;
            };
        }
    }

    /// What is in quotes from the first character on; a doubled quote is one of the text.
    fn quoted(&mut self, quote: char, backslash: bool) -> String {
        let mut text = String::new();
        let mut chars = self.rest[quote.len_utf8()..].char_indices();
        while let Some((at, char)) = chars.next() {
            if char == '\\' && backslash {
                if let Some((_, escaped)) = chars.next() {
                    unescape(escaped, &mut text);
                }
            } else if char == quote {
                let rest = &self.rest[quote.len_utf8() + at + char.len_utf8()..];
                if !rest.starts_with(quote) {
                    self.rest = rest;
                    return text;
                }
                chars.next();
                text.push(quote);
            } else {
                text.push(char);
            }
        }
        self.rest = "";
        text
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let first = self.rest.chars().next()?;
        let escapes = !self.quoting.no_backslash_escapes;
        Some(match first {
            '`' => Token::Quoted(self.quoted('`', false)),
            '"' if self.quoting.ansi_quotes => Token::Quoted(self.quoted('"', false)),
            '"' | '\'' => Token::Text(self.quoted(first, escapes)),
            _ if is_word(first) => {
                let end = self.rest.find(|char| !is_word(char)).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                Token::Word(word)
            }
            _ => {
                self.rest = &self.rest[first.len_utf8()..];
                Token::Sign(first)
            }
        })
    }
}

/// What a backslash and the character behind it are. Patterns' own (`\%`, `\_`) keep it.
fn unescape(escaped: char, text: &mut String) {
    let meant = match escaped {
        '0' => '\0',
        'b' => '\u{8}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'Z' => '\u{1a}',
        '%' | '_' => {
            text.push('\\');
            escaped
        }
        other => other,
    };
    text.push(meant);
}

/// Two dashes begin a comment only before a space or a control character.
fn is_dash_comment(text: &str) -> bool {
    text.strip_prefix("--").is_some_and(|rest| {
        rest.chars()
            .next()
            .is_none_or(|char| char.is_whitespace() || char.is_control())
    })
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '$' | '@') || !char.is_ascii()
}

fn behind<'a>(text: &'a str, end: &str) -> &'a str {
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(statement: &str, quoting: Quoting) -> Vec<String> {
        Lexer::new(statement, quoting)
            .map(|token| match token {
                Token::Word(word) => word.to_owned(),
                Token::Quoted(name) => format!("[{name}]"),
                Token::Text(text) => format!("<{text}>"),
                Token::Sign(sign) => sign.to_string(),
            })
            .collect()
    }

    #[test]
    fn comments_and_quotes_are_told_apart() {
        let plain = Quoting::default();
        for (statement, expected) in [
            ("a.b /* c */ -- d\n#e\nf", "a . b f"),
            ("/*!50100 create */ table/*M!100 x*/", "create table x"),
            ("a--b", "a - - b"),
            (
                "`a``b`.`c d` 'it''s' \"x\\\"y\" é",
                "[a`b] . [c d] <it's> <x\"y> é",
            ),
            ("'a\\'b' c", "<a'b> c"),
            (r"'\n\0\\\%\q'", "<\n\0\\\\%q>"),
            ("'open", "<open>"),
            ("`open", "[open]"),
            ("/* open", ""),
            ("a --", "a"),
        ] {
            assert_eq!(words(statement, plain).join(" "), expected, "{statement}");
        }
        let ansi = Quoting::of_mode(4 | 1 << 20);
        assert_eq!(words("\"a\"\"b\" 'a\\' c", ansi).join(" "), "[a\"b] <a\\> c");
    }
}
