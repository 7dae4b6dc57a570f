//! What the leader does: who runs what, how connectors' work is divided, fencing, and tidying up.
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::json;
use tracing::{info, warn};

use super::assignment::ASSIGNMENT_KEY;
use super::configs::{self, ConfigRecord, LEADER_KEY};
use super::planner::Situation;
use super::statuses::{topic_key, unit_key};
use super::writer::ConfigWriter;
use super::{Shared, TICK, locked, rebalancing};
use crate::config::ConfigMap;
use crate::herder::{HerderError, Unit};
use crate::plugin::{ErrorKind, ExactlyOnceSupport, PluginError};
use crate::worker::TargetState;

/// How long a record may take to come back.
const ECHO_WAIT: Duration = Duration::from_secs(30);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause between two times of tidying up.
const TIDYING: Duration = Duration::from_secs(2);

/// Leads while the group says so, until the herder is gone.
pub(super) async fn run(herder: Weak<Shared>) {
    let mut tidied = Instant::now();
    loop {
        let Some(shared) = herder.upgrade() else {
            return;
        };
        let mut changed = shared.changed.subscribe();
        if let Err(error) = shared.lead(&mut tidied).await {
            warn!(%error, "leading the group of workers");
            drop(shared);
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        drop(shared);
        // Either way it is looked again.
        let _ = tokio::time::timeout(TICK, changed.changed()).await;
    }
}

impl Shared {
    async fn lead(self: &Arc<Self>, tidied: &mut Instant) -> Result<(), HerderError> {
        let (should, leading) = {
            let knowledge = locked(&self.knowledge);
            (knowledge.should_lead(), knowledge.leading)
        };
        if !should {
            if leading {
                info!("another worker leads from now on");
                self.give_up_leading();
            }
            return Ok(());
        }
        if !leading {
            return self.begin_to_lead().await;
        }
        self.assign().await?;
        self.divide().await?;
        self.fence().await?;
        if tidied.elapsed() > TIDYING {
            *tidied = Instant::now();
            self.tidy();
        }
        Ok(())
    }

    fn give_up_leading(&self) {
        locked(&self.knowledge).leading = false;
        // Somebody who is writing has it; then it goes when that is done.
        if let Ok(mut pen) = self.pen.try_lock() {
            pen.take();
        }
    }

    /// Fences the leader before, and reads all that it wrote.
    async fn begin_to_lead(self: &Arc<Self>) -> Result<(), HerderError> {
        let Some(me) = locked(&self.knowledge).me.clone() else {
            return Ok(());
        };
        let shared = Arc::clone(self);
        let taking = tokio::task::spawn_blocking(move || {
            let settings = &shared.settings;
            let topic = &settings.topics.config.name;
            let pen = ConfigWriter::take_over(&settings.producer, topic, &settings.transactional_id)?;
            locked(&shared.pen).replace(pen);
            Ok::<_, PluginError>(())
        });
        taking
            .await
            .map_err(|error| HerderError::Internal(error.to_string()))??;
        let record = ConfigRecord {
            key: LEADER_KEY.to_owned(),
            value: Some(json!({"leader": me.as_str()})),
        };
        self.write(vec![record]).await?;
        locked(&self.planner).begin_anew();
        let mut knowledge = locked(&self.knowledge);
        knowledge.leading = knowledge.should_lead() && knowledge.me.as_ref() == Some(&me);
        info!(leading = knowledge.leading, "this worker leads its group");
        drop(knowledge);
        self.tell();
        Ok(())
    }

    /// Writes configurations, and waits until they are read here.
    pub(super) async fn write(self: &Arc<Self>, records: Vec<ConfigRecord>) -> Result<(), HerderError> {
        let shared = Arc::clone(self);
        let writing = tokio::task::spawn_blocking(move || {
            let mut pen = locked(&shared.pen);
            let Some(its) = pen.as_mut() else {
                return Ok(None);
            };
            match its.write(&records) {
                Ok(offset) => Ok(Some(offset)),
                // Nothing was written, and the pen is as good as before.
                Err(error) if error.kind() == ErrorKind::UserConfig => Err(error),
                Err(error) => {
                    pen.take();
                    locked(&shared.knowledge).leading = false;
                    Err(error)
                }
            }
        });
        let written = writing
            .await
            .map_err(|error| HerderError::Internal(error.to_string()))?;
        let offset = written.map_err(HerderError::from)?.ok_or_else(rebalancing)?;
        let read = self.wait_until(ECHO_WAIT, |knowledge| {
            (knowledge.configs.read_to > offset).then_some(())
        });
        let late =
            "what was written to the topic of configurations does not come back; can this worker read it?";
        read.await.ok_or_else(|| HerderError::Internal(late.to_owned()))
    }

    async fn assign(self: &Arc<Self>) -> Result<(), HerderError> {
        let next = {
            let knowledge = locked(&self.knowledge);
            let (Some(roll), Some(me)) = (&knowledge.roll, &knowledge.me) else {
                return Ok(());
            };
            let released = |unit: &Unit, worker: &str| knowledge.statuses.released(unit, worker);
            locked(&self.planner).plan(&Situation {
                me,
                members: &roll.members,
                wanted: &knowledge.configs.wanted(),
                current: &knowledge.configs.assignment,
                released: &released,
                now: Instant::now(),
            })
        };
        let Some(next) = next else {
            return Ok(());
        };
        info!(
            epoch = next.epoch,
            units = next.units.len(),
            "connectors and tasks are shared anew"
        );
        let record = ConfigRecord {
            key: ASSIGNMENT_KEY.to_owned(),
            value: Some(next.to_json()),
        };
        self.write(vec![record]).await
    }

    /// Writes what owners of connectors ask for.
    async fn divide(self: &Arc<Self>) -> Result<(), HerderError> {
        let asked: Vec<(String, Option<Vec<ConfigMap>>)> = {
            let knowledge = locked(&self.knowledge);
            let all = knowledge.configs.connectors().filter_map(|(name, its)| {
                let (config_at, tasks) = its.asked.as_ref()?;
                let (at, config) = its.config.as_ref()?;
                let good = config_at == at && its.target() != TargetState::Stopped;
                let new = its.incomplete || *tasks != its.division.tasks || *config != its.division.connector;
                Some((name.clone(), (good && new).then(|| tasks.clone())))
            });
            all.collect()
        };
        for (name, tasks) in asked {
            let mut records = tasks.map_or_else(Vec::new, |tasks| configs::tasks(&name, &tasks));
            records.push(configs::division_done(&name));
            self.write(records).await?;
        }
        Ok(())
    }

    /// Has nobody write any more who runs tasks of an older division, where records are delivered exactly once.
    async fn fence(self: &Arc<Self>) -> Result<(), HerderError> {
        let unfenced: Vec<(String, ConfigMap, Vec<u32>, usize)> = {
            let knowledge = locked(&self.knowledge);
            let all = knowledge.configs.connectors().filter_map(|(name, its)| {
                let count = its.division.tasks.len();
                let (_, config) = its.config.as_ref()?;
                (its.unfenced && count > 0).then(|| (name.clone(), config.clone(), its.to_fence(), count))
            });
            all.collect()
        };
        for (name, config, tasks, count) in unfenced {
            if !self.is_to_fence(&config) {
                continue;
            }
            if !tasks.is_empty() {
                info!(connector = name, ?tasks, "former tasks are fenced");
                self.parts.tasks.fence(&name, &config, &tasks).await?;
            }
            self.write(vec![configs::fenced(&name, count)]).await?;
        }
        Ok(())
    }

    /// Whether some worker may deliver the connector's records exactly once. One that leads while the group is being changed over
    /// (`exactly.once.source.support=preparing`) does not do so itself, but others wait for its fencing already (KIP-618).
    pub(super) fn is_to_fence(&self, config: &ConfigMap) -> bool {
        if self.parts.config.exactly_once_source {
            return self.parts.tasks.delivers_exactly_once(config);
        }
        let config = self.parts.validator.resolved(config);
        let class = config.get("connector.class").map_or("", |class| class.trim());
        let source = self.parts.validator.registry().source(class);
        let able = source.is_ok_and(|plugin| plugin.exactly_once(&config) == ExactlyOnceSupport::Supported);
        self.settings.fences && able
    }

    /// Deletes statuses of what is no more.
    fn tidy(&self) {
        let mut keys = Vec::new();
        {
            let knowledge = locked(&self.knowledge);
            let wanted = knowledge.configs.wanted();
            let gone = |unit: &Unit| {
                !wanted.contains(unit) && !knowledge.configs.assignment.units.contains_key(unit)
            };
            for (name, its) in &knowledge.statuses.connectors {
                let unit = |task| Unit {
                    connector: name.clone(),
                    task,
                };
                let whole = unit(None);
                if gone(&whole) {
                    keys.extend(its.topics.iter().map(|topic| topic_key(name, topic)));
                    keys.extend(its.connector.as_ref().map(|_| unit_key(&whole)));
                }
                let tasks = its.tasks.keys().map(|task| unit(Some(*task)));
                keys.extend(tasks.filter(|unit| gone(unit)).map(|unit| unit_key(&unit)));
            }
        }
        for key in keys {
            self.note(&key, None);
        }
    }
}
