//! `millstream delete-records`: cuts off the beginnings of partitions, as `kafka-delete-records` does.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use crate::admin::{Admin, Partition};
use crate::client::ConnectArgs;
use crate::error::{CliError, output};

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Delete the records before an offset of each partition.
#[derive(Debug, Args)]
#[command(
    after_help = "The file names partitions and the first offset that stays; -1 deletes all there is:\n  \
    {\"partitions\": [{\"topic\": \"lines\", \"partition\": 0, \"offset\": 42}], \"version\": 1}\n\n\
    Examples:\n  \
    millstream delete-records --offset-json-file offsets.json"
)]
pub struct DeleteRecordsArgs {
    /// JSON file of partitions and offsets
    #[arg(long, value_name = "FILE")]
    offset_json_file: PathBuf,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// The file.
#[derive(Debug, Deserialize)]
struct OffsetFile {
    partitions: Vec<OffsetOf>,
    #[serde(default = "version_1")]
    version: i32,
}

#[derive(Debug, Deserialize)]
struct OffsetOf {
    topic: String,
    partition: i32,
    offset: i64,
}

const fn version_1() -> i32 {
    1
}

/// Runs the subcommand.
pub fn run(args: &DeleteRecordsArgs) -> Result<(), CliError> {
    let name = args.offset_json_file.display();
    let cannot = |reason: String| CliError::new(format!("--offset-json-file {name}: {reason}"));
    let length = std::fs::metadata(&args.offset_json_file)
        .map_err(|error| cannot(format!("{error}; name a readable file")))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(cannot(format!(
            "it has {length} bytes, more than {FILE_BYTES_MAX}; split it"
        )));
    }
    let text = std::fs::read_to_string(&args.offset_json_file)
        .map_err(|error| cannot(format!("{error}; name a readable file")))?;
    let before = parse(&text).map_err(cannot)?;
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").map_err(output);
    say("Executing records delete operation".into())?;
    let results = Admin::connect(&args.connect)?.delete_records(&before);
    say("Records delete operation completed:".into())?;
    let mut failed = 0;
    for ((topic, partition), result) in results {
        match result {
            Ok(low_watermark) => say(format!(
                "partition: {topic}-{partition}\tlow_watermark: {low_watermark}"
            ))?,
            Err(error) => {
                failed += 1;
                say(format!("partition: {topic}-{partition}\terror: {error}"))?;
            }
        }
    }
    if failed > 0 {
        return Err(CliError::new(format!(
            "records of {failed} of {} partitions were not deleted; see the lines above",
            before.len()
        )));
    }
    Ok(())
}

fn parse(text: &str) -> Result<BTreeMap<Partition, i64>, String> {
    const FORM: &str =
        "{\"partitions\": [{\"topic\": \"foo\", \"partition\": 1, \"offset\": 1}], \"version\": 1}";
    let file: OffsetFile = serde_json::from_str(text).map_err(|error| format!("{error}; give {FORM}"))?;
    if file.version != 1 {
        return Err(format!("version {} is not known; give {FORM}", file.version));
    }
    let mut before = BTreeMap::new();
    for one in file.partitions {
        if one.partition < 0 || one.offset < -1 {
            return Err(format!(
                "partition {} with offset {} of topic {}: partitions count from 0, offsets from -1",
                one.partition, one.offset, one.topic
            ));
        }
        let partition = (one.topic, one.partition);
        if before.contains_key(&partition) {
            return Err(format!(
                "partition {}-{} stands there twice; give it once",
                partition.0, partition.1
            ));
        }
        before.insert(partition, one.offset);
    }
    if before.is_empty() {
        return Err(format!("it names no partition; give {FORM}"));
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_partitions_once() {
        let one = r#"{"topic": "a", "partition": 1, "offset": -1}"#;
        let file = |parts: &str| parse(&format!("{{\"partitions\": [{parts}], \"version\": 1}}"));
        assert_eq!(file(one), Ok(BTreeMap::from([(("a".to_owned(), 1), -1)])));
        assert!(file(&format!("{one},{one}")).unwrap_err().contains("twice"));
        assert!(file("").unwrap_err().contains("names no partition"));
        assert!(file(r#"{"topic": "a", "partition": -1, "offset": 0}"#).is_err());
        assert!(parse("{").is_err());
        assert!(
            parse(r#"{"partitions": [], "version": 2}"#)
                .unwrap_err()
                .contains("version 2")
        );
    }
}
