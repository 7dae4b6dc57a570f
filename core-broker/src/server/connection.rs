//! One connection: reads requests, starts them in order, answers them in order.
//!
//! Why: a producer that keeps several requests in flight must not wait for the disk once per request. A request is
//! started only when all earlier ones of the connection are answered, except that produce requests start behind
//! unanswered produce requests: they append in order, wait for one common fsync, and are answered in order.
//!
//! Owns: that order, the bounds on what is read ahead, idle peers. Does not own: what a request means (`api`).

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::watch;
use tokio::time::Instant;

use super::budget::Reservation;
use super::frame::{Frame, FrameError, FrameReader};
use super::listener::Gate;
use super::outlet::{SendError, Socket};
use super::reply::Reply;
use super::sink::ReplySink;
use crate::api::{self, Fault, Pace, Started};
use crate::metrics::Call;

/// Requests read but not started.
const READ_AHEAD_MAX: usize = 16;
/// Produce requests started but not answered.
const IN_FLIGHT_MAX: usize = 128;
/// Time that one request may take to be started before other connections have their turn.
const TURN: Duration = Duration::from_micros(500);
/// How long a peer may take no answers while it holds a share of the budget that others wait for.
pub(super) const STALL: Duration = Duration::from_secs(30);
/// Shares up to this are left to a peer that is slow to read: a few small requests.
const HELD_BYTES_MAX: usize = 16 << 10;
/// Rest after which buffers are given back.
const REST: Duration = Duration::from_secs(1);

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The client's address.
    pub address: SocketAddr,
    /// The address that the client reached.
    pub local: SocketAddr,
    /// Which of the configured listeners it came through.
    pub listener: usize,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Fault(#[from] Fault),
    #[error(transparent)]
    Write(SendError),
    #[error("idle for longer than connections.max.idle.ms")]
    Idle,
    #[error("the broker is stopping")]
    Stopping,
}

struct InFlight {
    reply: Pin<Box<dyn Future<Output = Result<Reply, Fault>> + Send>>,
    pace: Pace,
    reservation: Reservation,
    call: Call,
}

struct Connection {
    gate: Arc<Gate>,
    peer: Peer,
    reader: FrameReader<OwnedReadHalf>,
    sink: ReplySink<Socket>,
    queue: VecDeque<Frame>,
    in_flight: VecDeque<InFlight>,
    stopping: watch::Receiver<bool>,
    /// Set once nothing more can be read; what was read is still served.
    ended: Option<FrameError>,
    /// `connections.max.idle.ms`.
    idle: Duration,
    /// When the last request was started or answered.
    active: Instant,
    /// Set once buffers were given back since then.
    rested: bool,
}

enum Event {
    Reply(Result<Reply, Fault>),
    Flush,
    Frame(Result<Frame, FrameError>),
    Rest,
    Stop,
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve(stream: TcpStream, peer: Peer, gate: Arc<Gate>) {
    let (read, write) = stream.into_split();
    let length_max = gate.broker.config.socket_request_max_bytes;
    let idle = Duration::from_millis(gate.broker.config.connections_max_idle_ms.unsigned_abs());
    let connection = Connection {
        reader: FrameReader::new(read, length_max, &gate.budget),
        sink: ReplySink::new(Socket::new(write), idle),
        idle,
        queue: VecDeque::new(),
        in_flight: VecDeque::new(),
        stopping: gate.stopping.clone(),
        ended: None,
        active: Instant::now(),
        rested: false,
        peer,
        gate: Arc::clone(&gate),
    };
    let end = connection.run().await;
    match end {
        End::Frame(FrameError::Closed | FrameError::Cut | FrameError::Io(_))
        | End::Write(SendError::Peer(_))
        | End::Stopping
        | End::Idle => {
            tracing::debug!(peer = %peer.address, reason = %end, "connection ended");
        }
        _ => {
            if let Some(held) = gate.broker.warnings.pass() {
                tracing::warn!(peer = %peer.address, reason = %end, held, "connection closed");
            }
        }
    }
}

impl Connection {
    async fn run(mut self) -> End {
        loop {
            let stopping = *self.stopping.borrow();
            if !stopping && let Err(end) = self.start_requests().await {
                return end;
            }
            if (stopping || self.ended.is_some()) && self.is_done(stopping) {
                // A peer that closed its side was served everything it sent; if it is gone, nobody minds.
                self.limit_patience();
                let _ = self.sink.flush().await;
                return self.ended.take().map_or(End::Stopping, End::Frame);
            }
            if let Err(end) = self.step(stopping).await {
                return end;
            }
        }
    }

    /// True if nothing is left that should be finished before the connection ends; long polls are not.
    fn is_done(&self, stopping: bool) -> bool {
        match self.in_flight.front() {
            Some(front) => front.pace == Pace::Waits,
            None => stopping || self.queue.is_empty(),
        }
    }

    /// Starts what may start: anything when nothing is in flight, produce requests behind produce requests.
    async fn start_requests(&mut self) -> Result<(), End> {
        while self.in_flight.len() < IN_FLIGHT_MAX {
            let Some(frame) = self.queue.front() else { break };
            let pipelined = self.in_flight.back().is_none_or(|f| f.pace == Pace::Pipelined)
                && (self.in_flight.is_empty() || api::pace_of(&frame.bytes) == Some(Pace::Pipelined));
            if !pipelined {
                break;
            }
            let Some(frame) = self.queue.pop_front() else {
                break;
            };
            self.touch();
            let metrics = &self.gate.broker.metrics;
            let call = metrics.begin(&frame.bytes);
            let started = api::start(&self.gate.broker, self.peer, frame.bytes);
            let (pace, started) = started.inspect_err(|_| metrics.failed(call))?;
            if self.active.elapsed() > TURN {
                tokio::task::yield_now().await;
            }
            match started {
                Started::Silent => self.gate.broker.metrics.answered(call, 0),
                Started::Ready(reply) if self.in_flight.is_empty() => {
                    drop(frame.reservation);
                    self.limit_patience();
                    self.gate.broker.metrics.answered(call, reply.len());
                    self.sink.push(reply).await.map_err(End::Write)?;
                }
                Started::Ready(reply) => self.in_flight.push_back(InFlight {
                    reply: Box::pin(std::future::ready(Ok(reply))),
                    pace,
                    reservation: frame.reservation,
                    call,
                }),
                Started::Later(reply) => {
                    self.in_flight.push_back(InFlight {
                        reply,
                        pace,
                        reservation: frame.reservation,
                        call,
                    });
                }
            }
        }
        Ok(())
    }

    /// Waits for the next thing to happen and deals with it.
    async fn step(&mut self, stopping: bool) -> Result<(), End> {
        let reading = !stopping && self.ended.is_none() && self.queue.len() < READ_AHEAD_MAX;
        let resting = self.in_flight.is_empty() && self.queue.is_empty();
        let unsent = !self.sink.is_empty();
        let idle = self.idle;
        let rest = if self.rested { idle } else { REST.min(idle) };
        let front = self.in_flight.front_mut().map(|f| &mut f.reply);
        let event = tokio::select! {
            biased;
            reply = async { match front { Some(reply) => reply.await, None => std::future::pending().await } } => Event::Reply(reply),
            () = std::future::ready(()), if unsent => Event::Flush,
            frame = self.reader.next(), if reading => Event::Frame(frame),
            _ = self.stopping.wait_for(|stop| *stop), if !stopping => Event::Stop,
            () = tokio::time::sleep_until(self.active + rest), if resting => Event::Rest,
        };
        match event {
            Event::Reply(reply) => {
                if let Some(done) = self.in_flight.pop_front() {
                    let metrics = &self.gate.broker.metrics;
                    match &reply {
                        Ok(reply) => metrics.answered(done.call, reply.len()),
                        Err(_) => metrics.failed(done.call),
                    }
                }
                self.touch();
                self.limit_patience();
                self.sink.push(reply?).await.map_err(End::Write)?;
            }
            Event::Flush => {
                self.limit_patience();
                self.sink.flush().await.map_err(End::Write)?;
            }
            Event::Frame(Ok(frame)) => self.queue.push_back(frame),
            Event::Frame(Err(error)) => self.ended = Some(error),
            Event::Stop => {}
            Event::Rest if self.active.elapsed() >= idle => return Err(End::Idle),
            Event::Rest => {
                self.rested = true;
                self.reader.shrink();
                self.sink.shrink();
            }
        }
        Ok(())
    }

    /// Nothing is read while an answer is written, so what is held now stays held.
    fn limit_patience(&mut self) {
        let queued = self.queue.iter().map(|frame| frame.reservation.bytes());
        let in_flight = self.in_flight.iter().map(|f| f.reservation.bytes());
        let held = queued.chain(in_flight).sum::<usize>() + self.reader.held();
        self.sink.set_patience(patience(held, self.idle));
    }

    fn touch(&mut self) {
        self.active = Instant::now();
        self.rested = false;
    }
}

/// How long a peer that holds so much of the budget may take no answers.
fn patience(held: usize, idle: Duration) -> Duration {
    if held > HELD_BYTES_MAX {
        STALL.min(idle)
    } else {
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_much_is_waited_for_less() {
        let idle = Duration::from_secs(600);
        assert_eq!(patience(0, idle), idle);
        assert_eq!(patience(HELD_BYTES_MAX, idle), idle);
        assert_eq!(patience(HELD_BYTES_MAX + 1, idle), STALL);
        assert_eq!(patience(1 << 20, Duration::from_secs(5)), Duration::from_secs(5));
    }
}
