//! Binds the configured addresses and accepts connections.
//!
//! Owns: sockets that listen, the bound on open connections. Does not own: what is said on a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admission::Admission;
use super::budget::Budget;
use super::connection::{self, Peer};
use crate::broker::BrokerState;
use crate::config::Endpoint;

/// What all connections of one broker share.
pub(crate) struct Gate {
    /// The broker they serve.
    pub broker: Arc<BrokerState>,
    /// The bound on request bytes.
    pub budget: Arc<Budget>,
    /// The bound on open connections.
    pub connections: Admission,
    /// Turns true when the broker stops.
    pub stopping: watch::Receiver<bool>,
}

/// Binds one endpoint.
pub(crate) async fn bind(endpoint: &Endpoint) -> io::Result<TcpListener> {
    let host = if endpoint.host.is_empty() {
        "0.0.0.0"
    } else {
        &endpoint.host
    };
    TcpListener::bind((host, endpoint.port)).await
}

/// Accepts until the broker stops, then returns the connections that are still open.
pub(crate) async fn accept(socket: TcpListener, listener: usize, gate: Arc<Gate>) -> JoinSet<()> {
    let mut open = JoinSet::new();
    let mut stopping = gate.stopping.clone();
    loop {
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = socket.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: waiting lets connections close.
                if let Some(held) = gate.broker.warnings.pass() {
                    tracing::warn!(%error, held, "cannot accept a connection; raise the open files limit (ulimit -n) or lower max.connections");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let limit = gate.broker.live.load().max_connections;
        let Some(admitted) = gate.connections.admit(usize::try_from(limit).unwrap_or(0)) else {
            gate.broker.metrics.connection_refused();
            if let Some(held) = gate.broker.warnings.pass() {
                tracing::warn!(peer = %address, held, "connection refused: max.connections are open; raise it or close idle clients");
            }
            continue;
        };
        if let Some(peer) = peer(&stream, address, listener) {
            let gate = Arc::clone(&gate);
            open.spawn(async move {
                let _admitted = admitted;
                let _counted = gate.broker.metrics.connection();
                connection::serve(stream, peer, Arc::clone(&gate)).await;
            });
        }
    }
    open
}

/// Sets socket options and reads both addresses; `None` if the peer is gone already.
fn peer(stream: &tokio::net::TcpStream, address: SocketAddr, listener: usize) -> Option<Peer> {
    stream.set_nodelay(true).ok()?;
    Some(Peer {
        address,
        local: stream.local_addr().ok()?,
        listener,
    })
}
