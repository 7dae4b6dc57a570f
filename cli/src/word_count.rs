//! `millstream word-count`: real text, through a real log, counted by a real stream job.
//!
//! The way of a line: [`input`] reads it, [`load`] writes it to the lines topic, [`job`] is the stream job that turns
//! lines into counts, [`result`] reads the counts topic back and prints it. [`progress`] shows how far it is.

mod input;
mod job;
mod load;
mod progress;
mod result;
mod topics;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rdkafka::ClientConfig;

use self::input::Inputs;
use self::progress::Progress;
use self::topics::Admin;
use crate::client::ConnectCommonArgs;
use crate::embedded::EmbeddedBroker;
use crate::error::CliError;
use crate::stop::StopSignal;

/// Count the words of files or of standard input with a stream job.
///
/// The lines go to a topic, a stream job counts their words, and the counts are left in another topic. A word is a run
/// of letters, marks and digits (Unicode categories L, M and N), in lower case.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    millstream word-count /usr/share/common-licenses/GPL-3\n  \
    zcat *.gz | millstream word-count --top 5\n  \
    millstream word-count --data-dir ./data --output json book.txt\n  \
    millstream word-count --bootstrap-server 127.0.0.1:9092 book.txt")]
pub struct WordCountArgs {
    /// Files to count; none, or `-`, means standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How many of the most frequent words are printed
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// How the result is printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
    /// Keep the embedded broker's log, and so the counts, in this directory [default: a temporary one]
    #[arg(long, value_name = "DIR", conflicts_with = "bootstrap_server")]
    data_dir: Option<PathBuf>,
    /// Use this cluster instead of an embedded broker
    #[arg(
        long,
        visible_alias = "broker-list",
        value_name = "HOST:PORT,…",
        help_heading = "Connection"
    )]
    bootstrap_server: Option<String>,
    /// Name of the job, from which its topics are named [default: one of its own for every run]
    #[arg(long, value_name = "NAME")]
    application_id: Option<String>,
    /// Threads of the stream job
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    connect: ConnectCommonArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// A table for people.
    Table,
    /// One JSON object.
    Json,
}

/// Names that one run uses on the cluster.
#[derive(Debug)]
pub struct Names {
    /// The stream job's application id.
    pub application_id: String,
    /// The topic of the lines.
    pub lines: String,
    /// The topic of the counts.
    pub counts: String,
}

impl Names {
    fn new(application_id: Option<&str>) -> Self {
        let application_id = application_id.map_or_else(Self::unique, ToOwned::to_owned);
        Self {
            lines: format!("{application_id}-lines"),
            counts: format!("{application_id}-counts"),
            application_id,
        }
    }

    /// An id that no other run has: a job counts what it was given, not what an earlier one left behind.
    #[allow(
        clippy::disallowed_methods,
        reason = "a name, not a time that anything is decided by"
    )]
    fn unique() -> String {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        format!(
            "word-count-{:x}-{:x}",
            since_epoch.as_micros(),
            std::process::id()
        )
    }
}

/// Runs the subcommand.
pub fn run(args: &WordCountArgs) -> Result<(), CliError> {
    let started = Instant::now();
    let inputs = Inputs::open(&args.files)?;
    let stop = StopSignal::listen()?;
    let embedded = match args.bootstrap_server {
        Some(_) => None,
        None => Some(EmbeddedBroker::start(args.data_dir.as_deref(), &stop)?),
    };
    let bootstrap = match (&args.bootstrap_server, &embedded) {
        (Some(address), _) => address.clone(),
        (None, Some(broker)) => broker.bootstrap(),
        (None, None) => unreachable!("without an address there is an embedded broker"),
    };
    let counted = count(args, inputs, &bootstrap, &stop, started);
    let stopped = embedded.map_or(Ok(()), EmbeddedBroker::stop);
    let (summary, names) = counted?;
    stopped?;
    // Only a log that outlives this process is worth naming.
    let left_in =
        (args.data_dir.is_some() || args.bootstrap_server.is_some()).then_some(names.counts.as_str());
    summary.print(args.output == OutputFormat::Json, left_in)
}

/// Loads and counts on the cluster at `bootstrap`.
fn count(
    args: &WordCountArgs,
    inputs: Inputs,
    bootstrap: &str,
    stop: &StopSignal,
    started: Instant,
) -> Result<(result::Summary, Names), CliError> {
    let config = args.connect.client_config(bootstrap)?;
    args.connect.reach(bootstrap, &config, None)?;
    let loader = load::Loader::new(&config)?;
    let names = Names::new(args.application_id.as_deref());
    let admin = Admin::new(&config, args.connect.timeout().max(Duration::from_secs(10)))?;
    let partitions = args.threads;
    job::create_topics(&admin, &names, partitions)?;
    let progress = Progress::new(inputs.bytes_total(), args.quiet);
    let counted = run_job(args, inputs, &config, &loader, &names, bootstrap, &progress, stop);
    progress.finish();
    // Half a result is none: the next run may use the same names.
    let cleaned = job::delete_topics(&admin, &names, counted.is_ok());
    let (counts, loaded) = counted?;
    cleaned?;
    Ok((result::Summary::new(counts, loaded, args.top, started), names))
}

/// Starts the job, loads the lines, waits for their counts and stops the job.
#[allow(
    clippy::too_many_arguments,
    reason = "the parts of one run, each made by the caller"
)]
fn run_job(
    args: &WordCountArgs,
    inputs: Inputs,
    config: &ClientConfig,
    loader: &load::Loader,
    names: &Names,
    bootstrap: &str,
    progress: &Progress,
    stop: &StopSignal,
) -> Result<(HashMap<String, u64>, load::Loaded), CliError> {
    let job = job::Job::start(args, names, bootstrap)?;
    let work = || {
        let loaded = load::load(inputs, loader, &names.lines, args.threads, progress, stop, &job)?;
        job.finish(&loaded, progress, stop)?;
        Ok((result::read_counts(config, &names.counts)?, loaded))
    };
    let worked = work();
    let stopped = job.stop();
    match worked {
        // Whatever the stop says, the user asked for it.
        Err(CliError::Interrupted) => Err(CliError::Interrupted),
        // A job that failed says why when it stops, and that is the cause of the rest.
        worked => stopped.and(worked),
    }
}

/// The client configuration of the loader and of the reader of counts: bounded queues, no waiting on full ones.
fn bounded(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config
        .set("queue.buffering.max.kbytes", "65536")
        .set("queue.buffering.max.messages", "500000");
    config
}
