//! Statements that run on the server with each heartbeat, on a connection of their own.
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::mysql::client::{Client, ClientError};
use crate::mysql::config::SourceConfig;

/// Runs `heartbeat.action.query`. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Action {
    wanted: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

impl Action {
    /// Of a source that has one.
    pub(super) fn start(config: &Arc<SourceConfig>) -> Option<Self> {
        let statement = config.stream.heartbeat_query.clone()?;
        if config.stream.read_only {
            tracing::warn!("heartbeat.action.query does not run: read.only is set");
            return None;
        }
        let config = Arc::clone(config);
        let (wanted, mut asked) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let mut client = None;
            while asked.recv().await.is_some() {
                if let Err(error) = run(&config, &mut client, &statement).await {
                    client = None;
                    tracing::warn!(%error, "heartbeat.action.query failed");
                }
            }
        });
        Some(Self { wanted, task })
    }

    /// Runs it, unless it still runs.
    pub(super) fn run(&self) {
        let _ = self.wanted.try_send(());
    }
}

impl Drop for Action {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(config: &SourceConfig, kept: &mut Option<Client>, statement: &str) -> Result<(), ClientError> {
    let client = match kept {
        Some(client) => client,
        None => kept.insert(Client::connect(&config.connection).await?),
    };
    client.execute(statement).await.map(drop)
}
