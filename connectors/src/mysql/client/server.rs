//! What a server is, and how it is set up.
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::grants::Grants;
use super::{Client, ClientError};

/// Whose server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// MySQL, Percona Server, and the clouds' editions of it.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
        })
    }
}

/// A version, to be compared within a [`Flavour`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second.
    pub minor: u16,
    /// The third.
    pub patch: u16,
}

impl Version {
    /// A version.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Reads what servers say of themselves: `9.7.1`, `5.6.24-log`, `5.5.5-10.11.6-MariaDB-0+deb12u1`.
///
/// ```
/// use millstream_connectors::mysql::client::server::{Flavour, Version, parse_version};
///
/// let maria = parse_version("5.5.5-10.11.6-MariaDB-0+deb12u1");
/// assert_eq!(maria, (Flavour::MariaDb, Version::new(10, 11, 6)));
/// ```
#[must_use]
pub fn parse_version(text: &str) -> (Flavour, Version) {
    let flavour = match text.to_ascii_lowercase().contains("mariadb") {
        true => Flavour::MariaDb,
        false => Flavour::MySql,
    };
    // MariaDB puts a version before its own that old replicas accept.
    let own = match flavour {
        Flavour::MariaDb => text.strip_prefix("5.5.5-").unwrap_or(text),
        Flavour::MySql => text,
    };
    let mut numbers = own
        .split(|char: char| !char.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let mut number = || numbers.next().unwrap_or(0);
    (flavour, Version::new(number(), number(), number()))
}

/// What was asked of a server at the start.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Whose it is.
    pub flavour: Flavour,
    /// Which one.
    pub version: Version,
    /// The version as the server says it.
    pub version_text: String,
    /// What tells this server's data from others': `server_uuid` of MySQL. MariaDB has none, and restored copies keep their number, so
    /// that it is `mariadb-` and `server_id`; what it has is told by its GTIDs.
    pub identity: String,
    /// `server_id`.
    pub server_id: u32,
    /// The global variables that matter, as the server prints them; those that it does not have are missing.
    pub variables: Variables,
    /// `CURRENT_USER()`: the account, `name@host`.
    pub account: String,
    /// What the account may do, with its active roles.
    pub grants: Grants,
    /// Whether this connection is encrypted.
    pub encrypted: bool,
}

/// Global variables, by name in small letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, String>);

/// Those that are asked for.
const NAMES: [&str; 28] = [
    "binlog_annotate_row_events",
    "binlog_checksum",
    "binlog_encryption",
    "binlog_expire_logs_auto_purge",
    "binlog_expire_logs_seconds",
    "binlog_format",
    "binlog_gtid_simple_recovery",
    "binlog_legacy_event_pos",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "binlog_rows_query_log_events",
    "binlog_transaction_compression",
    "character_set_server",
    "encrypt_binlog",
    "enforce_gtid_consistency",
    "expire_logs_days",
    "explicit_defaults_for_timestamp",
    "gtid_domain_id",
    "gtid_mode",
    "gtid_strict_mode",
    "log_bin",
    "log_bin_compress",
    "lower_case_table_names",
    "max_allowed_packet",
    "max_binlog_size",
    "mysql56_temporal_format",
    "server_id",
];

impl Variables {
    /// A variable's text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether it is `ON` or 1. Nothing where the server does not have it.
    #[must_use]
    pub fn on(&self, name: &str) -> Option<bool> {
        self.get(name)
            .map(|value| value.eq_ignore_ascii_case("on") || value == "1")
    }

    /// A number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(|value| value.parse().ok())
    }

    /// Whether the value is this one, whatever the case of its letters.
    #[must_use]
    pub fn is(&self, name: &str, value: &str) -> bool {
        self.get(name).is_some_and(|own| own.eq_ignore_ascii_case(value))
    }
}

impl Facts {
    /// Whether it numbers transactions so that a position is a set of them: MariaDB always, MySQL with `gtid_mode=ON`.
    #[must_use]
    pub fn has_gtids(&self) -> bool {
        self.flavour == Flavour::MariaDb || self.variables.is("gtid_mode", "ON")
    }

    /// Whether each event tells the names and keys of its table: `binlog_row_metadata=FULL`.
    #[must_use]
    pub fn has_full_metadata(&self) -> bool {
        self.variables.is("binlog_row_metadata", "FULL")
    }

    /// Whether it knows `binlog_row_metadata` at all.
    #[must_use]
    pub fn knows_metadata(&self) -> bool {
        self.variables.get("binlog_row_metadata").is_some()
    }

    /// How long logs are kept; nothing: for ever.
    #[must_use]
    pub fn retention(&self) -> Option<Duration> {
        if self.variables.on("binlog_expire_logs_auto_purge") == Some(false) {
            return None;
        }
        let seconds = self
            .variables
            .number("binlog_expire_logs_seconds")
            .filter(|seconds| *seconds > 0.0);
        let days = self.variables.number("expire_logs_days").unwrap_or(0.0);
        let seconds = seconds.unwrap_or(days * 86_400.0);
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
    }

    /// Whether names of databases and tables differ by the case of letters.
    #[must_use]
    pub fn names_have_case(&self) -> bool {
        self.variables.is("lower_case_table_names", "0")
    }

    pub(super) async fn read(client: &mut Client) -> Result<Self, ClientError> {
        let what = "asking for the server's variables";
        let list = NAMES.map(|name| format!("'{name}'")).join(",");
        let rows = client
            .query_for(
                what,
                &format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({list})"),
            )
            .await?;
        let variables = Variables(
            rows.iter()
                .filter_map(|row| Some((row.text(0)?.to_ascii_lowercase(), row.text(1)?)))
                .collect(),
        );
        let (flavour, version) = (client.flavour(), client.version());
        let uuid = match flavour {
            Flavour::MySql => "@@GLOBAL.server_uuid",
            Flavour::MariaDb => "NULL",
        };
        let rows = client
            .query_for(
                "asking who the server is",
                &format!("SELECT @@GLOBAL.server_id, {uuid}, @@GLOBAL.version, CURRENT_USER()"),
            )
            .await?;
        let row = rows.first().ok_or(ClientError::Protocol {
            what,
            reason: "a row is missing",
        })?;
        let server_id = row.text(0).and_then(|id| id.parse().ok()).unwrap_or(0);
        Ok(Self {
            flavour,
            version,
            version_text: row.text(2).unwrap_or_default(),
            identity: row.text(1).unwrap_or_else(|| format!("mariadb-{server_id}")),
            server_id,
            variables,
            account: row.text(3).unwrap_or_default(),
            grants: Grants::read(client).await?,
            encrypted: client.is_encrypted(),
        })
    }
}
