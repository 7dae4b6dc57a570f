//! The endpoint: as much of HTTP/1.1 as scrapers and probes speak.
//!
//! Why by hand: three fixed paths need a request line, and nothing that a framework brings. It opens before the data
//! directory does, so that a long recovery is seen as alive but not ready.
//! Owns: the socket, its limits. Does not own: what is measured (`scrape`).
//! Invariants: a bounded number of connections, each with a bounded request and a deadline, closed after one answer.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::scrape;
use super::text::CONTENT_TYPE;
use crate::broker::BrokerState;
use crate::config::Endpoint;
use crate::server::listener;

/// Connections served at once; further ones wait in the backlog.
const CONNECTIONS_MAX: usize = 16;
/// Bytes of a request with its headers.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// Time for one connection from its first byte to its last.
const DEADLINE: Duration = Duration::from_secs(30);
/// Time for the request alone, so that connections that say nothing make room soon.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);
/// Rest after a connection could not be accepted.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The endpoint; dropping it closes it.
#[derive(Debug)]
pub(crate) struct MetricsEndpoint {
    address: SocketAddr,
    served: Arc<Served>,
    task: JoinHandle<()>,
}

/// The broker that is shown.
#[derive(Debug, Default)]
struct Served {
    /// Set once it serves. Weak, so that a scrape cannot outlive a stop.
    broker: OnceLock<Weak<BrokerState>>,
    stopping: std::sync::atomic::AtomicBool,
}

impl MetricsEndpoint {
    /// Listens; until [`MetricsEndpoint::serve`], the broker is shown as starting.
    pub async fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        let socket = listener::bind(endpoint).await?;
        let served = Arc::<Served>::default();
        Ok(Self {
            address: socket.local_addr()?,
            task: tokio::spawn(accept(socket, Arc::clone(&served))),
            served,
        })
    }

    /// The address it really has.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The broker is up.
    pub fn serve(&self, broker: &Arc<BrokerState>) {
        // Called once, by the start of the broker.
        let _ = self.served.broker.set(Arc::downgrade(broker));
    }

    /// The broker is on its way down.
    pub fn stopping(&self) {
        self.served
            .stopping
            .store(true, std::sync::atomic::Ordering::Release);
    }
}

impl Drop for MetricsEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    /// The broker, or why there is none to use.
    fn ready(&self) -> Result<Arc<BrokerState>, String> {
        if self.stopping.load(std::sync::atomic::Ordering::Acquire) {
            return Err("stopping".to_owned());
        }
        let broker = self
            .broker
            .get()
            .ok_or("starting: the data directory is being opened")?;
        broker.upgrade().ok_or_else(|| "stopped".to_owned())
    }
}

async fn accept(socket: TcpListener, served: Arc<Served>) {
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = socket.accept(), if open.len() < CONNECTIONS_MAX => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let served = Arc::clone(&served);
                open.spawn(async move {
                    match tokio::time::timeout(DEADLINE, answer(stream, &served)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "metrics request failed"),
                        Err(_) => tracing::debug!(%peer, "metrics request took too long"),
                    }
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a metrics connection");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// One answer.
struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into() + "\n",
        }
    }
}

async fn answer(mut stream: TcpStream, served: &Served) -> io::Result<()> {
    let request = tokio::time::timeout(REQUEST_DEADLINE, read_request(&mut stream)).await;
    let (answer, with_body) = match request.map_err(io::Error::from)?? {
        Ok(request) => (respond(&request.path, served).await, request.with_body),
        Err(refusal) => (refusal, true),
    };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.content_type,
        answer.body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if with_body {
        stream.write_all(answer.body.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct HttpRequest {
    path: String,
    /// Not for HEAD.
    with_body: bool,
}

/// Reads up to the end of the headers, which do not matter.
async fn read_request(stream: &mut TcpStream) -> io::Result<Result<HttpRequest, Answer>> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(parse(&bytes));
        }
        if bytes.len() > REQUEST_BYTES_MAX {
            let text = format!("a request may have at most {REQUEST_BYTES_MAX} bytes");
            return Ok(Err(Answer::text("431 Request Header Fields Too Large", text)));
        }
    }
}

fn parse(bytes: &[u8]) -> Result<HttpRequest, Answer> {
    let bad = || {
        Answer::text(
            "400 Bad Request",
            "expected a request line such as GET /metrics HTTP/1.1",
        )
    };
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| bad())?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad());
    };
    if !version.starts_with("HTTP/1.") {
        return Err(bad());
    }
    let path = target.split('?').next().unwrap_or_default().to_owned();
    match method {
        "GET" | "HEAD" => Ok(HttpRequest {
            path,
            with_body: method == "GET",
        }),
        _ => Err(Answer::text("405 Method Not Allowed", "only GET and HEAD")),
    }
}

async fn respond(path: &str, served: &Served) -> Answer {
    const UNAVAILABLE: &str = "503 Service Unavailable";
    match path {
        "/healthz" => Answer::text("200 OK", "ok"),
        "/readyz" => match served.ready() {
            Ok(broker) => match broker.logs.check() {
                Ok(()) => Answer::text("200 OK", "ready"),
                Err(error) => Answer::text(UNAVAILABLE, error.to_string()),
            },
            Err(reason) => Answer::text(UNAVAILABLE, reason),
        },
        "/metrics" => match served.ready() {
            // Locks and files: not on an async thread.
            Ok(broker) => match tokio::task::spawn_blocking(move || scrape::render(&broker)).await {
                Ok(body) => Answer {
                    status: "200 OK",
                    content_type: CONTENT_TYPE,
                    body,
                },
                Err(error) => Answer::text("500 Internal Server Error", error.to_string()),
            },
            Err(reason) => Answer::text(UNAVAILABLE, reason),
        },
        _ => Answer::text("404 Not Found", "there are /metrics, /healthz and /readyz"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        let get = |path: &str, with_body| HttpRequest {
            path: path.to_owned(),
            with_body,
        };
        for (line, expected) in [
            ("GET /metrics HTTP/1.1", Ok(get("/metrics", true))),
            ("HEAD /readyz?verbose=1 HTTP/1.0", Ok(get("/readyz", false))),
            ("POST /metrics HTTP/1.1", Err("405 Method Not Allowed")),
            ("GET /metrics", Err("400 Bad Request")),
            ("GET /metrics HTTP/2", Err("400 Bad Request")),
            ("GET  /metrics HTTP/1.1", Err("400 Bad Request")),
            ("", Err("400 Bad Request")),
        ] {
            let parsed =
                parse(format!("{line}\r\nHost: x\r\n\r\n").as_bytes()).map_err(|refusal| refusal.status);
            assert_eq!(parsed, expected, "{line}");
        }
        assert!(parse(b"\xff\xfe / HTTP/1.1\r\n\r\n").is_err());
    }
}
