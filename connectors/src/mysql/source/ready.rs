//! Whether a server can be read, asked before anything is read of it: what is wrong is said at once, with the statements that mend it.
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{ErrorKind, Validated};

use super::error::SourceError;
use crate::mysql::check::{self, Finding, Intent, Severity};
use crate::mysql::client::server::Flavour;
use crate::mysql::client::{Client, ClientError};
use crate::mysql::config::{self, SourceConfig};

/// Fails with all that stands against reading, and logs what else is not as it should be. Where tables are going to be read (`snapshot`), they
/// are looked at, too; a source that goes on with changes alone is not held up by asking for all of them.
pub(super) async fn ready(config: &SourceConfig, snapshot: bool) -> Result<(), SourceError> {
    let mut client = Client::connect(&config.connection).await?;
    let intent = Intent {
        snapshot,
        ..Intent::from(config)
    };
    let findings = match snapshot {
        true => {
            let (facts, tables) = check::ask(&mut client, &config.filters).await?;
            check::check(&facts, &tables, intent)
        }
        false => check::check_server(&client.facts().await?, intent),
    };
    client.close().await;
    for finding in &findings {
        match finding.severity {
            Severity::Error => {}
            Severity::Warning => tracing::warn!("{finding}"),
            Severity::Note => tracing::info!("{finding}"),
        }
    }
    match check::failure(&findings) {
        None => Ok(()),
        Some(error) => Err(SourceError::Server(error.to_string())),
    }
}

/// Adds what the server says to a configuration that is right in itself. A server that cannot be asked now is no error of the configuration: the
/// task tries for as long as it takes.
pub(super) fn validate(flavour: Flavour, given: &ConfigMap, values: &mut Validated) {
    if values.iter().any(|value| !value.errors.is_empty()) {
        return;
    }
    let Ok(told) = config::parse(flavour, given) else {
        return;
    };
    for (key, error) in refusals(&told.config) {
        if let Some(value) = values.iter_mut().find(|value| value.name == key) {
            value.errors.push(error);
        }
    }
}

fn refusals(config: &SourceConfig) -> Vec<(&'static str, String)> {
    // The thread that asks for a validation may drive a runtime already.
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(ask(config)))
        });
        asking.join()
    });
    match asked {
        Ok(Ok(Ok(findings))) => findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| ("database.hostname", finding.to_string()))
            .collect(),
        Ok(Ok(Err(error))) if error.kind() == ErrorKind::UserConfig => {
            let key = match error {
                ClientError::AccessDenied { .. } | ClientError::Authentication { .. } => "database.user",
                ClientError::Tls { .. } => "database.ssl.mode",
                _ => "database.hostname",
            };
            vec![(key, error.to_string())]
        }
        Ok(Ok(Err(error))) => {
            tracing::warn!(%error, "the server cannot be asked whether it can be read");
            Vec::new()
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the server is not asked whether it can be read");
            Vec::new()
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

async fn ask(config: &SourceConfig) -> Result<Vec<Finding>, ClientError> {
    let mut client = Client::connect(&config.connection).await?;
    let findings = check::check_server(&client.facts().await?, Intent::from(config));
    client.close().await;
    Ok(findings)
}
