//! Reading dates.
use jiff::ToSpan;
use jiff::tz::TimeZone;

use super::calendar::Civil;
use super::{DAYS, DateFormat, MILLISECONDS_PER_DAY, MONTHS, Part};

impl DateFormat {
    /// The time that stands at the beginning of `text`, in milliseconds since 1970; what follows it is left alone, as in Java.
    pub(in super::super) fn read(&self, text: &str) -> Result<i64, String> {
        let mut reader = Reader {
            text,
            at: 0,
            fields: Fields::default(),
            stamp: 0,
        };
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(literal) => reader.literal(literal)?,
                Part::Field(letter, count) => {
                    let next = self.parts.get(index + 1);
                    reader.field(*letter, *count, next.is_some_and(is_number))?;
                }
            }
        }
        reader.fields.time()
    }
}

/// Whether a number begins here, so that one before it has as many digits as its pattern has letters.
fn is_number(part: &Part) -> bool {
    match part {
        Part::Text(_) => false,
        Part::Field('M' | 'L', count) => *count <= 2,
        Part::Field(letter, _) => "ydkHmsSDFwWhKYu".contains(*letter),
    }
}

/// A value, and when it was read: of two that contradict each other the later one counts.
#[derive(Debug, Clone, Copy, Default)]
struct Stamped {
    value: i64,
    /// 0: never.
    stamp: u32,
}

/// What was read.
#[derive(Debug, Default)]
struct Fields {
    year: Option<i64>,
    /// The year was given by two digits that may mean two centuries.
    ambiguous: bool,
    before_christ: bool,
    month: Option<i64>,
    day: Stamped,
    day_of_year: Stamped,
    day_of_week: bool,
    hour_of_day: Stamped,
    hour: Stamped,
    afternoon: Stamped,
    minute: i64,
    second: i64,
    millisecond: i64,
    /// Milliseconds east of UTC.
    offset: i64,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    fields: Fields,
    stamp: u32,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn fail<T>(&self, what: &str) -> Result<T, String> {
        Err(format!(
            "there is no {what} at character {}",
            self.text[..self.at].chars().count()
        ))
    }

    fn literal(&mut self, literal: &str) -> Result<(), String> {
        match self.rest().starts_with(literal) {
            true => {
                self.at += literal.len();
                Ok(())
            }
            false => self.fail(&format!("{literal:?}")),
        }
    }

    fn field(&mut self, letter: char, count: usize, number_follows: bool) -> Result<(), String> {
        let start = self.at;
        let blank = self
            .rest()
            .bytes()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        self.at += blank;
        let begins = self.at;
        let end = match number_follows {
            true => start + count,
            false => self.text.len(),
        };
        self.stamp += 1;
        let stamp = self.stamp;
        let stamped = |value| Stamped { value, stamp };
        match letter {
            'G' => self.fields.before_christ = self.name(&["AD", "BC"], 2)? == 1,
            'y' => {
                let year = self.number(end)?;
                let digits = &self.text.as_bytes()[begins..self.at];
                let short = count <= 2 && digits.len() == 2 && digits.iter().all(u8::is_ascii_digit);
                self.fields.year = Some(if short { self.century(year) } else { year });
            }
            'M' | 'L' if count >= 3 => self.fields.month = Some(self.name(&MONTHS, 3)? + 1),
            'M' | 'L' => self.fields.month = Some(self.number(end)?),
            'd' => self.fields.day = stamped(self.number(end)?),
            'D' => self.fields.day_of_year = stamped(self.number(end)?),
            'E' => {
                self.name(&DAYS, 3)?;
                self.fields.day_of_week = true;
            }
            'u' => {
                self.number(end)?;
                self.fields.day_of_week = true;
            }
            'a' => self.fields.afternoon = stamped(self.name(&["AM", "PM"], 2)?),
            'H' => self.fields.hour_of_day = stamped(self.number(end)?),
            'k' => {
                let hour = self.number(end)?;
                self.fields.hour_of_day = stamped(if hour == 24 { 0 } else { hour });
            }
            'K' => self.fields.hour = stamped(self.number(end)?),
            'h' => {
                let hour = self.number(end)?;
                self.fields.hour = stamped(if hour == 12 { 0 } else { hour });
            }
            'm' => self.fields.minute = self.number(end)?,
            's' => self.fields.second = self.number(end)?,
            'S' => self.fields.millisecond = self.number(end)?,
            'z' | 'Z' => self.fields.offset = self.zone()?,
            'X' => self.fields.offset = self.iso_zone(count)?,
            other => {
                return Err(format!(
                    "dates can be written with the letter {other}, but not read; use year, month and day"
                ));
            }
        }
        Ok(())
    }

    /// The next digits before `end`, perhaps behind a minus, as an int.
    fn number(&mut self, end: usize) -> Result<i64, String> {
        let bytes = self.text.as_bytes();
        if end > bytes.len() {
            return self.fail("number of enough digits");
        }
        let negative = self.at < end && bytes[self.at] == b'-';
        let start = self.at + usize::from(negative);
        let digits = bytes.get(start..end).unwrap_or_default();
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return self.fail("number");
        }
        let digits = digits[..length].iter();
        let number = digits.fold(0_i64, |number, digit| {
            number.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
        });
        self.at = start + length;
        let number = if negative { -number } else { number };
        i32::try_from(number)
            .map(i64::from)
            .or_else(|_| self.fail("number that is small enough"))
    }

    /// The century of two digits: between 80 years ago and 20 years ahead.
    fn century(&mut self, two_digits: i64) -> i64 {
        let start = century_start().0;
        self.fields.ambiguous = two_digits == start % 100;
        start - start % 100 + two_digits + if two_digits < start % 100 { 100 } else { 0 }
    }

    /// Which of `names` comes next, in whatever letters, written out or by its first `short` letters.
    fn name(&mut self, names: &[&str], short: usize) -> Result<i64, String> {
        let rest = self.rest().as_bytes();
        let starts = |name: &str| {
            rest.get(..name.len())
                .is_some_and(|its| its.eq_ignore_ascii_case(name.as_bytes()))
        };
        let found = (0_i64..).zip(names).find_map(|(index, name)| match () {
            () if starts(name) => Some((index, name.len())),
            () if starts(&name[..short]) => Some((index, short)),
            () => None,
        });
        match found {
            Some((index, length)) => {
                self.at += length;
                Ok(index)
            }
            None => self.fail("name of a month, day, era or half of the day"),
        }
    }

    /// `+hhmm`, `GMT`, `GMT+hh:mm` or `UTC`.
    fn zone(&mut self) -> Result<i64, String> {
        let starts = |rest: &str, name: &str| {
            rest.get(..name.len())
                .is_some_and(|its| its.eq_ignore_ascii_case(name))
        };
        if let Some(sign) = self.sign() {
            return Ok(sign * self.hours_and_minutes(false)?);
        }
        if starts(self.rest(), "GMT") {
            self.at += 3;
            return match self.sign() {
                Some(sign) => Ok(sign * self.hours_and_minutes(true)?),
                None => Ok(0),
            };
        }
        for name in ["Coordinated Universal Time", "UTC"] {
            if starts(self.rest(), name) {
                self.at += name.len();
                return Ok(0);
            }
        }
        self.fail("time zone that is known (UTC, GMT, +hhmm or GMT+hh:mm)")
    }

    fn sign(&mut self) -> Option<i64> {
        let sign = match self.rest().bytes().next()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.at += 1;
        Some(sign)
    }

    fn hours_and_minutes(&mut self, colon: bool) -> Result<i64, String> {
        let one_digit = colon && self.rest().as_bytes().get(1) == Some(&b':');
        let hours = self.digits(if one_digit { 1 } else { 2 }, 23)?;
        if colon {
            self.literal(":")?;
        }
        let minutes = self.digits(2, 59)?;
        Ok((hours * 60 + minutes) * 60_000)
    }

    fn digits(&mut self, count: usize, most: i64) -> Result<i64, String> {
        let digits = self
            .rest()
            .get(..count)
            .filter(|its| its.bytes().all(|byte| byte.is_ascii_digit()));
        match digits
            .and_then(|digits| digits.parse().ok())
            .filter(|number| *number <= most)
        {
            Some(number) => {
                self.at += count;
                Ok(number)
            }
            None => self.fail("time zone"),
        }
    }

    /// `Z`, `+hh`, `+hhmm` or `+hh:mm`, by how many letters there are.
    fn iso_zone(&mut self, count: usize) -> Result<i64, String> {
        if self.rest().starts_with('Z') {
            self.at += 1;
            return Ok(0);
        }
        let Some(sign) = self.sign() else {
            return self.fail("time zone");
        };
        match count {
            1 => Ok(sign * self.digits(2, 23)? * 3_600_000),
            _ => {
                let hours = self.digits(2, 23)?;
                if count == 3 {
                    self.literal(":")?;
                }
                Ok(sign * (hours * 60 + self.digits(2, 59)?) * 60_000)
            }
        }
    }
}

/// The year, and the moment, 80 years ago.
fn century_start() -> (i64, i64) {
    let now = jiff::Timestamp::now().to_zoned(TimeZone::UTC);
    let start = now.checked_sub(80.years()).unwrap_or(now);
    (i64::from(start.year()), start.timestamp().as_millisecond())
}

impl Fields {
    fn time(&self) -> Result<i64, String> {
        if self.day_of_week && self.day.stamp == 0 && self.day_of_year.stamp == 0 {
            return Err("a day of the week needs the day of the month with it".to_owned());
        }
        let year = self.year.unwrap_or(1970);
        let time = self.time_in(year)?;
        match self.ambiguous && time < century_start().1 {
            true => self.time_in(year + 100),
            false => Ok(time),
        }
    }

    fn time_in(&self, year: i64) -> Result<i64, String> {
        let year = if self.before_christ { 1 - year } else { year };
        let days = match self.day_of_year.stamp > self.day.stamp {
            true => Civil::first_of(year).days() + self.day_of_year.value - 1,
            false => {
                let month = self.month.unwrap_or(1);
                let day = if self.day.stamp > 0 { self.day.value } else { 1 };
                Civil { year, month, day }.days()
            }
        };
        let of_day = self.hours() * 3_600_000 + self.minute * 60_000 + self.second * 1000 + self.millisecond;
        let whole = days.checked_mul(MILLISECONDS_PER_DAY);
        let time = whole.and_then(|whole| whole.checked_add(of_day - self.offset));
        time.ok_or_else(|| "the year is too far from 1970".to_owned())
    }

    fn hours(&self) -> i64 {
        let both = match self.hour.stamp > 0 && self.afternoon.stamp > 0 {
            true => self.hour.stamp.max(self.afternoon.stamp),
            false => 0,
        };
        match self.hour_of_day.stamp > both {
            true => self.hour_of_day.value,
            false => self.hour.value + 12 * self.afternoon.value,
        }
    }
}
