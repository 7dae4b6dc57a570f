//! Being in the group, and knowing who else is.
//!
//! librdkafka has no group protocol of one's own. So workers are ordinary consumers of the topic of configurations, which has one partition: who
//! gets it leads. Clients' names carry workers' URLs, so that the coordinator's word about the group says who is there.
//!
//! Owns: a thread with the consumer of one life ([`MemberId`]). Does not own: what follows from the news.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_client::{GroupMembers, group_members};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tracing::{debug, warn};

use super::assignment::MemberId;
use crate::plugin::PluginError;

/// How long the coordinator may take to say who is in the group.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// How long the consumer is served at a time.
const SERVE: Duration = Duration::from_millis(50);

/// Who was in the group at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Roll {
    /// When it was asked for: later than that nothing is known.
    pub(super) asked: Instant,
    pub(super) members: BTreeSet<MemberId>,
    /// Who has the partition; unknown while the group rebalances.
    pub(super) leader: Option<MemberId>,
}

/// How a worker takes part in its group.
#[derive(Debug, Clone)]
pub(super) struct GroupSettings {
    /// A consumer's configuration, with `group.id` and timeouts.
    pub(super) client: ClientConfig,
    pub(super) group: String,
    /// The topic of configurations.
    pub(super) topic: String,
    /// The pause between two questions.
    pub(super) pause: Duration,
}

/// Membership for one life. Dropping it leaves the group without waiting for it.
pub(super) struct Membership {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Membership {
    /// Joins the group as `id`; `hear` is told who is in it, again and again.
    ///
    /// # Errors
    /// When a client's option is wrong.
    pub(super) fn join(
        settings: &GroupSettings,
        id: &MemberId,
        hear: impl Fn(Roll) + Send + 'static,
    ) -> Result<Self, PluginError> {
        let failed = |error: &dyn std::fmt::Display| {
            PluginError::disconnected(format!("joining the group {}: {error}", settings.group))
        };
        let mut client = settings.client.clone();
        client.set("client.id", id.as_str());
        let consumer: BaseConsumer = client.create().map_err(|error| failed(&error))?;
        consumer
            .subscribe(&[&settings.topic])
            .map_err(|error| failed(&error))?;
        let stop = Arc::<AtomicBool>::default();
        let (stopping, settings) = (Arc::clone(&stop), settings.clone());
        let thread = std::thread::Builder::new()
            .name("connect-group".to_owned())
            .spawn(move || serve(&consumer, &settings, &stopping, &hear))
            .map_err(|error| failed(&error))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Leaves the group, and waits for it.
    pub(super) fn leave(mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has left, too.
            let _ = thread.join();
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn serve(consumer: &BaseConsumer, settings: &GroupSettings, stop: &AtomicBool, hear: &dyn Fn(Roll)) {
    let mut due = Instant::now();
    while !stop.load(Ordering::Acquire) {
        // Configurations are read elsewhere; here the group is served.
        if let Some(Err(error)) = consumer.poll(SERVE) {
            debug!(%error, group = settings.group, "the group's consumer");
        }
        if Instant::now() < due {
            continue;
        }
        let asked = Instant::now();
        match group_members(consumer.client(), &settings.group, ANSWER_WAIT) {
            Ok(found) => hear(roll(asked, &found, &settings.topic)),
            Err(error) => warn!(%error, group = settings.group, "asking who is in the group"),
        }
        due = asked + settings.pause;
    }
}

fn roll(asked: Instant, found: &GroupMembers, topic: &str) -> Roll {
    let known = found
        .members
        .iter()
        .filter_map(|member| Some((MemberId::of_client(&member.client_id)?, member)));
    let known: Vec<_> = known.collect();
    let leads = known.iter().find(|(_, member)| {
        member
            .partitions
            .iter()
            .any(|(its, number)| its == topic && *number == 0)
    });
    Roll {
        asked,
        leader: leads.filter(|_| found.stable).map(|(id, _)| id.clone()),
        members: known.into_iter().map(|(id, _)| id).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_client::GroupMember;

    #[test]
    fn who_has_the_partition_leads_once_the_group_is_stable() {
        let member = |client_id: &str, partitions: &[(&str, i32)]| GroupMember {
            client_id: client_id.to_owned(),
            partitions: partitions
                .iter()
                .map(|(topic, number)| ((*topic).to_owned(), *number))
                .collect(),
            ..GroupMember::default()
        };
        let mut found = GroupMembers {
            stable: true,
            members: vec![
                member("http://a:1/#x", &[]),
                member("http://b:1/#y", &[("configs", 0)]),
                member("a stranger", &[]),
            ],
        };
        let now = Instant::now();
        let seen = roll(now, &found, "configs");
        assert_eq!(seen.leader, Some(MemberId::new("b:1", "y")));
        assert_eq!(seen.members.len(), 2);
        found.stable = false;
        assert_eq!(roll(now, &found, "configs").leader, None);
    }
}
