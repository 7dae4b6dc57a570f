//! Hashes of masked values.
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

use super::md5;

/// How a value is hashed, by the names that Java has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512To224,
    Sha512To256,
}

impl Algorithm {
    /// The algorithm of a name, in which letters' case does not matter.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "MD5" => Self::Md5,
            "SHA" | "SHA1" | "SHA-1" => Self::Sha1,
            "SHA224" | "SHA-224" => Self::Sha224,
            "SHA256" | "SHA-256" => Self::Sha256,
            "SHA384" | "SHA-384" => Self::Sha384,
            "SHA512" | "SHA-512" => Self::Sha512,
            "SHA512/224" | "SHA-512/224" => Self::Sha512To224,
            "SHA512/256" | "SHA-512/256" => Self::Sha512To256,
            _ => return None,
        })
    }

    /// The hash of bytes, in hexadecimal.
    pub(super) fn hex(self, bytes: &[u8]) -> String {
        let mut text = String::new();
        match self {
            Self::Md5 => hex(&md5::digest(bytes), &mut text),
            Self::Sha1 => hex(&Sha1::digest(bytes), &mut text),
            Self::Sha224 => hex(&Sha224::digest(bytes), &mut text),
            Self::Sha256 => hex(&Sha256::digest(bytes), &mut text),
            Self::Sha384 => hex(&Sha384::digest(bytes), &mut text),
            Self::Sha512 => hex(&Sha512::digest(bytes), &mut text),
            Self::Sha512To224 => hex(&Sha512_224::digest(bytes), &mut text),
            Self::Sha512To256 => hex(&Sha512_256::digest(bytes), &mut text),
        }
        text
    }
}

/// Appends bytes in hexadecimal, in small letters.
pub(super) fn hex(bytes: &[u8], target: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    target.reserve(2 * bytes.len());
    for byte in bytes {
        target.push(char::from(DIGITS[usize::from(byte >> 4)]));
        target.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of RFC 1321 and of FIPS 180-4's examples.
    #[test]
    fn hashes_are_those_of_their_standards() {
        for (name, hash) in [
            ("MD5", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha-1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                "SHA-224",
                "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
            ),
            (
                "SHA-256",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                "SHA-512/256",
                "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
            ),
        ] {
            assert_eq!(Algorithm::of_name(name).unwrap().hex(b"abc"), hash, "{name}");
        }
        assert_eq!(Algorithm::of_name("SHA-384").unwrap().hex(b"").len(), 96);
        assert_eq!(Algorithm::of_name("SHA-512").unwrap().hex(b"").len(), 128);
        assert_eq!(Algorithm::of_name("SHA-512/224").unwrap().hex(b"").len(), 56);
        assert_eq!(Algorithm::of_name("CRC32"), None);
    }
}
