//! Whether all is done, for connectors that have an end: files that are loaded once, topics that are emptied once.
use super::{StandaloneHerder, locked};
use crate::herder::{HerderError, Unit, UnitStatus};
use crate::plugin::{PluginKind, Progress};
use crate::worker::{State, TargetState};

/// How far all sources are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourcesProgress {
    /// The sum of what tasks say; none where one cannot tell, or they count different things.
    pub progress: Option<Progress>,
    /// All have come to their end, what they read is delivered, and their offsets are stored.
    pub finished: bool,
}

impl StandaloneHerder {
    /// How far sources are. Those that are stopped have no work; without any source all are finished.
    pub fn sources_progress(&self) -> SourcesProgress {
        let connectors = locked(&self.shared.connectors);
        let sources = connectors
            .iter()
            .filter(|(_, its)| its.kind == PluginKind::Source && its.target != TargetState::Stopped);
        let tasks = self.shared.parts.tasks.progress();
        let (mut sum, mut known, mut finished) = (None, true, true);
        for (name, connector) in sources {
            let own = tasks.iter().filter(|task| task.id.connector == *name);
            let own: Vec<_> = own.collect();
            finished &=
                !own.is_empty() && own.len() == connector.tasks.len() && own.iter().all(|task| task.finished);
            for task in own {
                match (added(sum, task.progress), task.progress) {
                    (Some(more), _) => sum = Some(more),
                    (None, _) => known = false,
                }
            }
        }
        SourcesProgress {
            progress: sum.filter(|_| known),
            finished,
        }
    }

    /// Whether all sinks have taken what is in their topics now. They make it durable when they are stopped, at the latest.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn sinks_have_all(&self) -> Result<bool, HerderError> {
        let sinks: Vec<_> = {
            let connectors = locked(&self.shared.connectors);
            let sinks = connectors
                .iter()
                .filter(|(_, its)| its.kind == PluginKind::Sink && its.target != TargetState::Stopped);
            sinks
                .map(|(name, its)| (name.clone(), its.config.clone()))
                .collect()
        };
        for (name, config) in sinks {
            if self.shared.parts.tasks.is_behind(&name, &config).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What failed and is not started again by itself, and why.
    pub fn given_up(&self) -> Vec<(Unit, String)> {
        let given_up = locked(&self.shared.given_up).clone();
        given_up
            .into_iter()
            .filter_map(|unit| self.failure(unit))
            .collect()
    }

    /// Everything that failed and does not run now, whether it would be started again or not.
    pub fn failures(&self) -> Vec<(Unit, String)> {
        let names: Vec<String> = locked(&self.shared.connectors).keys().cloned().collect();
        let units = names.into_iter().flat_map(|name| {
            let status = self.shared.parts.board.connector(&name);
            let tasks = status.map(|status| status.tasks).unwrap_or_default();
            let tasks = tasks.into_iter().map(|(task, _)| Some(task));
            let units = std::iter::once(None).chain(tasks).map(move |task| Unit {
                connector: name.clone(),
                task,
            });
            units.collect::<Vec<_>>()
        });
        units.filter_map(|unit| self.failure(unit)).collect()
    }

    fn failure(&self, unit: Unit) -> Option<(Unit, String)> {
        let status = self.shared.parts.board.connector(&unit.connector)?;
        let own = match unit.task {
            None => Some(status.connector),
            Some(number) => {
                let mut tasks = status.tasks.into_iter();
                tasks.find(|(task, _)| *task == number).map(|(_, status)| status)
            }
        };
        let failed = own.filter(|UnitStatus { state, .. }| *state == State::Failed)?;
        Some((unit, failed.trace.unwrap_or_default()))
    }
}

/// The sum; none if it cannot be told.
fn added(sum: Option<Progress>, more: Option<Progress>) -> Option<Progress> {
    let more = more?;
    let Some(sum) = sum else {
        return Some(more);
    };
    (sum.unit == more.unit).then(|| Progress {
        done: sum.done + more.done,
        before: sum.before + more.before,
        total: sum.total.zip(more.total).map(|(one, other)| one + other),
        unit: sum.unit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::ProgressUnit;

    #[test]
    fn what_tasks_say_is_added_where_they_count_the_same() {
        let bytes = |done, total| Progress {
            done,
            before: 0,
            total,
            unit: ProgressUnit::Bytes,
        };
        let one = Some(bytes(1, Some(10)));
        assert_eq!(added(None, one), one);
        assert_eq!(added(one, Some(bytes(2, Some(20)))), Some(bytes(3, Some(30))));
        assert_eq!(added(one, Some(bytes(2, None))), Some(bytes(3, None)));
        assert_eq!(added(one, None), None);
        let records = Progress {
            unit: ProgressUnit::Records,
            ..bytes(2, None)
        };
        assert_eq!(added(one, Some(records)), None);
    }
}
