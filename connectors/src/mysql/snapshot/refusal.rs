//! What a server refuses, and whom that ends.
use super::machine::{Snapshot, forget_whole};
use super::request::RequestId;
use super::settings::SnapshotError;
use super::state::RunKind;
use super::work::TableWork;

/// So often in a row a table may be another than it was surveyed as; then its statement is wrong, not its description.
const SURPRISES_MAX: u32 = 5;

impl Snapshot {
    /// The server, or what it is asked for, does not allow it. What a signal asks for ends with that, and nothing else does: it would come again
    /// with each start.
    pub(super) fn refused(&mut self, error: SnapshotError) -> Result<(), SnapshotError> {
        let (Some(running), Some(run)) = (&mut self.running, self.state.runs.first_mut()) else {
            return Err(error);
        };
        let RunKind::Incremental(asked) = &run.kind else {
            return Err(error);
        };
        self.revision += 1;
        let index = match &error {
            SnapshotError::Refused { table, .. } => running.index_of(table),
            SnapshotError::Denied(_) => None,
            SnapshotError::Disconnected(_) => return Err(error),
        };
        match index {
            Some(index) => {
                tracing::error!(
                    id = asked.id,
                    "what a signal asks for cannot be done, and leaves the table out: {error}"
                );
                forget_whole(&running.end(index, run), &mut self.requests, &mut self.last_id);
            }
            None => {
                tracing::error!(
                    id = asked.id,
                    "what a signal asks for cannot be done, and ends: {error}"
                );
                self.drop_running();
                self.state.runs.remove(0);
                self.forget_pause();
            }
        }
        Ok(())
    }

    /// A table is not what it was surveyed as.
    pub(super) fn surprised(
        &self,
        work: &mut TableWork,
        id: RequestId,
        reason: String,
    ) -> Result<(), SnapshotError> {
        work.surprises += 1;
        if work.surprises > SURPRISES_MAX {
            return Err(SnapshotError::Refused {
                table: work.id.clone(),
                message: format!(
                    "{reason}; check snapshot.select.statement.overrides, the conditions of signals, and the rights of database.user"
                ),
            });
        }
        work.recall_request(id);
        work.recall();
        Ok(())
    }
}
