//! Dates as Java's calendar counts them: Gregorian from 15 October 1582, Julian before.
use std::io::Write;

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 86_400_000;

/// 15 October 1582, in days since 1970.
const GREGORIAN_SINCE: i64 = -141_427;

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::converter) struct Day {
    /// The year; 0 is 1 BC.
    pub(in crate::converter) year: i64,
    /// From 1.
    pub(in crate::converter) month: i64,
    /// From 1.
    pub(in crate::converter) day: i64,
}

impl Day {
    /// The day that is `days` after 1 January 1970.
    pub(in crate::converter) fn from_epoch(days: i64) -> Self {
        // Years begin in March, so that a leap day is the last of its year.
        let (year_of_era, day_of_year, base) = if days >= GREGORIAN_SINCE {
            let since = days + 719_468;
            let (era, day) = (since.div_euclid(146_097), since.rem_euclid(146_097));
            let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
            (year, day - (365 * year + year / 4 - year / 100), era * 400)
        } else {
            let since = days + 719_470;
            let (era, day) = (since.div_euclid(1_461), since.rem_euclid(1_461));
            let year = (day - day / 1_460) / 365;
            (year, day - 365 * year, era * 4)
        };
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: base + year_of_era + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
        }
    }

    /// Days since 1 January 1970. Months and days beyond their range carry over, as Java's lenient calendars let them.
    pub(in crate::converter) fn to_epoch(self) -> i64 {
        let months = self.year * 12 + self.month - 1;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let year = year - i64::from(month <= 2);
        let shifted = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted + 2) / 5 + self.day - 1;
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let gregorian = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
        let julian = year * 365 + year.div_euclid(4) + day_of_year - 719_470;
        if gregorian >= GREGORIAN_SINCE {
            gregorian
        } else {
            julian
        }
    }
}

/// Writes the time of a day as `14:34:54.346Z`.
pub(super) fn write_time(of_day_ms: i64, out: &mut Vec<u8>) {
    let (seconds, ms) = (of_day_ms / 1_000, of_day_ms % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let _ = write!(out, "{hour:02}:{minute:02}:{second:02}.{ms:03}Z");
}

/// Writes what `Date.toString` gives in UTC: `Fri Aug 23 14:34:54 UTC 2019`.
pub(super) fn write_date_to_string(epoch_ms: i64, out: &mut Vec<u8>) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let days = epoch_ms.div_euclid(DAY_MS);
    let Day { year, month, day } = Day::from_epoch(days);
    let seconds = epoch_ms.rem_euclid(DAY_MS) / 1_000;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let weekday = DAYS[days.rem_euclid(7) as usize];
    let month = MONTHS[(month - 1) as usize];
    // Years before 1 are counted from 1 again, backwards.
    let year = if year > 0 { year } else { 1 - year };
    let _ = write!(
        out,
        "{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_java_does() {
        for (days, year, month, day) in [
            (0, 1970, 1, 1),
            (-1, 1969, 12, 31),
            (18_131, 2019, 8, 23),
            (11_016, 2000, 2, 29),
            (GREGORIAN_SINCE, 1582, 10, 15),
            (GREGORIAN_SINCE - 1, 1582, 10, 4),
        ] {
            let its = Day { year, month, day };
            assert_eq!(Day::from_epoch(days), its);
            assert_eq!(its.to_epoch(), days);
        }
        for days in (-1_000_000..1_000_000).step_by(13) {
            assert_eq!(Day::from_epoch(days).to_epoch(), days);
        }
    }

    #[test]
    fn months_and_days_carry_over() {
        let lenient = Day {
            year: 2019,
            month: 14,
            day: 31,
        };
        let strict = Day {
            year: 2020,
            month: 3,
            day: 2,
        };
        assert_eq!(lenient.to_epoch(), strict.to_epoch());
    }
}
