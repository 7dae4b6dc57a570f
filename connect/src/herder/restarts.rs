//! When what failed is started again.
//!
//! A plain state machine: it hears failures and recoveries, and says what is due. Time comes in as an argument, chance as a number from 0 to 1.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::config::{Config, ConfigMap, connector};

/// A connector, or one of its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit {
    /// The connector's name.
    pub connector: String,
    /// The task's number; none is the connector itself.
    pub task: Option<u32>,
}

/// What a connector's `restart.*` keys say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// `restart.policy=on-failure`.
    pub enabled: bool,
    /// `restart.backoff.ms`.
    pub backoff: Duration,
    /// `restart.backoff.max.ms`.
    pub backoff_max: Duration,
    /// `restart.attempts.max`; none is without an end.
    pub attempts_max: Option<u32>,
    /// `restart.reset.ms`.
    pub reset: Duration,
}

impl RestartPolicy {
    /// What a connector's configuration says; defaults where it says nothing, or something wrong.
    pub fn of(config: &ConfigMap) -> Self {
        let def = connector::restart_def();
        let parsed = def.parse(config).or_else(|_| def.parse(&ConfigMap::new()));
        let parsed = parsed.unwrap_or_default();
        Self::of_parsed(&parsed)
    }

    fn of_parsed(parsed: &Config) -> Self {
        let millis = |key| Duration::from_millis(u64::try_from(parsed.long(key)).unwrap_or_default());
        Self {
            enabled: parsed.string("restart.policy") == "on-failure",
            backoff: millis("restart.backoff.ms"),
            backoff_max: millis("restart.backoff.max.ms"),
            attempts_max: u32::try_from(parsed.int("restart.attempts.max")).ok(),
            reset: millis("restart.reset.ms"),
        }
    }

    /// The pause before the start number `attempt` (from 0), a fifth more or less by chance.
    fn pause(&self, attempt: u32, chance: f64) -> Duration {
        let doubled = self.backoff.saturating_mul(2_u32.saturating_pow(attempt.min(30)));
        doubled
            .min(self.backoff_max)
            .mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
    }
}

#[derive(Debug, Default)]
struct Attempts {
    made: u32,
    due: Option<Instant>,
    running_since: Option<Instant>,
}

/// What failed, how often, and when it is started again.
#[derive(Debug, Default)]
pub struct Restarts {
    units: HashMap<Unit, Attempts>,
}

impl Restarts {
    /// `unit` failed in a way that another start may help against. The time at which it is started again, if it is.
    pub fn failed(
        &mut self,
        unit: &Unit,
        policy: &RestartPolicy,
        now: Instant,
        chance: f64,
    ) -> Option<Instant> {
        if !policy.enabled {
            return None;
        }
        let attempts = self.units.entry(unit.clone()).or_default();
        if attempts.due.is_some() {
            return attempts.due;
        }
        let ran = attempts.running_since.take();
        if ran.is_some_and(|since| now.saturating_duration_since(since) >= policy.reset) {
            attempts.made = 0;
        }
        if policy.attempts_max.is_some_and(|most| attempts.made >= most) {
            return None;
        }
        attempts.due = Some(now + policy.pause(attempts.made, chance));
        attempts.made += 1;
        attempts.due
    }

    /// `unit` runs.
    pub fn running(&mut self, unit: &Unit, now: Instant) {
        if let Some(attempts) = self.units.get_mut(unit) {
            attempts.due = None;
            attempts.running_since.get_or_insert(now);
        }
    }

    /// A user changed something: the connector's failures are forgotten, and nothing of it is due.
    pub fn forget(&mut self, connector: &str) {
        self.units.retain(|unit, _| unit.connector != connector);
    }

    /// What is to be started now.
    pub fn due(&mut self, now: Instant) -> Vec<Unit> {
        let mut due = Vec::new();
        for (unit, attempts) in &mut self.units {
            if attempts.due.is_some_and(|at| at <= now) {
                attempts.due = None;
                due.push(unit.clone());
            }
        }
        due.sort();
        due
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Instant> {
        self.units.values().filter_map(|attempts| attempts.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(task: u32) -> Unit {
        Unit {
            connector: "c".to_owned(),
            task: Some(task),
        }
    }

    fn policy(keys: &[(&str, &str)]) -> RestartPolicy {
        let keys = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        RestartPolicy::of(&keys.collect())
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_vary_by_a_fifth() {
        let policy = policy(&[("restart.backoff.ms", "100"), ("restart.backoff.max.ms", "1000")]);
        let pauses: Vec<u128> = (0..6)
            .map(|attempt| policy.pause(attempt, 0.5).as_millis())
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(policy.pause(0, 0.0), Duration::from_millis(80));
        assert_eq!(policy.pause(u32::MAX, 1.0), Duration::from_millis(1200));
    }

    #[test]
    fn what_failed_is_due_once_until_it_fails_again() {
        let (mut restarts, policy, start) = (Restarts::default(), policy(&[]), Instant::now());
        let due = restarts.failed(&unit(0), &policy, start, 0.5).unwrap();
        assert_eq!(due, start + Duration::from_secs(1));
        assert_eq!(restarts.failed(&unit(0), &policy, start, 0.9), Some(due));
        assert!(restarts.due(start).is_empty());
        assert_eq!(restarts.next(), Some(due));
        assert_eq!(restarts.due(due), [unit(0)]);
        assert!(restarts.due(due).is_empty() && restarts.next().is_none());
        let second = restarts.failed(&unit(0), &policy, due, 0.5).unwrap();
        assert_eq!(second, due + Duration::from_secs(2));
        restarts.forget("c");
        assert!(restarts.next().is_none());
    }

    #[test]
    fn a_long_run_forgets_failures_and_a_short_one_does_not() {
        let (mut restarts, policy, start) = (Restarts::default(), policy(&[]), Instant::now());
        let pause = |restarts: &mut Restarts, now| {
            restarts
                .failed(&unit(0), &policy, now, 0.5)
                .unwrap()
                .duration_since(now)
                .as_secs()
        };
        assert_eq!(pause(&mut restarts, start), 1);
        restarts.running(&unit(0), start);
        let short = start + Duration::from_secs(10);
        assert_eq!(pause(&mut restarts, short), 2);
        restarts.running(&unit(0), short);
        assert_eq!(pause(&mut restarts, short + Duration::from_secs(600)), 1);
    }

    #[test]
    fn attempts_may_be_limited_or_forbidden() {
        let (mut restarts, start) = (Restarts::default(), Instant::now());
        let two = policy(&[("restart.attempts.max", "2")]);
        for expected in [true, true, false] {
            assert_eq!(restarts.failed(&unit(0), &two, start, 0.5).is_some(), expected);
            restarts.due(start + Duration::from_secs(3600));
        }
        let never = policy(&[("restart.policy", "never")]);
        assert_eq!(restarts.failed(&unit(1), &never, start, 0.5), None);
    }
}
