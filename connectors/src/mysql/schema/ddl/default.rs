//! Defaults of columns: literals of statements, as the text that servers make of them.
//!
//! A server makes a value of the column's type of a literal, and shows that: `5` of a DECIMAL(10,2) is `5.00`. What that comes to is known here
//! for the common ways of writing it; for the others it is said that it is not.
use super::Server;
use super::declaration::{Declaration, width};
use super::definition::goes_on;
use super::error::DdlError;
use super::reader::Reader;
use super::types::{Base, DataType};
use crate::mysql::charset;
use crate::mysql::client::server::{Flavour, Version};
use crate::mysql::stream::ddl::Token;

/// What stands behind DEFAULT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    Null,
    Text(String),
    /// As it is written, with its sign.
    Number(String),
    /// The digits of `b'…'`.
    Bits(String),
    /// The bytes of `x'…'`.
    Hexadecimal(Vec<u8>),
    /// CURRENT_TIMESTAMP with digits of a second.
    Now(u64),
    /// Computed for each row.
    Expression,
}

/// Words for the moment in which a row is written.
const NOW: [&str; 4] = ["CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP"];

impl Literal {
    pub(super) fn read(reader: &mut Reader<'_>, flavour: Flavour) -> Result<Self, DdlError> {
        let unclear = reader.unclear();
        let own = match reader.peek() {
            Some(Token::Text(_)) => reader.text().map(Self::Text)?,
            Some(Token::Sign('(')) => {
                let ahead = Self::inner(reader, flavour);
                reader.skip_parentheses()?;
                match (flavour, ahead) {
                    // MariaDB sees through the parentheses.
                    (Flavour::MariaDb, true) => return Err(unclear),
                    _ => Self::Expression,
                }
            }
            Some(Token::Sign(sign @ ('+' | '-'))) => {
                let sign = if *sign == '-' { "-" } else { "" };
                reader.skip();
                Self::Number(format!("{sign}{}", number(reader)?))
            }
            Some(Token::Sign('.')) => Self::Number(number(reader)?),
            Some(Token::Word(word)) => {
                let word = word.to_ascii_uppercase();
                Self::of_word(&word, reader)?
            }
            _ => return Err(unclear),
        };
        match goes_on(reader.peek()) {
            true => Err(unclear),
            false => Ok(own),
        }
    }

    /// Whether nothing but a literal is between the parentheses.
    fn inner(reader: &Reader<'_>, flavour: Flavour) -> bool {
        let mut ahead = reader.clone();
        ahead.skip();
        let literal = Self::read(&mut ahead, flavour);
        !matches!(literal, Ok(Self::Expression)) && ahead.peek_sign(')')
    }

    fn of_word(word: &str, reader: &mut Reader<'_>) -> Result<Self, DdlError> {
        if word.starts_with(|char: char| char.is_ascii_digit()) {
            return match (word.strip_prefix("0X"), word.strip_prefix("0B")) {
                (Some(digits), _) => {
                    reader.skip();
                    hexadecimal(digits).ok_or_else(|| reader.unclear())
                }
                (_, Some(digits)) => {
                    reader.skip();
                    Ok(Self::Bits(digits.to_owned()))
                }
                _ => number(reader).map(Self::Number),
            };
        }
        reader.skip();
        if NOW.contains(&word) {
            let mut digits = 0;
            if reader.take_sign('(') {
                digits = if reader.peek_sign(')') {
                    0
                } else {
                    reader.number()?
                };
                reader.expect_sign(')')?;
            }
            return Ok(Self::Now(digits));
        }
        if matches!(reader.peek(), Some(Token::Text(_))) {
            let text = reader.text()?;
            return match word {
                "B" => Ok(Self::Bits(text)),
                "X" => hexadecimal(&text).ok_or_else(|| reader.unclear()),
                "N" | "DATE" | "TIME" | "TIMESTAMP" => Ok(Self::Text(text)),
                // The text is in another character set than the statement; letters of ASCII are the same in all that can be there.
                word if word.starts_with('_')
                    && text.is_ascii()
                    && !word.starts_with("_UCS")
                    && !word.starts_with("_UTF16") =>
                {
                    Ok(Self::Text(text))
                }
                _ => Err(reader.unclear()),
            };
        }
        match word {
            "NULL" => Ok(Self::Null),
            "TRUE" => Ok(Self::Number("1".to_owned())),
            "FALSE" => Ok(Self::Number("0".to_owned())),
            "CURRENT_DATE" | "CURRENT_TIME" | "CURRENT_USER" | "UTC_TIMESTAMP" | "UTC_DATE" | "UTC_TIME"
                if !reader.peek_sign('(') =>
            {
                Ok(Self::Expression)
            }
            _ if reader.peek_sign('(') => {
                reader.skip_parentheses()?;
                Ok(Self::Expression)
            }
            _ => Err(reader.unclear()),
        }
    }
}

/// Digits, a point, an exponent: several words for the lexer.
fn number(reader: &mut Reader<'_>) -> Result<String, DdlError> {
    let digits = |reader: &mut Reader<'_>| match reader.word() {
        Some(word) if word.bytes().all(|byte| byte.is_ascii_digit()) => {
            reader.skip();
            Ok(word)
        }
        _ => Err(reader.unclear()),
    };
    let whole = match reader.peek_sign('.') {
        true => String::new(),
        false => digits(reader)?,
    };
    if !reader.take_sign('.') {
        return Ok(whole);
    }
    match reader.word() {
        Some(word) if word.starts_with(|char: char| char.is_ascii_digit()) => {
            Ok(format!("{whole}.{}", digits(reader)?))
        }
        _ => Ok(whole),
    }
}

fn hexadecimal(digits: &str) -> Option<Literal> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    let bytes = pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok());
    bytes.collect::<Option<_>>().map(Literal::Hexadecimal)
}

/// A default as the server shows it: nothing for NULL and for what is computed.
pub(super) fn shown(
    server: &Server,
    column: &str,
    own: &DataType,
    declaration: &Declaration,
    literal: &Literal,
) -> Result<Option<String>, DdlError> {
    let text = match literal {
        Literal::Null | Literal::Expression => return Ok(None),
        Literal::Now(_) if matches!(own.base, Base::DateTime | Base::Timestamp) => {
            let digits = own.arguments.first().filter(|digits| **digits > 0);
            let digits = digits.map(|digits| format!("({digits})"));
            Some(format!("CURRENT_TIMESTAMP{}", digits.unwrap_or_default()))
        }
        Literal::Now(_) => None,
        literal => match own.base {
            Base::Integer(_) => integer(literal).and_then(|number| zero_filled(server, own, number)),
            Base::Decimal => decimal(own, literal).filter(|_| !own.zerofill),
            Base::Float | Base::Double => floating(own, literal).filter(|_| !own.zerofill),
            Base::Bit => bits(literal),
            Base::Year => year(literal),
            Base::Date | Base::Time | Base::DateTime | Base::Timestamp => moment(own, literal),
            Base::Char | Base::Varchar if own.bytes => bytes(server, own, literal),
            Base::Char | Base::Varchar => characters(own, declaration, literal),
            Base::Text(_) if server.flavour == Flavour::MariaDb && !own.bytes => {
                characters(own, declaration, literal)
            }
            Base::Enum => label(own, literal),
            Base::Set => labels(own, literal),
            _ => None,
        },
    };
    text.map(Some).ok_or_else(|| DdlError::Default(column.to_owned()))
}

fn integer(literal: &Literal) -> Option<i128> {
    match literal {
        Literal::Number(text) | Literal::Text(text) => text.trim().parse().ok(),
        Literal::Bits(digits) => i128::from_str_radix(digits, 2).ok(),
        _ => None,
    }
}

fn zero_filled(server: &Server, own: &DataType, number: i128) -> Option<String> {
    let width = usize::try_from(width(own)).ok()?;
    let is_shown = server.flavour == Flavour::MySql || own.zerofill;
    Some(match own.zerofill && is_shown {
        true => format!("{number:0width$}"),
        false => number.to_string(),
    })
}

/// The parts of a number that is written out: its sign, digits before the point without zeros in front, and behind it.
fn parts(literal: &Literal) -> Option<(&'static str, String, String)> {
    let text = match literal {
        Literal::Number(text) | Literal::Text(text) => text.trim(),
        _ => return None,
    };
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || digits.is_empty() {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let is_zero = whole == "0" && fraction.bytes().all(|byte| byte == b'0');
    let sign = if is_zero { "" } else { sign };
    Some((sign, whole.to_owned(), fraction.to_owned()))
}

fn scaled(sign: &str, whole: &str, fraction: &str, scale: usize) -> Option<String> {
    let kept = fraction.trim_end_matches('0');
    if kept.len() > scale {
        return None;
    }
    Some(match scale {
        0 => format!("{sign}{whole}"),
        scale => format!("{sign}{whole}.{kept:0<scale$}"),
    })
}

fn decimal(own: &DataType, literal: &Literal) -> Option<String> {
    let (sign, whole, fraction) = parts(literal)?;
    let scale = usize::try_from(*own.arguments.get(1)?).ok()?;
    scaled(sign, &whole, &fraction, scale)
}

/// Numbers of a few digits are what they are written as.
fn floating(own: &DataType, literal: &Literal) -> Option<String> {
    let (sign, whole, fraction) = parts(literal)?;
    let kept = fraction.trim_end_matches('0');
    if whole.len() + kept.len() > 6 {
        return None;
    }
    match own.arguments.get(1) {
        Some(scale) => scaled(sign, &whole, &fraction, usize::try_from(*scale).ok()?),
        None if kept.is_empty() => Some(format!("{sign}{whole}")),
        None => Some(format!("{sign}{whole}.{kept}")),
    }
}

fn bits(literal: &Literal) -> Option<String> {
    let number = match literal {
        Literal::Number(text) => text.parse().ok()?,
        Literal::Bits(digits) => u64::from_str_radix(digits, 2).ok()?,
        Literal::Hexadecimal(bytes) if bytes.len() <= 8 => bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        _ => return None,
    };
    Some(format!("b'{number:b}'"))
}

fn year(literal: &Literal) -> Option<String> {
    match literal {
        Literal::Number(text) | Literal::Text(text) => {
            let year: u16 = text.parse().ok()?;
            (text.len() == 4 && (1901..=2155).contains(&year) || text == "0000").then(|| text.clone())
        }
        _ => None,
    }
}

/// Whether a text is like a pattern, in which 0 stands for any digit.
fn is_like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(own, like)| match like {
            b'0' => own.is_ascii_digit(),
            like => own == like,
        })
}

fn moment(own: &DataType, literal: &Literal) -> Option<String> {
    let digits = usize::try_from(own.arguments.first().copied().unwrap_or(0)).ok()?;
    let zero = |text: &str| match own.base {
        Base::Date => text == "0000-00-00",
        _ => false,
    };
    let text = match literal {
        Literal::Text(text) => text.as_str(),
        Literal::Number(number) if number == "0" => match own.base {
            Base::Time => "00:00:00",
            _ => "0000-00-00",
        },
        _ => return None,
    };
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = match own.base {
        Base::Date => {
            return (zero(text) || is_like(text, "0000-00-00")).then(|| text.to_owned());
        }
        Base::Time => is_like(clock, "00:00:00").then(|| clock.to_owned())?,
        _ if is_like(clock, "0000-00-00 00:00:00") => clock.to_owned(),
        _ if is_like(clock, "0000-00-00") && fraction.is_empty() => format!("{clock} 00:00:00"),
        _ => return None,
    };
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = fraction.trim_end_matches('0');
    match (digits, kept.len() > digits) {
        (_, true) => None,
        (0, _) => Some(whole),
        _ => Some(format!("{whole}.{kept:0<digits$}")),
    }
}

fn characters(own: &DataType, declaration: &Declaration, literal: &Literal) -> Option<String> {
    let text = match literal {
        Literal::Text(text) => text,
        Literal::Number(text) if !text.starts_with(['.', '-']) => text,
        _ => return None,
    };
    let unicode = |collation| {
        let charset = charset::name(collation).unwrap_or_default();
        charset.starts_with("utf") || charset == "ucs2"
    };
    let fits = text.is_ascii() || declaration.collation.is_some_and(unicode);
    // Spaces at the end of CHAR are no part of it.
    let trimmed = own.base != Base::Char || !text.ends_with(' ');
    let length = own.arguments.first().copied().unwrap_or(u64::MAX);
    (fits && trimmed && text.chars().count() as u64 <= length).then(|| text.clone())
}

fn bytes(server: &Server, own: &DataType, literal: &Literal) -> Option<String> {
    let bytes = match literal {
        Literal::Text(text) if text.is_ascii() => text.as_bytes().to_vec(),
        Literal::Hexadecimal(bytes) => bytes.clone(),
        _ => return None,
    };
    let length = usize::try_from(*own.arguments.first()?).ok()?;
    // Servers differ in whether they show the zeros that fill it.
    if bytes.len() > length || own.base == Base::Char && bytes.len() < length {
        return None;
    }
    if server.flavour == Flavour::MySql && server.version >= Version::new(8, 0, 0) {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        return Some(format!("0x{digits}"));
    }
    let is_plain = bytes.iter().all(u8::is_ascii_graphic);
    is_plain.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn label(own: &DataType, literal: &Literal) -> Option<String> {
    let Literal::Text(text) = literal else { return None };
    own.labels.iter().find(|label| *label == text).cloned()
}

fn labels(own: &DataType, literal: &Literal) -> Option<String> {
    let Literal::Text(text) = literal else { return None };
    let mut wanted: Vec<&str> = text.split(',').filter(|_| !text.is_empty()).collect();
    let in_order: Vec<&str> = own
        .labels
        .iter()
        .map(String::as_str)
        .filter(|label| wanted.contains(label))
        .collect();
    wanted.retain(|label| !in_order.contains(label));
    wanted.is_empty().then(|| in_order.join(","))
}

/// What a column has without a default where it may not be null, as MySQL 5.6 gives it to columns of a primary key.
pub(super) fn implicit(own: &DataType) -> Option<String> {
    let zero = Literal::Number("0".to_owned());
    match own.base {
        Base::Integer(_) | Base::Decimal | Base::Float | Base::Double => {
            let scale = own.arguments.get(1).copied().unwrap_or(0);
            match own.base {
                Base::Integer(_) if own.zerofill => None,
                Base::Integer(_) => Some("0".to_owned()),
                _ => scaled("", "0", "", usize::try_from(scale).ok()?),
            }
        }
        Base::Char | Base::Varchar => Some(String::new()),
        Base::Year => Some("0000".to_owned()),
        Base::Date | Base::Time | Base::DateTime | Base::Timestamp => moment(own, &zero),
        Base::Enum => own.labels.first().cloned(),
        Base::Set => Some(String::new()),
        Base::Bit => Some("b'0'".to_owned()),
        _ => None,
    }
}
