//! Requests of HTTP, as far as queries need it: GET, with a query, on connections that stay open.
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a connection may be silent between two requests.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// The same where others wait for its place.
const IDLE_MAX_CROWDED: Duration = Duration::from_secs(1);
/// How long a request may take to come.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether the job still runs.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// The parts of the path, decoded.
    pub(super) path: Vec<String>,
    /// Names and values, decoded.
    pub(super) query: Vec<(String, String)>,
    /// The connection ends with the answer.
    pub(super) closes: bool,
}

/// A request that is none, and what is said of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: &'static str,
    pub(super) reason: String,
}

impl Request {
    /// The value of a parameter.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// Reads a head; none if the line is not one.
    fn parse(head: &str) -> Result<Self, Refused> {
        let bad = |reason: &str| Refused {
            status: "400 Bad Request",
            reason: reason.to_owned(),
        };
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Err(bad("the request has no method, target and version"));
        };
        let mut closes = version == "HTTP/1.0";
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "connection" if value.eq_ignore_ascii_case("close") => closes = true,
                "connection" if value.eq_ignore_ascii_case("keep-alive") => closes = false,
                "content-length" if value != "0" => return Err(bad("requests have no body")),
                "transfer-encoding" => return Err(bad("requests have no body")),
                _ => {}
            }
        }
        // Proxies are given the whole address.
        let target = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |path| &rest[path..]),
            None => target,
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts = path.split('/').filter(|part| !part.is_empty());
        let path = parts.map(|part| decoded(part, false));
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name, true)?, decoded(value, true)?))
        });
        let unreadable =
            || bad("the target has a % that is followed by no two hexadecimal digits, or is no UTF-8");
        Ok(Self {
            method: method.to_owned(),
            path: path.collect::<Option<_>>().ok_or_else(unreadable)?,
            query: pairs.collect::<Option<_>>().ok_or_else(unreadable)?,
            // Who asks for heads alone would take a body for the next answer.
            closes: closes || method == "HEAD",
        })
    }
}

/// `%41` is A; in queries `+` is a blank.
pub(super) fn decoded(text: &str, in_query: bool) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            b'+' if in_query => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// `text` as a part of a path or query.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Reads the next request; none if there is none. `before` is what came behind the last one.
pub(super) fn next(
    stream: &mut TcpStream,
    before: &mut Vec<u8>,
    has_ended: &dyn Fn() -> bool,
    is_crowded: &dyn Fn() -> bool,
) -> Result<Option<Request>, Refused> {
    let begun = Instant::now();
    let mut request_until = None;
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = before.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = before.split_off(end + 4);
            let head = std::mem::replace(before, rest);
            let head = str::from_utf8(&head[..end]).map_err(|_| Refused {
                status: "400 Bad Request",
                reason: "the head is no UTF-8".to_owned(),
            })?;
            return Request::parse(head).map(Some);
        }
        if before.len() > HEAD_BYTES_MAX {
            return Err(Refused {
                status: "431 Request Header Fields Too Large",
                reason: format!("the head takes more than {HEAD_BYTES_MAX} bytes"),
            });
        }
        if !before.is_empty() {
            request_until.get_or_insert_with(|| Instant::now() + REQUEST_MAX);
        }
        let idle_max = match is_crowded() {
            true => IDLE_MAX_CROWDED,
            false => IDLE_MAX,
        };
        if has_ended() || Instant::now() >= request_until.unwrap_or(begun + idle_max) {
            return Ok(None);
        }
        let read = stream
            .set_read_timeout(Some(LOOK_PAUSE))
            .and_then(|()| stream.read(&mut piece));
        match read {
            Ok(0) => return Ok(None),
            Ok(count) => before.extend_from_slice(&piece[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart_and_decoded() {
        let head =
            "GET /stores/a%20b?key=%5B%22to+be%22%5D&limit=3&x HTTP/1.1\r\nHost: h\r\nConnection: close";
        let request = Request::parse(head).unwrap();
        assert_eq!(request.path, ["stores", "a b"]);
        assert_eq!(request.value("key"), Some("[\"to be\"]"));
        assert_eq!(
            (request.value("limit"), request.value("x"), request.value("y")),
            (Some("3"), Some(""), None)
        );
        assert!(request.closes && request.method == "GET");
        assert!(!Request::parse("GET / HTTP/1.1\r\n").unwrap().closes);
        assert!(Request::parse("HEAD / HTTP/1.1\r\n").unwrap().closes);
        let whole = Request::parse("GET http://h:1/stores?x=/ HTTP/1.1\r\n").unwrap();
        assert_eq!((whole.path, whole.query.len()), (vec!["stores".to_owned()], 1));
        let text = "[\"ä & b\"]=1";
        assert_eq!(decoded(&encoded(text), true).unwrap(), text);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for head in [
            "GET",
            "",
            "GET /%4 HTTP/1.1",
            "GET /%zz HTTP/1.1",
            "GET /%ff HTTP/1.1",
            "GET / HTTP/1.1\r\nContent-Length: 5",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(
                Request::parse(head).unwrap_err().status,
                "400 Bad Request",
                "{head}"
            );
        }
    }
}
