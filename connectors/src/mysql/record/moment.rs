//! Points in time.

/// A point in time, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment {
    nanos: i64,
}

impl Moment {
    /// So many nanoseconds since 1970, UTC.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self { nanos }
    }

    /// So many microseconds since 1970, UTC; what is beyond the year 2262 is that year.
    ///
    /// ```
    /// use millstream_connectors::mysql::record::Moment;
    ///
    /// assert_eq!(Moment::from_micros(1_500).millis(), 1);
    /// ```
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self::from_nanos(micros.saturating_mul(1_000))
    }

    /// So many seconds since 1970, UTC: what the headers of events say.
    #[must_use]
    pub const fn from_seconds(seconds: u32) -> Self {
        Self::from_nanos(seconds as i64 * 1_000_000_000)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.nanos.div_euclid(1_000_000)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.nanos.div_euclid(1_000)
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.nanos
    }
}
