//! Java's `SimpleDateFormat`, in UTC and English.
//!
//! Patterns are read once; writing and reading go by their parts. Dates before 15 October 1582 are of the Julian calendar and reading is
//! lenient (the 32nd of January is the 1st of February), as in Java. Digits are those of ASCII. Weeks begin on Sunday, and the first one of a year is that of 1 January.
//!
//! Owns: the pattern's letters. Does not own: which pattern there is.
mod calendar;
mod read;

use calendar::Civil;

/// A day has as many, without leap seconds.
pub(super) const MILLISECONDS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Sunday.
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// More letters in a row than this are refused: they pad with zeros.
const LETTERS: usize = 100;

/// A pattern for dates.
#[derive(Debug, Clone)]
pub(super) struct DateFormat {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Itself.
    Text(String),
    /// A letter, and how many of it.
    Field(char, usize),
}

impl DateFormat {
    /// Reads `pattern`, or says what is wrong with it.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let text = |parts: &mut Vec<Part>, char: char| match parts.last_mut() {
            Some(Part::Text(text)) => text.push(char),
            _ => parts.push(Part::Text(char.to_string())),
        };
        let mut chars = pattern.chars().peekable();
        let mut quoted = false;
        while let Some(char) = chars.next() {
            match char {
                '\'' if chars.next_if_eq(&'\'').is_some() => text(&mut parts, '\''),
                '\'' => quoted = !quoted,
                letter if !quoted && letter.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    check(letter, count, pattern)?;
                    parts.push(Part::Field(letter, count));
                }
                other => text(&mut parts, other),
            }
        }
        match quoted {
            true => Err(format!("the pattern {pattern} has a quote that is not closed")),
            false => Ok(Self { parts }),
        }
    }

    /// Writes the time `milliseconds` after 1970 behind what is in `out`.
    pub(super) fn write(&self, milliseconds: i64, out: &mut String) {
        let days = milliseconds.div_euclid(MILLISECONDS_PER_DAY);
        let moment = Moment {
            days,
            civil: Civil::from_days(days),
            milliseconds: milliseconds.rem_euclid(MILLISECONDS_PER_DAY),
        };
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(letter, count) => moment.write(*letter, *count, out),
            }
        }
    }
}

fn check(letter: char, count: usize, pattern: &str) -> Result<(), String> {
    match letter {
        'X' if count > 3 => Err(format!(
            "the pattern {pattern} has {count} letters X; there may be 3 at most"
        )),
        _ if count > LETTERS => Err(format!(
            "the pattern {pattern} repeats a letter {count} times; it may be {LETTERS} times at most"
        )),
        letter if "GyMdkHmsSEDFwWahKzZYuXL".contains(letter) => Ok(()),
        _ => Err(format!(
            "the pattern {pattern} has the letter {letter}, which stands for nothing; put plain text between single quotes"
        )),
    }
}

/// A time, taken apart.
struct Moment {
    days: i64,
    civil: Civil,
    milliseconds: i64,
}

impl Moment {
    fn write(&self, letter: char, count: usize, out: &mut String) {
        let hour = self.milliseconds / 3_600_000;
        let number = match letter {
            'G' => return out.push_str(if self.civil.year > 0 { "AD" } else { "BC" }),
            'y' => return write_year(self.civil.year_of_era(), count, out),
            'Y' => return write_year(calendar::week(self.days, self.civil).0, count, out),
            'M' | 'L' if count >= 3 => return write_name(MONTHS[self.civil.month as usize - 1], count, out),
            'E' => return write_name(DAYS[calendar::day_of_week(self.days)], count, out),
            'a' => return out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'z' if count >= 4 => return out.push_str("Coordinated Universal Time"),
            'z' => return out.push_str("UTC"),
            'Z' => return out.push_str("+0000"),
            'X' => return out.push('Z'),
            'M' | 'L' => self.civil.month,
            'd' => self.civil.day,
            'D' => self.days - Civil::first_of(self.civil.year).days() + 1,
            'F' => (self.civil.day - 1) / 7 + 1,
            'w' => calendar::week(self.days, self.civil).1,
            'W' => calendar::week_of_month(self.days, self.civil.day),
            'u' => match calendar::day_of_week(self.days) {
                0 => 7,
                day => day as i64,
            },
            'k' if hour == 0 => 24,
            'h' if hour % 12 == 0 => 12,
            'H' | 'k' => hour,
            'K' | 'h' => hour % 12,
            'm' => self.milliseconds / 60_000 % 60,
            's' => self.milliseconds / 1000 % 60,
            _ => self.milliseconds % 1000,
        };
        write_number(number, count, out);
    }
}

fn write_number(number: i64, count: usize, out: &mut String) {
    if number < 0 {
        out.push('-');
    }
    let (mut digits, mut first, mut rest) = ([b'0'; 20], 20, number.unsigned_abs());
    while rest > 0 || first == 20 {
        first -= 1;
        digits[first] += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend((20 - first..count).map(|_| '0'));
    out.extend(digits[first..].iter().map(|digit| char::from(*digit)));
}

fn write_year(year: i64, count: usize, out: &mut String) {
    match count {
        2 => write_number(year % 100, 2, out),
        _ => write_number(year, count, out),
    }
}

fn write_name(name: &str, count: usize, out: &mut String) {
    out.push_str(if count >= 4 { name } else { &name[..3] });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(pattern: &str, milliseconds: i64) -> String {
        let mut out = String::new();
        DateFormat::new(pattern).unwrap().write(milliseconds, &mut out);
        out
    }

    #[test]
    fn patterns_are_checked() {
        for pattern in ["yyyy-MM-dd'T", "yyyy b", "XXXX", "'"] {
            assert!(DateFormat::new(pattern).is_err(), "{pattern}");
        }
        assert_eq!(written("'it''s' ''yy''", 0), "it's '70'");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(milliseconds in -12_219_292_800_000_i64..250_000_000_000_000) {
            let pattern = "yyyy-MM-dd'T'HH:mm:ss.SSS";
            let text = written(pattern, milliseconds);
            let timestamp = jiff::Timestamp::from_millisecond(milliseconds).unwrap();
            prop_assert_eq!(&text, &timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3f").to_string());
            let pattern = DateFormat::new(&format!("{pattern}XXX")).unwrap();
            prop_assert_eq!(pattern.read(&format!("{text}+01:30")), Ok(milliseconds - 5_400_000));
        }

        #[test]
        fn nothing_panics(pattern in "[GyMdkHmsSEDFahKzZuXL':. -]{0,12}", text in "[-0-9 :.GMTUCaPpJn+Zé]{0,30}", time: i64) {
            if let Ok(format) = DateFormat::new(&pattern) {
                let mut out = String::new();
                format.write(time, &mut out);
                let _ = format.read(&text);
                let _ = format.read(&out);
            }
        }
    }
}
