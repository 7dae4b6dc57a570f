//! The header that begins every request.
//!
//! Why: it is the first thing a hostile peer controls, so it is parsed by hand and cannot panic. Owns: both header
//! versions. Does not own: the body (`api`).

use bytes::{Buf, Bytes};
use kafka_protocol::protocol::StrBytes;

/// What every request says about itself before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    /// Which API is called.
    pub api_key: i16,
    /// In which version.
    pub api_version: i16,
    /// Number that the answer carries back.
    pub correlation_id: i32,
}

/// Bytes that are no request header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The frame ended inside the header.
    #[error("the frame ends inside the request header")]
    Short,
    /// A length below −1.
    #[error("client id length {0} is negative")]
    ClientIdLength(i16),
    /// The client id is not UTF-8.
    #[error("client id is not UTF-8")]
    ClientIdText,
    /// A varint of more than five bytes.
    #[error("a tagged field's number does not end within five bytes")]
    Varint,
}

/// Takes the fixed part of the header off the front of `frame`.
pub(crate) fn take_fixed(frame: &mut Bytes) -> Result<RequestHeader, HeaderError> {
    if frame.len() < 8 {
        return Err(HeaderError::Short);
    }
    Ok(RequestHeader {
        api_key: frame.get_i16(),
        api_version: frame.get_i16(),
        correlation_id: frame.get_i32(),
    })
}

/// Takes the client id and, in flexible versions, the tagged fields; what is left of `frame` is the body.
pub(crate) fn take_rest(frame: &mut Bytes, flexible: bool) -> Result<Option<StrBytes>, HeaderError> {
    // In every version the client id has a two-byte length, so that old brokers can read it.
    let length = frame.try_get_i16().map_err(|_| HeaderError::Short)?;
    let client_id = match usize::try_from(length) {
        Err(_) if length == -1 => None,
        Err(_) => return Err(HeaderError::ClientIdLength(length)),
        Ok(length) => {
            let bytes = split(frame, length)?;
            Some(StrBytes::from_utf8(bytes).map_err(|_| HeaderError::ClientIdText)?)
        }
    };
    if flexible {
        for _ in 0..take_varint(frame)? {
            take_varint(frame)?;
            let length = take_varint(frame)?;
            split(frame, length as usize)?;
        }
    }
    Ok(client_id)
}

fn split(frame: &mut Bytes, length: usize) -> Result<Bytes, HeaderError> {
    if frame.len() < length {
        return Err(HeaderError::Short);
    }
    Ok(frame.split_to(length))
}

fn take_varint(frame: &mut Bytes) -> Result<u32, HeaderError> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let byte = frame.try_get_u8().map_err(|_| HeaderError::Short)?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(HeaderError::Varint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8], flexible: bool) -> Result<(RequestHeader, Option<StrBytes>, Bytes), HeaderError> {
        let mut frame = Bytes::copy_from_slice(bytes);
        let header = take_fixed(&mut frame)?;
        let client_id = take_rest(&mut frame, flexible)?;
        Ok((header, client_id, frame))
    }

    #[test]
    fn both_versions() {
        let v1 = b"\0\x12\0\x02\0\0\0\x07\0\x02abBODY";
        let (header, client_id, body) = parse(v1, false).unwrap();
        assert_eq!(
            header,
            RequestHeader {
                api_key: 18,
                api_version: 2,
                correlation_id: 7
            }
        );
        assert_eq!((client_id.unwrap().as_str(), &body[..]), ("ab", &b"BODY"[..]));
        let v2 = b"\0\x12\0\x03\0\0\0\x07\xff\xff\x02\x00\x01x\x05\x00BODY";
        let (_, client_id, body) = parse(v2, true).unwrap();
        assert_eq!((client_id, &body[..]), (None, &b"BODY"[..]));
    }

    #[test]
    fn every_cut_is_an_error() {
        let v2 = b"\0\x12\0\x03\0\0\0\x07\0\x02ab\x02\x00\x01x\x05\x00";
        for at in 0..v2.len() {
            assert_eq!(
                parse(&v2[..at], true).unwrap_err(),
                HeaderError::Short,
                "cut at {at}"
            );
        }
        assert!(parse(v2, true).is_ok());
    }

    #[test]
    fn hostile_numbers() {
        let head = b"\0\x12\0\x03\0\0\0\x07";
        let with = |rest: &[u8]| parse(&[&head[..], rest].concat(), true).unwrap_err();
        assert_eq!(with(b"\xff\xfe"), HeaderError::ClientIdLength(-2));
        assert_eq!(with(b"\x7f\xff"), HeaderError::Short);
        assert_eq!(with(b"\0\x01\xff\0"), HeaderError::ClientIdText);
        // A large count of tagged fields runs out of bytes.
        assert_eq!(with(b"\xff\xff\xff\xff\xff\xff\x0f"), HeaderError::Short);
        assert_eq!(with(b"\xff\xff\xff\xff\xff\xff\xff\x01"), HeaderError::Varint);
        assert_eq!(with(b"\xff\xff\x01\x00\xff\xff\xff\xff\x0f"), HeaderError::Short);
    }
}
