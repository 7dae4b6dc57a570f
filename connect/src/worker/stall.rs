//! Tasks that do not come back from a call.
//!
//! A task that hangs in its connector's code is RUNNING for all who ask. Somebody has to look from outside: a warning in the log, which
//! comes again each time the call has lasted twice as long, a trace in the task's status, and a worker that is not healthy; where it is wanted, the task
//! is abandoned and counts as failed, so that it is started again as any other.
//!
//! Owns: which calls are watched, and for how long they may last. Does not own: when what failed is started again, which is the herder's.
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use super::metrics::Inside;
use super::tasks::Tasks;
use crate::config::connector::stall_def;
use crate::config::{Config, ConfigMap};
use crate::plugin::{PluginError, TaskId};

/// How often tasks are looked at.
const LOOK_MIN: Duration = Duration::from_millis(10);
const LOOK_MAX: Duration = Duration::from_secs(1);
/// How many threads of one task may hang: each holds its clients, and whatever the connector holds. Beyond them it is only reported.
pub(super) const HANGING_MAX: usize = 4;

/// What a task may be doing for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Call {
    Start = 1,
    Poll,
    Committed,
    Open,
    Put,
    Flush,
    Close,
    Stop,
    /// Waiting until the cluster has taken records.
    Deliver,
    /// Storing offsets.
    Store,
    /// Taking what a user asks for.
    Signal,
}

impl Call {
    const ALL: [Self; 11] = [
        Self::Start,
        Self::Poll,
        Self::Committed,
        Self::Open,
        Self::Put,
        Self::Flush,
        Self::Close,
        Self::Stop,
        Self::Deliver,
        Self::Store,
        Self::Signal,
    ];

    pub(super) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|call| *call as u8 == number)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Poll => "poll",
            Self::Committed => "committed",
            Self::Open => "open",
            Self::Put => "put",
            Self::Flush => "flush",
            Self::Close => "close",
            Self::Stop => "stop",
            Self::Deliver => "deliver",
            Self::Store => "store",
            Self::Signal => "signal",
        }
    }

    /// Whether it is the connector's code: starting the task again does not help against a cluster that does not answer.
    fn of_connector(self) -> bool {
        !matches!(self, Self::Deliver | Self::Store)
    }

    fn sentence(self, seconds: u64) -> String {
        match self {
            Self::Deliver => format!("has waited for the cluster to take its records for {seconds} s"),
            Self::Store => format!("has waited for its offsets to be stored for {seconds} s"),
            call => format!("has been in its connector's {} for {seconds} s", call.name()),
        }
    }
}

/// What is done about a task that hangs (`task.stall.action`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StallAction {
    /// It is reported.
    #[default]
    Report,
    /// It is reported, abandoned, and started again.
    Restart,
}

/// How long a task may be in one call, and what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StallPolicy {
    /// `task.stall.timeout.ms`; none is for ever.
    pub after: Option<Duration>,
    /// `task.stall.action`.
    pub action: StallAction,
}

impl StallPolicy {
    /// What the connector's configuration says, or, where it says nothing, the worker's.
    pub(super) fn of_connector(self, config: &ConfigMap) -> Self {
        // What is wrong is told when the task parses its configuration.
        let Ok(parsed) = stall_def().parse(config) else {
            return self;
        };
        self.but(&parsed)
    }

    /// The same but for what `parsed` says.
    pub(super) fn but(self, parsed: &Config) -> Self {
        let after = parsed.optional_long("task.stall.timeout.ms");
        Self {
            after: match after.map(|ms| u64::try_from(ms).unwrap_or_default()) {
                None => self.after,
                Some(0) => None,
                Some(ms) => Some(Duration::from_millis(ms)),
            },
            action: match parsed.optional_string("task.stall.action") {
                None => self.action,
                Some("restart") => StallAction::Restart,
                Some(_) => StallAction::Report,
            },
        }
    }
}

/// A task whose call lasts too long, if it does: what is reported.
pub(super) fn sentence(id: &TaskId, policy: StallPolicy, inside: Option<Inside>) -> Option<String> {
    let (after, inside) = (policy.after?, inside?);
    (inside.lasts >= after).then(|| {
        let happens = inside.call.sentence(inside.lasts.as_secs());
        let limit = after.as_millis();
        format!("task {id} {happens}, longer than task.stall.timeout.ms={limit}")
    })
}

/// What was reported of a task's call.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// Which call it was, by its beginning.
    since_ms: u64,
    /// When it is reported next.
    again: Option<Duration>,
}

/// What follows from a look at a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing new.
    Quiet,
    /// It hangs.
    Hangs { why: String, give_up: bool },
    /// What was reported is over.
    Over,
}

impl Reported {
    /// A look at a task.
    pub(super) fn look(&mut self, id: &TaskId, policy: StallPolicy, inside: Option<Inside>) -> Verdict {
        let same = inside.is_some_and(|inside| inside.since_ms == self.since_ms);
        if self.again.is_some() && !same {
            self.again = None;
            return Verdict::Over;
        }
        let (Some(why), Some(inside)) = (sentence(id, policy, inside), inside) else {
            return Verdict::Quiet;
        };
        if self.again.is_some_and(|again| inside.lasts < again) {
            return Verdict::Quiet;
        }
        self.since_ms = inside.since_ms;
        self.again = Some(inside.lasts * 2);
        let give_up = policy.action == StallAction::Restart && inside.call.of_connector();
        Verdict::Hangs { why, give_up }
    }
}

/// Looks at tasks until their worker is gone.
pub(super) async fn watch(tasks: Weak<Mutex<Tasks>>) {
    loop {
        let Some(tasks) = tasks.upgrade() else {
            return;
        };
        let pause = look(&tasks);
        drop(tasks);
        tokio::time::sleep(pause).await;
    }
}

/// Looks at each task once, and says when to look again.
fn look(tasks: &Mutex<Tasks>) -> Duration {
    let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut pause, mut hanging) = (LOOK_MAX, Vec::new());
    for (id, task) in &mut tasks.running {
        let Some(after) = task.stall.after else { continue };
        pause = pause.min(after / 4);
        let (inside, reporter) = (task.metrics().inside(), task.reporter());
        match task.reported.look(id, task.stall, inside) {
            Verdict::Quiet => {}
            Verdict::Over => {
                tracing::info!(
                    connector = id.connector,
                    task = id.task,
                    "the task has come back from its call"
                );
                reporter.stalled(None);
            }
            Verdict::Hangs { why, give_up } => hanging.push((id.clone(), reporter, why, give_up)),
        }
    }
    for (id, reporter, why, give_up) in hanging {
        let (connector, task) = (&id.connector, id.task);
        if give_up && tasks.may_abandon(&id) {
            let error =
                PluginError::disconnected(format!("{why}; it is abandoned, and another takes its place"));
            if reporter.give_up(&error) {
                tasks.abandon(&id);
            }
        } else {
            tracing::warn!(connector, task, "{why}");
            reporter.stalled(Some(&why));
        }
    }
    pause.max(LOOK_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(call: Call, since_ms: u64, lasts_ms: u64) -> Option<Inside> {
        let lasts = Duration::from_millis(lasts_ms);
        Some(Inside {
            call,
            since_ms,
            lasts,
        })
    }

    const POLICY: StallPolicy = StallPolicy {
        after: Some(Duration::from_secs(10)),
        action: StallAction::Restart,
    };

    fn id() -> TaskId {
        TaskId {
            connector: "c".to_owned(),
            task: 2,
        }
    }

    fn hangs(verdict: Verdict) -> (String, bool) {
        match verdict {
            Verdict::Hangs { why, give_up } => (why, give_up),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_call_is_reported_when_it_is_late_and_each_time_it_has_lasted_twice_as_long() {
        let mut reported = Reported::default();
        let mut look = |inside| reported.look(&id(), POLICY, inside);
        assert_eq!(look(None), Verdict::Quiet);
        assert_eq!(look(inside(Call::Put, 5, 9_999)), Verdict::Quiet);
        let (why, give_up) = hangs(look(inside(Call::Put, 5, 10_400)));
        assert!(give_up);
        assert_eq!(
            why,
            "task c-2 has been in its connector's put for 10 s, longer than task.stall.timeout.ms=10000"
        );
        assert_eq!(look(inside(Call::Put, 5, 20_000)), Verdict::Quiet);
        hangs(look(inside(Call::Put, 5, 20_800)));
        assert_eq!(look(inside(Call::Put, 30_000, 1)), Verdict::Over);
        assert_eq!(look(None), Verdict::Quiet);
        // The next one begins anew; a cluster that does not answer is no reason to start again.
        let (why, give_up) = hangs(look(inside(Call::Deliver, 40_000, 11_000)));
        assert!(!give_up && why.contains("waited for the cluster"), "{why}");
        assert_eq!(look(None), Verdict::Over);
    }

    #[test]
    fn the_connector_says_or_else_the_worker() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            POLICY.of_connector(&pairs.collect())
        };
        assert_eq!(of(&[]), POLICY);
        assert_eq!(of(&[("task.stall.timeout.ms", "0")]).after, None);
        let own = of(&[("task.stall.timeout.ms", "50"), ("task.stall.action", "report")]);
        assert_eq!(own.after, Some(Duration::from_millis(50)));
        assert_eq!(own.action, StallAction::Report);
        let never = StallPolicy {
            after: None,
            ..POLICY
        };
        assert_eq!(sentence(&id(), never, inside(Call::Put, 1, u64::MAX / 2)), None);
        for call in Call::ALL {
            assert_eq!(Call::of(call as u8), Some(call));
        }
    }
}
