//! Reads texts of header values, as `Values.parseString` does: the value of the narrowest type that the text can stand for.
//!
//! `true`, `12`, `1.5`, `2019-08-23T14:34:54.346Z`, `[1,2]`, `{"a":1}`; whatever is none of these is a text. Arrays and maps whose
//! parts have no type in common come without a schema, because a schema has to say what its parts are.
use std::sync::Arc;

use bytestring::ByteString;

use super::calendar::{DAY_MS, Day};
use crate::converter::unique_keys::keep_last;
use crate::record::{Datum, Schema, SchemaKind, SchemaRef, Value};

mod merge;
mod number;
mod tokens;

use merge::{Merger, convert};
use tokens::Tokens;

/// How deep arrays and maps may be nested.
const DEPTH_MAX: usize = 100;

/// The text is not what it began like, and is to be read otherwise; or it is too deep to be read at all.
enum Unreadable {
    Malformed,
    TooDeep,
}

type Parsed = Result<Datum, Unreadable>;

/// What `text` stands for; none if arrays and maps are nested too deeply.
pub(crate) fn parse(text: &ByteString) -> Option<Datum> {
    if text.is_empty() {
        return Some(Datum::text(text.clone()));
    }
    let mut parser = Parser {
        text,
        tokens: Tokens::new(text),
    };
    match parser.value(false, 0) {
        Ok(datum) => Some(datum),
        Err(Unreadable::Malformed) => Some(Datum::text(text.clone())),
        Err(Unreadable::TooDeep) => None,
    }
}

fn plain(kind: SchemaKind) -> SchemaRef {
    Arc::new(kind.into())
}

struct Parser<'a> {
    text: &'a ByteString,
    tokens: Tokens<'a>,
}

impl Parser<'_> {
    fn value(&mut self, embedded: bool, depth: usize) -> Parsed {
        if depth > DEPTH_MAX {
            return Err(Unreadable::TooDeep);
        }
        if !self.tokens.has_next() {
            return Ok(Datum::NULL);
        }
        if embedded && self.tokens.can_consume("\"") {
            return Ok(self.quoted());
        }
        if self.is_literal(embedded, "null") {
            return Ok(Datum::NULL);
        }
        for (literal, value) in [("true", true), ("false", false)] {
            if self.is_literal(embedded, literal) {
                return Ok(Datum::new(plain(SchemaKind::Boolean), Value::Boolean(value)));
            }
        }
        let start = self.tokens.mark();
        let nested = if self.tokens.can_consume("[") {
            Some(self.array(depth))
        } else if self.tokens.can_consume("{") {
            Some(self.map(depth))
        } else {
            None
        };
        match nested {
            Some(Err(Unreadable::Malformed)) => self.tokens.rewind(start),
            Some(other) => return other,
            None => {}
        }
        let token = self.tokens.next();
        match token.trim_matches(|c: char| c <= ' ') {
            "" => Ok(Datum::text(token)),
            token => self.word(embedded, token),
        }
    }

    fn is_literal(&mut self, embedded: bool, literal: &str) -> bool {
        let start = self.tokens.mark();
        if self.tokens.can_consume(literal) && (embedded || !self.tokens.has_next()) {
            return true;
        }
        self.tokens.rewind(start);
        false
    }

    fn word(&mut self, embedded: bool, token: &str) -> Parsed {
        let digit = token.starts_with(|first: char| first.is_ascii_digit());
        // Colons divide tokens, so a time is five of them.
        if digit {
            let after = self.tokens.mark();
            let whole = self.tokens.next_of(4).map(|rest| format!("{token}{rest}"));
            if let Some(datum) = whole.as_deref().and_then(temporal) {
                return Ok(datum);
            }
            self.tokens.rewind(after);
            if let Some(datum) = temporal(token) {
                return Ok(datum);
            }
        }
        if (digit || token.starts_with(['+', '-']))
            && let Some(datum) = number::parse(token)
        {
            return Ok(datum);
        }
        match embedded {
            true => Err(Unreadable::Malformed),
            false => Ok(Datum::text(self.text.clone())),
        }
    }

    fn quoted(&mut self) -> Datum {
        let mut content = String::new();
        while self.tokens.has_next() && !self.tokens.can_consume("\"") {
            content.push_str(self.tokens.next());
        }
        temporal(&content).unwrap_or_else(|| Datum::text(content))
    }

    fn array(&mut self, depth: usize) -> Parsed {
        let (mut elements, mut values) = (Merger::default(), Vec::new());
        while self.tokens.has_next() {
            if self.tokens.can_consume("]") {
                let Some(element) = elements.common() else {
                    return Ok(Datum::schemaless(Value::Array(values)));
                };
                let values: Option<_> = values.into_iter().map(|value| convert(element, value)).collect();
                let values = values.ok_or(Unreadable::Malformed)?;
                let schema = plain(SchemaKind::Array(Arc::clone(element)));
                return Ok(Datum::new(schema, Value::Array(values)));
            }
            if self.tokens.can_consume(",") {
                return Err(Unreadable::Malformed);
            }
            let element = self.value(true, depth + 1)?;
            elements.add(&element);
            values.push(element.value);
            let place = self.tokens.mark();
            if self.tokens.can_consume("]") {
                self.tokens.rewind(place);
            } else if !self.tokens.can_consume(",") {
                return Err(Unreadable::Malformed);
            }
        }
        Err(Unreadable::Malformed)
    }

    fn map(&mut self, depth: usize) -> Parsed {
        let (mut keys, mut values, mut entries) = (Merger::default(), Merger::default(), Vec::new());
        while self.tokens.has_next() {
            if self.tokens.can_consume("}") {
                return finish_map(&keys, &values, entries);
            }
            if self.tokens.can_consume(",") {
                return Err(Unreadable::Malformed);
            }
            let key = self.value(true, depth + 1)?;
            if key.is_null() || !self.tokens.can_consume(":") {
                return Err(Unreadable::Malformed);
            }
            let value = self.value(true, depth + 1)?;
            self.tokens.can_consume(",");
            keys.add(&key);
            values.add(&value);
            entries.push((key.value, value.value));
        }
        Err(Unreadable::Malformed)
    }
}

fn finish_map(keys: &Merger, values: &Merger, given: Vec<(Value, Value)>) -> Parsed {
    let given = keep_last(given);
    let (Some(key), value) = (keys.common(), values.common()) else {
        return Ok(Datum::schemaless(Value::Map(given)));
    };
    let mut entries = Vec::with_capacity(given.len());
    for (its, value_given) in given {
        let its = convert(key, its).ok_or(Unreadable::Malformed)?;
        let converted = match value {
            Some(value) => convert(value, value_given).ok_or(Unreadable::Malformed)?,
            None => value_given,
        };
        entries.push((its, converted));
    }
    let schema = value.map(|value| plain(SchemaKind::Map(Arc::clone(key), Arc::clone(value))));
    Ok(Datum::new(schema, Value::Map(keep_last(entries))))
}

/// A date, a time or both, told apart by the length of their texts. As Java's `SimpleDateFormat` does, numbers may be out of their range,
/// and what follows is ignored.
fn temporal(token: &str) -> Option<Datum> {
    let unescaped;
    let token = if token.contains("\\:") {
        unescaped = token.replace("\\:", ":");
        unescaped.as_str()
    } else {
        token
    };
    let mut rest = Rest(token);
    match token.encode_utf16().count() {
        10 => {
            let date = rest.date()?;
            let days = i32::try_from(date).ok()?;
            Some(Datum::new(Arc::new(Schema::date()), Value::Date(days)))
        }
        13 => {
            let time = i32::try_from(rest.time()?).ok()?;
            Some(Datum::new(Arc::new(Schema::time()), Value::Time(time)))
        }
        24 => {
            let date = rest.date()?;
            rest.skip("T")?;
            let instant = date.checked_mul(DAY_MS)?.checked_add(rest.time()?)?;
            Some(Datum::new(
                Arc::new(Schema::timestamp()),
                Value::Timestamp(instant),
            ))
        }
        _ => None,
    }
}

/// What is not read yet.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn skip(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn number(&mut self) -> Option<i64> {
        let text = self.0.trim_start_matches([' ', '\t']);
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        let length = text.len() - unsigned.len() + digits;
        let number = text[..length].parse().ok()?;
        self.0 = &text[length..];
        Some(number)
    }

    /// Days since 1970.
    fn date(&mut self) -> Option<i64> {
        let year = self.number()?;
        self.skip("-")?;
        let month = self.number()?;
        self.skip("-")?;
        let day = self.number()?;
        Some(Day { year, month, day }.to_epoch())
    }

    /// Milliseconds of a day.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number()?;
        self.skip(":")?;
        let minute = self.number()?;
        self.skip(":")?;
        let second = self.number()?;
        self.skip(".")?;
        let ms = self.number()?;
        self.skip("Z")?;
        Some(((hour * 60 + minute) * 60 + second) * 1_000 + ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_nested_too_deeply_is_not_read() {
        let deep = ByteString::from("[".repeat(100_000));
        assert_eq!(parse(&deep), None);
        let deep = ByteString::from("{1:".repeat(100_000));
        assert_eq!(parse(&deep), None);
    }

    proptest! {
        #[test]
        fn anything_is_read(text in r#"[\[\]{}:,"\\0-9a-zA-Z.+\- ]{0,40}"#) {
            parse(&ByteString::from(text));
        }
    }
}
