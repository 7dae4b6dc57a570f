//! Produce versions 0 to 2: refused in their own format.
//!
//! Why: they are advertised for librdkafka (see `produce`) but carry record formats from before Kafka 0.11. A client
//! that sends them deserves an error it can read instead of a closed connection.

use bytes::{Buf, BufMut, Bytes};

use super::error_code::ErrorCode;
use super::{Fault, Request, Started, finish};

/// Answers each partition with UNSUPPORTED_FOR_MESSAGE_FORMAT.
pub(super) fn refuse(request: &Request) -> Result<Started, Fault> {
    let version = request.answer.version;
    let mut body = request.checked_body()?;
    let short = |_| request.malformed("the body ends early");
    let acks = body.try_get_i16().map_err(short)?;
    let _timeout_ms = body.try_get_i32().map_err(short)?;
    let mut reply = request.answer.writer(256);
    let topics = body.try_get_i32().map_err(short)?.max(0);
    reply.bytes.put_i32(topics);
    for _ in 0..topics {
        let name_bytes = body.try_get_i16().map_err(short)?;
        let name = take(request, &mut body, i32::from(name_bytes))?;
        if acks == 0 {
            return Err(Fault::Unacknowledged {
                partition: String::from_utf8_lossy(&name).into_owned(),
                reason: format!(
                    "produce version {version} is not supported, use Kafka clients of 0.11 or later"
                ),
            });
        }
        reply.bytes.put_i16(name.len() as i16);
        reply.bytes.put_slice(&name);
        let partitions = body.try_get_i32().map_err(short)?.max(0);
        reply.bytes.put_i32(partitions);
        for _ in 0..partitions {
            let index = body.try_get_i32().map_err(short)?;
            let records_bytes = body.try_get_i32().map_err(short)?;
            take(request, &mut body, records_bytes)?;
            reply.bytes.put_i32(index);
            reply.bytes.put_i16(ErrorCode::UnsupportedForMessageFormat.code());
            reply.bytes.put_i64(-1);
            if version >= 2 {
                reply.bytes.put_i64(-1);
            }
        }
    }
    if acks == 0 {
        return Ok(Started::Silent);
    }
    if version >= 1 {
        reply.bytes.put_i32(0);
    }
    finish(reply).map(Started::Ready)
}

fn take(request: &Request, body: &mut Bytes, bytes: i32) -> Result<Bytes, Fault> {
    match usize::try_from(bytes.max(0)) {
        Ok(bytes) if bytes <= body.len() => Ok(body.split_to(bytes)),
        _ => Err(request.malformed("the body ends early")),
    }
}
