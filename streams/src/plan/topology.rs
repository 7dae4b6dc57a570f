//! What will run: sub-topologies of compiled steps, joined only by topics.
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use crate::aggregate::AggregateSpec;
use crate::config::Guarantee;
use crate::expr::CompiledExpr;
use crate::format::{InputFormat, OutputFormat, ShuffledRows};
use crate::operator::StepStore;
use crate::time::Bound;
use crate::window::{Emit, Windows};

use super::{ErrorPolicy, Follower, GlobalTable, NodeId, StepPlan};
use crate::typed::{BatchClosure, RowFunction};

/// The position of a step in its sub-topology; inputs of a step have smaller numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StepId(pub(crate) usize);

/// A way into a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) to: StepId,
    /// Which of its inputs; 0 if it has one.
    pub(crate) port: u8,
}

/// How the task's clock goes with the rows that come in at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It moves between them, as in their log.
    Log,
    /// It may be ahead of them until the epoch ends.
    Epoch,
}

/// A validated job, ready to start. Made by [`Streams::build`](crate::Streams::build).
#[derive(Debug, Clone)]
pub struct Topology {
    pub(crate) application_id: String,
    pub(crate) commit_interval: Option<Duration>,
    pub(crate) sub_topologies: Vec<Arc<SubTopology>>,
    pub(crate) repartitions: Vec<RepartitionTopic>,
    pub(crate) changelogs: Vec<ChangelogTopic>,
    pub(crate) followers: Vec<Follower>,
    pub(crate) globals: Vec<GlobalTable>,
    pub(crate) guarantee: Option<Guarantee>,
}

/// Steps that run together, on one partition number of all their inputs.
#[derive(Debug)]
pub(crate) struct SubTopology {
    pub(crate) id: usize,
    pub(crate) inputs: Vec<Input>,
    pub(crate) steps: Vec<Step>,
    /// The repartition topics to which its tasks announce their watermark.
    pub(crate) announces: Vec<Announces>,
    /// Names the inputs, and so what the numbers of its tasks mean.
    pub(crate) fingerprint: u64,
}

/// A repartition topic whose reader waits for watermarks.
#[derive(Debug, Clone)]
pub(crate) struct Announces {
    pub(crate) topic: Arc<str>,
    /// How far what goes there is behind the task's watermark.
    pub(crate) hold_ms: i64,
}

/// A topic that feeds a sub-topology.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) topic: Arc<str>,
    pub(crate) decode: Decode,
    pub(crate) children: Vec<Edge>,
    /// The steps that take what comes as rows where others are partial states.
    pub(crate) row_children: Vec<Edge>,
    pub(crate) time: InputTime,
    /// The inputs, by their numbers, that are read before this one when a task starts: those of tables in which its rows are looked up.
    pub(crate) after: Vec<usize>,
    /// What becomes of records that cannot be read, if the job says so.
    pub(crate) on_error: Option<ErrorPolicy>,
}

/// What part an input has in event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InputTime {
    /// None: no step waits for it.
    Untimed,
    /// Its rows have event times.
    Source {
        /// Of each strategy, in the order of their numbers.
        bounds: Vec<Bound>,
        idle_after: Option<Duration>,
    },
    /// Its records bring announcements of watermarks.
    Upstream,
}

/// How an input's records become batches.
#[derive(Debug)]
pub(crate) enum Decode {
    /// A record is a row.
    Rows(InputFormat),
    /// A record is a batch of what another sub-topology sent.
    Shuffle(Shuffle),
}

/// What comes through a repartition topic.
#[derive(Debug, Clone)]
pub(crate) struct Shuffle {
    /// Partial states.
    pub(crate) states: Option<Arc<AggregateSpec>>,
    /// Rows as they are.
    pub(crate) rows: Option<Arc<ShuffledRows>>,
}

/// One compiled step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) label: String,
    pub(crate) kind: StepKind,
    /// The node of the plan that it was made for.
    pub(crate) node: NodeId,
    /// The steps below each of its outputs.
    pub(crate) children: Vec<Vec<Edge>>,
    /// The steps before it whose tables it reads.
    pub(crate) tables: Vec<StepId>,
    /// How the task's clock goes with the rows of each of its inputs.
    pub(crate) paces: Vec<Pace>,
    /// How far its rows are behind the task's watermark.
    pub(crate) hold_ms: i64,
    /// What becomes of rows that the step cannot work on, if the job says so.
    pub(crate) on_error: Option<ErrorPolicy>,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum StepKind {
    FlatMap {
        expr: CompiledExpr,
        schema: SchemaRef,
    },
    Filter {
        predicate: CompiledExpr,
    },
    /// An output for each predicate, and one for the rows for which none is true.
    Branch {
        predicates: Vec<CompiledExpr>,
    },
    Project {
        exprs: Vec<CompiledExpr>,
        schema: SchemaRef,
    },
    PartialAggregate {
        spec: Arc<AggregateSpec>,
        topic: Arc<str>,
    },
    FinalAggregate {
        spec: Arc<AggregateSpec>,
        changelog: Arc<str>,
        /// Somebody takes back what a row contributed.
        changes_used: bool,
    },
    Peek {
        see: BatchClosure,
    },
    /// Closures over structs, one after the other.
    Typed {
        run: TypedClosures,
        outputs: usize,
        parts: Vec<Part>,
    },
    /// What is a file of its own.
    Keyed(Box<dyn StepPlan>),
    /// Rows to the partitions of their keys.
    Repartition(Repartition),
    /// The last row of each key.
    ToTable(ToTable),
    /// The rows of a table by group, before their repartition topic.
    TablePartial(TablePartial),
    /// The same behind it.
    TableFinal(TableFinal),
    /// Event time of rows from a source.
    Watermark(WatermarkStep),
    WindowPartial(WindowPartial),
    /// Rows that may be too late: an output for those that are, one for the partial states of the others.
    WindowJudge(WindowedSpec),
    WindowFinal(WindowFinal),
    Sink {
        topic: Arc<str>,
        format: OutputFormat,
        rows: SinkRows,
    },
}

/// What the rows of a sink are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SinkRows {
    /// What is to be written.
    Rows,
    /// Keys that a table no longer has.
    Deletions,
    /// Pairs of what a table's rows are and were.
    Changes,
}

/// What consecutive closures over structs do.
#[derive(Clone)]
pub(crate) struct TypedClosures(pub(crate) Arc<RowFunction>);

impl fmt::Debug for TypedClosures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closures")
    }
}

/// One of the closures that a step is made of.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) label: String,
    pub(crate) on_error: Option<ErrorPolicy>,
}

/// What [`StepKind::Repartition`] needs.
#[derive(Debug, Clone)]
pub(crate) struct Repartition {
    pub(crate) keys: Vec<CompiledExpr>,
    pub(crate) topic: Arc<str>,
    pub(crate) rows: Arc<ShuffledRows>,
    /// Somebody behind the topic judges the rows by their watermarks.
    pub(crate) timed: bool,
}

/// What [`StepKind::ToTable`] needs.
#[derive(Debug, Clone)]
pub(crate) struct ToTable {
    /// The columns of the rows that come: the table's, and perhaps one more, which only `deleted` reads.
    pub(crate) input: SchemaRef,
    /// The first `keys` columns are the key.
    pub(crate) schema: SchemaRef,
    pub(crate) keys: usize,
    pub(crate) deleted: Option<CompiledExpr>,
    /// What stands for values that a row does not say, and keeps.
    pub(crate) unavailable: Arc<[String]>,
    pub(crate) changelog: Arc<str>,
    pub(crate) meaning: String,
    /// Somebody takes back what a row contributed.
    pub(crate) changes_used: bool,
}

/// What [`StepKind::TablePartial`] needs.
#[derive(Debug, Clone)]
pub(crate) struct TablePartial {
    /// The table's columns.
    pub(crate) table: SchemaRef,
    pub(crate) groups: Vec<CompiledExpr>,
    /// The table's columns that are shipped: its key first.
    pub(crate) columns: Vec<usize>,
    pub(crate) topic: Arc<str>,
    /// The form in which they are shipped: these columns, the groups, and whether the row is live.
    pub(crate) rows: Arc<ShuffledRows>,
}

/// What [`StepKind::TableFinal`] needs.
#[derive(Debug, Clone)]
pub(crate) struct TableFinal {
    /// Its keys are the groups.
    pub(crate) spec: Arc<AggregateSpec>,
    pub(crate) rows: Arc<ShuffledRows>,
    /// The shipped columns of the table.
    pub(crate) arguments: SchemaRef,
    /// Which of them are the table's key.
    pub(crate) table_key: Vec<usize>,
    /// How many groups' columns follow them.
    pub(crate) groups: usize,
    pub(crate) changelog: Arc<str>,
    /// Somebody takes back what a result contributed.
    pub(crate) changes_used: bool,
}

/// What [`StepKind::Watermark`] needs.
#[derive(Debug, Clone)]
pub(crate) struct WatermarkStep {
    /// The column of event time, or else it is the record's.
    pub(crate) time: Option<CompiledExpr>,
    pub(crate) out_of_orderness_ms: i64,
    pub(crate) idle_after: Option<Duration>,
    /// The input whose watermark it is, and its number there; none if no step waits for it.
    pub(crate) tracks: Option<(usize, usize)>,
}

/// An aggregate by key and window.
#[derive(Debug, Clone)]
pub(crate) struct WindowedSpec {
    /// Its last key column is the window's start.
    pub(crate) spec: Arc<AggregateSpec>,
    pub(crate) windows: Windows,
    /// Rows with the window's start.
    pub(crate) assigned: SchemaRef,
}

/// What [`StepKind::WindowPartial`] needs.
#[derive(Debug, Clone)]
pub(crate) struct WindowPartial {
    pub(crate) windowed: WindowedSpec,
    pub(crate) topic: Arc<str>,
    /// The form in which late rows travel, if somebody takes them.
    pub(crate) late: Option<Arc<ShuffledRows>>,
}

/// What [`StepKind::WindowFinal`] needs.
#[derive(Debug, Clone)]
pub(crate) struct WindowFinal {
    pub(crate) windowed: WindowedSpec,
    pub(crate) emit: Emit,
    pub(crate) changelog: Arc<str>,
    /// Keys, the window's start and end, results.
    pub(crate) output: SchemaRef,
}

/// An internal topic that carries rows from one sub-topology to another.
#[derive(Debug, Clone)]
pub(crate) struct RepartitionTopic {
    pub(crate) topic: Arc<str>,
    /// The sub-topology that writes it.
    pub(crate) upstream: usize,
    /// How far what goes there is behind the task's watermark.
    pub(crate) hold_ms: i64,
}

/// An internal topic that holds the state of a step.
#[derive(Debug, Clone)]
pub(crate) struct ChangelogTopic {
    pub(crate) topic: Arc<str>,
    /// The sub-topology with the step.
    pub(crate) sub: usize,
}

impl Topology {
    /// The application id: consumer group, and prefix of the internal topics.
    pub fn application_id(&self) -> &str {
        &self.application_id
    }

    /// The topics the job reads that are not its own.
    pub fn source_topics(&self) -> Vec<&str> {
        let inputs = self.sub_topologies.iter().flat_map(|sub| &sub.inputs);
        inputs
            .filter(|input| matches!(input.decode, Decode::Rows(_)))
            .map(|input| &*input.topic)
            .collect()
    }

    /// The topics of global tables, which each process of the job reads whole.
    ///
    /// ```
    /// use millstream_streams::{Streams, json, key, on, text};
    /// let app = Streams::new("shop");
    /// let countries = app.global_table("countries", text("name").with_key("code"), key("code"));
    /// app.stream("visits", text("country")).join(&countries, on("country", "code")).to("out", json());
    /// assert_eq!(app.build()?.global_topics(), ["countries"]);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn global_topics(&self) -> Vec<&str> {
        let topics: BTreeSet<&str> = self.globals.iter().map(|global| &*global.topic).collect();
        topics.into_iter().collect()
    }

    /// The topics the job writes that are not its own: those of sinks, and those of dead letters.
    ///
    /// ```
    /// use millstream_streams::{Streams, dead_letter, json, text};
    /// let app = Streams::new("copy");
    /// app.stream("in", text("line")).on_error(dead_letter("in-dlq")).to("out", json());
    /// assert_eq!(app.build()?.output_topics(), ["in-dlq", "out"]);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn output_topics(&self) -> Vec<&str> {
        let mut topics = BTreeSet::new();
        for sub in &self.sub_topologies {
            let inputs = sub.inputs.iter().map(|input| &input.on_error);
            let parts = sub.steps.iter().flat_map(Step::parts);
            let policies = inputs.chain(sub.steps.iter().map(|step| &step.on_error));
            let policies = policies.chain(parts.map(|part| &part.on_error));
            topics.extend(policies.flatten().filter_map(ErrorPolicy::topic));
            topics.extend(sub.steps.iter().filter_map(|step| match &step.kind {
                StepKind::Sink { topic, .. } => Some(topic),
                _ => None,
            }));
        }
        topics.into_iter().map(|topic| &**topic).collect()
    }

    /// The topics the job creates for itself.
    pub fn internal_topics(&self) -> Vec<&str> {
        let repartitions = self.repartitions.iter().map(|repartition| &*repartition.topic);
        let changelogs = self.changelogs.iter().map(|changelog| &*changelog.topic);
        repartitions.chain(changelogs).collect()
    }

    /// The name of the step whose changelog this is.
    pub(crate) fn store_name<'a>(&self, changelog: &'a str) -> &'a str {
        let name = changelog.strip_prefix(&self.application_id);
        let name = name.and_then(|name| name.strip_prefix('-')?.strip_suffix("-changelog"));
        name.unwrap_or(changelog)
    }

    /// Whether what rows of a table contributed elsewhere is taken back when they change: aggregates over them, and what they ask for.
    pub(crate) fn aggregates_tables(&self) -> bool {
        let mut steps = self.sub_topologies.iter().flat_map(|sub| &sub.steps);
        steps.any(|step| match &step.kind {
            StepKind::TableFinal(_) => true,
            StepKind::Keyed(plan) => plan.takes_back(),
            _ => false,
        })
    }

    /// How often the sub-topologies have to be gone through, in their order, until what a source had has come all the way: once more for
    /// each repartition topic whose reader is not behind its writer, as where a stream is merged with itself from behind one.
    pub(crate) fn passes(&self) -> usize {
        let back = |to: &&RepartitionTopic| {
            let reader = self.reader_of(&to.topic);
            reader.is_some_and(|(reader, _)| reader.id <= to.upstream)
        };
        1 + self.repartitions.iter().filter(back).count()
    }

    /// The sub-topology and the number of its input that read `topic`.
    pub(crate) fn reader_of(&self, topic: &str) -> Option<(&Arc<SubTopology>, usize)> {
        self.sub_topologies.iter().find_map(|sub| {
            let input = sub.inputs.iter().position(|input| &*input.topic == topic)?;
            Some((sub, input))
        })
    }
}

impl Step {
    /// The closures that the step is made of, if it is.
    pub(crate) fn parts(&self) -> &[Part] {
        match &self.kind {
            StepKind::Typed { parts, .. } => parts,
            _ => &[],
        }
    }

    /// One of the closures that the step is made of, or the step itself: its name and its policy for errors.
    pub(crate) fn part(&self, part: usize) -> (&str, Option<&ErrorPolicy>) {
        match self.parts().get(part) {
            Some(part) => (&part.label, part.on_error.as_ref()),
            None => (&self.label, self.on_error.as_ref()),
        }
    }
}

impl Input {
    /// All ways of its rows.
    pub(crate) fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        self.children.iter().chain(&self.row_children).copied()
    }
}

impl Step {
    /// All ways of what it emits.
    pub(crate) fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        self.children.iter().flatten().copied()
    }
}

impl SubTopology {
    /// The state of a step, if it can be asked for from outside the job.
    pub(crate) fn store_of(&self, step: StepId) -> Option<StepStore> {
        let step = &self.steps[step.0];
        let below = step.edges().map(|edge| &self.steps[edge.to.0].kind);
        let mut ranks = below.filter_map(|kind| match kind {
            StepKind::Keyed(plan) => plan.takes_apart(),
            _ => None,
        });
        Some(StepStore {
            kind: step.kind.store()?,
            ranks: ranks.next().cloned(),
        })
    }

    /// Whether its inputs are topics that are not the job's own.
    pub(crate) fn reads_sources(&self) -> bool {
        self.inputs
            .iter()
            .any(|input| matches!(input.decode, Decode::Rows(_)))
    }

    /// How many inputs `step` has.
    pub(crate) fn ports(&self, step: StepId) -> usize {
        let inputs = self.inputs.iter().flat_map(Input::edges);
        let steps = self.steps.iter().flat_map(Step::edges);
        let ways = inputs.chain(steps).filter(|edge| edge.to == step);
        ways.map(|edge| usize::from(edge.port) + 1).max().unwrap_or(0)
    }

    /// The steps that keep state, each with its changelog.
    pub(crate) fn stores(&self) -> impl Iterator<Item = (StepId, &Arc<str>)> {
        let steps = self.steps.iter().enumerate();
        steps.filter_map(move |(number, step)| Some((StepId(number), step.kind.changelog()?)))
    }
}
