//! Event time and windows in the plan.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::Expr;

use super::aggregates::aggregate_spec;
use super::build::{Builder, From, Output};
use super::checks::{check_columns, compile, distinct};
use super::partitioning::Partitioned;
use super::{
    ChangelogTopic, Decode, NodeId, PlanError, RepartitionTopic, Shuffle, Side, StepKind, WatermarkStep,
    WindowFinal, WindowPartial, WindowedSpec,
};
use crate::aggregate::AggregateSpec;
use crate::expr::prelude::col;
use crate::format::ShuffledRows;
use crate::time::WatermarkStrategy;
use crate::window::{Emit, WINDOW_END, WINDOW_START, WindowKind, Windows, window_type};

/// Windows that were asked for.
pub(super) struct AskedWindows {
    pub(super) above: Output,
    pub(super) windowed: WindowedSpec,
    pub(super) emit: Emit,
    /// Keys, the window's start and end, results.
    pub(super) output: SchemaRef,
    pub(super) topic: Arc<str>,
    pub(super) changelog: Arc<str>,
}

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
        let asked = self.asked(input, name, keys, (windows, emit), aggregates)?;
        match windows.kind() {
            WindowKind::Hopping { .. } => Ok(self.hopping(asked)),
            WindowKind::Session { .. } => self.sessions(asked),
            WindowKind::Sliding { .. } => Ok(self.sliding(asked)),
        }
    }

    /// What was asked for, compiled.
    fn asked(
        &mut self,
        input: NodeId,
        name: &str,
        keys: &[Expr],
        (windows, emit): (&Windows, Emit),
        aggregates: &[Expr],
    ) -> Result<AskedWindows, PlanError> {
        let (topic, changelog) = self.keyed_step(name)?;
        let step = format!("window {name}");
        if let Some(reason) = windows.fault() {
            return Err(PlanError::Windows { step, reason });
        }
        let above = self.outputs[input.0].clone();
        // Late rows have a key and no window, and sessions and sliding windows begin nobody knows where before all rows are there.
        for key in keys {
            check_columns(&step, key, &above.schema)?;
        }
        if !matches!(windows.kind(), WindowKind::Hopping { .. }) {
            for aggregate in aggregates {
                check_columns(&step, aggregate, &above.schema)?;
            }
        }
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
        Ok(AskedWindows {
            above,
            windowed,
            emit,
            output,
            topic,
            changelog,
        })
    }

    fn hopping(&mut self, asked: AskedWindows) -> Output {
        let shuffled = self.shipped(&asked);
        let (windows, grace) = (&asked.windowed.windows, asked.windowed.windows.grace_ms());
        let hold_ms = match asked.emit {
            Emit::OnUpdate => windows.size_ms() + grace,
            Emit::OnWindowClose => grace,
        };
        let kind = StepKind::WindowFinal(WindowFinal {
            windowed: asked.windowed.clone(),
            emit: asked.emit,
            changelog: Arc::clone(&asked.changelog),
            output: Arc::clone(&asked.output),
        });
        self.windowed_step(&[&shuffled], kind, &asked, hold_ms)
    }

    /// What comes out of the repartition topic as partial states by key and window, judged where somebody takes late rows.
    pub(super) fn shipped(&mut self, asked: &AskedWindows) -> Output {
        let late = self.is_taken(Side::Late);
        let rows = late.then(|| Arc::new(ShuffledRows::new(&asked.above.schema)));
        let (windowed, topic) = (&asked.windowed, &asked.topic);
        let mut shuffled = self.ship(&asked.above, windowed, topic, rows.clone());
        if let Some(rows) = rows {
            let in_time = self.judge(&shuffled, windowed, &rows);
            shuffled.from.push(in_time);
        }
        shuffled
    }

    /// The step that keeps windows, whose rows are up to `hold_ms` behind.
    pub(super) fn windowed_step(
        &mut self,
        above: &[&Output],
        kind: StepKind,
        asked: &AskedWindows,
        hold_ms: i64,
    ) -> Output {
        self.changelogs.push(ChangelogTopic {
            topic: Arc::clone(&asked.changelog),
            sub: above[0].sub,
        });
        let (spec, schema) = (&asked.windowed.spec, Arc::clone(&asked.output));
        let label = format!("{} {}", spec.text(), asked.emit);
        let keys = spec.key_count() + 1;
        let mut results = self.step_on(above, kind, label, schema, keys);
        results.hold_ms = hold_ms;
        // All windows of a key are in its partition.
        results.partitioned = Partitioned::by_first(keys - 2, &results.schema);
        results
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
        self.through_topic(above, partial, spec, topic, rows)
    }

    /// What comes out of the topic that `partial` writes.
    pub(super) fn through_topic(
        &mut self,
        above: &Output,
        partial: StepKind,
        spec: &Arc<AggregateSpec>,
        topic: &Arc<str>,
        rows: Option<Arc<ShuffledRows>>,
    ) -> Output {
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
