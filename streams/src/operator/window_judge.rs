//! Rows that may be too late for their windows: those that are, as they came; the others as partial states.
use std::sync::Arc;

use super::{Operator, OperatorError, Output};
use crate::aggregate::Delta;
use crate::plan::WindowedSpec;
use crate::rows::{NO_TIME, Rows};

/// The output of late rows.
const LATE: usize = 0;
/// The output of partial states.
const IN_TIME: usize = 1;

/// Judges rows where the windows are kept, at their position in the log.
pub(super) struct WindowJudge {
    windowed: WindowedSpec,
    delta: Delta,
}

impl WindowJudge {
    pub(super) fn new(windowed: WindowedSpec) -> Result<Self, OperatorError> {
        Ok(Self {
            delta: Delta::new(Arc::clone(&windowed.spec))?,
            windowed,
        })
    }
}

impl Operator for WindowJudge {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let windows = &self.windowed.windows;
        let assigned = windows.assign(&rows, out.judged_from(0), &self.windowed.assigned)?;
        // What fails because of a row fails before anything is counted.
        if assigned.rows.len() > 0 {
            self.delta.update(&assigned.rows)?;
        }
        if let Some(flags) = &assigned.late {
            let late = rows.filter(flags)?;
            out.count_late(late.len());
            out.push_to(LATE, late);
        }
        if let Some(states) = self.delta.take()? {
            // Partial states carry their times themselves.
            let times = vec![NO_TIME; states.num_rows()];
            out.push_to(IN_TIME, Rows::new(states, times));
        }
        Ok(())
    }
}
