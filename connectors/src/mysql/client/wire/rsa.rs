//! What `caching_sha2_password` and `sha256_password` need where a connection is not encrypted: RSA with OAEP and SHA-1.
use num_bigint::BigUint;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

const HASH_BYTES: usize = 20;

/// The largest key that servers make, and twice as much.
const MODULUS_BYTES_MAX: usize = 2048;

/// `message` so that only the owner of the public key in `pem` can read it.
pub(super) fn encrypt(pem: &[u8], message: &[u8]) -> Result<Vec<u8>, &'static str> {
    let spki =
        SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| "the server's public key is no PEM")?;
    let (modulus, exponent) = public_key(&spki).ok_or("the server's public key is not one of RSA")?;
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let size = modulus.len();
    if !(128..=MODULUS_BYTES_MAX).contains(&size) || exponent.len() > 8 {
        return Err("the server's public key has a size that cannot be");
    }
    let block = pad(message, size)?;
    let cipher = BigUint::from_bytes_be(&block)
        .modpow(
            &BigUint::from_bytes_be(exponent),
            &BigUint::from_bytes_be(modulus),
        )
        .to_bytes_be();
    let mut sized = vec![0; size - cipher.len()];
    sized.extend_from_slice(&cipher);
    Ok(sized)
}

/// EME-OAEP of RFC 8017, 7.1.1, with an empty label.
fn pad(message: &[u8], size: usize) -> Result<Vec<u8>, &'static str> {
    let room = size - 2 * HASH_BYTES - 2;
    if message.len() > room {
        return Err(
            "the password is too long for the server's public key; use TLS (database.ssl.mode=required)",
        );
    }
    let mut block = vec![0; size];
    let (seed, data) = block[1..].split_at_mut(HASH_BYTES);
    SystemRandom::new()
        .fill(seed)
        .map_err(|_| "the system has no random numbers")?;
    data[..HASH_BYTES].copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[]).as_ref());
    let start = data.len() - message.len();
    data[start - 1] = 1;
    data[start..].copy_from_slice(message);
    mask(seed, data);
    mask(data, seed);
    Ok(block)
}

/// MGF1.
fn mask(seed: &[u8], target: &mut [u8]) {
    for (counter, chunk) in target.chunks_mut(HASH_BYTES).enumerate() {
        let mut input = seed.to_vec();
        input.extend_from_slice(&(counter as u32).to_be_bytes());
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &input);
        chunk
            .iter_mut()
            .zip(hash.as_ref())
            .for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// Modulus and exponent of a SubjectPublicKeyInfo.
fn public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, _) = element(der, 0x30)?;
    let (_algorithm, rest) = element(info, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    let (key, _) = element(bits.strip_prefix(&[0])?, 0x30)?;
    let (modulus, rest) = element(key, 0x02)?;
    let (exponent, _) = element(rest, 0x02)?;
    Some((modulus, exponent))
}

/// The content of a DER element of this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 3))?;
            let length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_none_and_a_password_that_is_too_long_are_told() {
        assert_eq!(encrypt(b"no key", b"x"), Err("the server's public key is no PEM"));
        let pem = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert_eq!(
            encrypt(pem, b"x"),
            Err("the server's public key is not one of RSA")
        );
        assert!(pad(&[7; 87], 128).unwrap_err().contains("too long"));
    }

    #[test]
    fn what_is_padded_can_be_undone() {
        let mut block = pad(b"secret\0", 256).unwrap();
        assert_eq!(block[0], 0);
        let (seed, data) = block[1..].split_at_mut(HASH_BYTES);
        mask(data, seed);
        mask(seed, data);
        let mut rest = data[HASH_BYTES..].iter().skip_while(|byte| **byte == 0);
        assert_eq!(rest.next(), Some(&1));
        assert_eq!(rest.copied().collect::<Vec<_>>(), b"secret\0");
    }
}
