//! What keys there are.
use std::sync::Arc;

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// Text, without blanks around it.
    String,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// 64 bits.
    Double,
    /// Texts between commas.
    List,
    /// The name of a plugin.
    Class,
    /// Text that nobody may see: [`Secret`](super::Secret).
    Password,
}

/// How much a key matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// It has to be thought about.
    High,
    /// It may have to.
    Medium,
    /// Its default is nearly always right.
    Low,
}

/// How much room a form should give to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Not said.
    None,
    /// A number or a word.
    Short,
    /// A name.
    Medium,
    /// A line.
    Long,
}

/// What a key is when it is not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultValue {
    /// It must be given.
    Required,
    /// Nothing.
    Null,
    /// This.
    Value(String),
}

/// Says what is wrong with a value, given as it was written, if something is.
pub type Validator = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// A key's declaration.
#[derive(Clone)]
pub struct ConfigKey {
    /// Its name.
    pub name: String,
    /// The type of its value.
    pub kind: ConfigType,
    /// What it is when it is not given.
    pub default: DefaultValue,
    /// Checks values beyond their type.
    pub validator: Option<Validator>,
    /// How much it matters.
    pub importance: Importance,
    /// What it does, with unit and trade-off.
    pub documentation: String,
    /// The group of a form it belongs to.
    pub group: Option<String>,
    /// Its place in the group; -1 without one.
    pub order_in_group: i32,
    /// The room it takes in a form.
    pub width: Width,
    /// Its name in a form.
    pub display_name: String,
    /// Keys whose recommended values depend on it.
    pub dependents: Vec<String>,
    /// Values that are recommended; others are wrong if they are `exhaustive`.
    pub recommended: Vec<String>,
}

impl std::fmt::Debug for ConfigKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.name, self.kind)
    }
}

impl ConfigKey {
    /// A key that must be given.
    pub fn required(name: &str, kind: ConfigType, importance: Importance, documentation: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            default: DefaultValue::Required,
            validator: None,
            importance,
            documentation: documentation.to_owned(),
            group: None,
            order_in_group: -1,
            width: Width::None,
            display_name: name.to_owned(),
            dependents: Vec::new(),
            recommended: Vec::new(),
        }
    }

    /// A key that may be left out and is nothing then.
    pub fn optional(name: &str, kind: ConfigType, importance: Importance, documentation: &str) -> Self {
        Self {
            default: DefaultValue::Null,
            ..Self::required(name, kind, importance, documentation)
        }
    }

    /// A key with a default, written as a user would.
    pub fn with_default(
        name: &str,
        kind: ConfigType,
        default: &str,
        importance: Importance,
        documentation: &str,
    ) -> Self {
        Self {
            default: DefaultValue::Value(default.to_owned()),
            ..Self::required(name, kind, importance, documentation)
        }
    }

    /// The same in a group of a form.
    #[must_use]
    pub fn grouped(mut self, group: &str, order: i32, width: Width, display_name: &str) -> Self {
        self.group = Some(group.to_owned());
        self.order_in_group = order;
        self.width = width;
        self.display_name = display_name.to_owned();
        self
    }

    /// The same, checked by `validator`, which says what is wrong with a value.
    #[must_use]
    pub fn checked(mut self, validator: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.validator = Some(Arc::new(validator));
        self
    }

    /// The same, allowing only these values (whatever the case of their letters).
    #[must_use]
    pub fn one_of(mut self, values: &'static [&'static str]) -> Self {
        self.recommended = values.iter().map(|value| (*value).to_owned()).collect();
        self.checked(
            move |value| match values.iter().any(|its| its.eq_ignore_ascii_case(value)) {
                true => Ok(()),
                false => Err(format!("String must be one of: {}", values.join(", "))),
            },
        )
    }

    /// The same, allowing only numbers from `low` to `high`.
    #[must_use]
    pub fn between(self, low: i64, high: i64) -> Self {
        self.checked(move |value| match value.trim().parse::<i64>() {
            Ok(number) if number < low => Err(format!("Value must be at least {low}")),
            Ok(number) if number > high => Err(format!("Value must be no more than {high}")),
            _ => Ok(()),
        })
    }

    /// The same, allowing anything but an empty text.
    #[must_use]
    pub fn not_empty(self) -> Self {
        self.checked(|value| match value.trim().is_empty() {
            true => Err("String must be non-empty".to_owned()),
            false => Ok(()),
        })
    }
}

/// The declared keys of a plugin or of the runtime, in their order.
#[derive(Debug, Clone, Default)]
pub struct ConfigDef {
    keys: Vec<ConfigKey>,
    /// Beginnings of keys whose ends are a user's.
    prefixes: Vec<&'static str>,
}

impl ConfigDef {
    /// No keys.
    ///
    /// ```
    /// use millstream_connect::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
    ///
    /// let keys = ConfigDef::new()
    ///     .with(ConfigKey::required("topic", ConfigType::String, Importance::High, "Where lines go.").not_empty())
    ///     .with(ConfigKey::with_default("batch.size", ConfigType::Int, "2000", Importance::Low, "Lines at once."));
    /// let mut given = ConfigMap::new();
    /// assert_eq!(keys.parse(&given).unwrap_err().to_string(), "topic: missing required configuration which has no default value");
    /// given.insert("topic".to_owned(), "lines".to_owned());
    /// assert_eq!(keys.parse(&given).unwrap().int("batch.size"), 2000);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The same and a key; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, key: ConfigKey) -> Self {
        match self.keys.iter_mut().find(|its| its.name == key.name) {
            Some(its) => *its = key,
            None => self.keys.push(key),
        }
        self
    }

    /// The same, and all keys that begin like this are known, whatever they end with: nobody is warned about them, and they are not checked.
    ///
    /// ```
    /// use millstream_connect::config::ConfigDef;
    ///
    /// let keys = ConfigDef::new().with_prefix("driver.");
    /// assert!(keys.knows("driver.useSSL") && !keys.knows("drive"));
    /// ```
    #[must_use]
    pub fn with_prefix(mut self, prefix: &'static str) -> Self {
        self.prefixes.push(prefix);
        self
    }

    /// The same and all keys of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.prefixes.extend(other.prefixes);
        other.keys.into_iter().fold(self, Self::with)
    }

    /// Whether the key was declared, by its name or by its beginning.
    pub fn knows(&self, name: &str) -> bool {
        self.key(name).is_some() || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// The keys, in the order of their declaration.
    pub fn keys(&self) -> &[ConfigKey] {
        &self.keys
    }

    /// The key `name`.
    pub fn key(&self, name: &str) -> Option<&ConfigKey> {
        self.keys.iter().find(|key| key.name == name)
    }
}
