//! Numbers.
use std::io::Write;

use bigdecimal::BigDecimal;

use super::literal::mismatch;
use super::{Cell, Unfit};

/// More digits than any column holds, before and behind the point.
const DIGITS_MAX: i64 = 400;

/// Appends a whole number.
#[inline]
pub(super) fn push_integer(out: &mut Vec<u8>, number: i128) {
    let mut buffer = [0; 40];
    let (mut rest, mut begin) = (number.unsigned_abs(), buffer.len());
    // Most numbers have no more than 64 bits, which are divided much faster.
    while rest > u64::MAX.into() {
        begin -= 1;
        buffer[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut rest = rest as u64;
    loop {
        begin -= 1;
        buffer[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&buffer[begin..]);
}

/// A whole number of so many bits.
pub(super) fn integer(cell: &Cell<'_>, bits: u32, unsigned: bool, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let number = whole(cell)?;
    let (low, high) = match unsigned {
        true => (0, (1_i128 << bits) - 1),
        false => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
    };
    if !(low..=high).contains(&number) {
        let remedy = match (unsigned && number < 0, cell) {
            (true, Cell::Integer(_)) if bits == 64 => {
                "; if it is a BIGINT UNSIGNED that the source wrapped, give the source bigint.unsigned.handling.mode=precise"
            }
            _ => "",
        };
        return Err(Unfit::new(format!("it is not from {low} to {high}{remedy}")));
    }
    push_integer(out, number);
    Ok(())
}

fn whole(cell: &Cell<'_>) -> Result<i128, Unfit> {
    let broken = || Unfit::new("it is not a whole number");
    match cell {
        Cell::Boolean(value) => Ok((*value).into()),
        Cell::Integer(number)
        | Cell::Year(number)
        | Cell::Date(number)
        | Cell::Time(number, _)
        | Cell::Local(number, _)
        | Cell::Instant(number, _) => Ok((*number).into()),
        Cell::Natural(number) => Ok((*number).into()),
        Cell::Float(number) => of_float((*number).into()).ok_or_else(broken),
        Cell::Double(number) => of_float(*number).ok_or_else(broken),
        Cell::Decimal(number) => of_decimal(number).ok_or_else(broken),
        Cell::Text(text) | Cell::Exact(text) => text.trim().parse().map_err(|_| broken()),
        Cell::Bits(bytes) => of_bits(bytes).map(Into::into).ok_or_else(broken),
        cell => Err(mismatch(cell)),
    }
}

fn of_float(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 1e30).then_some(number as i128)
}

fn of_decimal(number: &BigDecimal) -> Option<i128> {
    let (unscaled, scale) = number.as_bigint_and_scale();
    if scale < -DIGITS_MAX {
        return None;
    }
    let unscaled = i128::try_from(&*unscaled).ok()?;
    match u32::try_from(scale) {
        Ok(scale) => {
            let unit = 10_i128.checked_pow(scale)?;
            (unscaled % unit == 0).then_some(unscaled / unit)
        }
        Err(_) => {
            let unit = u32::try_from(-scale)
                .ok()
                .and_then(|scale| 10_i128.checked_pow(scale))?;
            unscaled.checked_mul(unit)
        }
    }
}

/// Bits, the lowest byte first.
fn of_bits(bytes: &[u8]) -> Option<u64> {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate() {
        match place {
            0..=7 => number |= u64::from(*byte) << (place * 8),
            _ if *byte != 0 => return None,
            _ => {}
        }
    }
    Some(number)
}

/// So many bits.
pub(super) fn bits(cell: &Cell<'_>, count: u32, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let number = match cell {
        // As servers give it.
        Cell::Bytes(bytes) if bytes.len() <= 8 => bytes
            .iter()
            .fold(0, |number, byte| number << 8 | i128::from(*byte)),
        Cell::Bytes(_) => return Err(mismatch(cell)),
        cell => whole(cell)?,
    };
    if number < 0 || number >= 1 << count {
        return Err(Unfit::new(format!("it has more than {count} bits")));
    }
    push_integer(out, number);
    Ok(())
}

/// Appends a decimal with all of its digits.
pub(super) fn push_decimal(out: &mut Vec<u8>, number: &BigDecimal) -> Result<(), Unfit> {
    let (unscaled, scale) = number.as_bigint_and_scale();
    if !(-DIGITS_MAX..=DIGITS_MAX).contains(&scale) || unscaled.bits() > DIGITS_MAX as u64 * 4 {
        return Err(Unfit::new(format!(
            "it has more than {DIGITS_MAX} digits before or behind the point"
        )));
    }
    let begin = out.len();
    match i64::try_from(&*unscaled) {
        Ok(small) => push_integer(out, small.into()),
        Err(_) => {
            let _ = write!(out, "{unscaled}");
        }
    }
    let digits_begin = begin + usize::from(out.get(begin) == Some(&b'-'));
    match usize::try_from(scale) {
        Err(_) => out.extend((0..-scale).map(|_| b'0')),
        Ok(0) => {}
        Ok(scale) => {
            let count = out.len() - digits_begin;
            if count <= scale {
                let zeros = std::iter::repeat_n(b'0', scale + 1 - count);
                out.splice(digits_begin..digits_begin, zeros);
            }
            let point = out.len() - scale;
            out.insert(point, b'.');
        }
    }
    Ok(())
}

/// A number with a fixed point.
pub(super) fn decimal(
    cell: &Cell<'_>,
    (precision, scale, unsigned): (u32, u32, bool),
    rounding: bool,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let begin = out.len();
    match cell {
        // Approximate by nature: the server rounds them to the column's digits.
        Cell::Float(_) | Cell::Double(_) => {
            let number = match cell {
                Cell::Float(number) => f64::from(*number),
                Cell::Double(number) => *number,
                _ => 0.0,
            };
            let most = 10_f64.powi((precision - scale.min(precision)) as i32);
            if !number.is_finite() || number.abs() >= most {
                return Err(too_large(precision, scale));
            }
            // Shortest digits are exact ones: 1.1 is 1.1.
            let _ = match cell {
                Cell::Float(number) => write!(out, "{number:e}"),
                _ => write!(out, "{number:e}"),
            };
            return Ok(());
        }
        Cell::Decimal(number) => push_decimal(out, number)?,
        Cell::Text(text) | Cell::Exact(text) => push_parsed(out, text)?,
        cell => push_integer(out, whole(cell)?),
    }
    fits(&out[begin..], (precision, scale, unsigned), rounding)
}

fn too_large(precision: u32, scale: u32) -> Unfit {
    let before = precision.saturating_sub(scale);
    Unfit::new(format!(
        "it has more than the {before} digits before the point that the column holds"
    ))
}

/// Whether digits, with a point or without, are not more than a column's.
fn fits(digits: &[u8], (precision, scale, unsigned): (u32, u32, bool), rounding: bool) -> Result<(), Unfit> {
    let (negative, digits) = match digits.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, digits),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (before, behind) = match point {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    let leading = before.iter().take_while(|digit| **digit == b'0').count();
    if before.len() - leading > (precision - scale.min(precision)) as usize {
        return Err(too_large(precision, scale));
    }
    let trailing = behind.iter().rev().take_while(|digit| **digit == b'0').count();
    let significant = behind.len() - trailing;
    if significant > scale as usize && !rounding {
        return Err(Unfit::new(format!(
            "it has {significant} digits behind the point, and the column holds {scale}; with value.rounding=true it is rounded"
        )));
    }
    let is_zero = digits.iter().all(|byte| matches!(byte, b'0' | b'.'));
    match negative && unsigned && !is_zero {
        true => Err(Unfit::new("it is negative, and the column is UNSIGNED")),
        false => Ok(()),
    }
}

/// Appends a decimal that came as text: `-12.50`, `1E+3`.
fn push_parsed(out: &mut Vec<u8>, text: &str) -> Result<(), Unfit> {
    let text = text.trim();
    let plain = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_plain = plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && plain.bytes().filter(|byte| *byte == b'.').count() <= 1
        && plain.bytes().any(|byte| byte.is_ascii_digit());
    if is_plain {
        out.extend_from_slice(text.strip_prefix('+').unwrap_or(text).as_bytes());
        return Ok(());
    }
    let no_number = || Unfit::new("it is a text that is no number");
    if text.len() > 1_000 || !plain.starts_with(|char: char| char.is_ascii_digit() || char == '.') {
        return Err(no_number());
    }
    let number: BigDecimal = text.parse().map_err(|_| no_number())?;
    push_decimal(out, &number)
}

/// A floating-point number, of 32 bits or 64. Its literal has an exponent, without which it would be a decimal.
pub(super) fn float(cell: &Cell<'_>, single: bool, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let number = match cell {
        Cell::Float(number) => f64::from(*number),
        Cell::Double(number) => *number,
        Cell::Decimal(number) => {
            push_decimal(out, number)?;
            out.extend_from_slice(b"e0");
            return Ok(());
        }
        Cell::Text(text) | Cell::Exact(text) => {
            let number = text.trim().parse();
            number.map_err(|_| Unfit::new("it is a text that is no number"))?
        }
        cell => {
            push_integer(out, whole(cell)?);
            return Ok(());
        }
    };
    if !number.is_finite() {
        return Err(Unfit::new("it is not finite, which MySQL does not know"));
    }
    if single && number.abs() > f32::MAX.into() {
        return Err(Unfit::new("it is larger than a FLOAT"));
    }
    let _ = write!(out, "{number:e}");
    Ok(())
}
