//! Numbers as Java writes them.
use std::io::Write;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::Sign;

/// Writes a whole number.
pub(crate) fn write_integer(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes what `Double.toString` gives (as of JDK 19: the shortest text that reads back as the same number).
pub(crate) fn write_f64(number: f64, out: &mut Vec<u8>) {
    let shortest = Text::of(format_args!("{number:e}"));
    write_shortest(number, shortest, |text| text.parse() == Ok(number), out);
}

/// Writes what `Float.toString` gives.
pub(crate) fn write_f32(number: f32, out: &mut Vec<u8>) {
    let shortest = Text::of(format_args!("{number:e}"));
    write_shortest(number.into(), shortest, |text| text.parse() == Ok(number), out);
}

/// A short text on the stack.
#[derive(Clone, Copy, Default)]
struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Text {
    fn of(arguments: std::fmt::Arguments<'_>) -> Self {
        let mut text = Self::default();
        let mut rest = &mut text.bytes[..];
        let _ = rest.write_fmt(arguments);
        let left = rest.len();
        text.length = text.bytes.len() - left;
        text
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// The digits with their point and without a sign, and the power of ten.
    fn parts(&self) -> (&str, i32) {
        let unsigned = self.as_str().trim_start_matches('-');
        let (digits, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
        (digits, exponent.parse().unwrap_or_default())
    }
}

/// Writes a number whose shortest digits are in `text`, as `1.5e-7`, in Java's form.
fn write_shortest(number: f64, text: Text, reads_back: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
    if number.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if text.as_str().starts_with('-') {
        out.push(b'-');
    }
    if number.is_infinite() {
        return out.extend_from_slice(b"Infinity");
    }
    let text = nearest(number, text, reads_back);
    let (digits, exponent) = text.parts();
    let significant = digits.len() - digits.bytes().rev().take_while(|digit| *digit == b'0').count();
    let mut plain = [b'0'; 24];
    let mut count = 0;
    for digit in digits[..significant.max(1)]
        .bytes()
        .filter(|digit| *digit != b'.')
    {
        plain[count] = digit;
        count += 1;
    }
    write_digits(&plain[..count], exponent, out);
}

/// Of the texts with as many digits as the shortest (but at least two) Java takes the nearest to the number, and of two that are as near the even
/// one, where the shortest in `text` may be another.
fn nearest(number: f64, text: Text, reads_back: impl Fn(&str) -> bool) -> Text {
    let (digits, exponent) = text.parts();
    let behind = digits.len().saturating_sub(2);
    let other = if behind == 0 {
        Text::of(format_args!("{number:.1e}"))
    } else {
        // A number that is halfway between two texts has a digit more behind the point, which is as many as it has bits there.
        let bits = number.to_bits();
        let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
        let power = ((bits >> 52) & 0x7ff) as i32 - 1_075;
        let fraction = -power - mantissa.trailing_zeros() as i32;
        if fraction > 0 && fraction != behind as i32 - exponent + 1 {
            return text;
        }
        Text::of(format_args!("{number:.behind$e}"))
    };
    if reads_back(other.as_str()) { other } else { text }
}

/// Writes `digits`, the first of which stands before the point, times ten to the `exponent`.
fn write_digits(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let zeros = |count: usize, out: &mut Vec<u8>| out.resize(out.len() + count, b'0');
    match exponent {
        0..=6 => {
            let before = exponent as usize + 1;
            out.extend_from_slice(&digits[..digits.len().min(before)]);
            zeros(before.saturating_sub(digits.len()), out);
            out.push(b'.');
            match digits.get(before..).unwrap_or_default() {
                [] => out.push(b'0'),
                rest => out.extend_from_slice(rest),
            }
        }
        -3..=-1 => {
            out.extend_from_slice(b"0.");
            zeros((-exponent - 1) as usize, out);
            out.extend_from_slice(digits);
        }
        _ => {
            out.push(digits[0]);
            out.push(b'.');
            match &digits[1..] {
                [] => out.push(b'0'),
                rest => out.extend_from_slice(rest),
            }
            let _ = write!(out, "E{exponent}");
        }
    }
}

/// Writes what `BigDecimal.toString` gives.
pub(crate) fn write_decimal(decimal: &BigDecimal, out: &mut Vec<u8>) {
    let (unscaled, scale) = decimal.as_bigint_and_scale();
    if unscaled.sign() == Sign::Minus {
        out.push(b'-');
    }
    let digits = unscaled.magnitude().to_string();
    let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let adjusted = count - 1 - scale;
    if scale == 0 {
        out.extend_from_slice(digits.as_bytes());
    } else if scale > 0 && adjusted >= -6 {
        let point = usize::try_from(count - scale).unwrap_or(0);
        if point == 0 {
            out.extend_from_slice(b"0.");
            let zeros = usize::try_from(scale - count).unwrap_or(0);
            out.resize(out.len() + zeros, b'0');
        } else {
            out.extend_from_slice(&digits.as_bytes()[..point]);
            out.push(b'.');
        }
        out.extend_from_slice(&digits.as_bytes()[point..]);
    } else {
        out.extend_from_slice(&digits.as_bytes()[..1]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits.as_bytes()[1..]);
        }
        if adjusted != 0 {
            let _ = write!(out, "E{adjusted:+}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_are_written_as_java_does() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.234_567_8e7, "1.2345678E7"),
            (123.456, "123.456"),
            (f64::MAX, "1.7976931348623157E308"),
            (5e-324, "4.9E-324"),
            (2e23, "2.0E23"),
            (2_251_799_813_685_248.25, "2.251799813685248E15"),
            (4_503_599_627_370_496.5, "4.503599627370496E15"),
            (100.0, "100.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(of(|out| write_f64(number, out)), text);
        }
        for (number, text) in [
            (1.1_f32, "1.1"),
            (1e-45, "1.4E-45"),
            (3.4028235e38, "3.4028235E38"),
        ] {
            assert_eq!(of(|out| write_f32(number, out)), text);
        }
    }

    #[test]
    fn decimals_are_written_as_java_does() {
        for (unscaled, scale, text) in [
            (123, 0, "123"),
            (-123, 2, "-1.23"),
            (123, 3, "0.123"),
            (123, 8, "0.00000123"),
            (123, 9, "1.23E-7"),
            (123, -2, "1.23E+4"),
            (1, -3, "1E+3"),
            (0, 2, "0.00"),
            (0, 7, "0E-7"),
            (0, -1, "0E+1"),
        ] {
            let decimal = BigDecimal::new(unscaled.into(), scale);
            assert_eq!(of(|out| write_decimal(&decimal, out)), text, "{unscaled} {scale}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bits: u64) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite());
            prop_assert_eq!(of(|out| write_f64(double, out)).parse(), Ok(double));
            let float = f32::from_bits(bits as u32);
            prop_assume!(float.is_finite());
            prop_assert_eq!(of(|out| write_f32(float, out)).parse(), Ok(float));
        }
    }
}
