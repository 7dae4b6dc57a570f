//! What signals do to snapshots.
use regex::Regex;

use super::machine::{Snapshot, forget_whole};
use super::state::{Asked, Run, RunKind};
use crate::mysql::signal::{ExecuteSnapshot, Signal, SignalError, expression};

/// The most snapshots that wait: what is asked for is stored with each offset.
const RUNS_MAX: usize = 20;

/// The most expressions for tables that a snapshot has lost to `stop-snapshot`.
const STOPPED_MAX: usize = 100;

impl Snapshot {
    /// A signal came, from the signal table or from REST. What concerns snapshots is done, and stands in [`Snapshot::state`] from now on; of
    /// [`Signal::Log`] nothing is done.
    ///
    /// # Errors
    /// When there are too many already.
    pub fn signal(&mut self, signal: &Signal) -> Result<(), SignalError> {
        match signal {
            Signal::Log { .. } => return Ok(()),
            Signal::Execute(asked) => self.execute(asked)?,
            Signal::Stop(tables) if tables.is_empty() => self.stop_all(),
            Signal::Stop(tables) => self.stop(tables)?,
            Signal::Pause if !self.state.is_incremental() => {
                tracing::warn!("no snapshot that a signal asked for is under way: there is nothing to pause");
            }
            Signal::Pause => self.state.paused = true,
            Signal::Resume => self.state.paused = false,
        }
        self.revision += 1;
        self.dirty = true;
        Ok(())
    }

    fn execute(&mut self, asked: &ExecuteSnapshot) -> Result<(), SignalError> {
        if self.state.runs.len() >= RUNS_MAX {
            let reason = format!("{RUNS_MAX} snapshots wait already; stop them (stop-snapshot), or wait");
            return Err(SignalError::Refused(reason));
        }
        tracing::info!(id = asked.id, tables = ?asked.tables, "a snapshot is asked for");
        if self.state.paused {
            tracing::info!(
                id = asked.id,
                "it waits, as those before it do, until somebody sends resume-snapshot"
            );
        }
        let asked = Asked {
            id: asked.id.clone(),
            tables: asked.tables.clone(),
            conditions: asked.conditions.clone(),
            surrogate: asked.surrogate_key.clone(),
            blocking: asked.blocking,
            stopped: Vec::new(),
        };
        self.state
            .runs
            .push(Run::new(RunKind::Incremental(Box::new(asked))));
        Ok(())
    }

    /// All that signals asked for ends.
    fn stop_all(&mut self) {
        let is_initial = |run: &Run| run.kind == RunKind::Initial;
        if self.state.runs.first().is_some_and(|run| !is_initial(run)) {
            self.drop_running();
        }
        self.state.runs.retain(is_initial);
        self.forget_pause();
    }

    /// Tables are not wanted any more, in whatever signals asked for.
    fn stop(&mut self, tables: &[String]) -> Result<(), SignalError> {
        let stopped: Vec<Regex> = tables.iter().filter_map(|table| expression(table).ok()).collect();
        for run in &mut self.state.runs {
            if let RunKind::Incremental(asked) = &mut run.kind {
                if asked.stopped.len() + tables.len() > STOPPED_MAX {
                    let reason = format!(
                        "more than {STOPPED_MAX} expressions were stopped; stop all (stop-snapshot without data-collections)"
                    );
                    return Err(SignalError::Refused(reason));
                }
                asked.stopped.extend_from_slice(tables);
            }
        }
        let is_current = |run: &&mut Run| run.kind != RunKind::Initial;
        let (Some(mut running), Some(run)) = (
            self.running
                .take_if(|_| self.state.runs[0].kind != RunKind::Initial),
            self.state.runs.first_mut().filter(is_current),
        ) else {
            return Ok(());
        };
        for work in running.leave_out(stopped, run, &self.settings) {
            forget_whole(&work, &mut self.requests, &mut self.last_id);
        }
        self.running = Some(running);
        self.finish();
        Ok(())
    }
}
