//! Logs of servers, as streams of their events.
use std::sync::Arc;
use std::time::Duration;

use millstream_connectors::mysql::binlog::{Decoder, Event, Limits, Place, Row, TableMap};
use millstream_connectors::mysql::client::{Client, DumpRequest, DumpStart, EventStream, compare_places};

use crate::servers::Server;

/// A replica with this number.
pub fn request(server_id: u32, start: DumpStart) -> DumpRequest {
    DumpRequest {
        server_id,
        replica_uuid: millstream_connectors::mysql::client::dump::replica_uuid(&server_id.to_string()),
        start,
        heartbeat: Duration::from_secs(5),
        event_bytes_max: 1 << 30,
        statements: false,
    }
}

pub async fn end(server: &Server) -> Place {
    server.root().await.log_end().await.unwrap().place
}

/// What a stream tells up to a place.
#[derive(Default)]
pub struct Told {
    pub events: usize,
    pub bytes: usize,
    pub rows: usize,
    pub transactions: usize,
    pub largest: usize,
    pub tables: Vec<Arc<TableMap>>,
}

pub async fn read_to(stream: &mut EventStream, start: &Place, end: &Place) -> Told {
    let mut decoder = Decoder::new(&start.file, start.position, Limits::default());
    let mut told = Told::default();
    loop {
        let event = stream.next().await.unwrap().expect("the stream goes on");
        told.events += 1;
        told.bytes += event.len();
        told.largest = told.largest.max(event.len());
        decoder.push(event);
        while let Some(event) = decoder.next().unwrap() {
            match event {
                Event::Rows(mut rows) => {
                    let mut row = Row::default();
                    while rows.read_row(&mut row).unwrap() {
                        told.rows += 1;
                    }
                }
                Event::Table(table) if !told.tables.iter().any(|own| own.table == table.table) => {
                    told.tables.push(table);
                }
                Event::Commit(_) => told.transactions += 1,
                _ => {}
            }
        }
        let at = Place {
            file: decoder.place().file.clone(),
            position: decoder.next_position(),
        };
        if compare_places(&at, end).is_ge() {
            return told;
        }
    }
}

/// All of a server's log so far from `start` on.
pub async fn read(server: &Server, server_id: u32, start: Place) -> Told {
    let end = end(server).await;
    let request = request(server_id, DumpStart::Place(start.clone()));
    let client = Client::connect(&server.config("root", "")).await.unwrap();
    let mut stream = client.dump(&request).await.unwrap();
    let told = read_to(&mut stream, &start, &end).await;
    stream.close().await;
    told
}
