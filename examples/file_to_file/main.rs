//! Runs the pipeline of this folder in this process, broker and worker included:
//! `cargo run --release -p millstream-examples --bin file_to_file examples/file_to_file`
//!
//! Run it again and nothing more happens; append rows to `orders.csv`, and the next run brings these alone.
use std::error::Error;

use millstream_broker::Broker;
use millstream_connect::config::{connector_file::ConnectorFile, properties};
use millstream_connect::plugin::Registry;
use millstream_connect::standalone::Standalone;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: file_to_file FOLDER")?;
    std::env::set_current_dir(&folder)?;
    let read = std::fs::read_to_string::<&str>;

    let broker = Broker::builder().data_dir("state/broker").listener("127.0.0.1:0");
    let broker = broker.start().await?;
    let plugins = millstream_connectors::register(Registry::built_in());
    let connect = Standalone::builder(plugins)
        .properties(properties::parse(&read("worker.properties")?)?)
        .property("bootstrap.servers", broker.address().to_string())
        .start()
        .await?;
    for file in ["source.properties", "sink.properties"] {
        let made = connect.create(ConnectorFile::parse(&read(file)?)?).await?;
        println!("{} runs", made.name);
    }
    connect.until_done().await?;
    if let Some(read) = connect.progress()?.progress {
        println!("{} bytes are read, {} of them before", read.done, read.before);
    }
    // What sinks have taken is on the disk once they are stopped.
    connect.stop().await?;
    broker.shutdown().await?;
    Ok(())
}
