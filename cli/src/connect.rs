//! `millstream connect`: run a worker of Connect, and look after connectors over its REST API.

mod api;
mod distributed;
mod offsets;
mod progress;
mod standalone;
mod status;
mod submit;

use clap::{Args, Subcommand, ValueEnum};
use millstream_connect::plugin::Registry;

use self::api::Api;
use crate::error::CliError;

/// Run a worker of Connect, and look after connectors.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "All but standalone and distributed speak to a worker's REST API, ours or Kafka Connect's.\n\n\
    Examples:\n  \
    millstream connect standalone worker.properties source.properties sink.json\n  \
    millstream connect standalone worker.properties source.properties --embedded-broker\n  \
    millstream connect standalone worker.properties load.properties --exit-when-done\n  \
    millstream connect distributed worker.properties\n  \
    millstream connect validate source.properties\n  \
    millstream connect create source.properties\n  \
    millstream connect list\n  \
    millstream connect status lines --output json\n  \
    millstream connect restart lines --include-tasks --only-failed\n  \
    millstream connect offsets lines --reset"
)]
pub struct ConnectArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run a worker that keeps connectors in memory
    Standalone(standalone::StandaloneArgs),
    /// Run a worker of a group that shares connectors
    Distributed(distributed::DistributedArgs),
    /// Print connectors and what they are doing
    List(ApiArgs),
    /// Make connectors from property or JSON files
    Create(submit::CreateArgs),
    /// Check the files of connectors without making any
    Validate(submit::ValidateArgs),
    /// Print what connectors and their tasks are doing
    Status(NamesArgs),
    /// Print the configuration of connectors
    Config(NamesArgs),
    /// Have connectors wait, with their tasks
    Pause(NamesArgs),
    /// Have paused or stopped connectors go on
    Resume(NamesArgs),
    /// Stop connectors and all their tasks; they stay known
    Stop(NamesArgs),
    /// Start connectors or their tasks again
    Restart(status::RestartArgs),
    /// Stop connectors and forget them
    Delete(status::DeleteArgs),
    /// Print the plugins of a worker
    Plugins(status::PluginsArgs),
    /// Print, set or forget the offsets of a connector
    Offsets(offsets::OffsetsArgs),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Columns for people.
    Table,
    /// What the worker answered.
    Json,
}

/// Which worker, and how results look.
#[derive(Debug, Clone, Args)]
struct ApiArgs {
    /// Where the worker's REST API is
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://localhost:8083",
        help_heading = "Connection"
    )]
    url: String,
    /// How long an answer may take, in milliseconds
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 100_000,
        help_heading = "Connection"
    )]
    timeout_ms: u64,
    /// How results are printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

impl ApiArgs {
    fn api(&self) -> Api {
        Api::new(&self.url, self.timeout_ms)
    }

    fn json(&self) -> bool {
        self.output == Output::Json
    }
}

/// Connectors by name.
#[derive(Debug, Args)]
struct NamesArgs {
    /// Names of connectors
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    api: ApiArgs,
}

impl ConnectArgs {
    /// The level of logs that fits: a worker says what it does.
    pub const fn default_level(&self) -> &'static str {
        match &self.action {
            Action::Standalone(args) => args.default_level(),
            Action::Distributed(_) => "info",
            _ => "warn",
        }
    }
}

/// Runs the subcommand; a worker has these plugins.
pub fn run(args: &ConnectArgs, plugins: Registry) -> Result<(), CliError> {
    match &args.action {
        Action::Standalone(args) => standalone::run(args, plugins),
        Action::Distributed(args) => distributed::run(args, plugins),
        Action::List(args) => status::list(args),
        Action::Create(args) => submit::create(args),
        Action::Validate(args) => submit::validate(args),
        Action::Status(args) => status::status(args),
        Action::Config(args) => status::config(args),
        Action::Pause(args) => status::act(args, "pause", "paused"),
        Action::Resume(args) => status::act(args, "resume", "resumed"),
        Action::Stop(args) => status::act(args, "stop", "stopped"),
        Action::Restart(args) => status::restart(args),
        Action::Delete(args) => status::delete(args),
        Action::Plugins(args) => status::plugins(args),
        Action::Offsets(args) => offsets::run(args),
    }
}
