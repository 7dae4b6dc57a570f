//! `millstream groups`: consumer groups, with the words and columns of `kafka-consumer-groups`.

mod describe;
mod reset;

use std::io::Write;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::admin::{Admin, Partition, error_name};
use crate::client::ConnectArgs;
use crate::error::{CliError, output};
use crate::table;

/// List, describe, delete and reset consumer groups.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("action").required(true).args(["list", "describe", "delete", "reset_offsets", "delete_offsets"])),
    group(ArgGroup::new("target").args(["to_earliest", "to_latest", "to_current", "to_offset", "shift_by", "to_datetime", "by_duration", "from_file"])),
    after_help = "Offsets are reset only of groups that nobody reads with; times without a zone are in UTC.\n\n\
    Examples:\n  \
    millstream groups --list --state\n  \
    millstream groups --describe --group readers\n  \
    millstream groups --reset-offsets --group readers --topic lines --to-earliest --execute\n  \
    millstream groups --reset-offsets --group readers --topic lines:0,1 --by-duration PT1H --dry-run\n  \
    millstream groups --reset-offsets --group readers --all-topics --to-current --export > offsets.csv\n  \
    millstream groups --reset-offsets --group readers --from-file offsets.csv --execute\n  \
    millstream groups --delete-offsets --group readers --topic lines\n  \
    millstream groups --delete --group readers"
)]
pub struct GroupsArgs {
    /// Print the names of all groups
    #[arg(long)]
    list: bool,
    /// Print offsets and lag, or with --members or --state those
    #[arg(long)]
    describe: bool,
    /// Delete groups that have no members
    #[arg(long)]
    delete: bool,
    /// Move the committed offsets of a group without members
    #[arg(long)]
    reset_offsets: bool,
    /// Forget the committed offsets of a topic
    #[arg(long)]
    delete_offsets: bool,
    /// Name of the group (may be repeated)
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Every group
    #[arg(long, conflicts_with = "group")]
    all_groups: bool,
    /// A topic, or TOPIC:0,1 for some of its partitions (may be repeated)
    #[arg(long, value_name = "TOPIC[:N,…]")]
    topic: Vec<String>,
    /// Every topic that the group has offsets in
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    /// Describe the members
    #[arg(long, conflicts_with = "state")]
    members: bool,
    /// Describe offsets; this is the default
    #[arg(long, conflicts_with_all = ["members", "state"])]
    offsets: bool,
    /// Describe or list states
    #[arg(long)]
    state: bool,
    /// Say what each member reads
    #[arg(long)]
    verbose: bool,
    /// Reset to the start of the log
    #[arg(long)]
    to_earliest: bool,
    /// Reset to the end of the log
    #[arg(long)]
    to_latest: bool,
    /// Reset to the committed offsets
    #[arg(long)]
    to_current: bool,
    /// Reset to this offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// Move forward, or back when negative
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// Reset to the first record at or after this time: YYYY-MM-DDTHH:MM:SS.sss, with Z or ±HH:MM
    #[arg(long, value_name = "TIME")]
    to_datetime: Option<String>,
    /// Reset to the first record of the last span of time, e.g. P7D or PT1H30M
    #[arg(long, value_name = "DURATION")]
    by_duration: Option<String>,
    /// Reset to the offsets that --export printed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["topic", "all_topics"])]
    from_file: Option<PathBuf>,
    /// Commit the new offsets
    #[arg(long, conflicts_with = "dry_run")]
    execute: bool,
    /// Only print the new offsets; this is the default
    #[arg(long)]
    dry_run: bool,
    /// Print the new offsets as topic,partition,offset
    #[arg(long)]
    export: bool,
    /// How long each request may take, in milliseconds [default: --connect-timeout-ms]
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    /// Print tables as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the subcommand.
pub fn run(args: &GroupsArgs) -> Result<(), CliError> {
    let mut connect = args.connect.clone();
    connect.common.connect_timeout_ms = args.timeout.unwrap_or(connect.common.connect_timeout_ms);
    let mut admin = Admin::connect(&connect)?;
    if args.list {
        return list(args, &mut admin);
    }
    let groups = if args.all_groups {
        admin.list_groups()?.into_iter().map(|group| group.id).collect()
    } else {
        args.group.clone()
    };
    if groups.is_empty() && !args.all_groups {
        return Err(CliError::new("which group? give --group NAME or --all-groups"));
    }
    if args.reset_offsets {
        return reset::reset(args, &mut admin, &groups);
    }
    if args.delete {
        return delete(&mut admin, &groups);
    }
    for group in &groups {
        if args.describe {
            describe::describe(args, &mut admin, group)?;
        } else {
            delete_offsets(args, &mut admin, group)?;
        }
    }
    Ok(())
}

/// Deletes all that can be; says which could and why others could not.
fn delete(admin: &mut Admin, groups: &[String]) -> Result<(), CliError> {
    let mut deleted = Vec::new();
    let mut failed = Vec::new();
    for group in groups {
        match admin.delete_group(group) {
            Ok(()) => deleted.push(format!("'{group}'")),
            Err(error) => failed.push(format!("* Group '{group}' could not be deleted due to: {error}")),
        }
    }
    if failed.is_empty() {
        return say(&format!(
            "Deletion of requested consumer groups ({}) was successful.",
            deleted.join(", ")
        ));
    }
    if !deleted.is_empty() {
        say(&format!(
            "These consumer groups were deleted successfully: {}",
            deleted.join(", ")
        ))?;
    }
    Err(CliError::new(format!(
        "Deletion of some consumer groups failed: {}",
        failed.join(" ")
    )))
}

fn say(line: &str) -> Result<(), CliError> {
    writeln!(std::io::stdout(), "{line}").map_err(output)
}

fn list(args: &GroupsArgs, admin: &mut Admin) -> Result<(), CliError> {
    let groups = admin.list_groups()?;
    if args.state || args.json {
        let rows: Vec<_> = groups
            .into_iter()
            .map(|group| vec![group.id, group.state])
            .collect();
        return table::print(&["GROUP", "STATE"], &rows, args.json);
    }
    groups.iter().try_for_each(|group| say(&group.id))
}

/// The partitions that `--topic` or `--all-topics` names.
fn selected(args: &GroupsArgs, admin: &mut Admin, group: &str) -> Result<Vec<Partition>, CliError> {
    if args.all_topics {
        return Ok(admin.committed_offsets(group)?.into_keys().collect());
    }
    if args.topic.is_empty() {
        return Err(CliError::new("which topic? give --topic TOPIC or --all-topics"));
    }
    let mut all = Vec::new();
    for text in &args.topic {
        let (topic, partitions) = parse_topic(text)?;
        let there = admin.partitions(&topic)?;
        for partition in partitions.unwrap_or_else(|| there.clone()) {
            if !there.contains(&partition) {
                return Err(CliError::new(format!(
                    "topic {topic} has no partition {partition}; it has {} counted from 0",
                    there.len()
                )));
            }
            all.push((topic.clone(), partition));
        }
    }
    Ok(all)
}

fn parse_topic(text: &str) -> Result<(String, Option<Vec<i32>>), CliError> {
    let Some((topic, numbers)) = text.split_once(':') else {
        return Ok((text.into(), None));
    };
    let partitions: Result<Vec<i32>, _> = numbers.split(',').map(str::parse).collect();
    let partitions =
        partitions.map_err(|_| CliError::new(format!("--topic {text}: give TOPIC or TOPIC:0,1")))?;
    Ok((topic.into(), Some(partitions)))
}

fn delete_offsets(args: &GroupsArgs, admin: &mut Admin, group: &str) -> Result<(), CliError> {
    let partitions = selected(args, admin, group)?;
    let results = admin.delete_offsets(group, &partitions)?;
    let failed = results.values().filter(|code| **code != 0).count();
    if failed == 0 && !args.json {
        say(&format!(
            "Request succeeded for deleting offsets from group {group}."
        ))?;
    }
    let rows: Vec<_> = results
        .into_iter()
        .map(|((topic, partition), code)| {
            let status = if code == 0 {
                "Successful".into()
            } else {
                error_name(code)
            };
            vec![topic, partition.to_string(), status]
        })
        .collect();
    table::print(&["TOPIC", "PARTITION", "STATUS"], &rows, args.json)?;
    if failed > 0 {
        return Err(CliError::new(format!(
            "{failed} offsets of group {group} were not deleted; stop the consumers that subscribe to the topic"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_may_name_partitions() {
        assert_eq!(parse_topic("a").unwrap(), ("a".into(), None));
        assert_eq!(parse_topic("a:0,2").unwrap(), ("a".into(), Some(vec![0, 2])));
        assert!(parse_topic("a:x").unwrap_err().to_string().contains("TOPIC:0,1"));
    }
}
