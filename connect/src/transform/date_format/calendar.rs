//! Days and dates: the Gregorian calendar, and the Julian one before 15 October 1582.

/// The day on which the Gregorian calendar begins, counted from 1970.
const GREGORIAN: i64 = -141_427;

/// A date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    /// 0 is the year before the year 1.
    pub(super) year: i64,
    /// From 1.
    pub(super) month: i64,
    /// From 1.
    pub(super) day: i64,
}

impl Civil {
    /// The date of a day, counted from 1970.
    pub(super) fn from_days(days: i64) -> Self {
        // Days since 1 March of the year -4800, whose leap day is the last one of its year.
        let (shift, from_march) = match days < GREGORIAN {
            true => (0, days + 2_440_588 + 32_082),
            false => {
                let shifted = days + 2_440_588 + 32_044;
                let centuries = (4 * shifted + 3).div_euclid(146_097);
                (100 * centuries, shifted - (146_097 * centuries).div_euclid(4))
            }
        };
        let years = (4 * from_march + 3).div_euclid(1461);
        let rest = from_march - (1461 * years).div_euclid(4);
        let month = (5 * rest + 2) / 153;
        Self {
            year: shift + years - 4800 + month / 10,
            month: month + 3 - 12 * (month / 10),
            day: rest - (153 * month + 2) / 5 + 1,
        }
    }

    /// The first day of a year.
    pub(super) fn first_of(year: i64) -> Self {
        let (month, day) = (1, 1);
        Self { year, month, day }
    }

    /// Counted from 1970. Months and days may be beyond their ends, and then count on.
    pub(super) fn days(self) -> i64 {
        let year = self.year + (self.month - 1).div_euclid(12);
        let month = (self.month - 1).rem_euclid(12) + 1;
        let before = (14 - month) / 12;
        let (years, months) = (year + 4800 - before, month + 12 * before - 3);
        let julian =
            self.day + (153 * months + 2) / 5 + 365 * years + years.div_euclid(4) - 32_083 - 2_440_588;
        let gregorian = julian - years.div_euclid(100) + years.div_euclid(400) + 38;
        match gregorian < GREGORIAN {
            true => julian,
            false => gregorian,
        }
    }

    /// Counted from 1, before and after.
    pub(super) fn year_of_era(self) -> i64 {
        if self.year > 0 { self.year } else { 1 - self.year }
    }
}

/// From Sunday, which is 0.
pub(super) fn day_of_week(days: i64) -> usize {
    // A remainder of 7 is small.
    (days + 4).rem_euclid(7) as usize
}

/// The year and number of a day's week.
pub(super) fn week(days: i64, civil: Civil) -> (i64, i64) {
    let week_of = |year: i64| {
        let first = Civil::first_of(year).days();
        first - day_of_week(first) as i64
    };
    match days >= week_of(civil.year + 1) {
        true => (civil.year + 1, 1),
        false => (civil.year, (days - week_of(civil.year)) / 7 + 1),
    }
}

/// Which week of its month a day is in.
pub(super) fn week_of_month(days: i64, day: i64) -> i64 {
    let first = days - day + 1;
    (day - 1 + day_of_week(first) as i64) / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_one_to_one() {
        for days in (-1_000_000..3_000_000).step_by(13) {
            assert_eq!(Civil::from_days(days).days(), days);
        }
        let of = |days| {
            let civil = Civil::from_days(days);
            (civil.year, civil.month, civil.day)
        };
        assert_eq!(of(0), (1970, 1, 1));
        assert_eq!(of(GREGORIAN), (1582, 10, 15));
        assert_eq!(of(GREGORIAN - 1), (1582, 10, 4));
        assert_eq!(of(19_782), (2024, 2, 29));
    }
}
