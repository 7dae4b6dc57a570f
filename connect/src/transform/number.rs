//! Numbers as Java reads, writes and narrows them.
use std::fmt::Write;

use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, RoundingMode};

/// More digits before the point than this have no low bits but zeros that would matter; they are not computed.
const DIGITS: i64 = 10_000;

/// The integer part's low 64 bits (`BigDecimal.longValue`).
pub(super) fn low_bits(decimal: &BigDecimal) -> i64 {
    let (unscaled, scale) = decimal.as_bigint_and_exponent();
    // 10 to the power of 64 is divisible by 2 to the power of 64.
    if scale <= -64 || unscaled.sign() == Sign::NoSign {
        return 0;
    }
    if scale > DIGITS && scale > 2 * i64::try_from(unscaled.bits()).unwrap_or(i64::MAX) {
        return 0;
    }
    let (integer, _) = decimal
        .with_scale_round(0, RoundingMode::Down)
        .into_bigint_and_exponent();
    low_64(&integer)
}

fn low_64(integer: &BigInt) -> i64 {
    let low = integer.magnitude().iter_u64_digits().next().unwrap_or(0);
    match integer.sign() {
        Sign::Minus => low.wrapping_neg() as i64,
        _ => low as i64,
    }
}

/// `new BigDecimal(text)`.
pub(super) fn parse_decimal(text: &str) -> Option<BigDecimal> {
    let plain = |char: char| char.is_ascii_digit() || matches!(char, '+' | '-' | '.' | 'e' | 'E');
    let exponent = text.split(['e', 'E']).nth(1);
    // Java's scale has 32 bits, and an exponent ten digits.
    let fits = exponent.is_none_or(|exponent| exponent.parse::<i32>().is_ok());
    match text.chars().all(plain) && fits {
        true => text.parse().ok(),
        false => None,
    }
}

/// `BigDecimal.toString`.
pub(super) fn decimal_text(decimal: &BigDecimal) -> String {
    let (unscaled, scale) = decimal.as_bigint_and_exponent();
    let digits = unscaled.magnitude().to_string();
    let sign = if unscaled.sign() == Sign::Minus { "-" } else { "" };
    let adjusted = i64::try_from(digits.len()).unwrap_or(i64::MAX) - 1 - scale;
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    if scale > 0 && adjusted >= -6 {
        let behind = usize::try_from(scale).expect("a positive scale of few digits");
        let padded = format!("{digits:0>width$}", width = behind + 1);
        let (whole, fraction) = padded.split_at(padded.len() - behind);
        return format!("{sign}{whole}.{fraction}");
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    match adjusted {
        0 => format!("{sign}{first}{point}{rest}"),
        _ => format!("{sign}{first}{point}{rest}E{adjusted:+}"),
    }
}

/// `Float.toString` of the digits that suffice, given as Rust's scientific notation.
pub(super) fn float_text(scientific: &str) -> String {
    if scientific.contains("NaN") {
        return "NaN".to_owned();
    }
    let (sign, number) = match scientific.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", scientific),
    };
    if number.starts_with('i') {
        return format!("{sign}Infinity");
    }
    let (mantissa, exponent) = number.split_once('e').unwrap_or((number, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|char| *char != '.').collect();
    let mut out = String::from(sign);
    let zero = digits.bytes().all(|digit| digit == b'0');
    if zero {
        out.push_str("0.0");
    } else if (-3..7).contains(&exponent) {
        let places = usize::try_from(exponent.unsigned_abs()).expect("at most 7");
        if exponent < 0 {
            let _ = write!(out, "0.{}{digits}", "0".repeat(places - 1));
        } else {
            let padded = format!("{digits:0<width$}", width = places + 2);
            let (whole, fraction) = padded.split_at(places + 1);
            let _ = write!(out, "{whole}.{fraction}");
        }
    } else {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        let _ = write!(out, "{first}.{rest}E{exponent}");
    }
    out
}

/// The text of a number that `Double.parseDouble` reads, in the form that Rust does.
pub(super) fn float_syntax(text: &str) -> Option<&str> {
    let trimmed = text.trim_matches(|char| char <= ' ');
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if matches!(unsigned, "NaN" | "Infinity") {
        return Some(trimmed);
    }
    let number = trimmed.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(trimmed);
    let plain = |char: char| char.is_ascii_digit() || matches!(char, '+' | '-' | '.' | 'e' | 'E');
    number.chars().all(plain).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_java_does() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.000_99, "9.9E-4"),
            (1_234_567.0, "1234567.0"),
            (12_345_678.0, "1.2345678E7"),
            (1e7, "1.0E7"),
            (-1.5e300, "-1.5E300"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
            (123.456, "123.456"),
        ];
        for (number, text) in cases {
            assert_eq!(float_text(&format!("{number:e}")), text);
        }
        for text in [
            "0", "1.20", "0.000001", "1E-7", "1.23E-7", "-12.5", "1E+3", "1.5E+10", "0.00", "0E-8",
        ] {
            let decimal = parse_decimal(text).unwrap();
            assert_eq!(decimal_text(&decimal), text);
        }
    }

    #[test]
    fn integers_keep_their_low_bits() {
        let cases = [
            ("-1.9", -1),
            ("9223372036854775808", i64::MIN),
            ("18446744073709551617", 1),
            ("-18446744073709551617", -1),
            ("1E+2000000", 0),
            ("1E-2000000000", 0),
            ("12e1", 120),
        ];
        for (text, expected) in cases {
            assert_eq!(low_bits(&parse_decimal(text).unwrap()), expected, "{text}");
        }
    }
}
