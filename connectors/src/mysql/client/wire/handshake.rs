//! The first packets: what the server is, and who comes.
use super::answer::{Malformed, Reader};

const LONG_PASSWORD: u32 = 1;
/// MariaDB leaves it away, and has further capabilities where MySQL has nothing.
const CLIENT_MYSQL: u32 = 1;
const PROTOCOL_41: u32 = 1 << 9;
pub(in crate::mysql::client) const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const MULTI_RESULTS: u32 = 1 << 17;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRIBUTES: u32 = 1 << 20;
const AUTH_LENGTH: u32 = 1 << 21;
pub(in crate::mysql::client) const DEPRECATE_EOF: u32 = 1 << 24;

/// What is asked for where the server has it.
const WANTED: u32 = LONG_PASSWORD
    | PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | MULTI_RESULTS
    | PLUGIN_AUTH
    | CONNECT_ATTRIBUTES
    | AUTH_LENGTH
    | DEPRECATE_EOF;

/// utf8mb4_general_ci: all servers have it.
const COLLATION: u8 = 45;

/// What is said of greetings that are none.
pub(in crate::mysql::client) const OTHER_PROTOCOL: &str =
    "it does not begin with version 10 of the protocol; is this MySQL or MariaDB?";

/// The largest payload of the protocol.
const PAYLOAD_BYTES_MAX: u32 = 1 << 30;

/// What a server says first.
#[derive(Debug, Clone)]
pub(in crate::mysql::client) struct Greeting {
    /// Its version, as it says it.
    pub version: String,
    /// The connection's number, by which `KILL` knows it.
    pub connection_id: u32,
    pub capabilities: u32,
    /// The way of logging in that it would like.
    pub plugin: String,
    /// What is mixed into passwords: 20 bytes.
    pub nonce: Vec<u8>,
}

impl Greeting {
    pub(in crate::mysql::client) fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(packet);
        if reader.u8()? != 10 {
            return Err(Malformed(OTHER_PROTOCOL));
        }
        let version = String::from_utf8_lossy(reader.until_zero()).into_owned();
        let connection_id = reader.u32()?;
        let mut nonce = reader.take(8)?.to_vec();
        reader.take(1)?;
        let mut capabilities = u32::from(reader.u16()?);
        reader.take(3)?;
        capabilities |= u32::from(reader.u16()?) << 16;
        let length = usize::from(reader.u8()?);
        reader.take(10)?;
        if capabilities & (PROTOCOL_41 | SECURE_CONNECTION) != PROTOCOL_41 | SECURE_CONNECTION {
            return Err(Malformed("it is older than MySQL 5.6"));
        }
        let rest = reader.take(length.saturating_sub(8).max(13).min(reader.0.len()))?;
        nonce.extend_from_slice(rest.strip_suffix(&[0]).unwrap_or(rest));
        let plugin = match capabilities & PLUGIN_AUTH {
            0 => "mysql_native_password".to_owned(),
            _ => String::from_utf8_lossy(reader.until_zero()).into_owned(),
        };
        Ok(Self {
            version,
            connection_id,
            capabilities,
            plugin,
            nonce,
        })
    }

    /// What both have.
    pub(in crate::mysql::client) fn common(&self, tls: bool) -> u32 {
        let wanted = WANTED | if tls { SSL } else { 0 };
        (wanted & self.capabilities) | (CLIENT_MYSQL & wanted)
    }
}

fn head(capabilities: u32) -> Vec<u8> {
    let mut packet = Vec::with_capacity(256);
    packet.extend_from_slice(&capabilities.to_le_bytes());
    packet.extend_from_slice(&PAYLOAD_BYTES_MAX.to_le_bytes());
    packet.push(COLLATION);
    packet.extend_from_slice(&[0; 23]);
    packet
}

/// Asks for encryption.
pub(in crate::mysql::client) fn tls_request(capabilities: u32) -> Vec<u8> {
    head(capabilities)
}

/// Says who comes.
pub(in crate::mysql::client) fn response(
    capabilities: u32,
    user: &str,
    proof: &[u8],
    plugin: &str,
) -> Vec<u8> {
    let mut packet = head(capabilities);
    packet.extend_from_slice(user.as_bytes());
    packet.push(0);
    match proof.len() {
        length @ 0..=250 => packet.push(length as u8),
        length => packet.extend_from_slice(&[252, length as u8, (length >> 8) as u8]),
    }
    packet.extend_from_slice(proof);
    if capabilities & PLUGIN_AUTH != 0 {
        packet.extend_from_slice(plugin.as_bytes());
        packet.push(0);
    }
    if capabilities & CONNECT_ATTRIBUTES != 0 {
        let mut attributes = Vec::new();
        for text in [
            "_client_name",
            "millstream",
            "_client_version",
            env!("CARGO_PKG_VERSION"),
            "program_name",
            "millstream",
        ] {
            attributes.push(text.len() as u8);
            attributes.extend_from_slice(text.as_bytes());
        }
        packet.push(attributes.len() as u8);
        packet.extend_from_slice(&attributes);
    }
    packet
}
