//! Runs a broker inside this process until standard input ends.
//!
//! `cargo run -p millstream-broker --example embedded -- /tmp/data 127.0.0.1:9092 [key=value …]`

use std::collections::BTreeMap;
use std::io::Read;

use millstream_broker::{Broker, config::BrokerConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let data_dir = arguments
        .next()
        .ok_or("the first argument is the data directory")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".into());
    let overrides: BTreeMap<String, String> = arguments
        .filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect();

    let mut config = BrokerConfig::default();
    for warning in config.apply_overrides(&overrides)? {
        eprintln!("{warning}");
    }
    let broker = Broker::builder()
        .data_dir(data_dir)
        .listener(address)
        .config(config)
        .start_blocking()?;
    eprintln!("bootstrap.servers={}", broker.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    broker.shutdown_blocking()?;
    Ok(())
}
