//! `millstream mysql`: look at servers whose changes are to be captured.

mod password;
mod url;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use millstream_connectors::mysql::check::{self, Finding, Intent, Severity};
use millstream_connectors::mysql::client::server::Facts;
use millstream_connectors::mysql::client::{Client, ClientError};
use millstream_connectors::mysql::config::{
    ConnectionConfig, Filters, Selection, TlsConfig, TlsMode, parse_patterns,
};
use millstream_connectors::mysql::schema::describe::Descriptions;

use self::url::ServerUrl;
use crate::error::{CliError, output};

/// Look at MySQL and MariaDB servers whose changes are to be captured.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct MysqlArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what a server, an account and tables lack, with the statements that mend it
    Check(CheckArgs),
}

/// Say what a server, an account and tables lack for their changes to be captured, with the statements that mend it.
///
/// Nothing is changed. Use the account that the connector will have.
#[derive(Debug, Args)]
#[command(
    after_help = "The password comes from the URL, or else from the environment variable MYSQL_PWD, or is asked for with \
    --password. Characters with a meaning in URLs are written as %XX.\n\n\
    Exit code: 0 when nothing but notes was found, 1 when something was, 2 when the server cannot be asked.\n\n\
    Examples:\n  \
    millstream mysql check mysql://debezium@db.internal --password\n  \
    MYSQL_PWD=… millstream mysql check mysql://debezium@db.internal:3306 --tables 'shop\\..*'\n  \
    millstream mysql check mysql://debezium@db.internal --ssl-mode verify-identity --ssl-ca ca.pem"
)]
struct CheckArgs {
    /// Where the server is: mysql://USER:PASSWORD@HOST:PORT, where password and port may be left out
    // Parsed later: an error of the command line would show its text, password and all.
    url: String,
    /// Ask for the password
    #[arg(long, short)]
    password: bool,
    /// Tables that will be captured, as in table.include.list: regular expressions for database.table
    #[arg(long, value_name = "REGEX,…")]
    tables: Option<String>,
    /// The connector's database.server.id
    #[arg(long, value_name = "ID")]
    server_id: Option<u32>,
    /// Only changes will be captured, not what is in tables already
    #[arg(long)]
    no_snapshot: bool,
    /// How much TLS has to promise
    #[arg(long, value_enum, default_value = "preferred", help_heading = "TLS")]
    ssl_mode: SslMode,
    /// Authorities that may sign the server's certificate, in PEM
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    ssl_ca: Option<PathBuf>,
    /// This client's certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "ssl_key", help_heading = "TLS")]
    ssl_cert: Option<PathBuf>,
    /// Its key, in PEM
    #[arg(long, value_name = "FILE", requires = "ssl_cert", help_heading = "TLS")]
    ssl_key: Option<PathBuf>,
    /// How long connecting, and each answer, may take
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SslMode {
    /// None
    Disabled,
    /// TLS where the server has it
    Preferred,
    /// TLS, whoever the server is
    Required,
    /// TLS, and a known authority signed the server's certificate
    VerifyCa,
    /// And it is for the host's name
    VerifyIdentity,
}

/// Runs the subcommand.
pub fn run(args: &MysqlArgs) -> Result<(), CliError> {
    let Action::Check(args) = &args.action;
    let filters = Filters {
        tables: match &args.tables {
            Some(list) => Selection::Include(
                parse_patterns(list).map_err(|error| CliError::new(format!("--tables: {error}")))?,
            ),
            None => Selection::All,
        },
        ..Filters::default()
    };
    let url: ServerUrl = args
        .url
        .parse()
        .map_err(|error| CliError::Unanswered(format!("the URL is none that can be used: {error}")))?;
    let config = connection(args, url)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(format!("cannot start: {error}")))?;
    let (facts, tables) = runtime
        .block_on(ask(&config, &filters))
        .map_err(|error| CliError::Unanswered(error.to_string()))?;
    let intent = Intent {
        server_id: args.server_id,
        snapshot: !args.no_snapshot,
        include_query: false,
    };
    let findings = check::check(&facts, &tables, intent);
    print(&config, &facts, &tables, &findings).map_err(output)?;
    let count = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => Ok(()),
        (errors, warnings) => {
            let counts = [counted(errors, "error"), counted(warnings, "warning")];
            Err(CliError::new(counts.join(", ")))
        }
    }
}

async fn ask(config: &ConnectionConfig, filters: &Filters) -> Result<(Facts, Descriptions), ClientError> {
    let mut client = Client::connect(config).await?;
    let asked = check::ask(&mut client, filters).await?;
    client.close().await;
    Ok(asked)
}

fn connection(args: &CheckArgs, url: ServerUrl) -> Result<ConnectionConfig, CliError> {
    let timeout = Duration::from_millis(args.timeout);
    let password = match (url.password, args.password) {
        (Some(password), _) => password,
        (None, true) => password::prompt(&format!("Password of {}: ", url.user))?,
        (None, false) => std::env::var("MYSQL_PWD").unwrap_or_default(),
    };
    Ok(ConnectionConfig {
        host: url.host,
        port: url.port,
        user: url.user,
        password,
        tls: TlsConfig {
            mode: match args.ssl_mode {
                SslMode::Disabled => TlsMode::Disabled,
                SslMode::Preferred => TlsMode::Preferred,
                SslMode::Required => TlsMode::Required,
                SslMode::VerifyCa => TlsMode::VerifyCa,
                SslMode::VerifyIdentity => TlsMode::VerifyIdentity,
            },
            ca: args.ssl_ca.clone(),
            identity: args.ssl_cert.clone().zip(args.ssl_key.clone()),
        },
        connect_timeout: timeout,
        query_timeout: timeout,
        initial_statements: Vec::new(),
    })
}

fn print(
    config: &ConnectionConfig,
    facts: &Facts,
    tables: &Descriptions,
    findings: &[Finding],
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let encrypted = if facts.encrypted {
        "encrypted"
    } else {
        "not encrypted"
    };
    writeln!(
        out,
        "{} {} at {}:{}, as {}, {encrypted}",
        facts.flavour, facts.version, config.host, config.port, facts.account
    )?;
    let count = tables.tables.len() + tables.unknown.len();
    writeln!(out, "{}", counted(count, "table"))?;
    for finding in findings {
        writeln!(out, "\n{:8} {}", finding.severity, finding.what)?;
        writeln!(out, "         {}", finding.why)?;
        for remedy in &finding.remedies {
            // Lines of a configuration file, and what has gaps, are no statements.
            let is_statement = !remedy.starts_with('[') && !remedy.contains('…');
            let end = if is_statement { ";" } else { "" };
            for line in remedy.lines() {
                writeln!(out, "         {line}{end}")?;
            }
        }
    }
    if findings.is_empty() {
        writeln!(out, "\nnothing is missing")?;
    }
    out.flush()
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
