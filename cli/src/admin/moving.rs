//! A broker of bytes whose groups move: it refuses as coordinators do that are starting or gone.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::Admin;
use crate::client::{ConnectArgs, ConnectCommonArgs};

const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const DELETE_GROUPS: i16 = 42;
const NOT_COORDINATOR: i16 = 16;

/// Refuses `refusals` deletions, then deletes; counts how often its coordinator was asked for.
struct Moving {
    port: u16,
    refusals: AtomicU32,
    lookups: AtomicU32,
}

impl Moving {
    fn start(refusals: u32) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let broker = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            refusals: AtomicU32::new(refusals),
            lookups: AtomicU32::new(0),
        });
        let serving = Arc::clone(&broker);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let broker = Arc::clone(&serving);
                std::thread::spawn(move || broker.serve(stream));
            }
        });
        broker
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut length = [0; 4];
        while stream.read_exact(&mut length).is_ok() {
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut request).unwrap();
            let api = i16::from_be_bytes([request[0], request[1]]);
            let mut answer = request[4..8].to_vec();
            let version = i16::from_be_bytes([request[2], request[3]]);
            if api == API_VERSIONS && version > 0 {
                answer.extend([0, 35, 0, 0, 0, 0]);
            } else {
                answer.extend(self.body(api));
            }
            let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length[..], &answer].concat()).unwrap();
        }
    }

    /// The answer's body; every API is offered in version 0 alone, ApiVersions too.
    fn body(&self, api: i16) -> Vec<u8> {
        let host = [&9_u16.to_be_bytes()[..], b"127.0.0.1"].concat();
        let port = u32::from(self.port).to_be_bytes();
        let node = [&1_u32.to_be_bytes()[..], &host, &port].concat();
        match api {
            API_VERSIONS => {
                let apis = [API_VERSIONS, METADATA, FIND_COORDINATOR, DELETE_GROUPS];
                let mut body = vec![0, 0, 0, 0, 0, 4];
                for api in apis {
                    // Metadata needs 4, the first that takes an empty list for none.
                    let version: i16 = if api == METADATA { 4 } else { 0 };
                    for number in [api, version, version] {
                        body.extend(number.to_be_bytes());
                    }
                }
                body
            }
            METADATA => [
                &[0, 0, 0, 0, 0, 0, 0, 1][..],
                &node,
                &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0],
            ]
            .concat(),
            FIND_COORDINATOR => {
                self.lookups.fetch_add(1, Ordering::SeqCst);
                [&[0, 0][..], &node].concat()
            }
            _ => {
                let left = self.refusals.load(Ordering::SeqCst);
                self.refusals.store(left.saturating_sub(1), Ordering::SeqCst);
                let code = if left > 0 { NOT_COORDINATOR } else { 0 };
                [&[0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'g'][..], &code.to_be_bytes()].concat()
            }
        }
    }

    fn admin(&self, connect_timeout_ms: u64) -> Admin {
        Admin::connect(&ConnectArgs {
            bootstrap_server: format!("127.0.0.1:{}", self.port),
            common: ConnectCommonArgs {
                command_config: None,
                connect_timeout_ms,
            },
        })
        .unwrap()
    }
}

#[test]
fn a_coordinator_that_moved_is_looked_up_again() {
    let broker = Moving::start(2);
    broker.admin(30_000).delete_group("g").unwrap();
    assert_eq!(broker.lookups.load(Ordering::SeqCst), 3);
}

#[test]
fn patience_with_a_coordinator_is_bounded_and_says_what_helps() {
    let broker = Moving::start(u32::MAX);
    let mut admin = broker.admin(400);
    let begun = Instant::now();
    let error = admin.delete_group("g").unwrap_err().to_string();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(
        error.contains("error 16") && error.contains("--connect-timeout-ms"),
        "{error}"
    );
}
