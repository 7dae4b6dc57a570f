//! What becomes of a transaction that failed: whether it was committed after all, and whether it may be tried again.
use millstream_connect::plugin::PluginError;
use tracing::{debug, warn};

use super::offsets::{Move, Outcome, outcome, stored};
use super::refusal::Refusal;
use super::session::{failed, said};
use super::transaction::Failure;
use super::writing::{Stopped, Writing};
use crate::mysql::client::ClientError;

/// How often a transaction is begun again at once after a deadlock.
const TRIES_AT_ONCE: u32 = 3;

/// What became of a transaction that failed.
pub(super) enum Recovered {
    /// It is committed after all.
    Done,
    /// It is to be tried again.
    Again,
}

impl Writing {
    /// What is to be done after a transaction that failed, if it can be tried again at once.
    pub(super) async fn recover(
        &mut self,
        failure: Failure,
        moves: &[Move],
        trial: bool,
        tries: &mut u32,
    ) -> Result<Recovered, Stopped> {
        match failure {
            Failure::Other(error) => return Err(error.into()),
            Failure::Table(error) => return Err(Stopped::Table(error)),
            Failure::Reference(error) => {
                self.waits += 1;
                let message = format!("waiting for rows that others refer to: {}", said(&error));
                warn!("{message}");
                return Err(PluginError::retriable(message).into());
            }
            Failure::Again(error) => {
                *tries += 1;
                if *tries > TRIES_AT_ONCE {
                    return Err(self.again("writing rows", error).into());
                }
                debug!("a transaction is begun again: {error}");
            }
            Failure::Lost(error) => {
                debug!("a connection is lost: {error}");
                self.tries += 1;
                if self.tries > self.config.retries {
                    return Err(given_up("writing rows", &error).into());
                }
                if !trial && self.is_done(moves).await? {
                    return Ok(Recovered::Done);
                }
            }
            Failure::Moved => {
                if !trial && self.is_done(moves).await? {
                    return Ok(Recovered::Done);
                }
                *tries += 1;
                if *tries > TRIES_AT_ONCE {
                    return Err(torn(moves).into());
                }
            }
        }
        Ok(Recovered::Again)
    }

    /// Whether moves were stored after all, by a transaction of which only the end was not heard.
    async fn is_done(&mut self, moves: &[Move]) -> Result<bool, PluginError> {
        let partitions: Vec<_> = moves.iter().map(|step| step.partition.clone()).collect();
        let rows = match self.session.rows(&self.offsets.read(&partitions)).await {
            Ok(rows) => rows,
            Err(error) => return Err(self.again("reading offsets", error)),
        };
        match outcome(moves, &stored(&rows), &self.owner) {
            Outcome::Done => {
                self.partitions.moved(moves);
                Ok(true)
            }
            Outcome::NotDone => Ok(false),
            Outcome::Fenced => Err(PluginError::fatal(format!(
                "another task owns {} now, by {}: this one must not write any more",
                shown(moves),
                self.offsets.shown()
            ))),
            Outcome::Torn => Err(torn(moves)),
        }
    }

    /// An error with which the same is to come again, as often as is wanted, if that may help.
    pub(super) fn again(&mut self, what: &str, error: ClientError) -> PluginError {
        let may_help = match &error {
            ClientError::Server { code, state, .. } => !matches!(
                Refusal::of(*code, state),
                Refusal::Server | Refusal::Table | Refusal::Row
            ),
            error => error.is_disconnected(),
        };
        if !may_help {
            return failed(what, error);
        }
        self.tries += 1;
        if self.tries > self.config.retries {
            return given_up(what, &error);
        }
        let message = format!("{what}: {}", said(&error));
        warn!("{message}");
        PluginError::retriable(message)
    }
}

fn given_up(what: &str, error: &ClientError) -> PluginError {
    PluginError::disconnected(format!(
        "{what}, as often as flush.max.retries says: {}",
        said(error)
    ))
}

fn shown(moves: &[Move]) -> String {
    let moves = moves.iter();
    let names: Vec<String> = moves
        .map(|step| format!("{}-{}", step.partition.topic, step.partition.partition))
        .collect();
    names.join(", ")
}

fn torn(moves: &[Move]) -> PluginError {
    PluginError::fatal(format!(
        "the stored offsets of {} are not where this task left them: somebody else set them, and a task that is started again goes on from there",
        shown(moves)
    ))
}
