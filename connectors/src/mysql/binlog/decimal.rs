//! DECIMAL in its binary form: nine digits in four bytes, what is left over in as few as hold it.
use std::fmt;

use super::Damage;

/// Bytes that hold this many left-over digits.
const BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
const DIGITS_PER_WORD: u8 = 9;

/// MySQL's largest precision and scale.
const PRECISION_MAX: u8 = 65;
const SCALE_MAX: u8 = 38;

/// A decimal number, exact. It prints as the server prints it.
///
/// ```
/// use millstream_connectors::mysql::binlog::Decimal;
///
/// let number = Decimal::new(&[0x7b, 0xfb], 3, 1).unwrap();
/// assert_eq!(number.to_string(), "-4.4");
/// assert_eq!(number.unscaled(), Some(-44));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal<'a> {
    bytes: &'a [u8],
    precision: u8,
    scale: u8,
}

impl<'a> Decimal<'a> {
    /// A number of so many digits, `scale` of them behind the point.
    ///
    /// # Errors
    /// With precision or scale beyond MySQL's, other than the bytes they take, or groups of bytes beyond nine digits.
    pub fn new(bytes: &'a [u8], precision: u8, scale: u8) -> Result<Self, Damage> {
        let length = Self::length(precision, scale)?;
        if bytes.len() != length {
            return Err(Damage::Short {
                what: "a decimal",
                needed: length,
                left: bytes.len(),
            });
        }
        let number = Self {
            bytes,
            precision,
            scale,
        };
        for (value, digits) in number.groups() {
            if value >= 10_u32.pow(u32::from(digits)) {
                let rule = "more than its digits can say";
                return Err(Damage::Invalid {
                    what: "a group of a decimal",
                    value: u64::from(value),
                    rule,
                });
            }
        }
        Ok(number)
    }

    /// The bytes that a number of such a type takes.
    ///
    /// # Errors
    /// With precision or scale beyond MySQL's.
    pub fn length(precision: u8, scale: u8) -> Result<usize, Damage> {
        if precision == 0 || precision > PRECISION_MAX || scale > SCALE_MAX || scale > precision {
            let value = u64::from(precision) << 8 | u64::from(scale);
            return Err(Damage::Invalid {
                what: "precision and scale of a decimal",
                value,
                rule: "which MySQL has not",
            });
        }
        let part = |digits: u8| {
            usize::from(digits / DIGITS_PER_WORD) * 4 + BYTES[usize::from(digits % DIGITS_PER_WORD)]
        };
        Ok(part(precision - scale) + part(scale))
    }

    /// Digits in all.
    #[must_use]
    pub fn precision(&self) -> u8 {
        self.precision
    }

    /// Digits behind the point.
    #[must_use]
    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.bytes.first().is_some_and(|byte| byte & 0x80 == 0)
    }

    /// The number times ten to the power of its scale, where 128 bits hold it: up to 38 digits always.
    #[must_use]
    pub fn unscaled(&self) -> Option<i128> {
        let mut value: i128 = 0;
        for (group, digits) in self.groups() {
            value = value
                .checked_mul(10_i128.pow(u32::from(digits)))?
                .checked_add(i128::from(group))?;
        }
        Some(if self.is_negative() { -value } else { value })
    }

    /// Groups of digits, from the first, with how many digits each has.
    fn groups(&self) -> impl Iterator<Item = (u32, u8)> + 'a {
        let integer = self.precision - self.scale;
        let (lead, words) = (
            integer % DIGITS_PER_WORD,
            integer / DIGITS_PER_WORD + self.scale / DIGITS_PER_WORD,
        );
        let tail = self.scale % DIGITS_PER_WORD;
        let inverted = if self.is_negative() { 0xff } else { 0 };
        let bytes = self.bytes;
        let mut at = 0;
        std::iter::once(lead)
            .chain(std::iter::repeat_n(DIGITS_PER_WORD, usize::from(words)))
            .chain(std::iter::once(tail))
            .filter(|digits| *digits > 0)
            .map(move |digits| {
                let length = BYTES[usize::from(digits)];
                let group = bytes[at..at + length]
                    .iter()
                    .enumerate()
                    .fold(0_u32, |value, (index, byte)| {
                        // The first bit of all is the sign, turned around so that bytes sort as numbers do.
                        let sign = if at + index == 0 { 0x80 } else { 0 };
                        value << 8 | u32::from(byte ^ sign ^ inverted)
                    });
                at += length;
                (group, digits)
            })
    }
}

impl Decimal<'_> {
    /// Appends its text.
    pub(crate) fn print(&self, target: &mut String) {
        let (text, length) = self.digits();
        target.push_str(std::str::from_utf8(&text[..length]).expect("digits are text"));
    }

    /// Its text, and how many bytes of it there are: 65 digits at most, the sign, the point and a zero before it.
    fn digits(&self) -> ([u8; TEXT_BYTES_MAX], usize) {
        let mut text = [b'0'; TEXT_BYTES_MAX];
        let integer = usize::from(self.precision - self.scale);
        let mut length = 0;
        if self.is_negative() {
            text[0] = b'-';
            length = 1;
        }
        let (mut seen, mut significant) = (0, false);
        for (group, count) in self.groups() {
            let count = usize::from(count);
            if seen == integer && self.scale > 0 {
                // The zero before a point with nothing before it is there already.
                length += usize::from(!significant);
                text[length] = b'.';
                length += 1;
                significant = true;
            }
            seen += count;
            let (mut digits, mut left) = ([b'0'; 9], group);
            for digit in digits[..count].iter_mut().rev() {
                *digit = b'0' + (left % 10) as u8;
                left /= 10;
            }
            let zeros = if significant {
                0
            } else {
                digits[..count].iter().take_while(|digit| **digit == b'0').count()
            };
            let shown = &digits[zeros..count];
            significant |= !shown.is_empty();
            text[length..length + shown.len()].copy_from_slice(shown);
            length += shown.len();
        }
        length += usize::from(!significant);
        (text, length)
    }
}

const TEXT_BYTES_MAX: usize = 68;

impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, length) = self.digits();
        f.write_str(std::str::from_utf8(&text[..length]).expect("digits are text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_print_exactly() {
        let cases: [(&[u8], u8, u8, &str); 8] = [
            (&[0x84, 0x04], 3, 1, "4.4"),
            (&[0x80, 0x00], 3, 1, "0.0"),
            (&[0x7b, 0xfb], 3, 1, "-4.4"),
            (&[0x80], 1, 0, "0"),
            (
                &[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d],
                14,
                4,
                "-1234567890.1234",
            ),
            (
                &[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2],
                14,
                4,
                "1234567890.1234",
            ),
            (&[0x81], 1, 1, "0.1"),
            (&[0x7e], 1, 1, "-0.1"),
        ];
        for (bytes, precision, scale, text) in cases {
            let number = Decimal::new(bytes, precision, scale).unwrap();
            assert_eq!(number.to_string(), text);
            let unscaled: i128 = text.replace('.', "").parse().unwrap();
            assert_eq!(number.unscaled(), Some(unscaled));
        }
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        assert!(Decimal::new(&[0x80], 3, 1).is_err());
        assert!(Decimal::new(&[0xff, 0x00], 3, 1).is_err());
        assert!(Decimal::length(66, 0).is_err());
        assert!(Decimal::length(5, 6).is_err());
        assert!(Decimal::length(0, 0).is_err());
    }
}
