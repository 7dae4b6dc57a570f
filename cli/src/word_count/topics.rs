//! Creating and deleting the job's topics, through librdkafka as everything the job does: so it needs no other access.

use std::future::Future;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::create;
use crate::error::CliError;

/// An administration client and what it needs to wait for answers.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    options: AdminOptions,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    /// Connects with a configuration that was seen to reach the cluster.
    pub fn new(config: &rdkafka::ClientConfig, timeout: std::time::Duration) -> Result<Self, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| CliError::new(format!("cannot start a runtime: {error}")))?;
        let options = AdminOptions::new()
            .request_timeout(Some(timeout))
            .operation_timeout(Some(timeout));
        Ok(Self {
            client: create(config)?,
            options,
            runtime,
        })
    }

    fn wait<T>(
        &self,
        answer: impl Future<Output = rdkafka::error::KafkaResult<T>>,
        what: &str,
    ) -> Result<T, CliError> {
        self.runtime
            .block_on(answer)
            .map_err(|error| CliError::new(format!("{what}: the broker did not answer ({error})")))
    }

    /// Creates one topic; `Ok(Err(code))` is the broker's refusal.
    pub fn create_topic(&self, topic: &NewTopic<'_>) -> Result<Result<(), RDKafkaErrorCode>, CliError> {
        let answers = self.wait(self.client.create_topics([topic], &self.options), topic.name)?;
        Ok(first(answers))
    }

    /// Deletes one topic; `Ok(Err(code))` is the broker's refusal.
    pub fn delete_topic(&self, topic: &str) -> Result<Result<(), RDKafkaErrorCode>, CliError> {
        let answers = self.wait(self.client.delete_topics(&[topic], &self.options), topic)?;
        Ok(first(answers))
    }
}

/// The one answer of a call about one topic.
fn first(answers: Vec<Result<String, (String, RDKafkaErrorCode)>>) -> Result<(), RDKafkaErrorCode> {
    match answers.into_iter().next() {
        Some(Err((_, code))) => Err(code),
        Some(Ok(_)) | None => Ok(()),
    }
}
