//! Points in time and spans as Kafka's scripts write them: ISO 8601 and the perf tools' stamps, all in UTC.
//!
//! Owns the calendar arithmetic (proleptic Gregorian); does not own the clock.

use std::fmt::Write;

const DAY_MS: i64 = 86_400_000;

/// Days from 1970-01-01 to a day of the calendar.
///
/// Years are counted from March, so that the leap day ends them; 400 years are one cycle of 146,097 days.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let cycle = year.div_euclid(400);
    let year_of_cycle = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * 146_097 + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year - 719_468
}

/// The year, month and day of a day counted from 1970-01-01.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let cycle = days.div_euclid(146_097);
    let day_of_cycle = days.rem_euclid(146_097);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = cycle * 400 + year_of_cycle + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// `yyyy-MM-dd HH:mm:ss:SSS`, as the perf tools stamp their lines.
pub fn stamp(timestamp_ms: i64) -> String {
    let (year, month, day) = civil_from_days(timestamp_ms.div_euclid(DAY_MS));
    let ms = timestamp_ms.rem_euclid(DAY_MS);
    let mut text = format!("{year:04}-{month:02}-{day:02} ");
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    write!(text, "{hour:02}:{minute:02}:{second:02}:{:03}", ms % 1_000).expect("a String takes all");
    text
}

/// Milliseconds since 1970 of `YYYY-MM-DDTHH:MM:SS[.sss][Z|±HH[:]MM]`; without a zone it is UTC.
pub fn parse_datetime(text: &str) -> Result<i64, String> {
    let wrong =
        || format!("{text} is not YYYY-MM-DDTHH:MM:SS.sss, with Z or ±HH:MM behind it where it is not UTC");
    let (date, time) = text.split_once('T').ok_or_else(wrong)?;
    let date = numbers(date, '-').ok_or_else(wrong)?;
    let &[year, month, day] = date.as_slice() else {
        return Err(wrong());
    };
    let (time, zone_ms) = split_zone(time).ok_or_else(wrong)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let time = numbers(time, ':').ok_or_else(wrong)?;
    let (hour, minute, second) = match *time.as_slice() {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(wrong()),
    };
    let there = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && civil_from_days(days_from_civil(year, month, day)) == (year, month, day);
    if !there || hour > 23 || minute > 59 || second > 59 {
        return Err(wrong());
    }
    let fraction_ms = fraction_ms(fraction).ok_or_else(wrong)?;
    let day_ms = ((hour * 60 + minute) * 60 + second) * 1_000 + fraction_ms;
    Ok(days_from_civil(year, month, day) * DAY_MS + day_ms - zone_ms)
}

/// Splits `HH:MM:SS+01:00` into the time and the zone's distance from UTC.
fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(at) = time.find(['+', '-']) else {
        return Some((time, 0));
    };
    let (time, zone) = time.split_at(at);
    let (sign, zone) = zone.split_at(1);
    let digits = zone.replace(':', "");
    let (hours, minutes) = match digits.len() {
        2 => (digits.as_str(), "0"),
        4 => digits.split_at(2),
        _ => return None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 18 || minutes > 59 {
        return None;
    }
    let distance = (hours * 60 + minutes) * 60_000;
    Some((time, if sign == "-" { -distance } else { distance }))
}

fn numbers(text: &str, separator: char) -> Option<Vec<i64>> {
    text.split(separator).map(number).collect()
}

/// A number of up to nine digits and nothing else.
fn number(text: &str) -> Option<i64> {
    let good = (1..=9).contains(&text.len()) && text.bytes().all(|letter| letter.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

/// The milliseconds of the digits behind a decimal point.
fn fraction_ms(digits: &str) -> Option<i64> {
    number(digits)?;
    let three: String = digits.chars().chain("00".chars()).take(3).collect();
    three.parse().ok()
}

/// Milliseconds of an ISO 8601 duration as Java writes it: `P1DT2H3M4.5S`, days and shorter.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text} is not a duration like P1DT2H3M4S");
    let body = text.strip_prefix('P').ok_or_else(wrong)?;
    let (date, time) = match body.split_once('T') {
        Some((_, "")) => return Err(wrong()),
        Some((date, time)) => (date, time),
        None => (body, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(wrong());
    }
    let days = sum(date, &[('D', DAY_MS)]).ok_or_else(wrong)?;
    let rest = sum(time, &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)]).ok_or_else(wrong)?;
    Ok(days + rest)
}

/// Adds up `1H2M3.5S`: units in their order, each once; only seconds may have a fraction.
fn sum(mut text: &str, units: &[(char, i64)]) -> Option<i64> {
    let mut total = 0;
    let mut left = units;
    while !text.is_empty() {
        let at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
        let (digits, unit) = text.split_at(at);
        let place = left.iter().position(|(name, _)| unit.starts_with(*name))?;
        let size = left[place].1;
        total += match digits.split_once('.') {
            Some((whole, fraction)) if size == 1_000 => number(whole)? * size + fraction_ms(fraction)?,
            Some(_) => return None,
            None => number(digits)? * size,
        };
        left = &left[place + 1..];
        text = &unit[1..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for days in (-800_000..800_000).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(19_782), (2024, 2, 29));
    }

    #[test]
    fn stamps_are_those_of_the_perf_tools() {
        assert_eq!(stamp(0), "1970-01-01 00:00:00:000");
        assert_eq!(stamp(1_795_242_881_750), "2026-11-21 06:34:41:750");
    }

    #[test]
    fn datetimes_with_and_without_a_zone() {
        assert_eq!(parse_datetime("1970-01-02T00:00:00.000"), Ok(DAY_MS));
        assert_eq!(parse_datetime("2026-11-21T06:34:41.750"), Ok(1_795_242_881_750));
        assert_eq!(parse_datetime("2026-11-21T06:34:41.75Z"), Ok(1_795_242_881_750));
        assert_eq!(
            parse_datetime("2026-11-21T07:34:41.750+01:00"),
            Ok(1_795_242_881_750)
        );
        assert_eq!(
            parse_datetime("2026-11-21T05:04:41.750-0130"),
            Ok(1_795_242_881_750)
        );
        for wrong in [
            "",
            "2026-11-21",
            "2026-02-30T00:00:00",
            "2026-11-21T24:00:00",
            "2026-11-21T00:00:00+",
            "x",
        ] {
            assert!(parse_datetime(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_as_java_writes_them() {
        assert_eq!(parse_duration("PT1M"), Ok(60_000));
        assert_eq!(parse_duration("P1DT2H3M4.5S"), Ok(DAY_MS + 7_384_500));
        assert_eq!(parse_duration("P7D"), Ok(7 * DAY_MS));
        for wrong in ["", "P", "PT", "P1D T1H", "PT1.5H", "PT1S1M", "P1M", "1D"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
