//! Decodes a file of a binary log and says how fast, for measurements:  decode_binlog FILE [print]
//!
//! With `print`, every value is printed as text, too. Seconds are those of the processor.
use std::error::Error;

use bytes::Bytes;
use millstream_connectors::mysql::binlog::{Decoder, Event, Limits, MAGIC, Row};
use millstream_connectors::mysql::text;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("decode_binlog FILE [print]")?;
    let print = arguments.next().is_some_and(|word| word == "print");
    let log = Bytes::from(std::fs::read(&path)?);
    if log.get(..4) != Some(&MAGIC[..]) {
        return Err("not a binary log".into());
    }
    let start = processor_seconds()?;
    let (mut decoder, mut at) = (Decoder::new(&path, 4, Limits::default()), 4);
    let (mut events, mut rows, mut values, mut text_bytes) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut printed = String::new();
    while let Some(head) = log.get(at + 9..at + 13) {
        let length = u32::from_le_bytes(head.try_into()?) as usize;
        let end = at
            .checked_add(length)
            .filter(|end| *end <= log.len() && length > 0)
            .ok_or("the file ends early")?;
        decoder.push(log.slice(at..end));
        at = end;
        while let Some(event) = decoder.next()? {
            events += 1;
            let Event::Rows(mut of_event) = event else {
                continue;
            };
            let table = std::sync::Arc::clone(&of_event.table);
            let mut row = Row::default();
            while of_event.read_row(&mut row)? {
                rows += 1;
                values += (row.before.len() + row.after.len()) as u64;
                for (column, value) in table
                    .columns
                    .iter()
                    .zip(row.before.iter())
                    .chain(table.columns.iter().zip(&row.after))
                {
                    if print {
                        text::print(column, value, 1 << 26, &mut printed)?;
                        printed.push(',');
                    }
                }
                text_bytes += printed.len() as u64;
                printed.clear();
            }
        }
    }
    let seconds = processor_seconds()? - start;
    println!(
        "{} bytes, {events} events, {rows} rows, {values} values, {text_bytes} bytes of text",
        log.len()
    );
    println!(
        "{seconds:.3} s, {:.0} rows a second, {:.0} MB a second",
        rows as f64 / seconds,
        log.len() as f64 / seconds / 1e6
    );
    Ok(())
}

/// What this process has used of the processor.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = stat.split(' ').next().ok_or("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e9)
}
