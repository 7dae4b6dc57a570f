//! The job's counters over HTTP, for Prometheus: `GET /metrics`.
//!
//! One thread serves one request after the other; requests are small, and those who dawdle are cut off.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::error::StreamsError;

/// The time for a request and its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// The most bytes of a request's head.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// The pause between two looks for a request and the job's end.
const PAUSE: Duration = Duration::from_millis(50);

/// Listens at `address`, and serves what `page` gives until the job has ended.
pub(super) fn serve(
    address: &str,
    shared: Arc<Shared>,
    page: impl Fn() -> String + Send + 'static,
) -> Result<SocketAddr, StreamsError> {
    let failed = |cause| StreamsError::MetricsListener {
        address: address.to_owned(),
        cause,
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let run = move || {
        while !shared.has_ended() {
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = answer(stream, &page) {
                        tracing::debug!(%error, "a request for metrics failed");
                    }
                }
                // Nobody is there, or who was is gone again.
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    };
    let name = "stream-metrics".to_owned();
    let thread = std::thread::Builder::new().name(name.clone()).spawn(run);
    thread.map_err(|cause| StreamsError::Thread { thread: name, cause })?;
    tracing::info!(%local, "metrics are served at /metrics");
    Ok(local)
}

fn answer(mut stream: TcpStream, page: &impl Fn() -> String) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(REQUEST_TIMEOUT))?;
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if head.len() > REQUEST_BYTES_MAX || left.is_zero() {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            read => head.extend_from_slice(&piece[..read]),
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (status, body) = match (words.next(), words.next()) {
        (Some(b"GET"), Some(b"/metrics")) => ("200 OK", page()),
        (Some(b"GET"), _) => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}
