//! Event time and windows in the plan.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::logical_expr::Expr;

use super::aggregates::aggregate_spec;
use super::build::{Builder, From, Output};
use super::checks::{compile, distinct};
use super::partitioning::Partitioned;
use super::{
    ChangelogTopic, Decode, NodeId, PlanError, RepartitionTopic, Shuffle, Side, StepKind, WatermarkStep,
    WindowFinal, WindowPartial, WindowedSpec,
};
use crate::aggregate::AggregateSpec;
use crate::expr::prelude::col;
use crate::format::ShuffledRows;
use crate::time::WatermarkStrategy;
use crate::window::{Emit, WINDOW_END, WINDOW_START, Windows, window_type};

impl Builder {
    pub(super) fn watermark(
        &mut self,
        input: NodeId,
        strategy: &WatermarkStrategy,
    ) -> Result<Output, PlanError> {
        let above = self.outputs[input.0].clone();
        let step = format!("watermark {strategy}");
        let time = strategy.time.as_ref();
        let time = time.map(|time| compile(&step, time, &above.schema)).transpose()?;
        if let Some(time) = &time
            && !matches!(
                time.field().data_type(),
                DataType::Int64 | DataType::Timestamp(..)
            )
        {
            return Err(PlanError::NotATime {
                step,
                column: time.text().to_owned(),
                actual: time.field().data_type().clone(),
            });
        }
        let kind = StepKind::Watermark(WatermarkStep {
            time,
            out_of_orderness_ms: i64::try_from(strategy.out_of_orderness.as_millis()).unwrap_or(i64::MAX),
            idle_after: strategy.idle_after,
            tracks: None,
        });
        Ok(self.passing_step(&above, kind, step))
    }

    pub(super) fn window(
        &mut self,
        input: NodeId,
        name: &str,
        keys: &[Expr],
        (windows, emit): (&Windows, Emit),
        aggregates: &[Expr],
    ) -> Result<Output, PlanError> {
        let (topic, changelog) = self.keyed_step(name)?;
        let step = format!("window {name}");
        if let Some(reason) = windows.fault() {
            return Err(PlanError::Windows { step, reason });
        }
        let above = self.outputs[input.0].clone();
        let assigned = windows.assigned_schema(&above.schema);
        distinct(&step, assigned.fields().iter().map(|field| field.name()))?;
        let mut all_keys = keys.to_vec();
        if !keys.is_empty() {
            all_keys.push(col(WINDOW_START));
        }
        let spec = aggregate_spec(name, &step, &all_keys, aggregates, &assigned)?;
        let windowed = WindowedSpec {
            spec: Arc::new(spec.of_windows(&windows.meaning())),
            windows: windows.clone(),
            assigned,
        };
        let output = Arc::new(Schema::new(output_fields(&windowed.spec)));
        distinct(&step, output.fields().iter().map(|field| field.name()))?;

        let late = self.is_taken(Side::Late);
        let rows = late.then(|| Arc::new(ShuffledRows::new(&above.schema)));
        let mut shuffled = self.ship(&above, &windowed, &topic, rows.clone());
        if let Some(rows) = rows {
            let in_time = self.judge(&shuffled, &windowed, &rows);
            shuffled.from.push(in_time);
        }
        self.changelogs.push(ChangelogTopic {
            topic: Arc::clone(&changelog),
            sub: shuffled.sub,
        });
        let label = format!("{} {emit}", windowed.spec.text());
        let keys = windowed.spec.key_count() + 1;
        let hold_ms = match emit {
            Emit::OnUpdate => windows.size_ms() + windows.grace_ms(),
            Emit::OnWindowClose => windows.grace_ms(),
        };
        let kind = StepKind::WindowFinal(WindowFinal {
            windowed,
            emit,
            changelog,
            output: Arc::clone(&output),
        });
        let mut results = self.step(&shuffled, kind, label, output, keys);
        results.hold_ms = hold_ms;
        // All windows of a key are in its partition.
        results.partitioned = Partitioned::by_first(keys - 2, &results.schema);
        Ok(results)
    }

    /// The half before the repartition topic; gives what comes out of the topic as partial states.
    fn ship(
        &mut self,
        above: &Output,
        windowed: &WindowedSpec,
        topic: &Arc<str>,
        rows: Option<Arc<ShuffledRows>>,
    ) -> Output {
        let spec = &windowed.spec;
        let partial = StepKind::WindowPartial(WindowPartial {
            windowed: windowed.clone(),
            topic: Arc::clone(topic),
            late: rows.clone(),
        });
        self.step(
            above,
            partial,
            format!("partial {}", spec.text()),
            spec.state_schema(),
            0,
        );
        self.repartitions.push(RepartitionTopic {
            topic: Arc::clone(topic),
            upstream: above.sub,
            hold_ms: above.hold_ms,
        });
        let shuffle = Shuffle {
            states: Some(Arc::clone(spec)),
            rows,
        };
        Output {
            sub: self.open(Arc::clone(topic), Decode::Shuffle(shuffle)),
            from: vec![From::Input(0)],
            schema: spec.state_schema(),
            keys: 0,
            label: format!("window {}", spec.text()),
            hold_ms: 0,
            table: None,
            partitioned: None,
        }
    }

    /// Judges what comes out of the topic as rows; gives the partial states of what is in time.
    fn judge(&mut self, shuffled: &Output, windowed: &WindowedSpec, rows: &ShuffledRows) -> From {
        let raw = Output {
            from: vec![From::Rows(0)],
            schema: rows.schema(),
            ..shuffled.clone()
        };
        let label = format!("late {}", windowed.spec.text());
        let late = self.step(
            &raw,
            StepKind::WindowJudge(windowed.clone()),
            label,
            rows.schema(),
            0,
        );
        let [From::Step(judge, _)] = late.from[..] else {
            unreachable!("a judge has outputs");
        };
        self.set_side(Side::Late, late);
        From::Step(judge, 1)
    }
}

/// Keys, the window's start and end, results.
fn output_fields(spec: &AggregateSpec) -> Vec<FieldRef> {
    let schema = spec.output_schema();
    let (keys, results) = schema.fields().split_at(spec.key_count());
    let end = Arc::new(Field::new(WINDOW_END, window_type(), false));
    keys.iter().chain([&end]).chain(results).cloned().collect()
}
