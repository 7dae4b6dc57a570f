//! Which settings of clients connectors may change (KIP-458, KIP-1188).
use super::ConfigMap;

/// The key with the names that the policy `Allowlist` lets through.
pub const ALLOWLIST: &str = "connector.client.config.override.allowlist";

/// What `connector.client.config.override.policy` says about `producer.override.*`, `consumer.override.*` and `admin.override.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverridePolicy {
    /// Everything may be set.
    All,
    /// Nothing may.
    None,
    /// Only `security.protocol`, `sasl.jaas.config` and `sasl.mechanism`.
    Principal,
    /// Only these.
    Allowlist(Vec<String>),
}

impl OverridePolicy {
    /// The policy called `name`: the word, or the class of Kafka's. An allowlist is empty.
    ///
    /// ```
    /// use millstream_connect::config::overrides::OverridePolicy;
    ///
    /// let class = "org.apache.kafka.connect.connector.policy.PrincipalConnectorClientConfigOverridePolicy";
    /// assert_eq!(OverridePolicy::parse(class), Some(OverridePolicy::Principal));
    /// assert_eq!(OverridePolicy::parse("Some"), None);
    /// ```
    pub fn parse(name: &str) -> Option<Self> {
        let simple = name.trim().rsplit('.').next().unwrap_or_default();
        let word = simple
            .strip_suffix("ConnectorClientConfigOverridePolicy")
            .unwrap_or(simple);
        match word {
            "All" => Some(Self::All),
            "None" => Some(Self::None),
            "Principal" => Some(Self::Principal),
            "Allowlist" => Some(Self::Allowlist(Vec::new())),
            _ => None,
        }
    }

    /// The policy that a worker's configuration says.
    pub fn of_worker(given: &ConfigMap) -> Option<Self> {
        let name = given
            .get("connector.client.config.override.policy")
            .map_or("All", String::as_str);
        let listed = given.get(ALLOWLIST).map_or("", String::as_str);
        Self::parse(name).map(|policy| match policy {
            Self::Allowlist(_) => {
                let names = listed.split(',').map(str::trim).filter(|name| !name.is_empty());
                Self::Allowlist(names.map(str::to_owned).collect())
            }
            other => other,
        })
    }

    /// Whether a connector may set `key`, which is without `producer.override.` or the like.
    pub fn allows(&self, key: &str) -> bool {
        const PRINCIPAL: [&str; 3] = ["security.protocol", "sasl.jaas.config", "sasl.mechanism"];
        match self {
            Self::All => true,
            Self::None => false,
            Self::Principal => PRINCIPAL.contains(&key),
            Self::Allowlist(names) => names.iter().any(|name| name == key),
        }
    }
}
