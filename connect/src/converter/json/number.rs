//! Numbers of JSON, and what they become.
use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;

/// A number as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number<'a> {
    text: &'a str,
    /// Without a point or an exponent.
    whole: bool,
    exponent: i32,
}

impl<'a> Number<'a> {
    /// A number that was found well-formed; none if its exponent is out of range.
    pub(super) fn new(text: &'a str, whole: bool) -> Option<Self> {
        let exponent = match whole {
            true => 0,
            false => match text.split_once(['e', 'E']) {
                Some((_, exponent)) => exponent
                    .parse()
                    .ok()
                    .filter(|its: &i32| its.abs() < i32::MAX - 2_000)?,
                None => 0,
            },
        };
        Some(Self {
            text,
            whole,
            exponent,
        })
    }

    /// Whether it is an integer.
    pub(super) fn is_whole(self) -> bool {
        self.whole
    }

    /// The integer of 32 bits that it is written as, if it is.
    pub(super) fn as_int(self) -> Option<i32> {
        self.text.parse().ok().filter(|_| self.whole)
    }

    /// Its digits as an integer, and how many of them are behind the point.
    fn unscaled(self) -> (BigInt, i64) {
        let (mantissa, _) = self.text.split_once(['e', 'E']).unwrap_or((self.text, ""));
        let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{before}{behind}");
        let unscaled = digits.parse().expect("digits, perhaps behind a minus");
        (unscaled, behind.len() as i64 - i64::from(self.exponent))
    }

    /// As a decimal, with the scale it is written with.
    pub(super) fn decimal(self) -> BigDecimal {
        let (unscaled, scale) = self.unscaled();
        BigDecimal::new(unscaled, scale)
    }

    /// Its integer part, of which the lower 64 bits are kept.
    pub(super) fn long(self) -> i64 {
        if self.whole
            && let Ok(number) = self.text.parse()
        {
            return number;
        }
        let (unscaled, scale) = self.unscaled();
        let digits = self.text.len() as i64;
        if scale > digits || scale <= -64 {
            return 0;
        }
        let ten = BigInt::from(10);
        let power = ten.pow(scale.unsigned_abs() as u32);
        let integer = if scale > 0 {
            unscaled / power
        } else {
            unscaled * power
        };
        lower_64_bits(&integer)
    }

    /// As the nearest double.
    pub(super) fn double(self) -> f64 {
        match self.has_sign_of_zero() {
            true => 0.0,
            false => self.text.parse().expect("well-formed numbers are numbers"),
        }
    }

    /// As the nearest float.
    pub(super) fn float(self) -> f32 {
        match self.has_sign_of_zero() {
            true => 0.0,
            false => self.text.parse().expect("well-formed numbers are numbers"),
        }
    }

    /// Whether it is minus zero, which decimals do not know.
    fn has_sign_of_zero(self) -> bool {
        let mantissa = self.text.split(['e', 'E']).next().unwrap_or_default();
        mantissa.starts_with('-') && mantissa.bytes().all(|byte| matches!(byte, b'-' | b'.' | b'0'))
    }
}

fn lower_64_bits(number: &BigInt) -> i64 {
    let bytes = number.to_signed_bytes_le();
    let filler = if bytes.last().is_some_and(|last| *last >= 0x80) {
        0xff
    } else {
        0
    };
    let mut lower = [filler; 8];
    let count = bytes.len().min(8);
    lower[..count].copy_from_slice(&bytes[..count]);
    i64::from_le_bytes(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number<'_> {
        Number::new(text, !text.contains(['.', 'e', 'E'])).unwrap()
    }

    #[test]
    fn integer_parts_are_cut_to_their_lower_bits() {
        for (text, long) in [
            ("007", 7),
            ("-1.9", -1),
            ("0.99", 0),
            ("1e3", 1_000),
            ("18446744073709551617", 1),
            ("-18446744073709551617", -1),
            ("1e70", 0),
            ("1e-999999999", 0),
            ("1.5e1", 15),
        ] {
            assert_eq!(number(text).long(), long, "{text}");
        }
    }

    #[test]
    fn there_is_no_minus_zero() {
        assert!(number("-0.0").double().is_sign_positive());
        assert!(number("-0").float().is_sign_positive());
        assert!(number("-1e-400").double().is_sign_negative());
    }
}
