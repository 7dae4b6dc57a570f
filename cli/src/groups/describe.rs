//! `millstream groups --describe`: offsets and lag, members, or the state of a group.

use std::collections::{BTreeMap, BTreeSet};

use super::GroupsArgs;
use crate::admin::groups::DescribedGroup;
use crate::admin::{Admin, Partition};
use crate::error::CliError;
use crate::table;

/// Prints one group.
pub fn describe(args: &GroupsArgs, admin: &mut Admin, group: &str) -> Result<(), CliError> {
    let found = admin.describe_group(group)?;
    let committed = admin.committed_offsets(group)?;
    if found.state == "Dead" && committed.is_empty() {
        return Err(CliError::new(format!(
            "group {group} does not exist; `millstream groups --list` shows those that do"
        )));
    }
    if args.state {
        return state(args, admin, found);
    }
    if found.members.is_empty() {
        eprintln!("Consumer group '{group}' has no active members.");
    }
    if args.members {
        return members(args, &found);
    }
    offsets(args, admin, &found, &committed)
}

fn state(args: &GroupsArgs, admin: &Admin, found: DescribedGroup) -> Result<(), CliError> {
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
    table::print(&headers, &[row], args.json)
}

fn members(args: &GroupsArgs, found: &DescribedGroup) -> Result<(), CliError> {
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
                found.id.clone(),
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
    table::print(&headers, &rows, args.json)
}

fn offsets(
    args: &GroupsArgs,
    admin: &mut Admin,
    found: &DescribedGroup,
    committed: &BTreeMap<Partition, i64>,
) -> Result<(), CliError> {
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
            found.id.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_shown_by_topic() {
        let all = [("a".to_owned(), 0), ("a".to_owned(), 1), ("b".to_owned(), 0)];
        assert_eq!(shown_assignment(&all), "a(0,1), b(0)");
        assert_eq!(shown_assignment(&[]), "-");
    }
}
