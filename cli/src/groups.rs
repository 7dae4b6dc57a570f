//! `millstream groups`: consumer groups, with the words and columns of `kafka-consumer-groups`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use clap::{ArgGroup, Args};

use crate::admin::offsets::{EARLIEST, LATEST};
use crate::admin::{Admin, Partition, error_name};
use crate::client::ConnectArgs;
use crate::error::{CliError, output};
use crate::table;

/// List, describe, delete and reset consumer groups.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("action").required(true).args(["list", "describe", "delete", "reset_offsets", "delete_offsets"])),
    group(ArgGroup::new("target").args(["to_earliest", "to_latest", "to_current", "to_offset", "shift_by"])),
    after_help = "Examples:\n  \
    millstream groups --list --state\n  \
    millstream groups --describe --group readers\n  \
    millstream groups --reset-offsets --group readers --topic lines --to-earliest --execute\n  \
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
    /// Commit the new offsets
    #[arg(long, conflicts_with = "dry_run")]
    execute: bool,
    /// Only print the new offsets; this is the default
    #[arg(long)]
    dry_run: bool,
    /// Print the new offsets as topic,partition,offset
    #[arg(long)]
    export: bool,
    /// Print tables as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the subcommand.
pub fn run(args: &GroupsArgs) -> Result<(), CliError> {
    let mut admin = Admin::connect(&args.connect)?;
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
    for group in &groups {
        if args.describe {
            describe(args, &mut admin, group)?;
        } else if args.delete {
            admin.delete_group(group)?;
            say(&format!(
                "Deletion of requested consumer groups ('{group}') was successful."
            ))?;
        } else if args.delete_offsets {
            delete_offsets(args, &mut admin, group)?;
        } else {
            reset(args, &mut admin, group)?;
        }
    }
    Ok(())
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

fn describe(args: &GroupsArgs, admin: &mut Admin, group: &str) -> Result<(), CliError> {
    let found = admin.describe_group(group)?;
    let committed = admin.committed_offsets(group)?;
    if found.state == "Dead" && committed.is_empty() {
        return Err(CliError::new(format!(
            "group {group} does not exist; `millstream groups --list` shows those that do"
        )));
    }
    if args.state {
        let coordinator = admin.brokers().get(&found.coordinator);
        let address = coordinator.map_or_else(|| "-".into(), |node| format!("{}:{}", node.host, node.port));
        let row = vec![
            found.id,
            format!("{address} ({})", found.coordinator),
            dash(&found.assignor),
            found.state,
            found.members.len().to_string(),
        ];
        let headers = [
            "GROUP",
            "COORDINATOR (ID)",
            "ASSIGNMENT-STRATEGY",
            "STATE",
            "#MEMBERS",
        ];
        return table::print(&headers, &[row], args.json);
    }
    if found.members.is_empty() {
        eprintln!("Consumer group '{group}' has no active members.");
    }
    if args.members {
        let mut headers = vec![
            "GROUP",
            "CONSUMER-ID",
            "GROUP-INSTANCE-ID",
            "HOST",
            "CLIENT-ID",
            "#PARTITIONS",
        ];
        if args.verbose {
            headers.push("ASSIGNMENT");
        }
        let rows: Vec<_> = found
            .members
            .iter()
            .map(|member| {
                let instance = member.instance_id.clone().unwrap_or_else(|| "-".into());
                let count = member.assignment.len().to_string();
                let shown = shown_assignment(&member.assignment);
                vec![
                    group.into(),
                    member.id.clone(),
                    instance,
                    member.host.clone(),
                    member.client_id.clone(),
                    count,
                    shown,
                ]
            })
            .map(|mut row| {
                row.truncate(headers.len());
                row
            })
            .collect();
        return table::print(&headers, &rows, args.json);
    }
    let mut owners = BTreeMap::new();
    for member in &found.members {
        for partition in &member.assignment {
            owners.insert(partition.clone(), member);
        }
    }
    let wanted: BTreeSet<Partition> = committed.keys().chain(owners.keys()).cloned().collect();
    let ends = admin.known_ends(&wanted.iter().cloned().collect::<Vec<_>>())?;
    let mut rows = Vec::new();
    for partition in wanted {
        let end = ends.get(&partition).copied().filter(|end| *end >= 0);
        let at = committed.get(&partition).copied();
        let owner = owners.get(&partition);
        let number = |value: Option<i64>| value.map_or_else(|| "-".into(), |value| value.to_string());
        rows.push(vec![
            group.into(),
            partition.0.clone(),
            partition.1.to_string(),
            number(at),
            number(end),
            number(at.zip(end).map(|(at, end)| end - at)),
            owner.map_or_else(|| "-".into(), |member| member.id.clone()),
            owner.map_or_else(|| "-".into(), |member| member.host.clone()),
            owner.map_or_else(|| "-".into(), |member| member.client_id.clone()),
        ]);
    }
    let headers = [
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ];
    table::print(&headers, &rows, args.json)
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

fn shown_assignment(partitions: &[Partition]) -> String {
    let topics = crate::admin::offsets::by_topic(partitions);
    let shown: Vec<_> = topics
        .into_iter()
        .map(|(topic, partitions)| {
            let numbers: Vec<_> = partitions.iter().map(ToString::to_string).collect();
            format!("{topic}({})", numbers.join(","))
        })
        .collect();
    dash(&shown.join(", "))
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

fn reset(args: &GroupsArgs, admin: &mut Admin, group: &str) -> Result<(), CliError> {
    let found = admin.describe_group(group)?;
    if !matches!(found.state.as_str(), "Empty" | "Dead") {
        return Err(CliError::new(format!(
            "offsets of group {group} can be reset only while nobody reads with it, but it is {}; stop its consumers",
            found.state
        )));
    }
    let partitions = selected(args, admin, group)?;
    let starts = admin.list_offsets(&partitions, EARLIEST)?;
    let ends = admin.list_offsets(&partitions, LATEST)?;
    let committed = admin.committed_offsets(group)?;
    let mut offsets = BTreeMap::new();
    for partition in partitions {
        let (start, end) = (starts[&partition], ends[&partition]);
        let current = committed.get(&partition).copied();
        let wanted = target(args, start, end, current).map_err(|reason| {
            CliError::new(format!(
                "{}-{} of group {group}: {reason}",
                partition.0, partition.1
            ))
        })?;
        offsets.insert(partition, wanted.clamp(start, end));
    }
    if args.execute {
        admin.commit_offsets(group, &offsets)?;
    }
    if args.export {
        return offsets
            .iter()
            .try_for_each(|((topic, partition), offset)| say(&format!("{topic},{partition},{offset}")));
    }
    let rows: Vec<_> = offsets
        .into_iter()
        .map(|((topic, partition), offset)| {
            vec![group.into(), topic, partition.to_string(), offset.to_string()]
        })
        .collect();
    table::print(&["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"], &rows, args.json)
}

fn target(args: &GroupsArgs, start: i64, end: i64, current: Option<i64>) -> Result<i64, String> {
    if args.to_earliest {
        return Ok(start);
    }
    if args.to_latest {
        return Ok(end);
    }
    if args.to_current {
        return Ok(current.unwrap_or(end));
    }
    if let Some(offset) = args.to_offset {
        return Ok(offset);
    }
    match (args.shift_by, current) {
        (Some(by), Some(current)) => Ok(current.saturating_add(by)),
        (Some(_), None) => Err("there is no committed offset to shift; use --to-offset".into()),
        (None, _) => {
            Err("where to? give --to-earliest, --to-latest, --to-current, --to-offset or --shift-by".into())
        }
    }
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

    #[test]
    fn assignments_are_shown_by_topic() {
        let all = [("a".to_owned(), 0), ("a".to_owned(), 1), ("b".to_owned(), 0)];
        assert_eq!(shown_assignment(&all), "a(0,1), b(0)");
        assert_eq!(shown_assignment(&[]), "-");
    }
}
