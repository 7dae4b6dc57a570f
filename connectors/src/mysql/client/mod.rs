//! A connection to MySQL or MariaDB: logging in, statements and their rows, the binary log.
//!
//! Owns: the protocol (`wire`, TLS, sessions that print values the same everywhere), [what a server is](server), [marks](Mark) in its
//! log, [its log as raw events](dump). Does not own: when to connect again, and what rows and events mean.
//!
//! Every wait for the server has a limit where one was given, every payload a largest size, and nothing is read ahead but what a socket
//! gives at once: who reads slowly makes the server wait. Rows and events are slices of what was read.
pub mod dump;
mod error;
pub mod grants;
mod mark;
mod rows;
pub mod server;
mod session;
mod statements;
mod tls;
mod wire;

pub use dump::{DumpRequest, DumpStart, EventStream};
pub use error::{ClientError, LogError, LogErrorKind};
pub use mark::{Gtids, LogEnd, Mark, compare_places};
pub use rows::{Cells, ResultColumn, Row, RowStream};
pub use statements::{quoted, quoted_text};
pub use wire::answer::Done;

use std::io;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::mysql::config::{ConnectionConfig, TlsMode};
use server::{Flavour, Version};
use wire::answer::{Malformed, ServerError};
use wire::auth::{self, Plugin};
use wire::handshake::{self, Greeting};
use wire::link::{Link, LinkError, Socket};

/// The most bytes of a row: what servers can send.
const ROW_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// The most bytes of a payload before the server is known: none is as large.
const GREETING_BYTES_MAX: usize = 64 << 10;

/// A connection. Dropping it ends it.
///
/// ```no_run
/// # async fn example(config: millstream_connectors::mysql::config::ConnectionConfig)
/// # -> Result<(), millstream_connectors::mysql::client::ClientError> {
/// use millstream_connectors::mysql::client::Client;
///
/// let mut client = Client::connect(&config).await?;
/// let mut rows = client.select_stream("SELECT id, name FROM shop.customers ORDER BY id").await?;
/// while let Some(row) = rows.next().await? {
///     for cell in row.cells() {
///         println!("{:?}", cell.map(String::from_utf8_lossy));
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Client {
    link: Link,
    greeting: Greeting,
    /// What both sides can.
    capabilities: u32,
    flavour: Flavour,
    version: Version,
    state: State,
    /// How the last statement ended.
    done: Done,
    query_timeout: Option<Duration>,
    user: String,
    address: String,
    password: String,
}

/// Where a conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next statement may be sent.
    Ready,
    /// Rows of so many columns are still to come.
    Rows(usize),
    /// Another result is still to come.
    MoreResults,
    /// It was given up in the middle, or broke.
    Broken,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection {} to {}", self.connection_id(), self.address)
    }
}

impl Client {
    /// Connects, logs in and sets the session up.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not let the user in, or not as `database.ssl.mode` asks for; and when an initial
    /// statement fails.
    pub async fn connect(config: &ConnectionConfig) -> Result<Self, ClientError> {
        let mut client = Self::connect_for_log(config).await?;
        for statement in &config.initial_statements {
            client
                .execute_for("running database.initial.statements", statement)
                .await?;
        }
        Ok(client)
    }

    /// As [`Client::connect`], for reading the log: `database.initial.statements` do not run.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_for_log(config: &ConnectionConfig) -> Result<Self, ClientError> {
        let limit = config.connect_timeout;
        let connected = tokio::time::timeout(limit, Self::log_in(config)).await;
        let mut client = connected.map_err(|_| ClientError::TimedOut {
            what: "connecting",
            limit,
            key: "connect.timeout.ms",
        })??;
        for statement in session::statements(client.flavour, client.version) {
            client.execute_for("setting up the session", &statement).await?;
        }
        Ok(client)
    }

    async fn log_in(config: &ConnectionConfig) -> Result<Self, ClientError> {
        let address = format!("{}:{}", config.host, config.port);
        let socket = open(&config.host, config.port, &address).await?;
        let mut link = Link::new(Socket::Plain(socket), GREETING_BYTES_MAX);
        let what = "connecting";
        let first = link.receive().await.map_err(|error| match error {
            // Other protocols' first bytes are a large length here.
            LinkError::TooLarge(_) => malformed(what, Malformed(handshake::OTHER_PROTOCOL)),
            error => link_error(what, error),
        })?;
        if first.first() == Some(&0xff) {
            let error = ServerError::read(&first).map_err(|error| malformed(what, error))?;
            return Err(refused(config, error));
        }
        let greeting = Greeting::read(&first).map_err(|error| malformed(what, error))?;
        let tls_wanted = config.tls.mode != TlsMode::Disabled;
        let has_tls = greeting.capabilities & handshake::SSL != 0;
        if tls_wanted && !has_tls && config.tls.mode != TlsMode::Preferred {
            return Err(ClientError::Tls {
                address,
                reason: "the server has TLS switched off; give it a certificate (ssl_cert, ssl_key), or set database.ssl.mode=preferred"
                    .to_owned(),
            });
        }
        let capabilities = greeting.common(tls_wanted && has_tls);
        if tls_wanted && has_tls {
            link = encrypt(link, config, &address, capabilities).await?;
        }
        let (flavour, version) = server::parse_version(&greeting.version);
        let mut client = Self {
            link,
            greeting,
            capabilities,
            flavour,
            version,
            state: State::Broken,
            done: Done::default(),
            query_timeout: Some(config.query_timeout).filter(|limit| !limit.is_zero()),
            user: config.user.clone(),
            address,
            password: config.password.clone(),
        };
        client.authenticate(config).await?;
        client.link.payload_bytes_max = ROW_BYTES_MAX;
        client.state = State::Ready;
        Ok(client)
    }

    async fn authenticate(&mut self, config: &ConnectionConfig) -> Result<(), ClientError> {
        let what = "logging in";
        // What is not known is asked for again by the server, when the account is of another kind.
        let mut plugin = Plugin::named(&self.greeting.plugin).unwrap_or(Plugin::Native);
        if plugin == Plugin::Clear && !self.link.is_encrypted() {
            plugin = Plugin::Native;
        }
        let mut nonce = self.greeting.nonce.clone();
        let proof = self.proof(plugin, &nonce)?;
        let response = handshake::response(self.capabilities, &config.user, &proof, plugin.name());
        self.send(what, &response).await?;
        loop {
            let packet = self
                .link
                .receive()
                .await
                .map_err(|error| link_error(what, error))?;
            match (packet.first(), packet.get(1)) {
                (Some(0), _) => return Ok(()),
                (Some(0xff), _) => {
                    let error = ServerError::read(&packet).map_err(|error| malformed(what, error))?;
                    return Err(refused(config, error));
                }
                // Another way.
                (Some(0xfe), _) => {
                    (plugin, nonce) = self.switched(&packet)?;
                    let proof = self.proof(plugin, &nonce)?;
                    self.send(what, &proof).await?;
                }
                (Some(1), Some(3)) if plugin == Plugin::CachingSha2 => {}
                // The server does not remember the password.
                (Some(1), Some(4)) if plugin == Plugin::CachingSha2 => {
                    let answer = match self.link.is_encrypted() {
                        true => auth::with_zero(self.password.as_bytes()),
                        // Asks for its public key.
                        false => vec![2],
                    };
                    self.send(what, &answer).await?;
                }
                (Some(1), Some(_)) if matches!(plugin, Plugin::CachingSha2 | Plugin::Sha256) => {
                    let sealed = auth::sealed(self.password.as_bytes(), &nonce, &packet[1..])
                        .map_err(|reason| self.cannot_log_in(reason))?;
                    self.send(what, &sealed).await?;
                }
                _ => {
                    return Err(ClientError::Protocol {
                        what,
                        reason: "an answer that is none",
                    });
                }
            }
        }
    }

    fn proof(&self, plugin: Plugin, nonce: &[u8]) -> Result<Vec<u8>, ClientError> {
        plugin
            .proof(self.password.as_bytes(), nonce, self.link.is_encrypted())
            .map_err(|reason| self.cannot_log_in(reason))
    }

    /// The way of logging in that the server asks for instead, and its nonce.
    fn switched(&self, packet: &[u8]) -> Result<(Plugin, Vec<u8>), ClientError> {
        let mut reader = wire::answer::Reader(&packet[1..]);
        let name = String::from_utf8_lossy(reader.until_zero()).into_owned();
        let plugin = Plugin::named(&name).ok_or_else(|| {
            let name = if name.is_empty() { "mysql_old_password" } else { &name };
            self.cannot_log_in(&format!(
                "its account uses {name}, which is not supported; give it caching_sha2_password or mysql_native_password \
                 (ALTER USER … IDENTIFIED WITH …)"
            ))
        })?;
        let nonce = reader.0.strip_suffix(&[0]).unwrap_or(reader.0);
        Ok((plugin, nonce.to_vec()))
    }

    fn cannot_log_in(&self, reason: &str) -> ClientError {
        ClientError::Authentication {
            user: self.user.clone(),
            reason: reason.to_owned(),
        }
    }

    /// Whose server it is.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Which one.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The number by which `KILL` knows this connection.
    #[must_use]
    pub fn connection_id(&self) -> u32 {
        self.greeting.connection_id
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.link.is_encrypted()
    }

    /// Ends it, so that the server need not notice by itself.
    pub async fn close(mut self) {
        if self.state == State::Ready {
            let _ = self.link.command(&[QUIT]).await;
        }
        self.link.shutdown().await;
    }

    async fn send(&mut self, what: &'static str, payload: &[u8]) -> Result<(), ClientError> {
        self.link
            .send(payload)
            .await
            .map_err(|error| link_error(what, error))
    }
}

/// COM_QUIT.
const QUIT: u8 = 1;

/// A socket to the first of a host's addresses that answers.
async fn open(host: &str, port: u16, address: &str) -> Result<TcpStream, ClientError> {
    let unreachable = |error: io::Error| ClientError::Unreachable {
        address: address.to_owned(),
        reason: error.to_string(),
    };
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses = found.map_err(|error| ClientError::UnknownHost {
        host: host.to_owned(),
        reason: error.to_string(),
    })?;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for each in addresses {
        let socket = match each {
            std::net::SocketAddr::V4(_) => TcpSocket::new_v4(),
            std::net::SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = socket.map_err(unreachable)?;
        keep_alive(&socket);
        match socket.connect(each).await {
            Ok(socket) => {
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => failure = error,
        }
    }
    Err(unreachable(failure))
}

/// Has the system notice a server that is gone without a word, also while a statement runs that takes long.
fn keep_alive(socket: &TcpSocket) {
    const IDLE: Duration = Duration::from_secs(60);
    const BETWEEN: Duration = Duration::from_secs(10);
    use rustix::net::sockopt;
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, IDLE);
    let _ = sockopt::set_tcp_keepintvl(socket, BETWEEN);
}

async fn encrypt(
    mut link: Link,
    config: &ConnectionConfig,
    address: &str,
    capabilities: u32,
) -> Result<Link, ClientError> {
    link.send(&handshake::tls_request(capabilities))
        .await
        .map_err(|error| link_error("asking for TLS", error))?;
    let limit = link.payload_bytes_max;
    let (socket, sequence) = link.into_plain().ok_or(ClientError::Protocol {
        what: "asking for TLS",
        reason: "it sent more before it was asked",
    })?;
    let socket = tls::encrypt(socket, &config.host, &config.tls)
        .await
        .map_err(|error| match error {
            tls::NoTls::Refused(reason) => ClientError::Tls {
                address: address.to_owned(),
                reason,
            },
            tls::NoTls::Lost(reason) => ClientError::Lost {
                what: "setting up TLS",
                reason,
            },
        })?;
    Ok(Link::new(Socket::Tls(Box::new(socket)), limit).with_sequence(sequence))
}

/// An ERR packet instead of being let in.
fn refused(config: &ConnectionConfig, error: ServerError) -> ClientError {
    match error.code {
        1045 | 1130 | 1698 | 1862 | 3118 | 3159 => ClientError::AccessDenied {
            user: config.user.clone(),
            code: error.code,
            message: error.message,
        },
        code => ClientError::Server {
            what: "logging in",
            code,
            state: error.state,
            message: error.message,
        },
    }
}

fn link_error(what: &'static str, error: LinkError) -> ClientError {
    match error {
        LinkError::Io(error) => ClientError::Lost {
            what,
            reason: error.to_string(),
        },
        LinkError::TooLarge(bytes_max) => ClientError::TooLarge { what, bytes_max },
    }
}

fn malformed(what: &'static str, error: Malformed) -> ClientError {
    ClientError::Protocol {
        what,
        reason: error.0,
    }
}
