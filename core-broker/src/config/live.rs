//! The broker's settings while it runs: those it was started with, and what was altered since.
//!
//! Why: `kafka-configs --entity-type brokers` changes a running broker and expects it to stay changed. Owns: which keys
//! can be altered, the two levels of alterations (cluster default and this node), the text that keeps them, and the
//! effective settings. Does not own: writing that text atomically (`LogDir::write_meta_file`), or carrying a change
//! to logs and topics (`broker`).
//!
//! Order of precedence, as in Kafka: this node's alteration, the cluster default's, the file (or environment,
//! or command line), the built-in default.
//!
//! Form of the text, one item a line:
//!
//! ```text
//! millstream-broker-configs 1
//! default <key> <value, one line>
//! node <key> <value>
//! end <number of lines between the first and this>
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{BrokerConfig, KEYS, Key};

/// Name of the file within the data directory.
pub(crate) const FILE: &str = "broker-configs";
const HEADER: &str = "millstream-broker-configs 1";
/// Longest value that can be set.
const VALUE_BYTES_MAX: usize = 4096;

/// Keys that can be altered while the broker runs, in alphabetical order: what gives topics their defaults,
/// compaction, and what is looked up each time it is needed.
const DYNAMIC: &[&str] = &[
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "flush.mode",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.delete.retention.ms",
    "log.cleaner.max.compaction.lag.ms",
    "log.cleaner.min.cleanable.ratio",
    "log.cleaner.min.compaction.lag.ms",
    "log.cleaner.threads",
    "log.cleanup.policy",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.index.interval.bytes",
    "log.index.size.max.bytes",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.type",
    "log.preallocate",
    "log.retention.bytes",
    "log.retention.ms",
    "log.roll.jitter.ms",
    "log.roll.ms",
    "log.segment.bytes",
    "log.segment.delete.delay.ms",
    "max.connections",
    "message.max.bytes",
    "producer.id.expiration.ms",
];

/// Values by key.
pub(crate) type Altered = BTreeMap<String, String>;

/// For whom something is altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Every broker of the cluster: the resource without a name.
    Default,
    /// This node.
    Node,
}

/// Where an effective value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Altered for this node.
    Node,
    /// Altered for the cluster.
    Default,
    /// The file, the environment or the command line.
    Started,
    /// Nobody said anything.
    BuiltIn,
}

/// An alteration that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterError {
    /// No such key.
    #[error("unknown broker config {key:?}{}", nearest.map(|n| format!(", did you mean {n}?")).unwrap_or_default())]
    Unknown {
        /// The name given.
        key: String,
        /// The nearest that exists, if one is near.
        nearest: Option<&'static str>,
    },
    /// Keys that only a restart changes; the wording is Kafka's.
    #[error("Cannot update these configs dynamically: Set({}); set them in server.properties and restart the broker", .0.join(", "))]
    ReadOnly(Vec<String>),
    /// The value does not fit.
    #[error("invalid value {value:?} for broker config {key}: expected {expected}")]
    Value {
        /// The name.
        key: String,
        /// The value given.
        value: String,
        /// What would have fitted.
        expected: String,
    },
}

/// Text that does not say what was altered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "file {FILE}: {reason}; restore it from a copy, or remove it to go back to the settings of server.properties"
)]
pub struct LiveConfigError {
    reason: String,
}

impl LiveConfigError {
    /// The file does not even hold what was written.
    pub(crate) fn damaged(reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
        }
    }
}

#[derive(Debug)]
struct State {
    default: Altered,
    node: Altered,
    effective: Arc<BrokerConfig>,
}

/// The settings in force.
#[derive(Debug)]
pub(crate) struct LiveConfig {
    started: Arc<BrokerConfig>,
    state: RwLock<State>,
    altering: Mutex<()>,
}

/// A checked alteration, to be made durable and then installed.
#[derive(Debug)]
pub(crate) struct Alteration {
    state: State,
}

impl Alteration {
    /// What to keep in [`FILE`].
    pub(crate) fn encode(&self) -> String {
        encode(&self.state.default, &self.state.node)
    }
}

impl LiveConfig {
    /// The settings of a broker that was started with `started`, and altered before as `stored` says.
    pub(crate) fn open(started: Arc<BrokerConfig>, stored: Option<&[u8]>) -> Result<Self, LiveConfigError> {
        let (default, node) = match stored {
            None => (Altered::new(), Altered::new()),
            Some(bytes) => decode(&String::from_utf8_lossy(bytes))?,
        };
        let effective = effective(&started, &default, &node).map_err(|error| LiveConfigError {
            reason: error.to_string(),
        })?;
        Ok(Self {
            started,
            state: RwLock::new(State {
                default,
                node,
                effective,
            }),
            altering: Mutex::new(()),
        })
    }

    /// The effective settings.
    pub(crate) fn load(&self) -> Arc<BrokerConfig> {
        Arc::clone(&self.read().effective)
    }

    /// What was altered on one level.
    pub(crate) fn altered(&self, level: Level) -> Altered {
        let state = self.read();
        match level {
            Level::Default => state.default.clone(),
            Level::Node => state.node.clone(),
        }
    }

    /// The values of a key on every level that says something, the one in force first.
    pub(crate) fn values(
        &self,
        key: &str,
        of: impl Fn(&BrokerConfig) -> Option<String>,
    ) -> Vec<(Origin, String)> {
        let state = self.read();
        let mut values = Vec::new();
        let altered = |map: &Altered| map.get(key).cloned();
        values.extend(altered(&state.node).map(|value| (Origin::Node, value)));
        values.extend(altered(&state.default).map(|value| (Origin::Default, value)));
        let (started, built_in) = (of(&self.started), of(&BrokerConfig::default()));
        if started != built_in {
            values.extend(started.map(|value| (Origin::Started, value)));
        }
        values.extend(built_in.map(|value| (Origin::BuiltIn, value)));
        values
    }

    /// Held from [`LiveConfig::plan`] to [`LiveConfig::install`].
    pub(crate) fn lock(&self) -> MutexGuard<'_, ()> {
        self.altering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that `altered` can take the place of what was altered on one level.
    pub(crate) fn plan(&self, level: Level, altered: Altered) -> Result<Alteration, AlterError> {
        let state = self.read();
        let old = match level {
            Level::Default => &state.default,
            Level::Node => &state.node,
        };
        let changed = altered
            .iter()
            .filter(|(key, value)| old.get(*key) != Some(*value));
        let mut fixed = Vec::new();
        for (key, _) in changed {
            if find(key)?.is_none() {
                fixed.push(key.clone());
            }
        }
        if !fixed.is_empty() {
            return Err(AlterError::ReadOnly(fixed));
        }
        let (default, node) = match level {
            Level::Default => (altered, state.node.clone()),
            Level::Node => (state.default.clone(), altered),
        };
        let effective = effective(&self.started, &default, &node)?;
        Ok(Alteration {
            state: State {
                default,
                node,
                effective,
            },
        })
    }

    /// Lets an alteration take effect; it is durable.
    pub(crate) fn install(&self, alteration: Alteration) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = alteration.state;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a key can be altered while the broker runs.
pub(crate) fn is_dynamic(key: &str) -> bool {
    DYNAMIC.binary_search(&key).is_ok()
}

/// The key, unless only a restart changes it.
fn find(name: &str) -> Result<Option<&'static Key>, AlterError> {
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return Ok(is_dynamic(name).then_some(key));
    }
    if super::load::is_kafkas(name) {
        return Ok(None);
    }
    Err(AlterError::Unknown {
        key: name.chars().take(128).collect(),
        nearest: super::load::nearest(name),
    })
}

fn effective(
    started: &BrokerConfig,
    default: &Altered,
    node: &Altered,
) -> Result<Arc<BrokerConfig>, AlterError> {
    let mut config = started.clone();
    for (name, value) in default.iter().chain(node) {
        let Some(key) = find(name)? else {
            return Err(AlterError::ReadOnly(vec![name.clone()]));
        };
        let set = match value.len() {
            0..=VALUE_BYTES_MAX if value.contains(['\n', '\r']) => Err("one line".to_owned()),
            0..=VALUE_BYTES_MAX => (key.set)(&mut config, value),
            _ => Err(format!("at most {VALUE_BYTES_MAX} bytes")),
        };
        set.map_err(|expected| AlterError::Value {
            key: name.clone(),
            value: value.chars().take(128).collect(),
            expected,
        })?;
    }
    Ok(Arc::new(config))
}

fn encode(default: &Altered, node: &Altered) -> String {
    use std::fmt::Write;
    let mut text = format!("{HEADER}\n");
    for (word, altered) in [("default", default), ("node", node)] {
        for (key, value) in altered {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{word} {key} {value}");
        }
    }
    let _ = writeln!(text, "end {}", default.len() + node.len());
    text
}

fn decode(text: &str) -> Result<(Altered, Altered), LiveConfigError> {
    let failed = |reason: String| LiveConfigError { reason };
    let mut lines = text.split('\n').enumerate();
    if lines.next().map(|(_, line)| line) != Some(HEADER) {
        return Err(failed(format!("its first line is not {HEADER:?}")));
    }
    let (mut default, mut node) = (Altered::new(), Altered::new());
    for (at, line) in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let altered = match word {
            "default" => &mut default,
            "node" => &mut node,
            "end" if rest.parse() == Ok(at - 1) => return Ok((default, node)),
            _ => return Err(failed(format!("line {} is damaged", at + 1))),
        };
        let (key, value) = rest
            .split_once(' ')
            .ok_or_else(|| failed(format!("line {} is damaged", at + 1)))?;
        altered.insert(key.to_owned(), value.to_owned());
    }
    Err(failed("it is cut off".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn altered(pairs: &[(&str, &str)]) -> Altered {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn live(text: &str) -> LiveConfig {
        let mut started = BrokerConfig::default();
        started.apply_properties(text, "f").unwrap();
        LiveConfig::open(Arc::new(started), None).unwrap()
    }

    fn alter(live: &LiveConfig, level: Level, pairs: &[(&str, &str)]) -> Result<String, AlterError> {
        let plan = live.plan(level, altered(pairs))?;
        let text = plan.encode();
        live.install(plan);
        Ok(text)
    }

    #[test]
    fn the_keys_exist_and_are_sorted() {
        assert!(DYNAMIC.is_sorted());
        assert!(
            DYNAMIC
                .iter()
                .all(|name| KEYS.iter().any(|key| key.name == *name))
        );
    }

    #[test]
    fn the_node_wins_over_the_cluster_over_the_file_and_a_restart_keeps_it() {
        let live = live("log.segment.bytes=1000");
        let of = |config: &BrokerConfig| Some(config.log_segment_bytes.to_string());
        assert_eq!(live.load().log_segment_bytes, 1000);
        alter(
            &live,
            Level::Default,
            &[("log.segment.bytes", "2000"), ("log.retention.ms", "5")],
        )
        .unwrap();
        assert_eq!(live.load().log_segment_bytes, 2000);
        let text = alter(&live, Level::Node, &[("log.segment.bytes", "3000")]).unwrap();
        assert_eq!(
            (live.load().log_segment_bytes, live.load().log_retention_ms),
            (3000, Some(5))
        );
        let expected = [
            (Origin::Node, "3000".to_owned()),
            (Origin::Default, "2000".to_owned()),
            (Origin::Started, "1000".to_owned()),
            (Origin::BuiltIn, (1u32 << 30).to_string()),
        ];
        assert_eq!(live.values("log.segment.bytes", of), expected);

        let again = LiveConfig::open(Arc::clone(&live.started), Some(text.as_bytes())).unwrap();
        assert_eq!(again.load(), live.load());
        alter(&again, Level::Node, &[]).unwrap();
        alter(&again, Level::Default, &[]).unwrap();
        assert_eq!(again.load().log_segment_bytes, 1000);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let live = live("");
        let message =
            |pairs: &[(&str, &str)]| live.plan(Level::Node, altered(pairs)).unwrap_err().to_string();
        assert!(message(&[("log.retention.m", "1")]).contains("did you mean log.retention.ms?"));
        assert!(
            message(&[("log.dirs", "/x"), ("num.partitions", "2")])
                .contains("dynamically: Set(log.dirs, num.partitions)")
        );
        assert!(message(&[("num.io.threads", "16")]).contains("Set(num.io.threads)"));
        assert!(message(&[("log.segment.bytes", "1")]).contains("an integer from 14"));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let good = encode(
            &altered(&[("flush.mode", "os")]),
            &altered(&[("log.retention.ms", "7")]),
        );
        assert!(decode(&good).is_ok());
        for end in 0..good.len() - 1 {
            assert!(decode(&good[..end]).is_err(), "{end}");
        }
        for text in [
            "",
            "other 1\nend 0\n",
            &good.replace("end 2", "end 3"),
            &good.replace("node", "mode"),
        ] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
