//! The windowed aggregate before the shuffle: partial states by key and window, and late rows as they are.
use std::sync::Arc;

use super::late_rows::LateRows;
use super::shipper::{Each, Shipper};
use super::{Limits, Operator, OperatorError, Output};
use crate::aggregate::Delta;
use crate::format::{Placement, ShuffleCodec};
use crate::plan::{WindowPartial as Plan, WindowedSpec};
use crate::rows::Rows;
use crate::time::Watermark;

/// Assigns rows to windows and gathers them by key and window.
pub(super) struct WindowPartial {
    windowed: WindowedSpec,
    delta: Delta,
    codec: ShuffleCodec,
    shipper: Shipper,
    limits: Limits,
    late: Option<LateRows>,
}

impl WindowPartial {
    pub(super) fn new(plan: &Plan, partitions: usize, limits: Limits) -> Result<Self, OperatorError> {
        let spec = &plan.windowed.spec;
        // All windows of a key are in one place.
        let placement = Placement::new(spec.key_count() - 1, partitions);
        Ok(Self {
            delta: Delta::new(Arc::clone(spec))?,
            codec: ShuffleCodec::new(spec.state_schema(), spec.fingerprint()),
            shipper: Shipper::new(
                Arc::clone(&plan.topic),
                placement,
                limits.shuffle_record_bytes_max,
            ),
            late: plan.late.as_ref().map(|rows| LateRows::new(rows, &limits)),
            limits,
            windowed: plan.windowed.clone(),
        })
    }

    fn ship(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if let Some(states) = self.delta.take()? {
            let encode = |rows: &[u32], max, each: Each<'_>| self.codec.encode(&states, rows, max, each);
            self.shipper.ship(&states, self.codec.header(), encode, out)?;
        }
        match &mut self.late {
            Some(late) => late.ship(&self.shipper, out),
            None => Ok(()),
        }
    }
}

impl Operator for WindowPartial {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let least = match rows.watermarks() {
            // A row of a source is judged by its own partition alone.
            Some(_) => Watermark::NONE,
            None => out.settled(),
        };
        let rows = rows.with_watermarks_from(least.millis());
        if out.was_idle()
            && let Some(late) = &mut self.late
        {
            // Windows may have closed without this task: who keeps them, judges.
            let batch = late.prepared(&self.windowed, &rows)?;
            late.hold(batch);
        } else {
            let assigned = self
                .windowed
                .windows
                .assign(&rows, least, &self.windowed.assigned)?;
            let late_rows = assigned.late.map(|flags| rows.filter(&flags)).transpose()?;
            let batch = match (&self.late, &late_rows) {
                (Some(late), Some(rows)) => Some(late.prepared(&self.windowed, rows)?),
                _ => None,
            };
            // What fails because of a row has failed before anything is changed.
            if assigned.rows.len() > 0 {
                self.delta.update(&assigned.rows)?;
            }
            match (&mut self.late, batch, late_rows) {
                (Some(late), Some(batch), _) => late.hold(batch),
                (None, _, Some(rows)) => out.count_late(rows.len()),
                _ => {}
            }
        }
        let late = self.late.as_ref().map_or(0, LateRows::len);
        if self.limits.partial_is_full(&self.delta) || late > self.limits.late_rows_max {
            self.ship(out)?;
        }
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.ship(out)
    }
}
