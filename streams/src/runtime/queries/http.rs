//! The job's stores over HTTP (`queries.listener`).
//!
//! A thread a connection, and few connections: whoever asks often keeps one open.
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::anywhere::JOB_HEADER;
use super::pages::{self, Answer};
use super::request;
use crate::error::StreamsError;
use crate::runtime::shared::Shared;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// From so many on, silent ones are soon closed.
const CROWDED: usize = 48;
/// How long an answer may take to be taken, and each of its pieces.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// Bytes that are written at once.
const PIECE: usize = 64 << 10;
/// The pause after a connection that could not be taken.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the end of the job waits for its own listener.
const WAKE_MAX: Duration = Duration::from_secs(1);

/// A socket that is listened at, until the job ends.
pub(in crate::runtime) struct Listener {
    listener: TcpListener,
    pub(in crate::runtime) local: SocketAddr,
}

/// Counts a connection for as long as it lives.
struct Connection(Arc<AtomicUsize>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Listener {
    pub(in crate::runtime) fn bind(address: &str) -> Result<Self, StreamsError> {
        let failed = |cause| StreamsError::QueriesListener {
            address: address.to_owned(),
            cause,
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local })
    }

    /// Answers until the job has ended.
    pub(in crate::runtime) fn serve(self, shared: &Arc<Shared>) -> Result<(), StreamsError> {
        let Self { listener, local } = self;
        let shared = Arc::clone(shared);
        let (connections, waked) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&shared));
        let run = move || {
            for stream in listener.incoming() {
                if shared.has_ended() {
                    return;
                }
                match stream {
                    Ok(stream) => take(stream, &shared, &connections),
                    Err(error) => {
                        tracing::debug!(%error, "a connection of queries was not taken");
                        std::thread::sleep(PAUSE);
                    }
                }
            }
        };
        let name = "stream-queries".to_owned();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(run);
        thread.map_err(|cause| StreamsError::Thread { thread: name, cause })?;
        waked.queries.at_end(move || wake(local));
        tracing::info!(%local, "stores are served at /stores");
        Ok(())
    }
}

/// Has the listener look whether the job has ended.
fn wake(mut local: SocketAddr) {
    match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => local.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => local.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    if let Err(error) = TcpStream::connect_timeout(&local, WAKE_MAX) {
        tracing::debug!(%error, "the listener of queries cannot be waked");
    }
}

/// Has a thread answer what comes.
fn take(mut stream: TcpStream, shared: &Arc<Shared>, connections: &Arc<AtomicUsize>) {
    let before = connections.fetch_add(1, Ordering::AcqRel);
    let connection = Connection(Arc::clone(connections));
    if before >= CONNECTIONS_MAX {
        let text =
            format!("{CONNECTIONS_MAX} connections are open already; close one, or ask another instance");
        let _ = write(
            &mut stream,
            shared,
            &Answer::failure("503 Service Unavailable", &text),
            true,
        );
        return;
    }
    let (shared, connections) = (Arc::clone(shared), Arc::clone(connections));
    let name = "stream-query".to_owned();
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        let _connection = connection;
        if let Err(error) = converse(stream, &shared, &connections) {
            tracing::debug!(%error, "a connection of queries failed");
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread can be started for a connection of queries");
    }
}

fn converse(mut stream: TcpStream, shared: &Arc<Shared>, connections: &AtomicUsize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_MAX))?;
    let mut before = Vec::new();
    loop {
        let is_crowded = || connections.load(Ordering::Acquire) >= CROWDED;
        match request::next(&mut stream, &mut before, &|| shared.has_ended(), &is_crowded) {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => {
                let mut answer = pages::answer(shared, &request);
                if request.method == "HEAD" {
                    answer.body.clear();
                }
                write(&mut stream, shared, &answer, request.closes)?;
                if request.closes {
                    return Ok(());
                }
            }
            Err(refused) => {
                return write(
                    &mut stream,
                    shared,
                    &Answer::failure(refused.status, &refused.reason),
                    true,
                );
            }
        }
    }
}

fn write(stream: &mut TcpStream, shared: &Shared, answer: &Answer, closes: bool) -> std::io::Result<()> {
    let Answer { status, kind, body } = answer;
    let connection = if closes { "close" } else { "keep-alive" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{JOB_HEADER}: {}\r\nConnection: {connection}\r\n\r\n",
        body.len(),
        shared.application_id()
    );
    // Small answers go in one packet; large ones are not copied.
    let mut head = head.into_bytes();
    let (begin, body) = body.split_at(body.len().min(PIECE));
    head.extend_from_slice(begin);
    stream.write_all(&head)?;
    let until = Instant::now() + WRITE_MAX;
    for piece in body.chunks(PIECE) {
        if Instant::now() >= until {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.write_all(piece)?;
    }
    Ok(())
}
