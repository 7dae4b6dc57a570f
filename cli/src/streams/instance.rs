//! The instances of a job that answer questions (`queries.listener`), and asking one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::client::{ConnectArgs, create};
use crate::error::CliError;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// How long an instance may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long one of several instances may take to be reached.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// The longest wait for a record at a time.
const POLL_WAIT: Duration = Duration::from_millis(200);

/// Which job, and which of its instances.
#[derive(Debug, Args)]
pub struct InstanceArgs {
    /// The job's application id
    #[arg(long, value_name = "ID")]
    application_id: String,
    /// The instance to ask: its queries.listener [default: one that the job's own topic names]
    #[arg(long, value_name = "URL")]
    instance: Option<String>,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// An instance that answers.
pub struct Instance {
    agent: ureq::Agent,
    base: String,
}

impl InstanceArgs {
    /// The instance that was named, or the first that answers.
    pub fn find(&self) -> Result<Instance, CliError> {
        let id = &self.application_id;
        if let Some(url) = &self.instance {
            let instance = Instance::at(url);
            let page = instance.get("/state")?;
            if page["application_id"] != id.as_str() {
                return Err(CliError::new(format!(
                    "{} is no instance of the job {id}, but of {}; check --instance",
                    instance.base, page["application_id"]
                )));
            }
            return Ok(instance);
        }
        let known = self.known()?;
        let mut causes = Vec::new();
        for address in &known {
            let instance = Instance::at(address);
            match instance.get("/state") {
                Ok(page) if page["application_id"] == id.as_str() => return Ok(instance),
                Ok(_) => causes.push(format!("at {address} another job answers")),
                Err(error) => causes.push(error.to_string()),
            }
        }
        Err(CliError::Unanswered(format!(
            "no instance of the job {id} answers: {}; start one, or name one with --instance",
            match causes.is_empty() {
                true => "none has said yet where it is".to_owned(),
                false => causes.join("; "),
            }
        )))
    }

    /// Where instances have said that they answer.
    fn known(&self) -> Result<BTreeSet<String>, CliError> {
        let topic = format!("{}-instances-changelog", self.application_id);
        let mut config = self.connect.client_config()?;
        let metadata = self.connect.reach(&config, None)?;
        if !metadata.topics().iter().any(|known| known.name() == topic) {
            return Err(CliError::new(format!(
                "the cluster has no topic {topic}, in which instances of the job {0} would name themselves; set queries.listener in \
                 its configuration, or check --application-id",
                self.application_id
            )));
        }
        let cannot = |error: KafkaError| CliError::new(format!("cannot read the topic {topic}: {error}"));
        config
            .set("group.id", "unused")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        let consumer: BaseConsumer = create(&config)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Beginning)
            .and_then(|()| consumer.assign(&list))
            .map_err(cannot)?;
        let until = Instant::now() + self.connect.timeout();
        let mut addresses = std::collections::BTreeMap::new();
        loop {
            match consumer.poll(POLL_WAIT) {
                Some(Ok(record)) => {
                    let said: Option<Value> = record
                        .payload()
                        .and_then(|value| serde_json::from_slice(value).ok());
                    let address = said.and_then(|said| Some(said["address"].as_str()?.to_owned()));
                    let key = record.key().unwrap_or_default().to_vec();
                    match address {
                        Some(address) => addresses.insert(key, address),
                        None => addresses.remove(&key),
                    };
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(addresses.into_values().collect()),
                Some(Err(error)) => return Err(cannot(error)),
                None if Instant::now() >= until => {
                    return Err(CliError::Unanswered(format!(
                        "the end of the topic {topic} did not come within {} ms; allow more time with --connect-timeout-ms",
                        self.connect.timeout().as_millis()
                    )));
                }
                None => {}
            }
        }
    }
}

impl Instance {
    fn at(url: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(ANSWER_MAX))
            .build();
        let base = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        Self {
            agent: config.new_agent(),
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// Another instance of the job.
    pub fn other(&self, address: &str) -> Self {
        let (agent, base) = (self.agent.clone(), format!("http://{address}"));
        Self { agent, base }
    }

    /// GET; the answer.
    pub fn get(&self, target: &str) -> Result<Value, CliError> {
        let text = self.get_text(target)?;
        serde_json::from_str(&text).map_err(|_| self.is_no_json())
    }

    fn is_no_json(&self) -> CliError {
        CliError::new(format!(
            "what {} answers is no JSON; is it the queries.listener of a stream job?",
            self.base
        ))
    }

    /// GET; the text of the answer.
    pub fn get_text(&self, target: &str) -> Result<String, CliError> {
        let base = &self.base;
        let failed = |error: ureq::Error| CliError::Unanswered(format!("{base} does not answer ({error})"));
        let mut answer = self.agent.get(format!("{base}{target}")).call().map_err(failed)?;
        let status = answer.status();
        let text = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string();
        let text = text.map_err(failed)?;
        if status.is_success() {
            return Ok(text);
        }
        let parsed: Value = serde_json::from_str(&text).map_err(|_| self.is_no_json())?;
        let error = parsed["error"].as_str();
        Err(CliError::new(error.map_or_else(
            || format!("{base} answers {status}"),
            str::to_owned,
        )))
    }
}
