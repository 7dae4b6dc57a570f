//! What goes wrong between here and a server.
use std::time::Duration;

use millstream_connect::plugin::{ErrorKind, PluginError};

/// Why a server does not do what it was asked. Nothing here holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No name service knows it.
    #[error("the host {host} is not known ({reason}); see database.hostname")]
    UnknownHost {
        /// The name.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// Nobody listens there, or the way is closed.
    #[error(
        "no server answers at {address} ({reason}); see that it runs, and database.hostname and database.port"
    )]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// An answer did not come in time.
    #[error("{what} took longer than {limit:?} ({key})")]
    TimedOut {
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        limit: Duration,
        /// The key that says so.
        key: &'static str,
    },
    /// The server does not let this user in.
    #[error(
        "{user} may not log in ({code}: {message}); see database.user and database.password, and on the server that the \
             account is for the host this connector comes from"
    )]
    AccessDenied {
        /// The user.
        user: String,
        /// The server's code.
        code: u16,
        /// Its words.
        message: String,
    },
    /// A way to log in that is not known here, or not possible over this connection.
    #[error("{user} cannot log in: {reason}")]
    Authentication {
        /// The user.
        user: String,
        /// Why, and what helps.
        reason: String,
    },
    /// No encrypted connection as it was asked for.
    #[error("no TLS connection to {address}: {reason}")]
    Tls {
        /// Host and port.
        address: String,
        /// Why, and what helps.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection was lost {what}: {reason}")]
    Lost {
        /// In what.
        what: &'static str,
        /// What the system says.
        reason: String,
    },
    /// The server refuses.
    #[error("{what}: the server answers {code} ({state}): {message}{}", remedy(*.code))]
    Server {
        /// What was asked.
        what: &'static str,
        /// Its code.
        code: u16,
        /// Its SQLSTATE.
        state: String,
        /// Its words.
        message: String,
    },
    /// The server does not give its log from there.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What came is not what the protocol has there.
    #[error("{what}: what the server sent is not of its protocol: {reason}")]
    Protocol {
        /// What was asked.
        what: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// One row or event is larger than it may be.
    #[error("{what}: the server sent more than {bytes_max} bytes at once")]
    TooLarge {
        /// What was asked.
        what: &'static str,
        /// How much may come.
        bytes_max: usize,
    },
    /// What came is right, but says something that cannot be.
    #[error("{what}: {reason}")]
    Unexpected {
        /// What was asked.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// The server's refusal to send its log (error 1236, told apart by its text).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .kind.text())]
pub struct LogError {
    /// Why.
    pub kind: LogErrorKind,
    /// The server's words.
    pub message: String,
}

/// Why a server does not send its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogErrorKind {
    /// The logs with what is wanted are deleted.
    Purged,
    /// What is said to have been read is not of this server: it is another one, or it lost transactions.
    UnknownGtids,
    /// No event begins there.
    BadPosition,
    /// Another replica with the same identity connected, and took this one's place.
    Replaced,
    /// An event is larger than the server's `max_allowed_packet`.
    TooLarge,
    /// Its GTIDs are off, or some of what is wanted has none.
    WithoutGtids,
    /// Its log is damaged.
    Damaged,
    /// It writes no log, or has no server id.
    NoLog,
    /// Anything else.
    Other,
}

impl LogErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::Purged => {
                "the server has deleted the logs that come next; with snapshot.mode=when_needed a new snapshot is taken. Keep logs longer: \
                 binlog_expire_logs_seconds (expire_logs_days before MySQL 8.0)"
            }
            Self::UnknownGtids => {
                "the server does not have transactions that were read already; it is another server, or was restored from a backup"
            }
            Self::BadPosition => "no event of the server's log begins at the position that comes next",
            Self::Replaced => {
                "another replica with the same server id connected to the server, and this one was disconnected; give every connector its \
                 own database.server.id"
            }
            Self::TooLarge => {
                "an event is larger than the server's max_allowed_packet; increase it there (at most 1 GiB)"
            }
            Self::WithoutGtids => "the server cannot send its log by GTIDs",
            Self::Damaged => "the server cannot read its own log",
            Self::NoLog => "the server writes no binary log, or has no server id",
            Self::Other => "the server does not send its log",
        }
    }
}

/// Codes of errors that say that a privilege is missing.
const PRIVILEGES: [u16; 7] = [1044, 1142, 1143, 1227, 1370, 1419, 3152];

fn remedy(code: u16) -> &'static str {
    match code {
        code if PRIVILEGES.contains(&code) => "; `millstream mysql check` says what to GRANT",
        1040 => "; see the server's max_connections",
        1129 => "; FLUSH HOSTS on the server lets this machine in again",
        _ => "",
    }
}

impl ClientError {
    /// What the runtime should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownHost { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Lost { .. } => ErrorKind::Disconnected,
            Self::AccessDenied { .. } | Self::Authentication { .. } | Self::Tls { .. } => {
                ErrorKind::UserConfig
            }
            Self::Server { code, .. } => kind_of(*code),
            Self::Log(error) => match error.kind {
                LogErrorKind::Damaged | LogErrorKind::Other => ErrorKind::Fatal,
                _ => ErrorKind::UserConfig,
            },
            Self::Protocol { .. } => ErrorKind::Disconnected,
            Self::TooLarge { .. } | Self::Unexpected { .. } => ErrorKind::Fatal,
        }
    }

    /// Whether a new connection may do.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.kind() == ErrorKind::Disconnected
    }

    /// The server's code, where it gave one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Server { code, .. } | Self::AccessDenied { code, .. } => Some(*code),
            Self::Log(_) => Some(1236),
            _ => None,
        }
    }
}

/// Whether an error of the server ends with the connection, with a second try, or with another configuration.
fn kind_of(code: u16) -> ErrorKind {
    match code {
        // Too many connections, shutdown, the connection or its session was killed, or was idle for too long.
        1040 | 1053 | 1077 | 1079 | 1080 | 1158..=1161 | 1184 | 1203 | 1927 | 3169 | 4031 => {
            ErrorKind::Disconnected
        }
        // Waiting for a lock took too long, a deadlock, a statement was killed or took too long.
        1205 | 1213 | 1317 | 1969 | 3024 | 3058 => ErrorKind::Retriable,
        1045 | 1129 | 1130 | 1251 | 1698 | 1820 | 1862 | 3118 | 3159 => ErrorKind::UserConfig,
        code if PRIVILEGES.contains(&code) => ErrorKind::UserConfig,
        // No such database, table or column; a statement that does not parse: configured ones, above all.
        1049 | 1054 | 1064 | 1146 => ErrorKind::UserConfig,
        _ => ErrorKind::Fatal,
    }
}

impl From<ClientError> for PluginError {
    fn from(error: ClientError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
