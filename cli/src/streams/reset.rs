//! `millstream streams reset`: what kafka-streams-application-reset does, with its options.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use millstream_streams::{default_state_dir, delete_local_state, local_state};

use crate::admin::offsets::{EARLIEST, LATEST};
use crate::admin::{Admin, Partition, error_name, now_ms};
use crate::client::ConnectArgs;
use crate::datetime::{parse_datetime, parse_duration};
use crate::error::{CliError, output};

/// How the topics end that a job makes for itself.
const INTERNAL: [&str; 2] = ["-repartition", "-changelog"];

/// Have a job begin anew: its offsets are moved, its internal topics deleted.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("target").args(["to_earliest", "to_latest", "to_offset", "to_datetime", "by_duration"])),
    after_help = "All instances of the job must have ended. The output topics are left as they are, and so is \
    local state on other machines, which is not used any more. Times without a zone are in UTC.\n\n\
    Examples:\n  \
    millstream streams reset --application-id word-count --dry-run\n  \
    millstream streams reset --application-id word-count --input-topics lines --to-latest"
)]
pub struct ResetArgs {
    /// The job's application id
    #[arg(long, value_name = "ID")]
    application_id: String,
    /// Source topics to begin anew in [default: all in which the job has committed offsets]
    #[arg(long, value_name = "TOPIC,…", value_delimiter = ',')]
    input_topics: Vec<String>,
    /// Internal topics to delete [default: all of the job's]
    #[arg(long, value_name = "TOPIC,…", value_delimiter = ',')]
    internal_topics: Vec<String>,
    /// Begin with the first record; this is the default
    #[arg(long)]
    to_earliest: bool,
    /// Begin with what comes from now on
    #[arg(long)]
    to_latest: bool,
    /// Begin at this offset of each partition, or at the nearer end of its log
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// Begin with the first record at or after this time: YYYY-MM-DDTHH:MM:SS.sss, with Z or ±HH:MM
    #[arg(long, value_name = "TIME")]
    to_datetime: Option<String>,
    /// Begin with the first record of the last span of time, e.g. P7D or PT1H30M
    #[arg(long, value_name = "DURATION")]
    by_duration: Option<String>,
    /// Where the job keeps local state on this machine, which is deleted; "" leaves it [default: as for jobs without state.dir]
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// What is to be done.
struct Plan {
    offsets: BTreeMap<Partition, i64>,
    internal: Vec<String>,
    /// Folders with the job's local state on this machine.
    local: Vec<PathBuf>,
    /// Positions in internal topics: one with the name of a deleted topic must not begin in the middle.
    forgotten: Vec<Partition>,
}

/// Runs the subcommand.
pub fn run(args: &ResetArgs) -> Result<(), CliError> {
    let id = &args.application_id;
    let mut admin = Admin::connect(&args.connect)?;
    let group = admin.describe_group(id)?;
    if !matches!(group.state.as_str(), "Empty" | "Dead") {
        return Err(CliError::new(format!(
            "the job {id} still has {} members ({}); stop all of its instances, and wait until the sessions of those that were \
             killed are over",
            group.members.len(),
            group.state
        )));
    }
    let plan = plan(args, &mut admin)?;
    if plan.offsets.is_empty() && plan.internal.is_empty() && plan.local.is_empty() {
        return Err(CliError::new(format!(
            "there is nothing of a job {id} on this cluster: neither offsets nor internal topics; check --application-id"
        )));
    }
    print(args, &plan)?;
    if args.dry_run {
        return Ok(());
    }
    // First: it is worth nothing without the changelogs, but would be taken for theirs if they were deleted and the rest failed.
    if let Some(directory) = state_dir(args) {
        delete_local_state(&directory, id).map_err(|error| CliError::new(error.to_string()))?;
    }
    admin.commit_offsets(id, &plan.offsets)?;
    if !plan.forgotten.is_empty() {
        let results = admin.delete_offsets(id, &plan.forgotten)?;
        if let Some((at, code)) = results.iter().find(|(_, code)| **code != 0) {
            return Err(CliError::new(format!(
                "the position of {id} in {}-{} cannot be deleted: {}; run the command again",
                at.0,
                at.1,
                error_name(*code)
            )));
        }
    }
    for topic in &plan.internal {
        admin.delete_topic(topic)?;
    }
    say("Done.")
}

/// Where the job may have local state.
fn state_dir(args: &ResetArgs) -> Option<PathBuf> {
    let directory = args.state_dir.clone().or_else(default_state_dir);
    directory.filter(|directory| !directory.as_os_str().is_empty())
}

fn plan(args: &ResetArgs, admin: &mut Admin) -> Result<Plan, CliError> {
    let topics = admin.topics()?;
    let names: BTreeSet<String> = topics
        .iter()
        .filter_map(|topic| Some(topic.name.as_ref()?.to_string()))
        .collect();
    let own = |topic: &str| is_internal(&args.application_id, topic);
    for topic in args.input_topics.iter().chain(&args.internal_topics) {
        if !names.contains(topic) {
            return Err(crate::topics::no_such_topic(topic));
        }
    }
    if let Some(foreign) = args.internal_topics.iter().find(|topic| !own(topic)) {
        return Err(CliError::new(format!(
            "--internal-topics: {foreign} is no internal topic of {0}; theirs are named {0}-…-repartition and {0}-…-changelog",
            args.application_id
        )));
    }
    let internal: Vec<String> = match args.internal_topics.is_empty() {
        true => names.iter().filter(|topic| own(topic)).cloned().collect(),
        false => args.internal_topics.clone(),
    };
    let committed = admin.committed_offsets(&args.application_id)?;
    let mut inputs: Vec<Partition> = Vec::new();
    if args.input_topics.is_empty() {
        let kept = committed
            .keys()
            .filter(|(topic, _)| !own(topic) && names.contains(topic));
        inputs.extend(kept.cloned());
    }
    for topic in &args.input_topics {
        let partitions = admin.partitions(topic)?;
        inputs.extend(partitions.into_iter().map(|partition| (topic.clone(), partition)));
    }
    let local = match state_dir(args) {
        Some(directory) => {
            local_state(&directory, &args.application_id).map_err(|error| CliError::new(error.to_string()))?
        }
        None => Vec::new(),
    };
    Ok(Plan {
        local,
        offsets: beginnings(args, admin, &inputs)?,
        forgotten: committed
            .into_keys()
            .filter(|(topic, _)| internal.contains(topic))
            .collect(),
        internal,
    })
}

/// Where the job is to begin in each partition.
fn beginnings(
    args: &ResetArgs,
    admin: &mut Admin,
    inputs: &[Partition],
) -> Result<BTreeMap<Partition, i64>, CliError> {
    let time = match (&args.to_datetime, &args.by_duration) {
        (Some(text), _) => {
            let time =
                parse_datetime(text).map_err(|reason| CliError::new(format!("--to-datetime: {reason}")))?;
            Some(time.max(0))
        }
        (None, Some(text)) => {
            let span =
                parse_duration(text).map_err(|reason| CliError::new(format!("--by-duration: {reason}")))?;
            Some(now_ms().saturating_sub(span).max(0))
        }
        (None, None) => None,
    };
    let ends = admin.list_offsets(inputs, LATEST)?;
    if args.to_latest {
        return Ok(ends);
    }
    let starts = admin.list_offsets(inputs, EARLIEST)?;
    if let Some(offset) = args.to_offset {
        let within = |(at, start): (Partition, i64)| {
            let end = ends.get(&at).copied().unwrap_or(start).max(start);
            (at, offset.clamp(start, end))
        };
        return Ok(starts.into_iter().map(within).collect());
    }
    let Some(time) = time else { return Ok(starts) };
    let mut found = admin.list_offsets(inputs, time)?;
    // No record is that late.
    for (at, offset) in found.iter_mut().filter(|(_, offset)| **offset < 0) {
        *offset = ends.get(at).copied().unwrap_or(0);
    }
    Ok(found)
}

fn is_internal(application_id: &str, topic: &str) -> bool {
    let rest = topic
        .strip_prefix(application_id)
        .and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| {
        INTERNAL
            .iter()
            .any(|end| rest.len() + 1 > end.len() && topic.ends_with(end))
    })
}

/// The plan, in the words of Kafka's tool.
fn print(args: &ResetArgs, plan: &Plan) -> Result<(), CliError> {
    if args.dry_run {
        say("----Dry run displays the actions which will be performed when running Streams Reset Tool----")?;
    }
    let inputs: BTreeSet<&str> = plan.offsets.keys().map(|(topic, _)| topic.as_str()).collect();
    let inputs: Vec<&str> = inputs.into_iter().collect();
    say(&format!("Reset-offsets for input topics [{}]", inputs.join(", ")))?;
    say(&format!(
        "Following input topics offsets will be reset to (for consumer group {})",
        args.application_id
    ))?;
    for ((topic, partition), offset) in &plan.offsets {
        say(&format!("Topic: {topic} Partition: {partition} Offset: {offset}"))?;
    }
    say(&format!(
        "Deleting internal topics [{}]",
        plan.internal.join(", ")
    ))?;
    for folder in &plan.local {
        say(&format!("Deleting local state in {}", folder.display()))?;
    }
    Ok(())
}

fn say(line: &str) -> Result<(), CliError> {
    writeln!(std::io::stdout().lock(), "{line}").map_err(output)
}

#[cfg(test)]
mod tests {
    use super::is_internal;

    #[test]
    fn internal_topics_have_the_jobs_name_and_a_step() {
        for own in [
            "app-counts-changelog",
            "app-counts-repartition",
            "app-a-b-changelog",
        ] {
            assert!(is_internal("app", own), "{own}");
        }
        for other in [
            "app-changelog",
            "application-counts-changelog",
            "app-counts",
            "other-counts-changelog",
        ] {
            assert!(!is_internal("app", other), "{other}");
        }
    }
}
