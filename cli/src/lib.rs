//! `millstream`: the one command line, as a library for programs that add connectors of their own.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! # use millstream_connectors::file::source::FileSource as MySource;
//! fn main() -> ExitCode {
//!     millstream::main(millstream::plugins().with_source(MySource))
//! }
//! ```
//!
//! One file a subcommand; each holds its arguments, its `--help` and its `run`. What several share stands in
//! `arguments` (Kafka's order of words), `client` (how to reach a cluster), `admin` (what librdkafka has no call
//! for), `datetime` (times and spans), `stop` (Ctrl-C), `delivery` (what became of sent records), `embedded` (a
//! broker inside the process) and `error` (one line with a remedy, and the exit code). The CLI decides nothing about
//! streams or logs: it parses, calls the crates, and prints.

mod admin;
mod arguments;
mod broker;
mod client;
mod configs;
mod connect;
mod consume;
mod datetime;
mod delete_records;
mod delivery;
mod embedded;
mod error;
mod groups;
mod log_dirs;
mod logging;
mod mysql;
mod offsets;
mod pages;
mod perf;
mod produce;
mod stop;
mod streams;
mod table;
mod topics;
mod transactions;
mod word_count;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use millstream_connect::plugin::Registry;

/// Streams and Connect in one binary, with an embedded broker that speaks the Kafka protocol.
#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        millstream word-count /usr/share/common-licenses/GPL-3\n  \
        millstream broker --data-dir /var/lib/millstream\n  \
        millstream topics --create --topic lines --partitions 4\n  \
        millstream produce --topic lines < some.txt\n  \
        millstream consume --topic lines --from-beginning --max-messages 10"
)]
struct Cli {
    #[command(flatten)]
    logging: logging::LoggingArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count the words of files or of standard input with a stream job.
    WordCount(word_count::WordCountArgs),
    /// Run a broker that Kafka clients can use.
    Broker(broker::BrokerArgs),
    /// Create, list, describe, change and delete topics.
    Topics(topics::TopicsArgs),
    /// List, describe, delete and reset consumer groups.
    Groups(groups::GroupsArgs),
    /// Describe and change settings of topics and brokers.
    Configs(configs::ConfigsArgs),
    /// List, describe and abort transactions.
    Transactions(transactions::TransactionsArgs),
    /// Print offsets of partitions: their ends, their starts, or by time.
    #[command(visible_alias = "get-offsets")]
    Offsets(offsets::OffsetsArgs),
    /// Delete the records before an offset of each partition.
    DeleteRecords(delete_records::DeleteRecordsArgs),
    /// Print the log directories of brokers and the sizes of partitions in them.
    LogDirs(log_dirs::LogDirsArgs),
    /// Look after stream jobs.
    Streams(streams::StreamsArgs),
    /// Run a worker of Connect, and look after connectors.
    Connect(connect::ConnectArgs),
    /// Look at MySQL and MariaDB servers whose changes are to be captured.
    Mysql(mysql::MysqlArgs),
    /// Write lines of standard input to a topic.
    Produce(produce::ProduceArgs),
    /// Print the records of a topic.
    Consume(consume::ConsumeArgs),
    /// Measure how fast a cluster is.
    Perf(perf::PerfArgs),
}

/// The plugins of `millstream` itself: Kafka Connect's converters, transforms and predicates, and the connectors for files.
#[must_use]
pub fn plugins() -> Registry {
    millstream_connectors::register(Registry::built_in())
}

/// Does what the command line of this process says; workers of Connect have these plugins.
pub fn main(plugins: Registry) -> ExitCode {
    let cli = Cli::parse_from(arguments::accept_kafka_order(std::env::args_os().collect()));
    let started = match &cli.command {
        Command::Broker(_) => cli.logging.start("info"),
        Command::Connect(args) => cli.logging.start_adjustable(args.default_level()),
        _ => cli.logging.start("warn"),
    };
    let result = started.and_then(|()| match cli.command {
        Command::WordCount(args) => word_count::run(&args),
        Command::Broker(args) => broker::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::Groups(args) => groups::run(&args),
        Command::Configs(args) => configs::run(&args),
        Command::Transactions(args) => transactions::run(&args),
        Command::Offsets(args) => offsets::run(&args),
        Command::DeleteRecords(args) => delete_records::run(&args),
        Command::LogDirs(args) => log_dirs::run(&args),
        Command::Streams(args) => streams::run(&args),
        Command::Connect(args) => connect::run(&args, plugins),
        Command::Mysql(args) => mysql::run(&args),
        Command::Produce(args) => produce::run(&args),
        Command::Consume(args) => consume::run(&args),
        Command::Perf(args) => perf::run(&args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
