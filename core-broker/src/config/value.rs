//! How one configuration value is read from text and shown again.
//!
//! Why: `.properties` files, overrides, `CreateTopics` and `DescribeConfigs` all carry text; each type is
//! parsed once, here. Owns: the text form of every value type. Does not own: which keys exist (see `config`
//! and `topic::config`).

use std::path::PathBuf;

use crate::log::{FlushMode, TimestampType};

/// The type of a configuration value as `DescribeConfigs` reports it; the numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// A 32-bit integer.
    Int = 3,
    /// A 64-bit integer.
    Long = 5,
    /// A floating point number.
    Double = 6,
    /// Items separated by commas.
    List = 7,
}

/// A type that a configuration key can have.
pub(crate) trait ConfigValue: Sized {
    /// The type reported to clients.
    const TYPE: ConfigType;
    /// Reads the text of a value; the error says what was expected.
    fn read(text: &str) -> Result<Self, String>;
    /// The text that reads back as this value; `None` where nothing is set.
    fn show(&self) -> Option<String>;
    /// The value as a number, for range checks.
    fn number(&self) -> Option<i64> {
        None
    }
}

macro_rules! integer {
    ($($ty:ty => $kind:ident),*) => {$(
        impl ConfigValue for $ty {
            const TYPE: ConfigType = ConfigType::$kind;
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("an integer from {} to {}", <$ty>::MIN, <$ty>::MAX))
            }
            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
            fn number(&self) -> Option<i64> {
                i64::try_from(*self).ok()
            }
        }
    )*};
}
integer!(i32 => Int, u32 => Int, i64 => Long);

impl ConfigValue for bool {
    const TYPE: ConfigType = ConfigType::Boolean;
    fn read(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("true or false".into()),
        }
    }
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl ConfigValue for String {
    const TYPE: ConfigType = ConfigType::String;
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
    fn show(&self) -> Option<String> {
        Some(self.clone())
    }
}

/// Names separated by commas.
impl ConfigValue for Vec<String> {
    const TYPE: ConfigType = ConfigType::List;
    fn read(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim);
        Ok(items.filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }
    fn show(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.join(","))
    }
}

impl ConfigValue for PathBuf {
    const TYPE: ConfigType = ConfigType::String;
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains(',') {
            return Err("the path of exactly one directory".into());
        }
        Ok(text.into())
    }
    fn show(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl<T: ConfigValue> ConfigValue for Option<T> {
    const TYPE: ConfigType = T::TYPE;
    fn read(text: &str) -> Result<Self, String> {
        T::read(text).map(Some)
    }
    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
    fn number(&self) -> Option<i64> {
        self.as_ref().and_then(T::number)
    }
}

impl ConfigValue for TimestampType {
    const TYPE: ConfigType = ConfigType::String;
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "CreateTime" => Ok(Self::CreateTime),
            "LogAppendTime" => Ok(Self::LogAppendTime),
            _ => Err("CreateTime or LogAppendTime".into()),
        }
    }
    fn show(&self) -> Option<String> {
        Some(
            match self {
                Self::CreateTime => "CreateTime",
                Self::LogAppendTime => "LogAppendTime",
            }
            .into(),
        )
    }
}

impl ConfigValue for FlushMode {
    const TYPE: ConfigType = ConfigType::String;
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "sync" => Ok(Self::Sync),
            "os" => Ok(Self::Os),
            _ => Err("sync (acknowledge after fdatasync) or os (leave writing back to the system)".into()),
        }
    }
    fn show(&self) -> Option<String> {
        Some(
            match self {
                Self::Sync => "sync",
                Self::Os => "os",
            }
            .into(),
        )
    }
}

/// What happens to old records of a topic: any of delete and compact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted by age and size.
    pub delete: bool,
    /// Only the last record of each key is kept.
    pub compact: bool,
}

impl Default for CleanupPolicy {
    fn default() -> Self {
        Self {
            delete: true,
            compact: false,
        }
    }
}

impl ConfigValue for CleanupPolicy {
    const TYPE: ConfigType = ConfigType::List;
    fn read(text: &str) -> Result<Self, String> {
        let mut policy = Self {
            delete: false,
            compact: false,
        };
        for item in text.split(',').map(str::trim) {
            match item {
                "delete" => policy.delete = true,
                "compact" => policy.compact = true,
                _ => return Err("delete, compact, or both separated by a comma".into()),
            }
        }
        Ok(policy)
    }
    fn show(&self) -> Option<String> {
        Some(
            match (self.compact, self.delete) {
                (true, true) => "compact,delete",
                (true, false) => "compact",
                (false, _) => "delete",
            }
            .into(),
        )
    }
}
