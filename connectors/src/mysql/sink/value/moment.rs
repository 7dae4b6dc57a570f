//! Dates and times: from numbers and ISO 8601 to what servers read.
//!
//! Days, hours and fractions are computed here rather than by a library, because MySQL's years begin at 0000, its times of day go to
//! 838 hours, and dates such as `0000-00-00` are none anywhere else.
/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// A day of the calendar; month and day are 0 in dates that only MySQL knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mysql::sink) struct Day {
    pub year: i64,
    pub month: u32,
    pub day: u32,
}

/// A time, or a duration: so many seconds and nanoseconds, forwards or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mysql::sink) struct Clock {
    pub negative: bool,
    pub seconds: u64,
    pub nanos: u32,
}

/// What a text in the manner of ISO 8601 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::mysql::sink) struct Written {
    pub day: Option<Day>,
    pub clock: Option<Clock>,
    /// Seconds east of Greenwich.
    pub offset: Option<i64>,
}

impl Day {
    /// So many days after 1970-01-01.
    pub fn after_epoch(days: i64) -> Self {
        // Eras of 400 years, which begin with March.
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month: month as u32,
            day: day as u32,
        }
    }

    /// How many days after 1970-01-01 it is.
    pub fn days(self) -> i64 {
        let month = i64::from(self.month);
        let year = self.year - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(self.day) - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468
    }

    /// Whether MySQL can write it down.
    pub fn is_writable(self) -> bool {
        (0..=9999).contains(&self.year)
    }

    pub fn push(self, out: &mut Vec<u8>) {
        digits(out, self.year.unsigned_abs(), 4);
        out.push(b'-');
        digits(out, self.month.into(), 2);
        out.push(b'-');
        digits(out, self.day.into(), 2);
    }
}

impl Clock {
    /// So many nanoseconds.
    pub fn of_nanos(nanos: i128) -> Self {
        let absolute = nanos.unsigned_abs();
        Self {
            negative: nanos < 0,
            seconds: u64::try_from(absolute / SECOND as u128).unwrap_or(u64::MAX),
            nanos: (absolute % SECOND as u128) as u32,
        }
    }

    /// Whether a TIME holds it.
    pub fn is_writable(self) -> bool {
        let most = 838 * 3600 + 59 * 60 + 59;
        self.seconds < most || (self.seconds == most && self.nanos == 0)
    }

    pub fn push(self, out: &mut Vec<u8>) {
        if self.negative && (self.seconds, self.nanos) != (0, 0) {
            out.push(b'-');
        }
        digits(out, self.seconds / 3600, 2);
        out.push(b':');
        digits(out, self.seconds / 60 % 60, 2);
        out.push(b':');
        digits(out, self.seconds % 60, 2);
        fraction(out, self.nanos);
    }
}

/// Seconds since 1970 and nanoseconds, as day and time of day.
pub(in crate::mysql::sink) fn divided(seconds: i64, nanos: u32) -> (Day, Clock) {
    let clock = Clock {
        negative: false,
        seconds: seconds.rem_euclid(DAY_SECONDS).unsigned_abs(),
        nanos,
    };
    (Day::after_epoch(seconds.div_euclid(DAY_SECONDS)), clock)
}

/// So many units since 1970, of which a second has `per_second`, as seconds and nanoseconds.
pub(in crate::mysql::sink) fn since_epoch(units: i64, per_second: i64) -> (i64, u32) {
    let nanos = units.rem_euclid(per_second) * (SECOND / per_second);
    (units.div_euclid(per_second), nanos as u32)
}

/// Appends a number with at least so many digits.
fn digits(out: &mut Vec<u8>, number: u64, least: usize) {
    let mut buffer = [b'0'; 20];
    let (mut rest, mut begin) = (number, 20);
    while rest > 0 || 20 - begin < least {
        begin -= 1;
        buffer[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&buffer[begin..]);
}

/// Appends a fraction without zeros at its end; nothing for none.
fn fraction(out: &mut Vec<u8>, nanos: u32) {
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    let begin = out.len();
    digits(out, nanos.into(), 9);
    let end = out.iter().rposition(|digit| *digit != b'0');
    out.truncate(end.map_or(begin, |end| end + 1));
}

/// How many digits a fraction of a second needs.
pub(in crate::mysql::sink) fn fraction_digits(nanos: u32) -> u8 {
    let (mut rest, mut count) = (nanos, 9);
    while count > 0 && rest % 10 == 0 {
        rest /= 10;
        count -= 1;
    }
    count
}

/// Reads `2024-05-06`, `2024-05-06T07:08:09.123Z`, `2024-05-06 07:08:09+02:00`, `-12:34:56`, and parts of them. Days and hours are not checked
/// beyond their digits: servers know what they take.
pub(in crate::mysql::sink) fn read(text: &str) -> Option<Written> {
    let mut reader = Reader(text.trim().as_bytes());
    let mut written = Written::default();
    if reader.looks_like_a_day() {
        written.day = Some(reader.day()?);
        if reader.skip(b'T') || reader.skip(b't') || reader.skip(b' ') {
            written.clock = Some(reader.clock()?);
        }
    } else {
        written.clock = Some(reader.clock()?);
    }
    written.offset = reader.offset()?;
    // A region behind the offset says nothing more: 2024-05-06T07:08:09+02:00[Europe/Paris].
    match reader.0 {
        [] => Some(written),
        [b'[', .., b']'] if written.offset.is_some() => Some(written),
        _ => None,
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn skip(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// A number of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<u64> {
        let count = self
            .0
            .iter()
            .take(most)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (number, rest) = self.0.split_at(count);
        self.0 = rest;
        let value = number
            .iter()
            .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        (count >= least).then_some(value)
    }

    fn looks_like_a_day(&self) -> bool {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits >= 4 && self.0.get(digits) == Some(&b'-')
    }

    fn day(&mut self) -> Option<Day> {
        let year = self.number(4, 9)?;
        let month = self.skip(b'-').then(|| self.number(1, 2))??;
        let day = self.skip(b'-').then(|| self.number(1, 2))??;
        Some(Day {
            year: year as i64,
            month: month as u32,
            day: day as u32,
        })
    }

    fn clock(&mut self) -> Option<Clock> {
        let negative = self.skip(b'-');
        let hours = self.number(1, 9)?;
        let minutes = self.skip(b':').then(|| self.number(2, 2))??;
        let seconds = match self.skip(b':') {
            true => self.number(2, 2)?,
            false => 0,
        };
        if minutes > 59 || seconds > 59 {
            return None;
        }
        let mut nanos = 0;
        if self.skip(b'.') || self.skip(b',') {
            let before = self.0.len();
            nanos = self.number(1, 9)?;
            let count = before - self.0.len();
            nanos *= 10_u64.pow(9 - count as u32);
        }
        Some(Clock {
            negative,
            seconds: hours * 3600 + minutes * 60 + seconds,
            nanos: nanos as u32,
        })
    }

    /// `Z`, `+02:00`, `-0330`, `+02`, or nothing.
    fn offset(&mut self) -> Option<Option<i64>> {
        if self.skip(b'Z') || self.skip(b'z') {
            return Some(Some(0));
        }
        let sign = match self.0.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Some(None),
        };
        self.0 = &self.0[1..];
        let hours = self.number(2, 2)?;
        self.skip(b':');
        let minutes = match self.0.first().is_some_and(u8::is_ascii_digit) {
            true => self.number(2, 2)?,
            false => 0,
        };
        let seconds = match self.skip(b':') {
            true => self.number(2, 2)?,
            false => 0,
        };
        Some(Some(sign * (hours * 3600 + minutes * 60 + seconds) as i64))
    }
}

/// Appends a day and a time of it as MySQL reads them.
pub(in crate::mysql::sink) fn push_both(out: &mut Vec<u8>, day: Day, clock: Clock) {
    day.push(out);
    out.push(b' ');
    clock.push(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(seconds: i64, nanos: u32) -> String {
        let mut out = Vec::new();
        let (day, clock) = divided(seconds, nanos);
        push_both(&mut out, day, clock);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (-719_528, (0, 1, 1)),
            (-719_468, (0, 3, 1)),
            (2_932_896, (9999, 12, 31)),
            (19_782, (2024, 2, 29)),
        ] {
            let day = Day::after_epoch(days);
            assert_eq!((day.year, day.month, day.day), expected);
            assert_eq!(day.days(), days);
        }
        for days in -800_000..800_000 {
            assert_eq!(Day::after_epoch(days).days(), days);
        }
        assert!(!Day::after_epoch(2_932_897).is_writable());
        assert!(!Day::after_epoch(-719_529).is_writable());
    }

    #[test]
    fn moments_are_written_without_needless_digits() {
        assert_eq!(both(0, 0), "1970-01-01 00:00:00");
        assert_eq!(both(-1, 500_000_000), "1969-12-31 23:59:59.5");
        assert_eq!(both(1_714_978_089, 1_000), "2024-05-06 06:48:09.000001");
        assert_eq!(since_epoch(-1, 1_000), (-1, 999_000_000));
        assert_eq!(since_epoch(-1, 1_000_000_000), (-1, 999_999_999));
        assert_eq!(since_epoch(1_234_567, 1_000_000), (1, 234_567_000));
    }

    #[test]
    fn times_go_to_838_hours() {
        let text = |nanos: i128| {
            let mut out = Vec::new();
            Clock::of_nanos(nanos).push(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(0), "00:00:00");
        assert_eq!(text(-1_000_000), "-00:00:00.001");
        assert_eq!(text(3_020_399_000_000_000), "838:59:59");
        assert!(Clock::of_nanos(3_020_399_000_000_000).is_writable());
        assert!(!Clock::of_nanos(-3_020_399_000_000_001).is_writable());
    }

    #[test]
    fn fractions_have_as_many_digits_as_they_need() {
        let counts = [0, 100_000_000, 120_000_000, 1_000, 1].map(fraction_digits);
        assert_eq!(counts, [0, 1, 2, 6, 9]);
    }

    #[test]
    fn texts_are_read() {
        let day = |year, month, day| Some(Day { year, month, day });
        let clock = |seconds, nanos| {
            Some(Clock {
                negative: false,
                seconds,
                nanos,
            })
        };
        let all = read("2024-05-06T07:08:09.123Z").unwrap();
        assert_eq!(all.day, day(2024, 5, 6));
        assert_eq!(all.clock, clock(25_689, 123_000_000));
        assert_eq!(all.offset, Some(0));
        assert_eq!(read("2024-05-06 07:08:09+02:00").unwrap().offset, Some(7_200));
        assert_eq!(read("2024-05-06 07:08:09-0330").unwrap().offset, Some(-12_600));
        assert_eq!(
            read("2024-05-06T07:08:09+02:00[Europe/Paris]").unwrap().offset,
            Some(7_200)
        );
        assert_eq!(read("2024-05-06").unwrap().day, day(2024, 5, 6));
        assert_eq!(read("2024-05-06Z").unwrap().offset, Some(0));
        assert_eq!(read("0000-00-00").unwrap().day, day(0, 0, 0));
        assert_eq!(read("10:00:00Z").unwrap().clock, clock(36_000, 0));
        assert_eq!(read("10:00").unwrap().clock, clock(36_000, 0));
        let negative = read("-838:59:59").unwrap().clock.unwrap();
        assert!(negative.negative && negative.seconds == 3_020_399);
        for wrong in [
            "",
            "yesterday",
            "2024-05",
            "2024-05-06T",
            "10:61",
            "10:00:00 CET",
            "7",
            "10:00[x]",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
