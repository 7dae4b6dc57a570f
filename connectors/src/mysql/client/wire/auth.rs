//! Logging in.
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::rsa;

/// A way to say who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mysql::client) enum Plugin {
    /// `mysql_native_password`.
    Native,
    /// `caching_sha2_password`.
    CachingSha2,
    /// `sha256_password`.
    Sha256,
    /// `mysql_clear_password`: for servers that ask others (PAM, LDAP, a cloud's).
    Clear,
}

impl Plugin {
    pub(in crate::mysql::client) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "mysql_native_password" => Self::Native,
            "caching_sha2_password" => Self::CachingSha2,
            "sha256_password" => Self::Sha256,
            "mysql_clear_password" => Self::Clear,
            _ => return None,
        })
    }

    pub(in crate::mysql::client) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Clear => "mysql_clear_password",
        }
    }

    /// The first thing to say.
    pub(in crate::mysql::client) fn proof(
        self,
        password: &[u8],
        nonce: &[u8],
        encrypted: bool,
    ) -> Result<Vec<u8>, &'static str> {
        Ok(match self {
            Self::Clear if !encrypted => {
                return Err(
                    "the server wants the password as it is (mysql_clear_password), which is only sent over TLS: \
                     set database.ssl.mode=required",
                );
            }
            Self::Clear => with_zero(password),
            Self::Sha256 if password.is_empty() => vec![0],
            Self::Sha256 if encrypted => with_zero(password),
            // Asks for the server's public key.
            Self::Sha256 => vec![1],
            _ if password.is_empty() => Vec::new(),
            Self::Native => native(password, nonce),
            Self::CachingSha2 => caching_sha2(password, nonce),
        })
    }
}

/// The password, as it goes over an encrypted connection.
pub(in crate::mysql::client) fn with_zero(password: &[u8]) -> Vec<u8> {
    let mut text = password.to_vec();
    text.push(0);
    text
}

/// The password for the owner of this public key.
pub(in crate::mysql::client) fn sealed(
    password: &[u8],
    nonce: &[u8],
    pem: &[u8],
) -> Result<Vec<u8>, &'static str> {
    let mut text = with_zero(password);
    text.iter_mut()
        .zip(nonce.iter().cycle())
        .for_each(|(byte, nonce)| *byte ^= nonce);
    rsa::encrypt(pem, &text)
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(left, right)| left ^ right).collect()
}

/// SHA1(password) xor SHA1(nonce, SHA1(SHA1(password))).
fn native(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = digest(&SHA1_FOR_LEGACY_USE_ONLY, password);
    let twice = digest(&SHA1_FOR_LEGACY_USE_ONLY, once.as_ref());
    let mixed = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[nonce, twice.as_ref()].concat());
    xor(once.as_ref(), mixed.as_ref())
}

/// SHA256(password) xor SHA256(SHA256(SHA256(password)), nonce).
fn caching_sha2(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = digest(&SHA256, password);
    let twice = digest(&SHA256, once.as_ref());
    let mixed = digest(&SHA256, &[twice.as_ref(), nonce].concat());
    xor(once.as_ref(), mixed.as_ref())
}
