//! The streams of the process, each with what was read of it and is no record yet.
//!
//! A task has a stream on lease; it comes back when the task ends, and the next task goes on where that one stopped. Owns: who may read.
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use millstream_connect::plugin::PluginError;
use tracing::warn;

use super::{State, cannot_read, name_of};

/// So many streams wait for a task that may never come.
const WAITING_MAX: usize = 64;

/// Which stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Name {
    StandardInput,
    Path(PathBuf),
}

impl Name {
    fn shown(&self) -> String {
        match self {
            Self::StandardInput => name_of(None),
            Self::Path(path) => name_of(Some(path)),
        }
    }
}

static STREAMS: LazyLock<Mutex<Streams>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Streams {
    kept: HashMap<Name, Kept>,
    leases: u64,
}

struct Kept {
    state: Arc<Mutex<State>>,
    /// The connector whose task reads it or did so last.
    connector: String,
    /// The last lease.
    lease: u64,
    /// A task has it.
    leased: bool,
}

/// What is locked is whole after each call, and a task that panics is started again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A task's right to read a stream.
pub(super) struct Lease {
    name: Name,
    number: u64,
    state: Arc<Mutex<State>>,
}

impl Lease {
    /// Takes what a former task left, or else what `open` says. A task of the connector that has not ended yet loses its right.
    ///
    /// # Errors
    /// When a task of another connector reads it, or it cannot be opened.
    pub fn take(
        name: Name,
        connector: &str,
        open: impl FnOnce() -> io::Result<State>,
    ) -> Result<Self, PluginError> {
        let mut streams = lock(&STREAMS);
        if let Some(other) = streams.kept.get(&name)
            && other.leased
            && other.connector != connector
        {
            return Err(PluginError::disconnected(format!(
                "{} is read by the connector {}, and what one reads of it another does not get; stop that one, or give this one a pipe of its own",
                name.shown(),
                other.connector
            )));
        }
        streams.leases += 1;
        let number = streams.leases;
        let state = match streams.kept.get(&name) {
            Some(kept) => Arc::clone(&kept.state),
            None => {
                let path = match &name {
                    Name::StandardInput => None,
                    Name::Path(path) => Some(&**path),
                };
                let state = open().map_err(|error| cannot_read(path, error))?;
                Arc::new(Mutex::new(state))
            }
        };
        let kept = Kept {
            state: Arc::clone(&state),
            connector: connector.to_owned(),
            lease: number,
            leased: true,
        };
        streams.kept.insert(name.clone(), kept);
        Ok(Self { name, number, state })
    }

    /// Does something with the stream.
    ///
    /// # Errors
    /// When it was given to another task.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> Result<T, PluginError> {
        let mut state = lock(&self.state);
        if !self.is_valid() {
            return Err(PluginError::fatal(format!(
                "{} is read by a later task",
                self.name.shown()
            )));
        }
        Ok(act(&mut state))
    }

    fn is_valid(&self) -> bool {
        let streams = lock(&STREAMS);
        let kept = streams.kept.get(&self.name);
        kept.is_some_and(|kept| kept.lease == self.number)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let finished = lock(&self.state).finished;
        let dropped = lock(&STREAMS).give_back(self, finished);
        // A stream is locked before the streams are.
        if let Some((name, state)) = dropped {
            let left = lock(&state).unread();
            warn!(
                "{} is closed: no task has read it for long, and others wait, too; {left} bytes of it are dropped",
                name.shown()
            );
        }
    }
}

impl Streams {
    /// The stream waits for the next task, unless it is finished: then that opens it anew. Too many do not: the one that waits for longest is returned.
    fn give_back(&mut self, lease: &Lease, finished: bool) -> Option<(Name, Arc<Mutex<State>>)> {
        let kept = self.kept.get_mut(&lease.name)?;
        if kept.lease != lease.number {
            return None;
        }
        kept.leased = false;
        if finished {
            self.kept.remove(&lease.name);
        }
        let waiting = self.kept.iter().filter(|(_, kept)| !kept.leased);
        let (count, oldest) = waiting.fold((0, None), |(count, oldest), (name, kept)| {
            let older = oldest.filter(|(lease, _)| *lease < kept.lease);
            (count + 1, older.or(Some((kept.lease, name))))
        });
        let oldest = oldest.filter(|_| count > WAITING_MAX)?.1.clone();
        let dropped = self.kept.remove(&oldest)?;
        Some((oldest, dropped.state))
    }
}
