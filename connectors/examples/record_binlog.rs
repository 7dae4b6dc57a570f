//! Makes records of a file of a binary log and says how fast, for measurements:  record_binlog FILE [json]
//!
//! The log has to have `binlog_row_metadata=FULL`. With `json`, keys and values are written by `JsonConverter` without schemas, too.
//! Seconds are those of the processor.
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{Converter, Registry};
use millstream_connect::record::Record;
use millstream_connectors::mysql::binlog::{Decoder, Event, Limits, MAGIC, Row, TableMap};
use millstream_connectors::mysql::config::{Filters, NameAdjustment, RecordConfig};
use millstream_connectors::mysql::record::{Connector, Moment, Origin, Records, TableRecords};
use millstream_connectors::mysql::schema::Table;

/// Records that are handed on at once.
const BATCH: usize = 2048;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("record_binlog FILE [json]")?;
    let json = arguments.next().is_some_and(|word| word == "json");
    let log = Bytes::from(std::fs::read(&path)?);
    if log.get(..4) != Some(&MAGIC[..]) {
        return Err("not a binary log".into());
    }
    let records = Records::new(settings(), Filters::default(), Connector::MySql);
    let mut sink = Sink::new(json)?;
    let start = processor_seconds()?;
    let (mut decoder, mut at) = (Decoder::new(&path, 4, Limits::default()), 4);
    let mut tables: HashMap<u64, (Arc<TableMap>, TableRecords)> = HashMap::new();
    let mut origin = Origin {
        file: "log.000001".into(),
        gtid: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:23".into()),
        thread: Some(7),
        ..Origin::default()
    };
    while let Some(head) = log.get(at + 9..at + 13) {
        let end = at + u32::from_le_bytes(head.try_into()?) as usize;
        decoder.push(log.slice(at..end));
        while let Some(event) = decoder.next()? {
            let Event::Rows(mut rows) = event else {
                continue;
            };
            let map = Arc::clone(&rows.table);
            let known = tables.get(&map.table_id);
            if known.is_none_or(|(known, _)| !Arc::ptr_eq(known, &map)) {
                let table = TableRecords::new(&Table::from_log(&map)?, &records)?;
                tables.insert(map.table_id, (Arc::clone(&map), table));
            }
            let table = &tables[&map.table_id].1;
            (origin.position, origin.row) = (at as u64, 0);
            let now = Moment::from_seconds(1_800_000_000);
            let mut row = Row::default();
            while rows.read_row(&mut row)? {
                let out = &mut sink.records;
                table.change(rows.change, &row.before, &row.after, &origin, None, now, out)?;
                origin.row += 1;
                if sink.records.len() >= BATCH {
                    sink.hand_on()?;
                }
            }
        }
        at = end;
    }
    sink.hand_on()?;
    let seconds = processor_seconds()? - start;
    let (records, bytes) = (sink.count, sink.bytes);
    println!(
        "{} bytes of log, {records} records, {bytes} bytes of JSON",
        log.len()
    );
    println!("{seconds:.3} s, {:.0} records a second", records as f64 / seconds);
    Ok(())
}

/// Takes records as a worker does.
struct Sink {
    records: Vec<Record>,
    converter: Option<Box<dyn Converter>>,
    text: Vec<u8>,
    count: u64,
    bytes: u64,
}

impl Sink {
    fn new(json: bool) -> Result<Self, Box<dyn Error>> {
        let config = ConfigMap::from([("schemas.enable".to_owned(), "false".to_owned())]);
        let plugin = Registry::built_in().converter("org.apache.kafka.connect.json.JsonConverter")?;
        Ok(Self {
            records: Vec::with_capacity(BATCH + 3),
            converter: json.then(|| plugin.new_converter(&config, false)).transpose()?,
            text: Vec::new(),
            count: 0,
            bytes: 0,
        })
    }

    fn hand_on(&mut self) -> Result<(), Box<dyn Error>> {
        self.count += self.records.len() as u64;
        for record in self.records.drain(..) {
            if let Some(converter) = &mut self.converter {
                self.text.clear();
                converter.encode(&record.topic, &record.key, &mut self.text)?;
                converter.encode(&record.topic, &record.value, &mut self.text)?;
                self.bytes += self.text.len() as u64;
            }
        }
        Ok(())
    }
}

/// What Debezium has where nothing is said.
fn settings() -> RecordConfig {
    RecordConfig {
        connector: "c".into(),
        prefix: "shop".into(),
        delimiter: ".".to_owned(),
        heartbeat_prefix: "__debezium-heartbeat".to_owned(),
        transaction_topic: "transaction".to_owned(),
        tombstones: true,
        decimals: Default::default(),
        times: Default::default(),
        unsigned_bigint: Default::default(),
        binary: Default::default(),
        schema_names: NameAdjustment::None,
        field_names: NameAdjustment::None,
        masks: Vec::new(),
        keys: Vec::new(),
        propagate_column_types: None,
        propagate_types: None,
        include_query: false,
        comments: false,
        transactions: false,
        schema_changes: true,
        placeholder: "__debezium_unavailable_value".into(),
        adjust_years: true,
        failures: Default::default(),
    }
}

/// What this process has used of the processor.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = stat.split(' ').next().ok_or("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e9)
}
