//! `millstream groups --reset-offsets`: where a group goes on, by position, by time or from a file.

use std::collections::BTreeMap;
use std::path::Path;

use super::{GroupsArgs, say, selected};
use crate::admin::offsets::{EARLIEST, LATEST};
use crate::admin::{Admin, Partition, now_ms};
use crate::datetime::{parse_datetime, parse_duration};
use crate::error::CliError;
use crate::table;

/// Largest file of offsets.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// New offsets of groups.
type Plan = BTreeMap<String, BTreeMap<Partition, i64>>;

/// Plans, and with `--execute` commits, the new offsets of all groups.
pub fn reset(args: &GroupsArgs, admin: &mut Admin, groups: &[String]) -> Result<(), CliError> {
    if !args.execute && !args.dry_run {
        eprintln!("WARN: No action will be performed as the --execute option is missing; --dry-run says so.");
    }
    let from_file = match &args.from_file {
        Some(path) => Some(read_file(path, groups)?),
        None => None,
    };
    let mut plan = Plan::new();
    for group in groups {
        let found = admin.describe_group(group)?;
        if !matches!(found.state.as_str(), "Empty" | "Dead") {
            return Err(CliError::new(format!(
                "offsets of group {group} can be reset only while nobody reads with it, but it is {}; stop its consumers",
                found.state
            )));
        }
        let offsets = match &from_file {
            Some(file) => in_bounds(admin, file.get(group).cloned().unwrap_or_default())?,
            None => planned(args, admin, group)?,
        };
        plan.insert(group.clone(), offsets);
    }
    if args.execute {
        for (group, offsets) in plan.iter().filter(|(_, offsets)| !offsets.is_empty()) {
            admin.commit_offsets(group, offsets)?;
        }
    }
    print(args, &plan)
}

fn print(args: &GroupsArgs, plan: &Plan) -> Result<(), CliError> {
    let rows = plan.iter().flat_map(|(group, offsets)| {
        offsets
            .iter()
            .map(move |((topic, partition), offset)| (group, topic, partition, offset))
    });
    if args.export {
        // One group alone needs no name: its file may be read for another.
        return rows
            .into_iter()
            .try_for_each(|(group, topic, partition, offset)| {
                if plan.len() == 1 {
                    say(&format!("{topic},{partition},{offset}"))
                } else {
                    say(&format!("{group},{topic},{partition},{offset}"))
                }
            });
    }
    let rows: Vec<_> = rows
        .map(|(group, topic, partition, offset)| {
            vec![
                group.clone(),
                topic.clone(),
                partition.to_string(),
                offset.to_string(),
            ]
        })
        .collect();
    table::print(&["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"], &rows, args.json)
}

/// The new offsets of one group's selected partitions.
fn planned(args: &GroupsArgs, admin: &mut Admin, group: &str) -> Result<BTreeMap<Partition, i64>, CliError> {
    let time = time_of(args)?;
    let partitions = selected(args, admin, group)?;
    if args.to_earliest {
        return Ok(admin.list_offsets(&partitions, EARLIEST)?);
    }
    let ends = admin.list_offsets(&partitions, LATEST)?;
    if args.to_latest {
        return Ok(ends);
    }
    if let Some(time) = time {
        let mut found = admin.list_offsets(&partitions, time)?;
        for (partition, offset) in found.iter_mut().filter(|(_, offset)| **offset < 0) {
            eprintln!(
                "Warn: Partition {} from topic {} has no record that late. Falling back to latest known offset.",
                partition.1, partition.0
            );
            *offset = ends[partition];
        }
        return Ok(found);
    }
    let committed = admin.committed_offsets(group)?;
    let mut wanted = BTreeMap::new();
    for partition in partitions {
        let current = committed.get(&partition).copied();
        let offset = match (args.to_offset, args.shift_by, current) {
            (Some(offset), ..) => offset,
            (None, Some(by), Some(current)) => current.saturating_add(by),
            (None, Some(_), None) => {
                return Err(CliError::new(format!(
                    "{}-{} of group {group} has no committed offset to shift; use --to-offset",
                    partition.0, partition.1
                )));
            }
            (None, None, _) if args.to_current => current.unwrap_or(ends[&partition]),
            (None, None, _) => {
                return Err(CliError::new(
                    "where to? give --to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime, \
                     --by-duration or --from-file",
                ));
            }
        };
        wanted.insert(partition, offset);
    }
    if args.to_current {
        return Ok(wanted);
    }
    in_bounds(admin, wanted)
}

/// The time that `--to-datetime` or `--by-duration` means.
fn time_of(args: &GroupsArgs) -> Result<Option<i64>, CliError> {
    if let Some(text) = &args.to_datetime {
        let time =
            parse_datetime(text).map_err(|reason| CliError::new(format!("--to-datetime: {reason}")))?;
        if time < 0 {
            return Err(CliError::new(format!(
                "--to-datetime {text} is before 1970; use --to-earliest"
            )));
        }
        return Ok(Some(time));
    }
    let Some(text) = &args.by_duration else {
        return Ok(None);
    };
    let span = parse_duration(text).map_err(|reason| CliError::new(format!("--by-duration: {reason}")))?;
    Ok(Some(now_ms().saturating_sub(span).max(0)))
}

/// Moves offsets outside of a log to its nearer end.
fn in_bounds(
    admin: &mut Admin,
    mut wanted: BTreeMap<Partition, i64>,
) -> Result<BTreeMap<Partition, i64>, CliError> {
    let partitions: Vec<Partition> = wanted.keys().cloned().collect();
    let starts = admin.list_offsets(&partitions, EARLIEST)?;
    let ends = admin.list_offsets(&partitions, LATEST)?;
    for (partition, offset) in &mut wanted {
        let (start, end) = (starts[partition], ends[partition]);
        let kept = (*offset).clamp(start, end.max(start));
        if kept != *offset {
            let (relation, what) = if *offset < start {
                ("lower", "earliest")
            } else {
                ("higher", "latest")
            };
            eprintln!(
                "Warn: New offset ({offset}) is {relation} than {what} offset for topic partition {}-{}. Value will be set to {kept}",
                partition.0, partition.1
            );
            *offset = kept;
        }
    }
    Ok(wanted)
}

/// Reads `topic,partition,offset` lines, or `group,topic,partition,offset` ones.
fn read_file(path: &Path, groups: &[String]) -> Result<Plan, CliError> {
    let cannot = |reason: String| CliError::new(format!("--from-file {}: {reason}", path.display()));
    let length = std::fs::metadata(path)
        .map_err(|error| cannot(format!("{error}; name a readable file")))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(cannot(format!(
            "it has {length} bytes, more than {FILE_BYTES_MAX}; split it"
        )));
    }
    let text =
        std::fs::read_to_string(path).map_err(|error| cannot(format!("{error}; name a readable file")))?;
    parse_file(&text, groups).map_err(cannot)
}

fn parse_file(text: &str, groups: &[String]) -> Result<Plan, String> {
    let mut plan = Plan::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let wrong = || {
            format!(
                "line {}: give topic,partition,offset for one --group, or group,topic,partition,offset",
                index + 1
            )
        };
        let cells: Vec<&str> = line
            .split(',')
            .map(|cell| cell.trim().trim_matches('"'))
            .collect();
        let (group, topic, partition, offset) = match (cells.as_slice(), groups) {
            (&[topic, partition, offset], [group]) => (group.as_str(), topic, partition, offset),
            (&[group, topic, partition, offset], _) => (group, topic, partition, offset),
            _ => return Err(wrong()),
        };
        let partition: i32 = partition.parse().map_err(|_| wrong())?;
        let offset: i64 = offset.parse().map_err(|_| wrong())?;
        if partition < 0 || offset < 0 {
            return Err(wrong());
        }
        let offsets = plan.entry(group.to_owned()).or_default();
        offsets.insert((topic.to_owned(), partition), offset);
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_is_for_one_group_or_names_them() {
        let one = parse_file("a,0,5\n\"a\",1,7\n", &groups(&["g"])).unwrap();
        assert_eq!(
            one["g"],
            BTreeMap::from([(("a".into(), 0), 5), (("a".into(), 1), 7)])
        );
        let two = parse_file("g,a,0,5\nh,a,0,6\n", &groups(&["g", "h"])).unwrap();
        assert_eq!(two["h"], BTreeMap::from([(("a".into(), 0), 6)]));
        assert!(
            parse_file("a,0,5", &groups(&["g", "h"]))
                .unwrap_err()
                .contains("line 1")
        );
        assert!(
            parse_file("a,0,5\na,x,5", &groups(&["g"]))
                .unwrap_err()
                .contains("line 2")
        );
        assert!(parse_file("a,0,-5", &groups(&["g"])).is_err());
    }
}
