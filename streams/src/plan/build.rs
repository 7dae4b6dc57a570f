//! From the plan as written to the topology that runs.
//!
//! One pass over the nodes in order: schemas flow down, each node is validated against its input's schema and lands
//! in its input's sub-topology; an aggregate leaves its partial half there and opens a new one.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Expr;

use super::checks::{distinct, legal};
use super::follows::Follower;
use super::global::CompiledGlobal;
use super::partitioning::Partitioned;
use super::{
    ChangelogTopic, Decode, Edge, ErrorPolicy, Input, InputTime, Node, NodeId, Plan, PlanError,
    RepartitionTopic, Side, SinkRows, Step, StepId, StepKind, SubTopology, Topology, name, typed::OpenFlow,
};
use crate::expr::prelude::col;
use crate::format::{Format, InputFormat, OutputFormat};

/// Where a node's output comes from, and what it looks like.
#[derive(Clone)]
pub(crate) struct Output {
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
    /// By which columns its rows are in their partitions, if that is known.
    pub(super) partitioned: Option<Partitioned>,
}

/// What a table gives besides its rows.
#[derive(Clone)]
pub(super) struct TableOutputs {
    /// Pairs of what was and what is.
    pub(super) changes: From,
    /// Keys that are gone, if that can be.
    pub(super) deletions: Option<From>,
    /// The step in which others can look rows up, if it can.
    pub(super) view: Option<StepId>,
}

#[derive(Clone, Copy)]
pub(super) enum From {
    Input(usize),
    /// What comes from an input as rows where other records are partial states.
    Rows(usize),
    /// A step and the number of its output.
    Step(StepId, usize),
}

impl Output {
    /// It is in another sub-topology, whose inputs and steps its own are behind.
    pub(super) fn shift(&mut self, sub: usize, inputs: usize, steps: usize) {
        self.sub = sub;
        self.from.iter_mut().for_each(|from| from.shift(inputs, steps));
        if let Some(table) = &mut self.table {
            table.changes.shift(inputs, steps);
            if let Some(deletions) = &mut table.deletions {
                deletions.shift(inputs, steps);
            }
            if let Some(view) = &mut table.view {
                view.0 += steps;
            }
        }
    }
}

impl From {
    fn shift(&mut self, inputs: usize, steps: usize) {
        match self {
            Self::Input(input) | Self::Rows(input) => *input += inputs,
            Self::Step(step, _) => step.0 += steps,
        }
    }
}

/// A topology under construction.
#[derive(Default)]
pub(crate) struct Builder {
    pub(super) subs: Vec<(Vec<Input>, Vec<Step>)>,
    pub(super) repartitions: Vec<RepartitionTopic>,
    pub(super) changelogs: Vec<ChangelogTopic>,
    pub(super) followers: Vec<Follower>,
    pub(super) outputs: Vec<Output>,
    /// The sub-topology and the number of its input that read a source topic.
    pub(super) sources: HashMap<String, (usize, usize)>,
    /// What else comes out of nodes, where somebody takes it.
    pub(super) sides: BTreeMap<(NodeId, Side), Output>,
    sides_taken: BTreeSet<(NodeId, Side)>,
    /// The tables in which others look rows up.
    looked_up: BTreeSet<NodeId>,
    names: BTreeSet<String>,
    pub(super) policies: BTreeMap<NodeId, ErrorPolicy>,
    /// Typed steps that are one with the step behind them.
    pub(super) fused: BTreeSet<NodeId>,
    /// Those of them that wait for it.
    pub(super) open: HashMap<NodeId, OpenFlow>,
    /// Tables that each process reads whole.
    pub(super) globals: Vec<CompiledGlobal>,
    /// The node that is being added.
    current: NodeId,
    application_id: String,
    /// For how long tables that are to be added keep versions.
    histories: BTreeMap<NodeId, Duration>,
}

impl Plan {
    /// Validates the plan and compiles it.
    pub(crate) fn build(&self) -> Result<Topology, PlanError> {
        let mut builder = self.builder()?;
        if builder.subs.is_empty() {
            return Err(PlanError::NoSource {
                application_id: self.application_id.clone(),
            });
        }
        self.check_ends(&builder)?;
        self.check_dead_letters(&builder)?;
        builder.renumber();
        let mut announces = builder.settle_time()?.into_iter();
        builder.settle_start();
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
            followers: builder.followers,
            globals: builder.globals.into_iter().map(|global| global.table).collect(),
        })
    }

    /// All nodes validated and in their sub-topologies.
    pub(super) fn builder(&self) -> Result<Builder, PlanError> {
        legal("application id", &self.application_id)?;
        let mut builder = Builder {
            application_id: self.application_id.clone(),
            policies: self.policies.clone(),
            fused: self.fused(),
            sides_taken: self.sides_taken(),
            histories: self.histories.clone(),
            looked_up: self.looked_up(),
            ..Builder::default()
        };
        for (number, node) in self.nodes.iter().enumerate() {
            builder.current = NodeId(number);
            let output = builder.add(NodeId(number), node)?;
            if builder.take_history().is_some() {
                let table = output.label;
                return Err(PlanError::NoVersions { table });
            }
            if let Some(policy) = self.policies.get(&NodeId(number)) {
                builder.set_policy(NodeId(number), node, &output, policy)?;
            }
            builder.outputs.push(output);
        }
        Ok(builder)
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
            Node::Keyed { inputs, make } => make.build(self, inputs),
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
            Node::Side { of, side } => Ok(self.sides[&(*of, *side)].clone()),
            Node::Sink { input, topic, format } => self.sink(*input, topic, format),
        }
    }

    pub(super) fn application_id(&self) -> &str {
        &self.application_id
    }

    /// Whether somebody takes this of the node that is being added.
    pub(super) fn is_taken(&self, side: Side) -> bool {
        self.sides_taken.contains(&(self.node(), side))
    }

    /// Whether others look rows up in the table that is being added.
    pub(super) fn is_looked_up(&self) -> bool {
        self.looked_up.contains(&self.node())
    }

    /// What else comes out of the node that is being added.
    pub(super) fn set_side(&mut self, side: Side, output: Output) {
        self.sides.insert((self.node(), side), output);
    }

    /// For how long the table that is being added keeps versions, if it is to.
    pub(super) fn take_history(&mut self) -> Option<Duration> {
        self.histories.remove(&self.node())
    }

    /// The node that is being added.
    fn node(&self) -> NodeId {
        self.current
    }

    fn source(&mut self, topic: &str, format: &Format) -> Result<Output, PlanError> {
        legal("topic", topic)?;
        let label = format!("stream {topic}");
        let read = InputFormat::new(format, topic).map_err(|cause| PlanError::columns(topic, &cause))?;
        let Some(format) = read else {
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
        let key: Option<Vec<Expr>> = format.key_column().map(|column| vec![col(column)]);
        let partitioned = key.and_then(|key| Partitioned::by(&key, &schema));
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
                partitioned,
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
            partitioned,
        })
    }

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

    fn sink(&mut self, input: NodeId, topic: &str, format: &Format) -> Result<Output, PlanError> {
        legal("topic", topic)?;
        let above = self.outputs[input.0].clone();
        let step = format!("sink {topic}");
        let format = OutputFormat::new(format, topic, &above.schema, above.keys).map_err(|reason| {
            PlanError::NotWritable {
                step: step.clone(),
                format: format.to_string(),
                reason,
            }
        })?;
        let label = format!("{step} as {format}");
        let schema = Arc::clone(&above.schema);
        let topic: Arc<str> = topic.into();
        if above.table.is_some() && format.wants_changes() {
            let changes = above.changes();
            self.use_changes(&changes);
            let rows = SinkRows::Changes;
            return Ok(self.step(
                &changes,
                StepKind::Sink { topic, format, rows },
                label,
                schema,
                above.keys,
            ));
        }
        if let Some(deletions) = above.table.as_ref().and_then(|table| table.deletions) {
            let gone = Output {
                from: vec![deletions],
                ..above.clone()
            };
            let kind = StepKind::Sink {
                topic: Arc::clone(&topic),
                format: format.clone(),
                rows: SinkRows::Deletions,
            };
            self.step(&gone, kind, label.clone(), Arc::clone(&schema), above.keys);
        }
        let kind = StepKind::Sink {
            topic,
            format,
            rows: SinkRows::Rows,
        };
        Ok(self.step(&above, kind, label, schema, above.keys))
    }

    /// Has the step that `reader` comes from read `tables`, steps of its own sub-topology that were there before it.
    pub(super) fn read_tables(&mut self, reader: &Output, tables: &[StepId]) {
        let [From::Step(step, _)] = reader.from[..] else {
            unreachable!("what reads tables is one step");
        };
        assert!(
            tables.iter().all(|table| *table < step),
            "a task ends its epochs in the order of its steps"
        );
        self.subs[reader.sub].1[step.0].tables = tables.to_vec();
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
                after: Vec::new(),
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
        self.step_on(&[above], kind, label, schema, keys)
    }

    /// Hangs a step with a port for each of `above`, which are in one sub-topology.
    pub(super) fn step_on(
        &mut self,
        above: &[&Output],
        kind: StepKind,
        label: String,
        schema: SchemaRef,
        keys: usize,
    ) -> Output {
        let sub = above[0].sub;
        let hold_ms = above.iter().map(|above| above.hold_ms).max().unwrap_or(0);
        let node = self.node();
        let (inputs, steps) = &mut self.subs[sub];
        let id = StepId(steps.len());
        let outputs = kind.outputs();
        steps.push(Step {
            label: label.clone(),
            kind,
            node,
            children: vec![Vec::new(); outputs],
            tables: Vec::new(),
            paces: Vec::new(),
            hold_ms,
            on_error: None,
        });
        for (port, above) in (0..).zip(above) {
            assert_eq!(above.sub, sub, "{label} hangs in two sub-topologies");
            let edge = Edge { to: id, port };
            for from in &above.from {
                match *from {
                    From::Input(input) => inputs[input].children.push(edge),
                    From::Rows(input) => inputs[input].row_children.push(edge),
                    From::Step(parent, output) => steps[parent.0].children[output].push(edge),
                }
            }
        }
        let from = (0..outputs.min(1)).map(|port| From::Step(id, port)).collect();
        Output {
            sub,
            from,
            schema,
            keys,
            label,
            hold_ms,
            table: None,
            partitioned: None,
        }
    }

    /// As [`step`](Self::step), for steps that leave rows as they are, or drop them.
    pub(super) fn passing_step(&mut self, above: &Output, kind: StepKind, label: String) -> Output {
        let partitioned = above.partitioned.clone();
        let output = self.step(above, kind, label, Arc::clone(&above.schema), above.keys);
        Output {
            partitioned,
            ..output
        }
    }
}
