//! Topics: which exist, their ids, partitions and settings.
//!
//! Why: a client names topics; the log only knows folders. Owns: the registry, the rules for names and settings,
//! and the file that makes both durable. Does not own: the records (`log`).
//!
//! Invariants:
//! - A topic is visible only after its folders and then the topics file reached the disk; a crash between leaves
//!   empty folders that [`TopicRegistry::open`] removes.
//! - A deletion is decided by the topics file; folders that are left over are removed at the next start.
//! - A folder with records that no topic owns is never removed: the start is refused with the folder's name.

pub(crate) mod config;
mod error;
mod file;
mod initial;
pub(crate) mod internal;
pub(crate) mod keyed;
pub(crate) mod name;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub(crate) use config::Overrides;
pub use config::TopicConfigError;
pub use error::TopicError;
pub use file::TopicFileError;
pub use initial::{InitialTopic, InitialTopicError};
pub use name::NameError;

use crate::config::{BrokerConfig, LiveConfig};
use crate::ids::{PartitionId, TopicId, TopicName, TopicPartition};
use crate::log::{LogDir, LogError, Partition};
use file::Entry;

/// Most partitions of one topic: each costs open files.
pub(crate) const PARTITIONS_PER_TOPIC_MAX: i32 = 10_000;

/// Most partitions of all topics: clients create topics by asking for names, and each costs a folder and memory.
pub(crate) const PARTITIONS_MAX: usize = 100_000;

/// One topic; replaced as a whole when it changes.
#[derive(Debug)]
pub(crate) struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its identity; a re-created topic has another.
    pub id: TopicId,
    /// True if only the broker writes to it.
    pub internal: bool,
    /// What it overrides.
    pub overrides: Overrides,
    partitions: Vec<Arc<Partition>>,
}

impl Topic {
    /// Its partitions in order.
    pub fn partitions(&self) -> &[Arc<Partition>] {
        &self.partitions
    }

    /// One partition.
    pub fn partition(&self, id: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(id).ok()?)
    }

    fn entry(&self, deleting: bool) -> Entry {
        Entry {
            name: self.name.as_str().to_owned(),
            id: self.id,
            partitions: self.partitions.len() as i32,
            overrides: self.overrides.clone(),
            deleting,
        }
    }
}

#[derive(Default)]
struct State {
    by_name: BTreeMap<TopicName, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
}

impl State {
    fn insert(&mut self, topic: Arc<Topic>) {
        self.by_id.insert(topic.id, Arc::clone(&topic));
        self.by_name.insert(topic.name.clone(), topic);
    }

    /// Whether there is room for so many partitions more.
    fn check_total(&self, topic: &TopicName, added: i32) -> Result<(), TopicError> {
        let present: usize = self.by_name.values().map(|t| t.partitions.len()).sum();
        let count = present + usize::try_from(added).unwrap_or(0);
        if count > PARTITIONS_MAX {
            return Err(TopicError::TooMany {
                topic: topic.clone(),
                count,
            });
        }
        Ok(())
    }
}

/// All topics of one broker. Methods that change something touch the disk: call them off the async threads.
pub(crate) struct TopicRegistry {
    logs: Arc<LogDir>,
    broker: Arc<LiveConfig>,
    state: RwLock<State>,
    /// Held by whoever changes topics, disk included; readers only ever wait for the map. Lists deletions whose
    /// folders could not be removed yet.
    changing: Mutex<Vec<Entry>>,
}

impl TopicRegistry {
    /// The broker's settings, which give topics their defaults.
    pub fn broker(&self) -> Arc<BrokerConfig> {
        self.broker.load()
    }

    /// Reads the topics file and brings the partition folders in line with it.
    pub fn open(logs: Arc<LogDir>, broker: Arc<LiveConfig>) -> Result<Self, TopicError> {
        let failed = |source| TopicError::Log {
            topic: file::FILE.to_owned(),
            source,
        };
        let stored = logs.read_meta_file(file::FILE).map_err(|error| match error {
            LogError::Damaged { reason, .. } => TopicFileError::Damaged(reason).into(),
            error => failed(error),
        })?;
        let entries = match &stored {
            None => Vec::new(),
            Some(bytes) => file::decode(&String::from_utf8_lossy(bytes))?,
        };
        let registry = Self {
            logs,
            broker,
            state: RwLock::default(),
            changing: Mutex::default(),
        };
        registry.remove_leftovers(&entries)?;
        let deleted = entries.iter().any(|entry| entry.deleting);
        for entry in entries.into_iter().filter(|entry| !entry.deleting) {
            let topic = registry.load(entry)?;
            registry
                .state
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(Arc::new(topic));
        }
        if deleted {
            registry.store(&[], None, None)?;
        }
        Ok(registry)
    }

    /// Removes folders of deletions and creations that a crash cut short.
    fn remove_leftovers(&self, entries: &[Entry]) -> Result<(), TopicError> {
        let by_name: HashMap<&str, &Entry> = entries
            .iter()
            .filter(|e| !e.deleting)
            .map(|e| (e.name.as_str(), e))
            .collect();
        let mut leftovers = Vec::new();
        for partition in self.logs.partitions() {
            let tp = partition.topic_partition();
            if by_name
                .get(tp.topic.as_str())
                .is_some_and(|e| tp.partition.0 < e.partitions)
            {
                continue;
            }
            let deleting = entries.iter().any(|e| e.deleting && e.name == tp.topic.as_str());
            if !deleting && partition.log_end_offset().0 > 0 {
                return Err(TopicError::Orphan(tp.clone()));
            }
            tracing::info!(partition = %tp, "removing a folder left over by an interrupted creation or deletion");
            leftovers.push(tp.clone());
        }
        self.logs
            .delete_partitions(&leftovers)
            .map_err(|source| TopicError::Log {
                topic: "left over".to_owned(),
                source,
            })
    }

    fn load(&self, entry: Entry) -> Result<Topic, TopicError> {
        let name = name::parse(&entry.name)?;
        let config = config::log_config(&self.broker(), &entry.overrides);
        let mut partitions = Vec::with_capacity(entry.partitions as usize);
        for id in 0..entry.partitions {
            let tp = TopicPartition {
                topic: name.clone(),
                partition: PartitionId(id),
            };
            if let Some(partition) = self.logs.partition(&tp) {
                partition.set_config(config.clone());
                partitions.push(partition);
            } else {
                tracing::error!(partition = %tp, "the folder of this partition is missing, it starts again empty: \
                    its records are gone; restore the folder from a copy if they matter");
                partitions.push(
                    self.logs
                        .create_partition(&tp, config.clone())
                        .map_err(|e| log_error(&name, e))?,
                );
            }
        }
        let internal = name::is_internal(name.as_str());
        Ok(Topic {
            name,
            id: entry.id,
            internal,
            overrides: entry.overrides,
            partitions,
        })
    }

    /// A topic by name.
    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.read().by_name.get(name).cloned()
    }

    /// How many partitions a topic has; none if it does not exist.
    pub fn partition_count(&self, name: &str) -> i32 {
        self.read()
            .by_name
            .get(name)
            .map_or(0, |topic| topic.partitions.len() as i32)
    }

    /// A topic by id.
    pub fn by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.read().by_id.get(&id).cloned()
    }

    /// Every topic, by name.
    pub fn all(&self) -> Vec<Arc<Topic>> {
        self.read().by_name.values().cloned().collect()
    }

    /// Checks a creation without doing it.
    pub fn check_new(
        &self,
        name: &str,
        partitions: Option<i32>,
        overrides: &Overrides,
    ) -> Result<TopicName, TopicError> {
        let name = name::parse(name)?;
        let state = self.read();
        if state.by_name.contains_key(&name) {
            return Err(TopicError::Exists(name));
        }
        if let Some(other) = state
            .by_name
            .keys()
            .find(|other| name::collide(name.as_str(), other.as_str()))
        {
            return Err(TopicError::Collides {
                other: other.clone(),
                name,
            });
        }
        let count = partitions.unwrap_or(self.broker().num_partitions);
        if !(1..=PARTITIONS_PER_TOPIC_MAX).contains(&count) {
            return Err(TopicError::Partitions {
                topic: name,
                count,
                at_least: 1,
            });
        }
        state.check_total(&name, count)?;
        config::validate(overrides)?;
        Ok(name)
    }

    /// Creates a topic; when this returns, it survives a crash.
    pub fn create(
        &self,
        name: &str,
        partitions: Option<i32>,
        overrides: Overrides,
    ) -> Result<Arc<Topic>, TopicError> {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.check_new(name, partitions, &overrides)?;
        let count = partitions.unwrap_or(self.broker().num_partitions);
        let partitions = self.create_folders(&name, 0..count, &overrides)?;
        let internal = name::is_internal(name.as_str());
        let topic = Arc::new(Topic {
            id: random_id(),
            internal,
            overrides,
            partitions,
            name,
        });
        self.publish(&changing, Arc::clone(&topic), 0)?;
        tracing::info!(topic = %topic.name, partitions = count, "topic created");
        let kept = config::without_effect(&topic.overrides);
        if !kept.is_empty() && !internal {
            tracing::info!(topic = %topic.name, configs = kept.join(","), "stored, but these configs do not take effect yet");
        }
        Ok(topic)
    }

    /// Raises the number of partitions to `count`.
    pub fn add_partitions(&self, name: &str, count: i32, validate_only: bool) -> Result<(), TopicError> {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self
            .get(name)
            .ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        let present = old.partitions.len() as i32;
        if count <= present || count > PARTITIONS_PER_TOPIC_MAX {
            return Err(TopicError::Partitions {
                topic: old.name.clone(),
                count,
                at_least: present + 1,
            });
        }
        self.read().check_total(&old.name, count - present)?;
        if validate_only {
            return Ok(());
        }
        let mut partitions = old.partitions.clone();
        partitions.extend(self.create_folders(&old.name, present..count, &old.overrides)?);
        let topic = Topic {
            name: old.name.clone(),
            id: old.id,
            internal: old.internal,
            overrides: old.overrides.clone(),
            partitions,
        };
        self.publish(&changing, Arc::new(topic), present)?;
        tracing::info!(topic = %old.name, partitions = count, "partitions added");
        Ok(())
    }

    /// Gives a topic the overrides that `change` makes of its present ones; when this returns, they are in force and
    /// survive a crash. With `validate_only` nothing is changed.
    ///
    /// # Errors
    /// [`TopicError::Unknown`], what `change` says, or the disk's.
    pub fn alter<E: From<TopicError>>(
        &self,
        name: &str,
        validate_only: bool,
        change: impl FnOnce(&Overrides) -> Result<Overrides, E>,
    ) -> Result<(), E> {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self
            .get(name)
            .ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        let overrides = change(&old.overrides)?;
        config::validate(&overrides).map_err(TopicError::from)?;
        if validate_only || overrides == old.overrides {
            return Ok(());
        }
        let topic = Arc::new(Topic {
            name: old.name.clone(),
            id: old.id,
            internal: old.internal,
            overrides,
            partitions: old.partitions.clone(),
        });
        self.publish(&changing, Arc::clone(&topic), topic.partitions.len() as i32)?;
        self.configure(&topic);
        tracing::info!(topic = %topic.name, overrides = ?topic.overrides, "topic configs altered");
        Ok(())
    }

    /// Gives every log the settings that follow from the broker's, which have changed.
    pub fn reconfigure(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.all().iter().for_each(|topic| self.configure(topic));
    }

    fn configure(&self, topic: &Topic) {
        let config = config::log_config(&self.broker(), &topic.overrides);
        for partition in topic.partitions() {
            if *partition.config() != config {
                partition.set_config(config.clone());
            }
        }
    }

    /// Deletes a topic; when this returns, it stays deleted after a crash.
    pub fn delete(&self, name: &str) -> Result<(), TopicError> {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let topic = self
            .get(name)
            .ok_or_else(|| TopicError::Unknown(name.to_owned()))?;
        self.store(&changing, None, Some(&topic))?;
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.by_name.remove(&topic.name);
            state.by_id.remove(&topic.id);
        }
        let removed = self.logs.delete_partitions(&named(&topic.partitions));
        tracing::info!(topic = %topic.name, "topic deleted");
        if let Err(error) = removed {
            tracing::warn!(topic = %topic.name, %error, "folders not removed, the next start tries again");
            // The marker stays in the file, so that the next start finishes the work.
            changing.push(topic.entry(true));
            return Ok(());
        }
        if let Err(error) = self.store(&changing, None, None) {
            tracing::warn!(topic = %topic.name, %error, "deleted, but its marker stays in the topics file until the next change");
        }
        Ok(())
    }

    fn create_folders(
        &self,
        name: &TopicName,
        ids: std::ops::Range<i32>,
        overrides: &Overrides,
    ) -> Result<Vec<Arc<Partition>>, TopicError> {
        let config = config::log_config(&self.broker(), overrides);
        let named: Vec<_> = ids
            .map(|id| TopicPartition {
                topic: name.clone(),
                partition: PartitionId(id),
            })
            .collect();
        let created = self
            .logs
            .create_partitions(named.iter().map(|tp| (tp.clone(), config.clone())));
        created.map_err(|source| {
            let some: Vec<_> = named.iter().filter_map(|tp| self.logs.partition(tp)).collect();
            self.remove_folders(&some);
            log_error(name, source)
        })
    }

    fn remove_folders(&self, partitions: &[Arc<Partition>]) {
        if let Err(error) = self.logs.delete_partitions(&named(partitions)) {
            tracing::warn!(%error, "empty folders not removed, the next start tries again");
        }
    }

    /// Makes `topic` durable and then visible; its partitions from `first_new` on are taken back if that fails.
    fn publish(&self, unfinished: &[Entry], topic: Arc<Topic>, first_new: i32) -> Result<(), TopicError> {
        if let Err(error) = self.store(unfinished, Some(&topic), None) {
            self.remove_folders(&topic.partitions[first_new as usize..]);
            return Err(error);
        }
        self.state
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(topic);
        Ok(())
    }

    /// Writes the topics file: unfinished deletions and what is visible, with `changed` in its new form and
    /// `deleted` marked.
    fn store(
        &self,
        unfinished: &[Entry],
        changed: Option<&Topic>,
        deleted: Option<&Topic>,
    ) -> Result<(), TopicError> {
        let mut entries = unfinished.to_vec();
        {
            let state = self.read();
            let replaced = |topic: &Topic| {
                [changed, deleted]
                    .into_iter()
                    .flatten()
                    .any(|t| t.name == topic.name)
            };
            entries.extend(
                state
                    .by_name
                    .values()
                    .filter(|t| !replaced(t))
                    .map(|t| t.entry(false)),
            );
        }
        entries.extend(changed.map(|t| t.entry(false)));
        entries.extend(deleted.map(|t| t.entry(true)));
        self.logs
            .write_meta_file(file::FILE, file::encode(&entries).as_bytes())
            .map_err(|source| TopicError::Log {
                topic: file::FILE.to_owned(),
                source,
            })
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(partitions: &[Arc<Partition>]) -> Vec<TopicPartition> {
    partitions.iter().map(|p| p.topic_partition().clone()).collect()
}

fn log_error(topic: &TopicName, source: LogError) -> TopicError {
    TopicError::Log {
        topic: topic.to_string(),
        source,
    }
}

/// A random version-4 UUID.
fn random_id() -> TopicId {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        // Fails only on kernels without getrandom(2), older than any this runs on.
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .expect("getrandom(2) of at most 256 bytes cannot fail once the system is up");
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    TopicId(bytes)
}
