//! Reads from a server as root without a password, and says how fast, for measurements:
//!
//!   read_mysql PORT log FILE        the server's log from the beginning of FILE to its end
//!   read_mysql PORT rows SELECT     the rows of a statement
//!
//! Seconds are those of the processor, of this process alone.
use std::error::Error;
use std::time::Duration;

use millstream_connectors::mysql::binlog::Place;
use millstream_connectors::mysql::client::dump::replica_uuid;
use millstream_connectors::mysql::client::{Client, DumpRequest, DumpStart};
use millstream_connectors::mysql::config::{ConnectionConfig, TlsConfig, TlsMode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, what, of] = arguments.as_slice() else {
        return Err("read_mysql PORT log FILE | PORT rows SELECT".into());
    };
    let config = ConnectionConfig {
        host: "127.0.0.1".to_owned(),
        port: port.parse()?,
        user: "root".to_owned(),
        password: String::new(),
        tls: TlsConfig {
            mode: TlsMode::Disabled,
            ..TlsConfig::default()
        },
        connect_timeout: Duration::from_secs(30),
        query_timeout: Duration::ZERO,
        initial_statements: Vec::new(),
    };
    let mut client = Client::connect(&config).await?;
    let end = client.log_end().await?.place;
    let start = processor_seconds()?;
    let (mut count, mut bytes, mut cells) = (0_u64, 0_usize, 0_usize);
    if what == "log" {
        let request = DumpRequest {
            server_id: 4_000_000_001,
            replica_uuid: replica_uuid("read_mysql"),
            start: DumpStart::Place(Place {
                file: of.clone(),
                position: 4,
            }),
            heartbeat: Duration::from_secs(2),
            event_bytes_max: 1 << 30,
            statements: false,
        };
        let mut stream = client.dump(&request).await?;
        let mut file = of.clone();
        while let Some(event) = stream.next().await? {
            count += 1;
            bytes += event.len();
            let position = u32::from_le_bytes(event[13..17].try_into()?);
            // ROTATE
            if event[4] == 4 {
                file = String::from_utf8_lossy(&event[27..event.len() - 4]).into_owned();
            } else if file.starts_with(&end.file) && u64::from(position) >= end.position {
                break;
            }
        }
    } else {
        let mut rows = client.select_stream(of).await?;
        while let Some(row) = rows.next().await? {
            count += 1;
            bytes += row.byte_len();
            cells += row.cells().flatten().map(<[u8]>::len).sum::<usize>();
        }
    }
    let seconds = processor_seconds()? - start;
    println!(
        "{count} in {seconds:.2} s: {:.2} million a second, {:.0} MB/s; {cells} bytes in cells",
        count as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e6
    );
    Ok(())
}

/// What this process has used of the processor.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = stat.split(' ').next().ok_or("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e9)
}
