//! Addresses in `listeners` and `advertised.listeners`.
//!
//! Why: `NAME://host:port` lists are where most first starts of a broker go wrong, so each mistake has its own
//! text. Owns: parsing and showing. Does not own: binding (see `server::listener`).

use std::fmt;

use super::value::{ConfigType, ConfigValue};

/// One `NAME://host:port`; an empty host means every interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener; `PLAINTEXT` unless several are configured.
    pub name: String,
    /// Host name or address without brackets; empty for all interfaces.
    pub host: String,
    /// TCP port; 0 lets the system choose.
    pub port: u16,
}

impl Endpoint {
    /// A plaintext endpoint from `host:port`.
    ///
    /// # Errors
    /// Says what was expected when the text has no valid port.
    pub fn plaintext(address: &str) -> Result<Self, String> {
        let expected = || "host:port, for example 127.0.0.1:9092".to_string();
        let (host, port) = address.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().map_err(|_| expected())?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(expected)?,
            None if host.contains(':') => {
                return Err("an IPv6 address in brackets, for example [::1]:9092".into());
            }
            None => host,
        };
        Ok(Self {
            name: "PLAINTEXT".into(),
            host: host.into(),
            port,
        })
    }

    /// The address without the name: `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// True if this stands for every interface of the machine.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.address())
    }
}

/// One address without a name.
impl ConfigValue for Endpoint {
    const TYPE: ConfigType = ConfigType::String;

    fn read(text: &str) -> Result<Self, String> {
        Self::plaintext(text)
    }

    fn show(&self) -> Option<String> {
        Some(self.address())
    }
}

impl ConfigValue for Vec<Endpoint> {
    const TYPE: ConfigType = ConfigType::List;

    fn read(text: &str) -> Result<Self, String> {
        let mut endpoints: Self = Vec::new();
        for item in text.split(',').map(str::trim) {
            let (name, address) = item
                .split_once("://")
                .ok_or_else(|| "NAME://host:port, for example PLAINTEXT://127.0.0.1:9092".to_string())?;
            if name.is_empty()
                || !name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            {
                return Err("a listener name of letters, digits, - and _ before ://".into());
            }
            let name = name.to_ascii_uppercase();
            if matches!(name.as_str(), "SSL" | "SASL_PLAINTEXT" | "SASL_SSL") {
                return Err(format!(
                    "PLAINTEXT listeners; {name} is not offered, put a TLS proxy in front or listen on a private address"
                ));
            }
            if endpoints.iter().any(|e| e.name == name) {
                return Err(format!("each listener name once, {name} is there twice"));
            }
            endpoints.push(Endpoint {
                name,
                ..Endpoint::plaintext(address)?
            });
        }
        Ok(endpoints)
    }

    fn show(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_round_trip() {
        let text = "PLAINTEXT://127.0.0.1:9092,INSIDE://[::1]:0,ALL://:9094";
        let list = Vec::<Endpoint>::read(text).unwrap();
        assert_eq!(list[1].host, "::1");
        assert!(list[2].is_wildcard());
        assert_eq!(list.show().unwrap(), text);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("127.0.0.1:9092", "NAME://"),
            ("SASL_SSL://x:1", "not offered"),
            ("PLAINTEXT://x", "host:port"),
            ("PLAINTEXT://x:99999", "host:port"),
            ("PLAINTEXT://::1:9092", "brackets"),
            ("A://x:1,a://y:2", "twice"),
            ("a b://x:1", "letters"),
        ] {
            let error = Vec::<Endpoint>::read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
