//! JSON as a tree over its text.
//!
//! What Jackson takes with Kafka's settings is taken: numbers may begin with zeros, of members with one name the last counts, and what
//! follows the first value is not looked at. Texts without escapes and numbers are parts of the input.
use std::borrow::Cow;
use std::collections::HashMap;

use super::number::Number;

/// How deep arrays and objects may be nested.
const DEPTH_MAX: usize = 1_000;

/// How long a number may be.
const NUMBER_LENGTH_MAX: usize = 1_000;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node<'a> {
    /// There is no text at all.
    Missing,
    Null,
    Boolean(bool),
    Number(Number<'a>),
    Text(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Members<'a>),
}

/// The members of an object in their order, each with a name of its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, Node<'a>)>);

/// What is wrong with a text, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) what: &'static str,
    /// Bytes from the beginning.
    pub(super) at: usize,
}

impl<'a> Node<'a> {
    /// What messages call it.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Self::Missing => "nothing",
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The member `name` of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Node<'a>> {
        match self {
            Self::Object(members) => members.get(name, 0),
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> Members<'a> {
    /// The member `name`, which may be at `place`.
    pub(super) fn get(&self, name: &str, place: usize) -> Option<&Node<'a>> {
        let found = match self.0.get(place) {
            Some(member) if member.0 == name => Some(member),
            _ => self.0.iter().find(|(its, _)| its == name),
        };
        found.map(|(_, node)| node)
    }

    fn push(&mut self, name: Cow<'a, str>, node: Node<'a>, places: &mut HashMap<Cow<'a, str>, usize>) {
        const FEW: usize = 16;
        if self.0.len() == FEW {
            places.extend(
                self.0
                    .iter()
                    .enumerate()
                    .map(|(place, (its, _))| (its.clone(), place)),
            );
        }
        let before = match self.0.len() {
            ..FEW => self.0.iter().position(|(its, _)| *its == name),
            _ => places.get(&name).copied(),
        };
        match before {
            Some(place) => self.0[place].1 = node,
            None => {
                if self.0.len() >= FEW {
                    places.insert(name.clone(), self.0.len());
                }
                self.0.push((name, node));
            }
        }
    }
}

/// Reads the first value in `text`.
pub(super) fn read(text: &str) -> Result<Node<'_>, Malformed> {
    let mut reader = Reader::new(text, 0);
    if reader.at_end() {
        return Ok(Node::Missing);
    }
    let node = reader.value(0)?;
    let blank_or_end = matches!(reader.peek(), None | Some(b' ' | b'\t' | b'\r' | b'\n'));
    if matches!(node, Node::Number(_)) && !blank_or_end {
        return Err(reader.wrong("a number is followed by something else"));
    }
    Ok(node)
}

/// Reads a text from some place on.
pub(super) struct Reader<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, position: usize) -> Self {
        // Some writers begin with a byte order mark.
        let mark = if position == 0 && text.starts_with('\u{feff}') {
            3
        } else {
            0
        };
        Self {
            text,
            position: position + mark,
        }
    }

    fn wrong(&self, what: &'static str) -> Malformed {
        let at = self.position;
        Malformed { what, at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.position += 1;
        }
    }

    /// Whether nothing but blanks follows.
    fn at_end(&mut self) -> bool {
        self.skip_blanks();
        self.peek().is_none()
    }

    /// Takes `byte`, behind any blanks, if it follows.
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let follows = self.peek() == Some(byte);
        self.position += usize::from(follows);
        follows
    }

    /// The members of an object whose `{` was taken, each handed to `take` with its name and where its value begins.
    pub(super) fn members(
        &mut self,
        depth: usize,
        mut take: impl FnMut(Cow<'a, str>, Node<'a>, &'a str),
    ) -> Result<(), Malformed> {
        if self.takes(b'}') {
            return Ok(());
        }
        loop {
            if !self.takes(b'"') {
                return Err(self.wrong("the name of a member is missing"));
            }
            let name = self.string()?;
            if !self.takes(b':') {
                return Err(self.wrong("a colon is missing behind the name of a member"));
            }
            self.skip_blanks();
            let start = self.position;
            let node = self.value(depth)?;
            take(name, node, &self.text[start..self.position]);
            if self.takes(b'}') {
                return Ok(());
            }
            if !self.takes(b',') {
                return Err(self.wrong("an object has no end"));
            }
        }
    }

    /// A value inside of `depth` others.
    pub(super) fn value(&mut self, depth: usize) -> Result<Node<'a>, Malformed> {
        self.skip_blanks();
        if depth >= DEPTH_MAX && matches!(self.peek(), Some(b'{' | b'[')) {
            return Err(self.wrong("it is nested more than 1000 deep"));
        }
        match self.peek() {
            Some(b'"') => {
                self.position += 1;
                Ok(Node::Text(self.string()?))
            }
            Some(b'{') => {
                self.position += 1;
                let (mut members, mut places) = (Members(Vec::new()), HashMap::new());
                self.members(depth + 1, |name, node, _| members.push(name, node, &mut places))?;
                Ok(Node::Object(members))
            }
            Some(b'[') => {
                self.position += 1;
                self.array(depth + 1).map(Node::Array)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Node::Number),
            Some(b't') => self.literal("true", Node::Boolean(true)),
            Some(b'f') => self.literal("false", Node::Boolean(false)),
            Some(b'n') => self.literal("null", Node::Null),
            _ => Err(self.wrong("a value is missing")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Node<'a>>, Malformed> {
        let mut nodes = Vec::new();
        if self.takes(b']') {
            return Ok(nodes);
        }
        loop {
            nodes.push(self.value(depth)?);
            if self.takes(b']') {
                return Ok(nodes);
            }
            if !self.takes(b',') {
                return Err(self.wrong("an array has no end"));
            }
        }
    }

    fn literal(&mut self, literal: &str, node: Node<'a>) -> Result<Node<'a>, Malformed> {
        let rest = self.text[self.position..].strip_prefix(literal);
        let part_of_a_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
        match rest {
            Some(rest) if !rest.starts_with(part_of_a_word) => {
                self.position += literal.len();
                Ok(node)
            }
            _ => Err(self.wrong("an unknown word")),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        self.position - start
    }

    fn number(&mut self) -> Result<Number<'a>, Malformed> {
        let start = self.position;
        self.position += usize::from(self.peek() == Some(b'-'));
        let mut good = self.digits() > 0;
        let whole_end = self.position;
        if self.peek() == Some(b'.') {
            self.position += 1;
            good &= self.digits() > 0;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            self.position += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            good &= self.digits() > 0;
        }
        if !good {
            return Err(self.wrong("a number lacks digits"));
        }
        if self.position - start > NUMBER_LENGTH_MAX {
            return Err(self.wrong("a number has more than 1000 characters"));
        }
        let whole = self.position == whole_end;
        Number::new(&self.text[start..self.position], whole)
            .ok_or_else(|| self.wrong("the exponent of a number is out of range"))
    }

    /// A text whose first quote was taken.
    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let start = self.position;
        self.skip_plain();
        if self.peek() == Some(b'"') {
            self.position += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.position - 1]));
        }
        let mut text = self.text[start..self.position].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(0x20..) => {
                    let start = self.position;
                    self.skip_plain();
                    text.push_str(&self.text[start..self.position]);
                }
                Some(_) => return Err(self.wrong("a text holds a control character that is not escaped")),
                None => return Err(self.wrong("a text has no end")),
            }
        }
    }

    fn skip_plain(&mut self) {
        const STEP: usize = 16;
        let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        // Whole steps at a time, which the compiler turns into a few instructions.
        for step in self.text.as_bytes()[self.position..].as_chunks::<STEP>().0 {
            if step.iter().fold(false, |any, byte| any | special(*byte)) {
                break;
            }
            self.position += STEP;
        }
        let rest = &self.text.as_bytes()[self.position..];
        self.position += rest.iter().position(|byte| special(*byte)).unwrap_or(rest.len());
    }

    /// The character that a backslash begins. Half a surrogate pair, which no text can hold here, becomes U+FFFD.
    fn escape(&mut self) -> Result<char, Malformed> {
        self.position += 1;
        let kind = self.peek();
        self.position += 1;
        Ok(match kind {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.unit()?;
                let after = self.position;
                if (0xd800..0xdc00).contains(&first) && self.text[after..].starts_with("\\u") {
                    self.position += 2;
                    let second = self.unit()?;
                    if let Some(Ok(c)) = char::decode_utf16([first, second]).next() {
                        return Ok(c);
                    }
                    self.position = after;
                }
                char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => {
                self.position -= 1;
                return Err(self.wrong("an unknown escape"));
            }
        })
    }

    fn unit(&mut self) -> Result<u16, Malformed> {
        let digits = self.text.as_bytes().get(self.position..self.position + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let unit = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = unit.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.wrong("an escape lacks four hexadecimal digits"))?;
        self.position += 4;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_read() {
        let text = r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83dx\udE00""#;
        let read = read(text).unwrap();
        let expected = "a\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1f600}\u{fffd}x\u{fffd}";
        assert_eq!(read.as_text(), Some(expected));
    }

    #[test]
    fn what_is_malformed_is_named_with_its_place() {
        for (text, what, at) in [
            ("{", "the name of a member is missing", 1),
            (r#"{"a":1"#, "an object has no end", 6),
            ("[1,]", "a value is missing", 3),
            ("[1 2]", "an array has no end", 3),
            (
                "\"a\nb\"",
                "a text holds a control character that is not escaped",
                2,
            ),
            (r#""\x""#, "an unknown escape", 2),
            (r#""\u12""#, "an escape lacks four hexadecimal digits", 3),
            ("1.", "a number lacks digits", 2),
            ("1x", "a number is followed by something else", 1),
            ("truex", "an unknown word", 0),
            ("1e99999999999", "the exponent of a number is out of range", 13),
        ] {
            assert_eq!(read(text), Err(Malformed { what, at }), "{text}");
        }
        let deep = "[".repeat(1_001);
        assert_eq!(read(&deep).unwrap_err().what, "it is nested more than 1000 deep");
        let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
        assert!(read(&deep).is_ok());
    }

    #[test]
    fn the_last_of_several_members_with_one_name_counts() {
        let few = read(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(few, read(r#"{"a":3,"b":2}"#).unwrap());
        let numbered = (0..100).map(|number| format!("\"m{}\":{number}", number % 50));
        let many = format!("{{{}}}", numbered.collect::<Vec<_>>().join(","));
        let many = read(&many).unwrap();
        let Node::Object(members) = &many else {
            unreachable!()
        };
        assert_eq!(members.0.len(), 50);
        assert_eq!(many.get("m7"), read("57").ok().as_ref());
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in r#"[\[\]{}:,"\\0-9a-u.+\- \n]{0,60}"#) {
            let _ = read(&text);
        }

        #[test]
        fn what_others_read_is_read_too(text in r#"(\{"a":)?(\[)?(-?[1-9][0-9]{0,9}(\.[0-9]{1,4})?|"[a-z\\"]{0,6}"|true|null)(\])?(\})?"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            prop_assert!(theirs.is_err() || read(&text).is_ok());
        }
    }
}
