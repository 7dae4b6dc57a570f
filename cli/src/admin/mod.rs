//! A native administration client: asks brokers over the Kafka protocol what librdkafka has no call for.
//!
//! [`connection`] owns one socket (frames, version negotiation, timeouts); [`Admin`] owns which broker is asked
//! (any, controller, leader, coordinator) and repeats what a broker refuses only for a moment; the other files hold
//! one family of calls each. It is blocking: a command does one thing after another.
//!
//! Invariants: every wait ends at the timeout; no frame above [`connection::FRAME_BYTES_MAX`] is read.

pub mod configs;
pub mod connection;
pub mod error;
pub mod groups;
pub mod log;
pub mod offsets;
pub mod topics;
pub mod transactions;

#[cfg(test)]
mod moving;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};

use self::connection::Connection;
pub use self::error::AdminError;
use crate::client::ConnectArgs;
use crate::error::CliError;

/// Pause before a passing refusal is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Newest FindCoordinator that asks for one key; later ones take a list instead, and no broker refuses this one.
const FIND_ONE_COORDINATOR_VERSION_MAX: i16 = 3;

/// Who coordinates what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorType {
    /// A consumer group.
    Group,
    /// A transactional id.
    Transaction,
}

/// A broker of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// Where it listens.
    pub host: String,
    /// Where it listens.
    pub port: i32,
}

impl Node {
    fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A topic's partition.
pub type Partition = (String, i32);

/// An error code that a broker answered, and its words.
pub type Refusal = (i16, Option<String>);

/// Connections to the brokers of a cluster.
#[derive(Debug)]
pub struct Admin {
    any: Connection,
    nodes: HashMap<i32, Connection>,
    brokers: BTreeMap<i32, Node>,
    controller: i32,
    timeout: Duration,
}

impl Admin {
    /// Connects to the first bootstrap server that answers.
    pub fn connect(args: &ConnectArgs) -> Result<Self, CliError> {
        for (key, value) in args.common.properties()? {
            if key == "security.protocol" && !value.eq_ignore_ascii_case("plaintext") {
                return Err(AdminError::Security { protocol: value }.into());
            }
        }
        let deadline = Instant::now() + args.timeout();
        let mut last = String::from("no address was given");
        for address in args.bootstrap_server.split(',').map(str::trim) {
            match Connection::open(address, deadline, args.timeout()) {
                Ok(any) => return Ok(Self::start(any, args.timeout())?),
                Err(error) => last = error.to_string(),
            }
        }
        Err(AdminError::Unreachable {
            bootstrap: args.bootstrap_server.clone(),
            timeout_ms: args.timeout().as_millis(),
            reason: last,
        }
        .into())
    }

    fn start(any: Connection, timeout: Duration) -> Result<Self, AdminError> {
        let mut admin = Self {
            any,
            nodes: HashMap::new(),
            brokers: BTreeMap::new(),
            controller: -1,
            timeout,
        };
        admin.metadata(Some(&[]))?;
        Ok(admin)
    }

    /// The time one request may take, as the protocol has it.
    pub fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// The brokers by id.
    pub const fn brokers(&self) -> &BTreeMap<i32, Node> {
        &self.brokers
    }

    /// Asks whichever broker was reached first.
    pub fn ask<R: Request>(&mut self, request: &R) -> Result<R::Response, AdminError> {
        self.any.call(request, i16::MAX)
    }

    /// Asks the controller, or any broker where the cluster names none.
    pub fn ask_controller<R: Request>(&mut self, request: &R) -> Result<R::Response, AdminError> {
        self.ask_controller_up_to(request, i16::MAX)
    }

    /// Asks the controller with a version of `version_max` at most.
    pub fn ask_controller_up_to<R: Request>(
        &mut self,
        request: &R,
        version_max: i16,
    ) -> Result<R::Response, AdminError> {
        if self.brokers.contains_key(&self.controller) {
            self.ask_node(self.controller, request, version_max)
        } else {
            self.any.call(request, version_max)
        }
    }

    /// Asks one broker, with a version of `version_max` at most.
    pub fn ask_node<R: Request>(
        &mut self,
        node: i32,
        request: &R,
        version_max: i16,
    ) -> Result<R::Response, AdminError> {
        self.connection_to(node)?.call(request, version_max)
    }

    /// The newest version of a request that one broker and this client know, if there is one.
    pub fn version_of<R: Request>(&mut self, node: i32) -> Result<Option<i16>, AdminError> {
        Ok(self.connection_to(node)?.version_of::<R>(i16::MAX))
    }

    fn connection_to(&mut self, node: i32) -> Result<&mut Connection, AdminError> {
        if !self.nodes.contains_key(&node) {
            let broker = self.brokers.get(&node).ok_or(AdminError::NoSuchBroker { node })?;
            let opened = Connection::open(&broker.address(), Instant::now() + self.timeout, self.timeout)?;
            self.nodes.insert(node, opened);
        }
        Ok(self.nodes.get_mut(&node).expect("it was put there just now"))
    }

    /// Metadata of these topics, of all (`None`), or of brokers only (empty); never creates a topic.
    pub fn metadata(&mut self, topics: Option<&[&str]>) -> Result<MetadataResponse, AdminError> {
        let topics = topics.map(|names| {
            names
                .iter()
                .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))))
                .collect()
        });
        let request = MetadataRequest::default()
            .with_topics(topics)
            .with_allow_auto_topic_creation(false);
        let answer = self.ask(&request)?;
        self.controller = answer.controller_id.0;
        self.brokers = answer
            .brokers
            .iter()
            .map(|broker| {
                let node = Node {
                    id: broker.node_id.0,
                    host: broker.host.to_string(),
                    port: broker.port,
                };
                (node.id, node)
            })
            .collect();
        Ok(answer)
    }

    /// Metadata of one topic that must exist.
    pub fn topic(&mut self, topic: &str) -> Result<MetadataResponseTopic, AdminError> {
        let answer = self.metadata(Some(&[topic]))?;
        let found = answer
            .topics
            .into_iter()
            .next()
            .ok_or_else(|| AdminError::NoSuchTopic { topic: topic.into() })?;
        match ResponseError::try_from_code(found.error_code) {
            None => Ok(found),
            Some(ResponseError::UnknownTopicOrPartition | ResponseError::InvalidTopicException) => {
                Err(AdminError::NoSuchTopic { topic: topic.into() })
            }
            Some(_) => Err(refused(found.error_code, None, &format!("topic {topic}"))),
        }
    }

    /// Asks the broker that coordinates a group or a transactional id. It is looked up anew before each try: a refusal
    /// for a moment may mean that another broker took over.
    pub fn at_coordinator<T>(
        &mut self,
        kind: CoordinatorType,
        key: &str,
        what: &str,
        mut call: impl FnMut(&mut Self, i32) -> Result<Result<T, Refusal>, AdminError>,
    ) -> Result<T, AdminError> {
        self.patiently(what, |admin| match admin.find_coordinator(kind, key)? {
            Ok(node) => call(admin, node),
            Err(refusal) => Ok(Err(refusal)),
        })
    }

    fn find_coordinator(
        &mut self,
        kind: CoordinatorType,
        key: &str,
    ) -> Result<Result<i32, Refusal>, AdminError> {
        let key_type = match kind {
            CoordinatorType::Group => 0,
            CoordinatorType::Transaction => 1,
        };
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(key.to_owned()))
            .with_key_type(key_type);
        let answer = self.any.call(&request, FIND_ONE_COORDINATOR_VERSION_MAX)?;
        if answer.error_code != 0 {
            let message = answer.error_message.map(|text| text.to_string());
            return Ok(Err((answer.error_code, message)));
        }
        let node = Node {
            id: answer.node_id.0,
            host: answer.host.to_string(),
            port: answer.port,
        };
        let id = node.id;
        self.brokers.entry(id).or_insert(node);
        Ok(Ok(id))
    }

    /// Repeats a call while the broker says that it is only for a moment, until the timeout.
    pub fn patiently<T>(
        &mut self,
        what: &str,
        mut call: impl FnMut(&mut Self) -> Result<Result<T, Refusal>, AdminError>,
    ) -> Result<T, AdminError> {
        let deadline = Instant::now() + self.timeout;
        loop {
            match call(self)? {
                Ok(value) => return Ok(value),
                Err((code, _)) if is_passing(code) && Instant::now() < deadline => {
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err((code, message)) => return Err(refused(code, message, what)),
            }
        }
    }
}

/// Whether the same question may be answered in a moment.
fn is_passing(code: i16) -> bool {
    matches!(
        ResponseError::try_from_code(code),
        Some(
            ResponseError::CoordinatorLoadInProgress
                | ResponseError::CoordinatorNotAvailable
                | ResponseError::NotCoordinator
                | ResponseError::LeaderNotAvailable
                | ResponseError::NotLeaderOrFollower
                | ResponseError::UnstableOffsetCommit
                | ResponseError::ConcurrentTransactions
        )
    )
}

/// The error for a code that a broker answered.
pub fn refused(code: i16, message: Option<String>, what: &str) -> AdminError {
    AdminError::Refused {
        what: what.into(),
        code,
        reason: message
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| error_name(code)),
    }
}

/// What an error code says.
pub fn error_name(code: i16) -> String {
    ResponseError::try_from_code(code).map_or_else(|| "no error".into(), |error| error.to_string())
}

/// A topic name of the protocol.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a command talks about the user's present"
)]
pub fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
