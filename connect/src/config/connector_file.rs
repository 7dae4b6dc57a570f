//! Files that `connect standalone` is given: a connector as properties, or as JSON.
use serde_json::{Map, Value};
use thiserror::Error;

use super::{ConfigMap, properties};

/// What is wrong with a connector's file. No error shows what the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectorFileError {
    /// It is no property file.
    #[error(transparent)]
    Properties(#[from] properties::PropertiesError),
    /// It is JSON of another shape.
    #[error("{0}; give {{\"name\": …, \"config\": {{…}}}}, or an object of texts")]
    Shape(String),
    /// It has no name.
    #[error("there is no name; add the key name")]
    NoName,
}

/// A connector that a file describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorFile {
    /// Its name.
    pub name: String,
    /// Its configuration, with the key `name`.
    pub config: ConfigMap,
    /// `initial_state`, if it says one, as it was written.
    pub initial_state: Option<String>,
}

impl ConnectorFile {
    /// What a file says. As with Kafka's `connect-standalone`, an object with `name` and `config` is what `POST /connectors` takes, any other
    /// object of texts is a configuration, and what is no JSON is properties.
    ///
    /// ```
    /// use millstream_connect::config::connector_file::ConnectorFile;
    ///
    /// let json = r#"{"name": "lines", "config": {"connector.class": "FileStreamSource", "tasks.max": 1}}"#;
    /// let properties = "name=lines\nconnector.class=FileStreamSource\ntasks.max=1\n";
    /// assert_eq!(ConnectorFile::parse(json), ConnectorFile::parse(properties));
    /// ```
    ///
    /// # Errors
    /// When it is neither, or has no name.
    pub fn parse(text: &str) -> Result<Self, ConnectorFileError> {
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(object)) => Self::of_json(object),
            Ok(_) if text.trim_start().starts_with('[') => {
                Err(ConnectorFileError::Shape("it is a list".to_owned()))
            }
            // A line such as `name` or `1` is JSON, too, and a property file.
            Ok(_) => Self::of_config(properties::parse(text)?, None),
            Err(error) if text.trim_start().starts_with('{') => {
                let place = format!("line {}, column {}", error.line(), error.column());
                Err(ConnectorFileError::Shape(format!("it is no JSON ({place})")))
            }
            Err(_) => Self::of_config(properties::parse(text)?, None),
        }
    }

    fn of_json(mut object: Map<String, Value>) -> Result<Self, ConnectorFileError> {
        let Some(Value::Object(config)) = object.get("config").cloned() else {
            return Self::of_config(texts(object)?, None);
        };
        object.remove("config");
        let state = object.remove("initial_state");
        let state = state.and_then(|state| state.as_str().map(str::to_owned));
        let name = object.remove("name");
        if let Some(unknown) = object.keys().next() {
            return Err(ConnectorFileError::Shape(format!("{unknown} is unknown")));
        }
        let mut config = texts(config)?;
        if let Some(name) = name.as_ref().and_then(Value::as_str) {
            match config.get("name") {
                Some(other) if other != name => {
                    let wrong = "the name and the configuration's name differ".to_owned();
                    return Err(ConnectorFileError::Shape(wrong));
                }
                _ => drop(config.insert("name".to_owned(), name.to_owned())),
            }
        }
        Self::of_config(config, state)
    }

    fn of_config(mut config: ConfigMap, initial_state: Option<String>) -> Result<Self, ConnectorFileError> {
        let name = config.get("name").map(|name| name.trim().to_owned());
        let name = name
            .filter(|name| !name.is_empty())
            .ok_or(ConnectorFileError::NoName)?;
        config.insert("name".to_owned(), name.clone());
        Ok(Self {
            name,
            config,
            initial_state,
        })
    }
}

/// An object as texts: numbers and booleans are written out.
fn texts(object: Map<String, Value>) -> Result<ConfigMap, ConnectorFileError> {
    let pairs = object.into_iter().map(|(key, value)| match value {
        Value::String(text) => Ok((key, text)),
        Value::Number(number) => Ok((key, number.to_string())),
        Value::Bool(flag) => Ok((key, flag.to_string())),
        _ => Err(ConnectorFileError::Shape(format!(
            "the value of {key} is no text"
        ))),
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_and_no_value_is_shown() {
        let wrong = |text: &str| ConnectorFile::parse(text).unwrap_err().to_string();
        assert!(wrong("{\"password\": \"geheim\"").contains("line 1"));
        assert!(!wrong("{\"password\": \"geheim\"").contains("geheim"));
        assert!(wrong("[]").contains("list"));
        assert!(wrong("{\"name\":\"a\",\"config\":{\"x\":{\"y\":\"geheim\"}}}").contains("of x is no text"));
        assert!(wrong("{\"name\":\"a\",\"config\":{\"name\":\"b\"}}").contains("differ"));
        assert!(
            wrong("{\"name\":\"a\",\"config\":{},\"initialstate\":\"STOPPED\"}").contains("initialstate")
        );
        assert!(wrong("topic=a").contains("no name"));
    }

    #[test]
    fn the_state_to_begin_with_may_be_said() {
        let text = r#"{"name":"a","config":{"x":true},"initial_state":"STOPPED"}"#;
        let file = ConnectorFile::parse(text).unwrap();
        assert_eq!(file.initial_state.as_deref(), Some("STOPPED"));
        assert_eq!(file.config["x"], "true");
        assert_eq!(
            ConnectorFile::parse(r#"{"name":"a","x":"y"}"#).unwrap().config["x"],
            "y"
        );
    }
}
