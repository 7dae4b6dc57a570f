//! What a worker does for those who ask.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::StreamsError;
use crate::plan::StepId;
use crate::runtime::worker::Worker;
use crate::sink::Sink;
use crate::source::{Restore, Source, TopicPartition};
use crate::store::{LocalStore, StoreReader};

/// What a worker spends on questions between two polls.
const ANSWERING_MAX: Duration = Duration::from_millis(20);
/// The wait for input while somebody asks.
const ASKED_WAIT: Duration = Duration::from_millis(1);

impl<S: Source, K: Sink, R: Restore> Worker<S, K, R> {
    /// Answers questions that have come. Between two polls, tasks hold what is committed.
    ///
    /// # Errors
    /// A local store that cannot be read: it was given up, and the task cannot go on without what it has there alone.
    pub(in crate::runtime) fn answer_questions(&mut self) -> Result<(), StreamsError> {
        let until = Instant::now() + ANSWERING_MAX;
        while let Some(question) = self.mailbox.next() {
            let task = self.tasks.tasks.get_mut(&question.task);
            let answered = task.map(|task| task.answer(question.step, &question.asked));
            let (told, lost) = match answered {
                None => (None, None),
                // The answer may be a part: nobody should take it for the whole.
                Some(Ok(_)) if question.asked.is_over() => (None, None),
                Some(Ok(rows)) => (Some(Ok(rows)), None),
                Some(Err(error)) => (
                    Some(Err(error.to_string())),
                    error.has_lost_state().then_some(error),
                ),
            };
            // Whoever asked may have given up.
            let _ = question.answer.try_send(told);
            if let Some(error) = lost {
                return Err(error.into());
            }
            if Instant::now() >= until {
                break;
            }
        }
        Ok(())
    }

    /// How long to wait for input, lest somebody who asks waits for an answer.
    pub(in crate::runtime) fn wait_beside_questions(&self, wait: Duration) -> Duration {
        match self.mailbox.is_in_use() {
            true => wait.min(ASKED_WAIT),
            false => wait,
        }
    }

    /// Says which tasks run here, if there are others than before.
    pub(in crate::runtime) fn serve(&mut self) {
        // Tasks go all at once, and are said to.
        if self.served.len() != self.tasks.tasks.len() {
            self.serve_all();
        }
        if self.is_moving && self.is_assigned && self.waiting.is_empty() {
            self.is_moving = false;
            self.shared.queries.settle(&self.mailbox);
        }
    }

    fn serve_all(&mut self) {
        for (&id, task) in &self.tasks.tasks {
            if self.served.contains(&id) {
                continue;
            }
            let reader = |(step, topic): (StepId, &Arc<str>)| {
                let topic = Arc::clone(topic);
                let at = TopicPartition {
                    topic,
                    partition: id.1,
                };
                Some((step, self.checkpoints.held(&at).map(LocalStore::reader)?))
            };
            let stores: HashMap<StepId, StoreReader> = task.stores().filter_map(reader).collect();
            self.shared.queries.come(id, &self.mailbox, stores);
            self.served.insert(id);
        }
    }

    /// None runs here any more, until the group, or an epoch that begins again, has brought all.
    pub(in crate::runtime) fn serve_none(&mut self) {
        // First: whoever sees no tasks knows why.
        self.is_moving = true;
        self.shared.queries.unsettle(&self.mailbox);
        if !self.served.is_empty() {
            self.served.clear();
            self.shared.queries.leave(&self.mailbox);
        }
    }
}

impl<S, K, R> Drop for Worker<S, K, R> {
    fn drop(&mut self) {
        // Local stores are closed when nobody can read them any more.
        self.shared.queries.leave(&self.mailbox);
        self.shared.queries.settle(&self.mailbox);
        self.mailbox.close();
    }
}
