//! `listener.security.protocol.map`: which protocol each listener speaks.
//!
//! Why: Kafka's files and images map all their listeners; one that is to be encrypted must not be opened without.
//! Owns: the text form. Does not own: the check against what is opened (`load`).

use super::value::{ConfigType, ConfigValue};

/// Protocols by listener name, both in capitals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolMap(Vec<(String, String)>);

impl Default for ProtocolMap {
    fn default() -> Self {
        let names = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
        Self(names.map(|name| (name.to_owned(), name.to_owned())).to_vec())
    }
}

impl ProtocolMap {
    /// The protocol of a listener; none if the map does not say.
    pub(super) fn protocol(&self, listener: &str) -> Option<&str> {
        let (_, protocol) = self.0.iter().find(|(name, _)| name == listener)?;
        Some(protocol)
    }
}

impl ConfigValue for ProtocolMap {
    const TYPE: ConfigType = ConfigType::List;

    fn read(text: &str) -> Result<Self, String> {
        let mut map = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let pair = item.split_once(':');
            let pair = pair.map(|(name, protocol)| (name.trim(), protocol.trim()));
            match pair {
                Some((name, protocol)) if !name.is_empty() && !protocol.is_empty() => {
                    let (name, protocol) = (name.to_ascii_uppercase(), protocol.to_ascii_uppercase());
                    if map.iter().any(|(other, _)| *other == name) {
                        return Err(format!("each listener name once, {name} is there twice"));
                    }
                    map.push((name, protocol));
                }
                _ => return Err("NAME:PROTOCOL, for example PLAINTEXT:PLAINTEXT".to_owned()),
            }
        }
        Ok(Self(map))
    }

    fn show(&self) -> Option<String> {
        let items: Vec<_> = self.0.iter().map(|(n, p)| format!("{n}:{p}")).collect();
        Some(items.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_and_shown() {
        let map = ProtocolMap::read(" inside:plaintext, OUT:SSL,").unwrap();
        assert_eq!(map.show().unwrap(), "INSIDE:PLAINTEXT,OUT:SSL");
        assert_eq!(
            (map.protocol("OUT"), map.protocol("PLAINTEXT")),
            (Some("SSL"), None)
        );
        for (text, says) in [
            ("A", "NAME:PROTOCOL"),
            (":SSL", "NAME:PROTOCOL"),
            ("A:B,a:C", "twice"),
        ] {
            let error = ProtocolMap::read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
