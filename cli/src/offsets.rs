//! `millstream offsets`: where partitions begin and end, and what stands where in time, as `kafka-get-offsets` prints it.

use std::collections::BTreeSet;
use std::io::Write;

use clap::Args;

use crate::admin::offsets::{EARLIEST, LATEST};
use crate::admin::{Admin, Partition};
use crate::client::ConnectArgs;
use crate::error::{CliError, output};
use crate::topics::select::{Names, is_internal, name};

/// Print offsets of partitions: their ends, their starts, or by time.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints topic:partition:offset; partitions without such an offset are left out.\n\n\
    Examples:\n  \
    millstream offsets --topic lines\n  \
    millstream offsets --topic lines --time earliest\n  \
    millstream offsets --topic-partitions lines:0,pairs:2-,logs.*:0-4 --time 1767225600000"
)]
pub struct OffsetsArgs {
    /// Only these topics [default: all]
    #[arg(long, value_name = "REGEX")]
    topic: Option<String>,
    /// Only these partitions
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<i32>,
    /// Only these: TOPIC, TOPIC:N, TOPIC:FROM-, TOPIC:-TO or TOPIC:FROM-TO (without TO), comma-separated
    #[arg(long, value_name = "TOPIC:N,…", conflicts_with_all = ["topic", "partitions"])]
    topic_partitions: Option<String>,
    /// Milliseconds since 1970, or -1 (latest), -2 (earliest), -3 (max-timestamp), -4 (earliest-local), -5 (latest-tiered),
    /// -6 (earliest-pending-upload)
    #[arg(long, value_name = "TIME", default_value = "latest", allow_hyphen_values = true, value_parser = parse_time)]
    time: i64,
    /// Leave out the broker's own topics, whose names begin with two underscores
    #[arg(long)]
    exclude_internal_topics: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

fn parse_time(text: &str) -> Result<i64, String> {
    match text {
        "latest" => Ok(LATEST),
        "earliest" => Ok(EARLIEST),
        "max-timestamp" => Ok(-3),
        "earliest-local" => Ok(-4),
        "latest-tiered" => Ok(-5),
        "earliest-pending-upload" => Ok(-6),
        _ => match text.parse() {
            Ok(time) if time >= -6 => Ok(time),
            _ => Err("give milliseconds since 1970, a number from -6 to -1, or one of their names".into()),
        },
    }
}

/// One part of `--topic-partitions`: topics, and which of their partitions.
#[derive(Debug)]
struct Part {
    names: Names,
    from: i32,
    to: i32,
}

impl Part {
    fn new(text: &str) -> Result<Self, CliError> {
        let wrong = || {
            CliError::new(format!(
                "--topic-partitions {text}: give TOPIC, TOPIC:N, TOPIC:FROM-, TOPIC:-TO or TOPIC:FROM-TO"
            ))
        };
        let number = |digits: &str, default: i32| match digits {
            "" => Ok(default),
            _ => digits
                .parse::<i32>()
                .ok()
                .filter(|one| *one >= 0)
                .ok_or_else(wrong),
        };
        let (topic, range) = text.split_once(':').unwrap_or((text, ""));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from, 0)?, number(to, i32::MAX)?),
            None if range.is_empty() => (0, i32::MAX),
            None => {
                let one = number(range, 0)?;
                (one, one.checked_add(1).ok_or_else(wrong)?)
            }
        };
        Ok(Self {
            names: Names::new(if topic.is_empty() { ".*" } else { topic })?,
            from,
            to,
        })
    }
}

/// Runs the subcommand.
pub fn run(args: &OffsetsArgs) -> Result<(), CliError> {
    let parts = match (&args.topic_partitions, &args.topic) {
        (Some(text), _) => text.split(',').map(Part::new).collect::<Result<Vec<_>, _>>()?,
        (None, topic) => {
            let names = Names::new(topic.as_deref().unwrap_or(".*"))?;
            vec![Part {
                names,
                from: 0,
                to: i32::MAX,
            }]
        }
    };
    let mut admin = Admin::connect(&args.connect)?;
    let mut wanted: BTreeSet<Partition> = BTreeSet::new();
    for topic in admin.topics()? {
        if args.exclude_internal_topics && is_internal(&topic) {
            continue;
        }
        for partition in &topic.partitions {
            let number = partition.partition_index;
            let by_part = parts
                .iter()
                .any(|part| (part.from..part.to).contains(&number) && part.names.matches(name(&topic)));
            if !by_part || !(args.partitions.is_empty() || args.partitions.contains(&number)) {
                continue;
            }
            if partition.leader_id.0 < 0 {
                eprintln!(
                    "Skip getting offsets for topic-partition {}-{number} since it does not have a leader right now.",
                    name(&topic)
                );
                continue;
            }
            wanted.insert((name(&topic).to_owned(), number));
        }
    }
    if wanted.is_empty() {
        return Err(CliError::new(
            "no partition matches --topic, --partitions or --topic-partitions; `millstream topics list` shows the topics that exist",
        ));
    }
    let wanted: Vec<Partition> = wanted.into_iter().collect();
    let found = admin.list_offsets(&wanted, args.time)?;
    let mut out = std::io::stdout().lock();
    for ((topic, partition), offset) in found {
        if offset >= 0 {
            writeln!(out, "{topic}:{partition}:{offset}").map_err(output)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_names_and_numbers() {
        assert_eq!(parse_time("latest"), Ok(-1));
        assert_eq!(parse_time("-3"), Ok(-3));
        assert_eq!(parse_time("1767225600000"), Ok(1_767_225_600_000));
        assert!(parse_time("-7").is_err());
        assert!(parse_time("yesterday").is_err());
    }

    #[test]
    fn parts_name_partitions_as_kafka_has_them() {
        let range = |text| {
            let part = Part::new(text).unwrap();
            (part.from, part.to)
        };
        assert_eq!(range("a"), (0, i32::MAX));
        assert_eq!(range("a:2"), (2, 3));
        assert_eq!(range("a:2-"), (2, i32::MAX));
        assert_eq!(range("a:-3"), (0, 3));
        assert_eq!(range("a:0-3"), (0, 3));
        assert!(Part::new(":1").unwrap().names.matches("any"));
        assert!(Part::new("a:x").is_err());
    }
}
