//! From the plan as written to the topology that runs.
//!
//! One pass over the nodes in order: schemas flow down, each node is validated against its input's schema and lands
//! in its input's sub-topology; an aggregate leaves its partial half there and opens a new one.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::Expr;

use super::checks::{check_columns, columns, compile, distinct, legal, same_columns, wrong_type};
use super::{
    ChangelogTopic, Decode, ErrorPolicy, Input, InputTime, Node, NodeId, Plan, PlanError, RepartitionTopic,
    Shuffle, Step, StepId, StepKind, SubTopology, Topology, name, typed::OpenFlow,
};
use crate::aggregate::AggregateSpec;
use crate::expr::CompiledExpr;
use crate::format::{Format, InputFormat, OutputFormat};

/// Where a node's output comes from, and what it looks like.
#[derive(Clone)]
pub(super) struct Output {
    pub(super) sub: usize,
    /// Several after a merge, none after a sink.
    pub(super) from: Vec<From>,
    pub(super) schema: SchemaRef,
    /// The columns that are the key; none for a stream, the first `keys` for a table.
    pub(super) keys: usize,
    pub(super) label: String,
    /// How far its rows are behind the task's watermark.
    pub(super) hold_ms: i64,
    /// What else a table gives.
    pub(super) table: Option<TableOutputs>,
}

/// What a table gives besides its rows.
#[derive(Clone)]
pub(super) struct TableOutputs {
    /// Pairs of what was and what is.
    pub(super) changes: From,
    /// Keys that are gone, if that can be.
    pub(super) deletions: Option<From>,
}

#[derive(Clone, Copy)]
pub(super) enum From {
    Input(usize),
    /// What comes from an input as rows where other records are partial states.
    Rows(usize),
    /// A step and the number of its output.
    Step(StepId, usize),
}

#[derive(Default)]
pub(super) struct Builder {
    pub(super) subs: Vec<(Vec<Input>, Vec<Step>)>,
    pub(super) repartitions: Vec<RepartitionTopic>,
    pub(super) changelogs: Vec<ChangelogTopic>,
    pub(super) outputs: Vec<Output>,
    /// The sub-topology and the number of its input that read a source topic.
    pub(super) sources: HashMap<String, (usize, usize)>,
    /// The late rows of windows, for those of which somebody takes them.
    pub(super) lates: BTreeMap<NodeId, Output>,
    /// The windows whose late rows somebody takes.
    pub(super) late_taken: BTreeSet<NodeId>,
    names: BTreeSet<String>,
    pub(super) policies: BTreeMap<NodeId, ErrorPolicy>,
    /// Typed steps that are one with the step behind them.
    pub(super) fused: BTreeSet<NodeId>,
    /// Those of them that wait for it.
    pub(super) open: HashMap<NodeId, OpenFlow>,
    application_id: String,
}

impl Plan {
    /// Validates the plan and compiles it.
    pub(crate) fn build(&self) -> Result<Topology, PlanError> {
        legal("application id", &self.application_id)?;
        let mut builder = Builder {
            application_id: self.application_id.clone(),
            policies: self.policies.clone(),
            fused: self.fused(),
            late_taken: self.late_taken(),
            ..Builder::default()
        };
        for (number, node) in self.nodes.iter().enumerate() {
            let before = builder.step_counts();
            let output = builder.add(NodeId(number), node)?;
            if let Some(policy) = self.policies.get(&NodeId(number)) {
                builder.set_policy(node, &output, &before, policy)?;
            }
            builder.outputs.push(output);
        }
        if builder.subs.is_empty() {
            return Err(PlanError::NoSource {
                application_id: self.application_id.clone(),
            });
        }
        self.check_ends(&builder)?;
        self.check_dead_letters(&builder)?;
        builder.renumber();
        let mut announces = builder.settle_time()?.into_iter();
        let subs = builder.subs.into_iter().enumerate();
        Ok(Topology {
            application_id: self.application_id.clone(),
            commit_interval: self.commit_interval,
            guarantee: self.guarantee,
            sub_topologies: subs
                .map(|(id, (inputs, steps))| {
                    Arc::new(SubTopology {
                        id,
                        fingerprint: name::fingerprint(inputs.iter().map(|input| &*input.topic)),
                        inputs,
                        steps,
                        announces: announces.next().unwrap_or_default(),
                    })
                })
                .collect(),
            repartitions: builder.repartitions,
            changelogs: builder.changelogs,
        })
    }

    /// Every path ends in a sink, and no sink feeds the job again.
    fn check_ends(&self, builder: &Builder) -> Result<(), PlanError> {
        let used: BTreeSet<NodeId> = self.nodes.iter().flat_map(Node::inputs).copied().collect();
        for (number, node) in self.nodes.iter().enumerate() {
            match node {
                Node::Sink { topic, .. } if builder.sources.contains_key(topic) => {
                    return Err(PlanError::SinkIsSource { topic: topic.clone() });
                }
                // What goes a way that nobody follows is dropped.
                Node::Sink { .. } | Node::Way { .. } => {}
                _ if used.contains(&NodeId(number)) => {}
                // A topic read twice is one source; the second reading may be the one that goes on.
                Node::Source { topic, .. } if self.reads_elsewhere(topic, &used) => {}
                _ => {
                    return Err(PlanError::NoSink {
                        step: builder.outputs[number].label.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn late_taken(&self) -> BTreeSet<NodeId> {
        let taken = self.nodes.iter().filter_map(|node| match node {
            Node::Late { window } => Some(*window),
            _ => None,
        });
        taken.collect()
    }

    fn reads_elsewhere(&self, topic: &str, used: &BTreeSet<NodeId>) -> bool {
        self.nodes.iter().enumerate().any(|(number, node)| {
            matches!(node, Node::Source { topic: other, .. } if other == topic)
                && used.contains(&NodeId(number))
        })
    }
}

impl Node {
    pub(super) fn inputs(&self) -> &[NodeId] {
        match self {
            Self::Source { .. } => &[],
            Self::Merge { inputs } => inputs,
            Self::FlatMap { input, .. }
            | Self::Branch { input, .. }
            | Self::Way { input, .. }
            | Self::Filter { input, .. }
            | Self::Select { input, .. }
            | Self::WithColumn { input, .. }
            | Self::Peek { input, .. }
            | Self::Typed { input, .. }
            | Self::Process { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Repartition { input, .. }
            | Self::ToTable { input, .. }
            | Self::TableAggregate { input, .. }
            | Self::Watermark { input, .. }
            | Self::Window { input, .. }
            | Self::Late { window: input }
            | Self::Sink { input, .. } => std::slice::from_ref(input),
        }
    }
}

impl Builder {
    fn add(&mut self, number: NodeId, node: &Node) -> Result<Output, PlanError> {
        match node {
            Node::Source { topic, format } => self.source(topic, format),
            Node::FlatMap { input, expr } => self.flat_map(*input, expr),
            Node::Filter { input, predicate } => self.filter(*input, predicate),
            Node::Branch { input, predicates } => self.branch(*input, predicates),
            Node::Way { input, port } => Ok(self.way(*input, *port)),
            Node::Merge { inputs } => self.merge(inputs),
            Node::Select { input, exprs } => self.select(*input, exprs),
            Node::WithColumn { input, name, expr } => self.with_column(*input, name, expr),
            Node::Aggregate {
                input,
                name,
                keys,
                aggregates,
            } => self.aggregate(*input, name, keys, aggregates),
            Node::Peek { input, see } => Ok(self.peek(*input, see)),
            Node::Typed { input, stage } => self.typed(number, *input, stage),
            Node::Process {
                input,
                name,
                keys,
                processor,
            } => self.process(*input, name, keys, processor),
            Node::Repartition { input, name, keys } => self.repartition(*input, name, keys),
            Node::ToTable {
                input,
                name,
                keys,
                deleted,
            } => self.last_of_key(*input, name, keys, deleted.as_ref()),
            Node::TableAggregate {
                input,
                name,
                keys,
                aggregates,
            } => self.table_aggregate(*input, name, keys, aggregates),
            Node::Watermark { input, strategy } => self.watermark(*input, strategy),
            Node::Window {
                input,
                name,
                keys,
                windows,
                emit,
                aggregates,
            } => self.window(*input, name, keys, (windows, *emit), aggregates),
            Node::Late { window } => Ok(self.lates[window].clone()),
            Node::Sink { input, topic, format } => self.sink(*input, topic, format),
        }
    }

    fn source(&mut self, topic: &str, format: &Format) -> Result<Output, PlanError> {
        legal("topic", topic)?;
        let label = format!("stream {topic}");
        let Some(format) = InputFormat::new(format) else {
            return Err(PlanError::NotReadable {
                topic: topic.to_owned(),
                format: format.to_string(),
            });
        };
        format.check().map_err(|cause| PlanError::Schema {
            topic: topic.to_owned(),
            cause: cause.to_string(),
        })?;
        let schema = format.schema();
        distinct(&label, schema.fields().iter().map(|field| field.name()))?;
        if let Some(&(sub, input)) = self.sources.get(topic) {
            let Decode::Rows(first) = &self.subs[sub].0[input].decode else {
                unreachable!("a source gives rows");
            };
            if *first != format {
                let (first, second) = (first.to_string(), format.to_string());
                return Err(PlanError::TwoFormats {
                    topic: topic.to_owned(),
                    first,
                    second,
                });
            }
            return Ok(Output {
                sub,
                from: vec![From::Input(input)],
                schema,
                keys: 0,
                label,
                hold_ms: 0,
                table: None,
            });
        }
        let sub = self.open(topic.into(), Decode::Rows(format));
        self.sources.insert(topic.to_owned(), (sub, 0));
        Ok(Output {
            sub,
            from: vec![From::Input(0)],
            schema,
            keys: 0,
            label,
            hold_ms: 0,
            table: None,
        })
    }

    fn branch(&mut self, input: NodeId, predicates: &[Expr]) -> Result<Output, PlanError> {
        let above = self.outputs[input.0].clone();
        let compiled = predicates.iter().map(|predicate| {
            let compiled = compile("branch", predicate, &above.schema)?;
            match compiled.field().data_type() {
                DataType::Boolean => Ok(compiled),
                other => Err(wrong_type("branch", &compiled, other, "a truth value")),
            }
        });
        let predicates: Vec<CompiledExpr> = compiled.collect::<Result<_, _>>()?;
        let schema = Arc::clone(&above.schema);
        Ok(self.step(
            &above,
            StepKind::Branch { predicates },
            "branch".to_owned(),
            schema,
            0,
        ))
    }

    fn way(&self, branch: NodeId, port: usize) -> Output {
        let mut output = self.outputs[branch.0].clone();
        for from in &mut output.from {
            if let From::Step(step, _) = *from {
                *from = From::Step(step, port);
            }
        }
        output
    }

    fn merge(&mut self, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let (first, others) = inputs.split_first().ok_or_else(|| PlanError::Nothing {
            step: "merge".to_owned(),
            what: "streams",
        })?;
        let schema = Arc::clone(&self.outputs[first.0].schema);
        for other in others {
            let other = &self.outputs[other.0];
            if !same_columns(&schema, &other.schema) {
                return Err(PlanError::Merge {
                    first: columns(&schema),
                    label: other.label.clone(),
                    second: columns(&other.schema),
                });
            }
            self.unite(self.outputs[first.0].sub, other.sub);
        }
        let (mut from, mut hold_ms): (Vec<From>, _) = (Vec::new(), 0);
        for input in inputs {
            // A stream merged with itself gives its rows twice.
            from.extend(&self.outputs[input.0].from);
            hold_ms = self.outputs[input.0].hold_ms.max(hold_ms);
        }
        Ok(Output {
            from,
            hold_ms,
            label: "merge".to_owned(),
            ..self.outputs[first.0].clone()
        })
    }

    fn flat_map(&mut self, input: NodeId, expr: &Expr) -> Result<Output, PlanError> {
        let above = self.outputs[input.0].clone();
        let compiled = compile("flat_map", expr, &above.schema)?;
        let item = match compiled.field().data_type() {
            DataType::List(item) | DataType::LargeList(item) => Arc::clone(item),
            other => return Err(wrong_type("flat_map", &compiled, other, "a list")),
        };
        let column: FieldRef = Arc::new(item.as_ref().clone().with_name(compiled.field().name()));
        let schema = Arc::new(Schema::new(vec![column]));
        let label = format!("flat_map {}", compiled.text());
        let kind = StepKind::FlatMap {
            expr: compiled,
            schema: Arc::clone(&schema),
        };
        Ok(self.step(&above, kind, label, schema, 0))
    }

    fn filter(&mut self, input: NodeId, predicate: &Expr) -> Result<Output, PlanError> {
        let above = self.outputs[input.0].clone();
        let predicate = compile("filter", predicate, &above.schema)?;
        if predicate.field().data_type() != &DataType::Boolean {
            return Err(wrong_type(
                "filter",
                &predicate,
                predicate.field().data_type(),
                "a Boolean",
            ));
        }
        let label = format!("filter {}", predicate.text());
        Ok(self.step(
            &above,
            StepKind::Filter { predicate },
            label,
            Arc::clone(&above.schema),
            above.keys,
        ))
    }

    fn select(&mut self, input: NodeId, exprs: &[Expr]) -> Result<Output, PlanError> {
        if exprs.is_empty() {
            return Err(PlanError::Nothing {
                step: "select".to_owned(),
                what: "columns",
            });
        }
        let texts: Vec<String> = exprs.iter().map(ToString::to_string).collect();
        self.project("select", input, exprs, format!("select {}", texts.join(", ")))
    }

    fn with_column(&mut self, input: NodeId, name: &str, expr: &Expr) -> Result<Output, PlanError> {
        let schema = Arc::clone(&self.outputs[input.0].schema);
        let column = expr.clone().alias(name);
        let label = format!("with_column {column}");
        let keep = |field: &FieldRef| match field.name() == name {
            true => column.clone(),
            false => crate::expr::prelude::col(field.name()),
        };
        let mut exprs: Vec<Expr> = schema.fields().iter().map(keep).collect();
        if schema.field_with_name(name).is_err() {
            exprs.push(column);
        }
        self.project("with_column", input, &exprs, label)
    }

    pub(super) fn project(
        &mut self,
        step: &str,
        input: NodeId,
        exprs: &[Expr],
        label: String,
    ) -> Result<Output, PlanError> {
        let above = self.outputs[input.0].clone();
        let exprs = exprs
            .iter()
            .map(|expr| compile(step, expr, &above.schema))
            .collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<FieldRef> = exprs.iter().map(|expr| Arc::clone(expr.field())).collect();
        distinct(step, fields.iter().map(|field| field.name()))?;
        let schema = Arc::new(Schema::new(fields));
        let kind = StepKind::Project {
            exprs,
            schema: Arc::clone(&schema),
        };
        Ok(self.step(&above, kind, label, schema, 0))
    }

    fn aggregate(
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

    /// Takes the name of a keyed step; gives its repartition topic and its changelog.
    pub(super) fn keyed_step(&mut self, name: &str) -> Result<(Arc<str>, Arc<str>), PlanError> {
        legal("step name", name)?;
        let topic = name::repartition_topic(&self.application_id, name);
        legal("repartition topic", &topic)?;
        let changelog = name::changelog_topic(&self.application_id, name);
        legal("changelog topic", &changelog)?;
        if !self.names.insert(name.to_owned()) {
            return Err(PlanError::DuplicateStep {
                name: name.to_owned(),
            });
        }
        Ok((topic.into(), changelog.into()))
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
        if let [From::Step(step, _)] = table.from[..] {
            table.table = Some(TableOutputs {
                changes: From::Step(step, 1),
                deletions: None,
            });
        }
        table
    }

    fn sink(&mut self, input: NodeId, topic: &str, format: &Format) -> Result<Output, PlanError> {
        legal("topic", topic)?;
        let above = self.outputs[input.0].clone();
        let step = format!("sink {topic}");
        let format = OutputFormat::new(format, &above.schema, above.keys).map_err(|reason| {
            PlanError::NotWritable {
                step: step.clone(),
                format: format.to_string(),
                reason,
            }
        })?;
        let label = format!("{step} as {format}");
        let schema = Arc::clone(&above.schema);
        let topic: Arc<str> = topic.into();
        if let Some(deletions) = above.table.as_ref().and_then(|table| table.deletions) {
            let gone = Output {
                from: vec![deletions],
                ..above.clone()
            };
            let kind = StepKind::Sink {
                topic: Arc::clone(&topic),
                format: format.clone(),
                deletions: true,
            };
            self.step(&gone, kind, label.clone(), Arc::clone(&schema), above.keys);
        }
        let kind = StepKind::Sink {
            topic,
            format,
            deletions: false,
        };
        Ok(self.step(&above, kind, label, schema, above.keys))
    }

    /// Opens a sub-topology with one input.
    pub(super) fn open(&mut self, topic: Arc<str>, decode: Decode) -> usize {
        self.subs.push((
            vec![Input {
                topic,
                decode,
                children: Vec::new(),
                row_children: Vec::new(),
                time: InputTime::Untimed,
                on_error: None,
            }],
            Vec::new(),
        ));
        self.subs.len() - 1
    }

    /// Hangs a step below `above`.
    pub(super) fn step(
        &mut self,
        above: &Output,
        kind: StepKind,
        label: String,
        schema: SchemaRef,
        keys: usize,
    ) -> Output {
        let (inputs, steps) = &mut self.subs[above.sub];
        let id = StepId(steps.len());
        steps.push(Step {
            label: label.clone(),
            kind,
            children: Vec::new(),
            hold_ms: above.hold_ms,
            on_error: None,
        });
        for from in &above.from {
            match *from {
                From::Input(input) => inputs[input].children.push(id),
                From::Rows(input) => inputs[input].row_children.push(id),
                From::Step(parent, port) => steps[parent.0].children[port].push(id),
            }
        }
        let outputs = steps[id.0].kind.outputs();
        steps[id.0].children = vec![Vec::new(); outputs];
        let from = (0..outputs.min(1)).map(|port| From::Step(id, port)).collect();
        Output {
            sub: above.sub,
            from,
            schema,
            keys,
            label,
            hold_ms: above.hold_ms,
            table: None,
        }
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
