//! One socket to one broker: frames with limits, and the newest version that both sides know.
//!
//! Owns the negotiated versions and the correlation ids; does not own which broker is asked, nor retries.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use super::AdminError;

/// Largest answer that is read; a list of a hundred thousand partitions takes a few MiB.
pub const FRAME_BYTES_MAX: usize = 100 << 20;
/// Memory taken before the bytes of a frame are there.
const READ_STEP_BYTES: usize = 1 << 20;
/// UNSUPPORTED_VERSION.
const UNSUPPORTED_VERSION: i16 = 35;

/// A connection to one broker.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: String,
    timeout: Duration,
    versions: HashMap<i16, (i16, i16)>,
    correlation_id: i32,
}

impl Connection {
    /// Connects and learns what the broker offers; the connection must stand by `deadline`.
    pub fn open(address: &str, deadline: Instant, timeout: Duration) -> Result<Self, AdminError> {
        let failed = |reason: String| AdminError::Connection {
            address: address.into(),
            reason,
        };
        let candidates = address
            .to_socket_addrs()
            .map_err(|error| failed(format!("not a reachable HOST:PORT ({error})")))?;
        let mut last = String::from("the name has no address");
        for candidate in candidates {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(failed("timed out".into()));
            }
            match TcpStream::connect_timeout(&candidate, left) {
                Ok(stream) => return Self::greet(stream, address, timeout),
                Err(error) => last = error.to_string(),
            }
        }
        Err(failed(last))
    }

    fn greet(stream: TcpStream, address: &str, timeout: Duration) -> Result<Self, AdminError> {
        let mut connection = Self {
            stream,
            address: address.into(),
            timeout,
            versions: HashMap::new(),
            correlation_id: 0,
        };
        connection
            .stream
            .set_nodelay(true)
            .map_err(|error| connection.failed(&error))?;
        let mut answer = connection.api_versions(3)?;
        if answer.error_code == UNSUPPORTED_VERSION {
            answer = connection.api_versions(0)?;
        }
        if answer.error_code != 0 {
            return Err(super::refused(answer.error_code, None, address));
        }
        connection.versions = answer
            .api_keys
            .iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect();
        Ok(connection)
    }

    fn api_versions(&mut self, version: i16) -> Result<ApiVersionsResponse, AdminError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("millstream"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let body = self.exchange(&request, version)?;
        // An unknown version is answered in version 0, whose first field is the error code in every version.
        let unsupported = body.starts_with(&UNSUPPORTED_VERSION.to_be_bytes());
        let read_as = if unsupported { 0 } else { version };
        ApiVersionsResponse::decode(&mut body.clone(), read_as)
            .map_err(|error| self.malformed::<ApiVersionsRequest>(&error))
    }

    /// Sends a request in the newest version that both know, `version_max` at most, and waits for its answer.
    pub fn call<R: Request>(&mut self, request: &R, version_max: i16) -> Result<R::Response, AdminError> {
        let version = self
            .version_of::<R>(version_max)
            .ok_or_else(|| AdminError::Unsupported {
                address: self.address.clone(),
                api: api_name::<R>(),
            })?;
        let mut body = self.exchange(request, version)?;
        R::Response::decode(&mut body, version).map_err(|error| self.malformed::<R>(&error))
    }

    /// The newest version of a request that both know, `version_max` at most, if there is one.
    pub fn version_of<R: Request>(&self, version_max: i16) -> Option<i16> {
        let &(min, max) = self.versions.get(&R::KEY)?;
        let version = max.min(R::VERSIONS.max).min(version_max);
        (version >= min.max(R::VERSIONS.min)).then_some(version)
    }

    /// One frame out, one frame in; gives the body after the header.
    fn exchange<R: Request>(&mut self, request: &R, version: i16) -> Result<Bytes, AdminError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("millstream-admin")));
        let mut frame = BytesMut::from(&[0; 4][..]);
        header
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|error| AdminError::Connection {
                address: self.address.clone(),
                reason: format!("{} v{version} cannot say this ({error})", api_name::<R>()),
            })?;
        let length = u32::try_from(frame.len() - 4).expect("a request is far below 4 GiB");
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let deadline = Instant::now() + self.timeout;
        self.limit(deadline)?;
        self.stream
            .write_all(&frame)
            .map_err(|error| self.failed(&error))?;
        let mut answer = self.read_frame::<R>(deadline)?;
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut answer, header_version)
            .map_err(|error| self.malformed::<R>(&error))?;
        if header.correlation_id != self.correlation_id {
            return Err(self.malformed::<R>(&"it answers another request"));
        }
        Ok(answer)
    }

    fn read_frame<R: Request>(&mut self, deadline: Instant) -> Result<Bytes, AdminError> {
        let mut length = [0; 4];
        self.fill(&mut length, deadline)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(self.malformed::<R>(&format!("its length is above {FRAME_BYTES_MAX} bytes")));
        }
        let mut frame = Vec::new();
        while frame.len() < length {
            let from = frame.len();
            frame.resize(length.min(from + READ_STEP_BYTES), 0);
            self.fill(&mut frame[from..], deadline)?;
        }
        Ok(frame.into())
    }

    /// Fills `buffer`, waiting until `deadline` at most.
    fn fill(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<(), AdminError> {
        let mut filled = 0;
        while filled < buffer.len() {
            self.limit(deadline)?;
            match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => return Err(self.failed(&"the broker closed the connection")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Err(self.timed_out());
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(())
    }

    fn limit(&self, deadline: Instant) -> Result<(), AdminError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timed_out());
        }
        self.stream
            .set_read_timeout(Some(left))
            .and_then(|()| self.stream.set_write_timeout(Some(left)))
            .map_err(|error| self.failed(&error))
    }

    fn timed_out(&self) -> AdminError {
        self.failed(&format!(
            "no answer within {} ms (--connect-timeout-ms allows more)",
            self.timeout.as_millis()
        ))
    }

    fn failed(&self, reason: &impl ToString) -> AdminError {
        AdminError::Connection {
            address: self.address.clone(),
            reason: reason.to_string(),
        }
    }

    fn malformed<R: Request>(&self, reason: &impl ToString) -> AdminError {
        AdminError::Malformed {
            address: self.address.clone(),
            api: api_name::<R>(),
            reason: reason.to_string(),
        }
    }
}

fn api_name<R: Request>() -> String {
    ApiKey::try_from(R::KEY).map_or_else(|()| format!("API {}", R::KEY), |key| format!("{key:?}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answered_with(bytes: &'static [u8]) -> AdminError {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(bytes).unwrap();
            std::thread::sleep(Duration::from_millis(400));
        });
        let limit = Duration::from_millis(200);
        let error = Connection::open(&address, Instant::now() + limit, limit).unwrap_err();
        server.join().unwrap();
        error
    }

    #[test]
    fn a_listener_of_another_protocol_is_named() {
        let error = answered_with(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        assert!(matches!(error, AdminError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains("Kafka listener"), "{error}");
    }

    #[test]
    fn a_silent_broker_is_given_up_at_the_timeout() {
        let error = answered_with(b"");
        assert!(error.to_string().contains("within 200 ms"), "{error}");
    }

    #[test]
    fn an_answer_to_another_request_is_refused() {
        let error = answered_with(b"\0\0\0\x0a\0\0\0\x63\0\0\0\0\0\0");
        assert!(error.to_string().contains("another request"), "{error}");
    }
}
