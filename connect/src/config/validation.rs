//! Checking configurations against declarations.
use std::fmt;

use super::parsed::{Config, Parsed};
use super::{ConfigDef, ConfigKey, ConfigMap, ConfigType, DefaultValue};

/// A key with what was given for it: one entry of the answer to a request for validation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigValue {
    /// The key.
    pub name: String,
    /// What was given, or its default. Passwords are hidden.
    pub value: Option<String>,
    /// What is wrong with it.
    pub errors: Vec<String>,
    /// Values that would be good.
    pub recommended: Vec<String>,
    /// Whether a form should show it.
    pub visible: bool,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigErrors(pub Vec<(String, String)>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (key, error)) in self.0.iter().enumerate() {
            let between = if number > 0 { "; " } else { "" };
            write!(f, "{between}{key}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl ConfigDef {
    /// Checks every declared key; keys that are not declared are left alone.
    pub fn validate(&self, given: &ConfigMap) -> Vec<ConfigValue> {
        self.keys().iter().map(|key| key.validate(given)).collect()
    }

    /// The values of the declared keys.
    ///
    /// # Errors
    /// All that is wrong, in the order of the declarations.
    pub fn parse(&self, given: &ConfigMap) -> Result<Config, ConfigErrors> {
        let (mut config, mut errors) = (Config::default(), Vec::new());
        for key in self.keys() {
            match key.parse(given) {
                Ok(value) => drop(config.values.insert(key.name.clone(), value)),
                Err(error) => errors.push((key.name.clone(), error)),
            }
        }
        match errors.is_empty() {
            true => Ok(config),
            false => Err(ConfigErrors(errors)),
        }
    }

    /// The declared key that `name` looks like a slip of, if one does.
    pub fn suggest(&self, name: &str) -> Option<&str> {
        let scored = self.keys().iter().map(|key| {
            let distance = strsim::damerau_levenshtein(name, &key.name);
            (distance, key.name.as_str())
        });
        let (distance, nearest) = scored.min()?;
        (distance > 0 && distance <= 1 + name.len() / 5).then_some(nearest)
    }
}

impl ConfigKey {
    fn given<'a>(&'a self, given: &'a ConfigMap) -> Option<&'a str> {
        match (given.get(&self.name), &self.default) {
            (Some(text), _) => Some(text),
            (None, DefaultValue::Value(default)) => Some(default),
            (None, _) => None,
        }
    }

    fn parse(&self, given: &ConfigMap) -> Result<Parsed, String> {
        let Some(text) = self.given(given) else {
            return match self.default {
                DefaultValue::Required => {
                    Err("missing required configuration which has no default value".to_owned())
                }
                _ => Ok(Parsed::Null),
            };
        };
        let parsed = self.kind.parse(&self.name, text)?;
        if let Some(validator) = &self.validator {
            validator(text).map_err(|wrong| {
                let shown = match &parsed {
                    Parsed::Secret(_) => "[hidden]".to_owned(),
                    Parsed::List(values) => format!("[{}]", values.join(", ")),
                    _ => text.trim().to_owned(),
                };
                format!("Invalid value {shown} for configuration {}: {wrong}", self.name)
            })?;
        }
        Ok(parsed)
    }

    fn validate(&self, given: &ConfigMap) -> ConfigValue {
        // As in Kafka, a text that is no value of its type is not shown, and what is missing is named.
        let text = self.given(given);
        let of_type = text.filter(|text| self.kind.parse(&self.name, text).is_ok());
        let value = of_type.map(|text| match self.kind {
            ConfigType::Password => "[hidden]".to_owned(),
            _ => text.trim().to_owned(),
        });
        let errors = match (text, &self.default) {
            (None, DefaultValue::Required) => Some(format!(
                "Missing required configuration \"{}\" which has no default value.",
                self.name
            )),
            _ => self.parse(given).err(),
        };
        ConfigValue {
            name: self.name.clone(),
            value,
            errors: errors.into_iter().collect(),
            recommended: self.recommended.clone(),
            visible: true,
        }
    }
}
