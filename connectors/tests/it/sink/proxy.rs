//! A proxy that cuts connections.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Between a sink and its server. Both ways count the bytes that may still pass; when none may, the connection ends at once.
pub struct Proxy {
    pub port: u16,
    /// To the server, and to the client.
    left: [Arc<AtomicI64>; 2],
    /// What passed.
    passed: [Arc<AtomicUsize>; 2],
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer = 0,
    ToClient = 1,
}

impl Proxy {
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = [(); 2].map(|()| Arc::new(AtomicI64::new(i64::MAX)));
        let passed = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let (limits, counts) = (left.clone(), passed.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let [up, down] = limits.clone();
                let [sent, got] = counts.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(from_client, to_server, &up, &sent) => {}
                        () = pass(from_server, to_client, &down, &got) => {}
                    }
                });
            }
        });
        Self { port, left, passed }
    }

    /// So many bytes more may pass, then the connection ends, and others go on.
    pub fn cut_after(&self, way: Way, bytes: usize) {
        self.left[way as usize].store(bytes as i64, Ordering::SeqCst);
    }

    /// From now on what comes stays where it is, and connections stay open.
    pub fn hold(&self, way: Way) {
        self.left[way as usize].store(HELD, Ordering::SeqCst);
    }

    pub fn passed(&self, way: Way) -> usize {
        self.passed[way as usize].load(Ordering::SeqCst)
    }
}

const HELD: i64 = -1;

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: &AtomicI64, passed: &AtomicUsize) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let before = left.load(Ordering::SeqCst);
        if before == HELD {
            std::future::pending::<()>().await;
        }
        let may = usize::try_from(before).unwrap_or(0).min(count);
        if before != i64::MAX {
            left.fetch_sub(may as i64, Ordering::SeqCst);
        }
        passed.fetch_add(may, Ordering::SeqCst);
        if to.write_all(&buffer[..may]).await.is_err() {
            return;
        }
        if may < count {
            // The next connection is whole.
            left.store(i64::MAX, Ordering::SeqCst);
            return;
        }
    }
}
