//! ApiVersions (18): which APIs and versions this broker offers.
//!
//! Why it is special: it is the first request of every client, sent before the client knows what the broker can
//! read. Its response header is always version 0, and a version that is too new is answered in version 0 with
//! the range, so that the client can ask again.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::error_code::{ErrorCode, NONE};
use super::shape::{Kind::Text, Shape, since};
use super::{Fault, REGISTRY, Request, Started, encode};
use crate::server::reply::Reply;

pub(crate) const KEY: i16 = 18;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 3,
    fields: &[since(3, Text), since(3, Text)],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: ApiVersionsRequest = request.decode()?;
    let named = request.answer.version < 3
        || (is_software_name(&body.client_software_name) && is_software_name(&body.client_software_version));
    if named {
        tracing::debug!(peer = %request.peer.address, software = %body.client_software_name,
            version = %body.client_software_version, "client asks for versions");
    }
    let code = if named {
        NONE
    } else {
        ErrorCode::InvalidRequest.code()
    };
    request.answer.ready(&response(code))
}

/// The answer to a version that is not offered.
pub(crate) fn unsupported(correlation_id: i32) -> Result<Reply, Fault> {
    encode(
        correlation_id,
        false,
        0,
        &response(ErrorCode::UnsupportedVersion.code()),
    )
}

fn response(error_code: i16) -> ApiVersionsResponse {
    let mut keys = Vec::with_capacity(REGISTRY.len());
    for api in REGISTRY {
        keys.push(
            ApiVersion::default()
                .with_api_key(api.key)
                .with_min_version(api.min)
                .with_max_version(api.max),
        );
    }
    ApiVersionsResponse::default()
        .with_error_code(error_code)
        .with_api_keys(keys)
}

/// Kafka's rule (KIP-511): letters, digits, `-` and `.`, a letter or digit at both ends.
fn is_software_name(name: &str) -> bool {
    let alphanumeric = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names() {
        assert!(
            ["a", "librdkafka", "2.12.1", "a-b.c"]
                .into_iter()
                .all(is_software_name)
        );
        assert!(
            !["", "-a", "a-", "a b", "ä", "a/b"]
                .into_iter()
                .any(is_software_name)
        );
    }
}
