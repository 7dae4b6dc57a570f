//! Levels of logs, as `/admin/loggers` shows and sets them.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// How much a logger says. The names are those of Kafka Connect (Log4j).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What ends the program; the same as errors here.
    Fatal,
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And what happens now and then.
    Info,
    /// And what happens often.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Off, "OFF"),
        (Self::Fatal, "FATAL"),
        (Self::Error, "ERROR"),
        (Self::Warn, "WARN"),
        (Self::Info, "INFO"),
        (Self::Debug, "DEBUG"),
        (Self::Trace, "TRACE"),
    ];

    /// The level called `name`, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, its)| its.eq_ignore_ascii_case(name));
        found.map(|(level, _)| *level)
    }

    /// Its name for filters of `tracing`.
    pub fn filter(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Fatal | Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(level, _)| level == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

/// A logger's level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggerLevel {
    /// The level.
    pub level: LogLevel,
    /// When it was set, in milliseconds since 1970; none if it never was.
    pub last_modified: Option<i64>,
}

/// Puts levels into effect: called with the level of `root` and of all loggers that were set.
pub type ApplyLevels = Box<dyn Fn(&BTreeMap<String, LogLevel>) + Send + Sync>;

/// The most loggers that are kept.
const LOGGERS_MAX: usize = 10_000;

/// The loggers whose levels are known.
pub struct Loggers {
    levels: Mutex<BTreeMap<String, LoggerLevel>>,
    apply: ApplyLevels,
}

impl fmt::Debug for Loggers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loggers").field("levels", &self.levels).finish()
    }
}

impl Loggers {
    /// Only `root`, with this level; `apply` is told about changes.
    pub fn new(root: LogLevel, apply: ApplyLevels) -> Self {
        let root = LoggerLevel {
            level: root,
            last_modified: None,
        };
        Self {
            levels: Mutex::new(BTreeMap::from([("root".to_owned(), root)])),
            apply,
        }
    }

    /// All loggers.
    pub fn all(&self) -> BTreeMap<String, LoggerLevel> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A logger's own level.
    pub fn get(&self, name: &str) -> Option<LoggerLevel> {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels.get(name).copied()
    }

    /// Sets the level of a logger and of all below it; says which these are. `now` is in milliseconds since 1970. With too many
    /// loggers nothing is set.
    pub fn set(&self, name: &str, level: LogLevel, now: i64) -> Vec<String> {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if levels.len() >= LOGGERS_MAX && !levels.contains_key(name) {
            return Vec::new();
        }
        let set = LoggerLevel {
            level,
            last_modified: Some(now),
        };
        levels.insert(name.to_owned(), set);
        let below = |its: &str| {
            let rest = its.strip_prefix(name);
            name == "root" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ':', '$']))
        };
        let mut changed = Vec::new();
        for (its, level) in levels.iter_mut().filter(|(its, _)| below(its)) {
            *level = set;
            changed.push(its.clone());
        }
        let all = levels.iter().map(|(name, level)| (name.clone(), level.level));
        (self.apply)(&all.collect());
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_counts_for_all_below() {
        let loggers = Loggers::new(LogLevel::Warn, Box::new(|_| {}));
        assert_eq!(loggers.set("a.b", LogLevel::Info, 1), ["a.b"]);
        assert_eq!(loggers.set("a", LogLevel::Debug, 2), ["a", "a.b"]);
        assert_eq!(loggers.set("ab", LogLevel::Trace, 3), ["ab"]);
        let level = loggers.get("a.b").unwrap();
        assert_eq!((level.level, level.last_modified), (LogLevel::Debug, Some(2)));
        assert_eq!(loggers.set("root", LogLevel::Error, 4).len(), 4);
        assert_eq!(loggers.get("nope"), None);
        assert_eq!(LogLevel::parse("warn").unwrap().to_string(), "WARN");
        assert_eq!(LogLevel::parse("loud"), None);
    }
}
