//! Aggregates by key: one half before the repartition topic, one behind it.
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::logical_expr::Expr;

use super::build::{Builder, From, Output, TableOutputs};
use super::checks::{check_columns, compile, distinct};
use super::partitioning::Partitioned;
use super::{ChangelogTopic, Decode, NodeId, PlanError, RepartitionTopic, Shuffle, StepKind};
use crate::aggregate::AggregateSpec;

impl Builder {
    pub(super) fn aggregate(
        &mut self,
        input: NodeId,
        name: &str,
        keys: &[Expr],
        aggregates: &[Expr],
    ) -> Result<Output, PlanError> {
        let (topic, changelog) = self.keyed_step(name)?;
        let step = format!("aggregate {name}");
        let above = self.outputs[input.0].clone();
        let spec = Arc::new(aggregate_spec(name, &step, keys, aggregates, &above.schema)?);
        Ok(self.shuffled(&above, spec, step, topic, changelog))
    }

    /// The halves of an aggregate before and behind its repartition topic.
    fn shuffled(
        &mut self,
        above: &Output,
        spec: Arc<AggregateSpec>,
        step: String,
        topic: Arc<str>,
        changelog: Arc<str>,
    ) -> Output {
        let partial = StepKind::PartialAggregate {
            spec: Arc::clone(&spec),
            topic: Arc::clone(&topic),
        };
        self.step(
            above,
            partial,
            format!("partial {}", spec.text()),
            spec.state_schema(),
            0,
        );
        self.repartitions.push(RepartitionTopic {
            topic: Arc::clone(&topic),
            upstream: above.sub,
            hold_ms: above.hold_ms,
        });

        let shuffle = Shuffle {
            states: Some(Arc::clone(&spec)),
            rows: None,
        };
        let sub = self.open(topic, Decode::Shuffle(shuffle));
        let (schema, keys) = (spec.output_schema(), spec.key_count());
        let shuffled = Output {
            sub,
            from: vec![From::Input(0)],
            schema: spec.state_schema(),
            keys: 0,
            label: step,
            hold_ms: 0,
            table: None,
            partitioned: None,
        };
        let label = format!("{} (table)", spec.text());
        self.changelogs.push(ChangelogTopic {
            topic: Arc::clone(&changelog),
            sub,
        });
        let kind = StepKind::FinalAggregate {
            spec,
            changelog,
            changes_used: false,
        };
        let mut table = self.step(&shuffled, kind, label, schema, keys);
        table.partitioned = Partitioned::by_first(keys, &table.schema);
        if let [From::Step(step, _)] = table.from[..] {
            table.table = Some(TableOutputs {
                changes: From::Step(step, 1),
                deletions: None,
                view: Some(step),
            });
        }
        table
    }
}

/// Compiles keys and aggregates over rows of `schema`.
pub(super) fn aggregate_spec(
    name: &str,
    step: &str,
    keys: &[Expr],
    aggregates: &[Expr],
    schema: &Schema,
) -> Result<AggregateSpec, PlanError> {
    for (exprs, what) in [(keys, "key columns"), (aggregates, "aggregates")] {
        if exprs.is_empty() {
            let step = step.to_owned();
            return Err(PlanError::Nothing { step, what });
        }
    }
    for expr in aggregates {
        check_columns(step, expr, schema)?;
    }
    let compiled_keys = keys
        .iter()
        .map(|key| compile(step, key, schema))
        .collect::<Result<_, _>>()?;
    let spec = AggregateSpec::new(name, compiled_keys, aggregates, schema)?;
    let output = spec.output_schema();
    distinct(step, output.fields().iter().map(|field| field.name()))?;
    Ok(spec)
}
