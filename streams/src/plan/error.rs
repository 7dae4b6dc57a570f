//! What can be wrong with a topology.
use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use thiserror::Error;

use crate::format::FormatError;

/// A topology that cannot run, and why. Found when the job is built or started, before any record is read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// An application id, step or topic name that Kafka would refuse.
    #[error("the {what} {name:?} is not a legal name: {reason}")]
    IllegalName {
        /// What the name is for.
        what: &'static str,
        /// The name.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Two keyed steps of one name.
    #[error("two steps are named {name:?}; names become topic names, so give each step its own")]
    DuplicateStep {
        /// The name.
        name: String,
    },
    /// A job without any stream.
    #[error("the job {application_id:?} reads nothing; start with .stream(topic, format)")]
    NoSource {
        /// The job.
        application_id: String,
    },
    /// A stream or table that is never written.
    #[error("{step} leads nowhere; end it with .to(topic, format)")]
    NoSink {
        /// The last step of the loose end.
        step: String,
    },
    /// A topic that the job both reads and writes.
    #[error(
        "the job reads and writes the topic {topic:?}, so it would never come to an end; write to another topic"
    )]
    SinkIsSource {
        /// The topic.
        topic: String,
    },
    /// One topic read in two formats.
    #[error(
        "the topic {topic:?} is read in two formats, {first} and {second}; read it once and branch the stream"
    )]
    TwoFormats {
        /// The topic.
        topic: String,
        /// The format of the first reading.
        first: String,
        /// The format of the second.
        second: String,
    },
    /// A format that asks somebody for its columns, who does not answer.
    #[error(
        "the columns of the topic {topic:?} are not known yet: {cause}; start the job again when it answers"
    )]
    Unavailable {
        /// The topic.
        topic: String,
        /// Who does not answer, and what it says.
        cause: String,
    },
    /// A format that cannot be read.
    #[error("the topic {topic:?} cannot be read as {format}, which only writes; use text(column) or raw()")]
    NotReadable {
        /// The topic.
        topic: String,
        /// The format.
        format: String,
    },
    /// Streams of different columns.
    #[error(
        "merge: {label} has the columns ({second}), the first stream has ({first}); select the same ones first"
    )]
    Merge {
        /// Columns of the first stream.
        first: String,
        /// The other stream.
        label: String,
        /// Its columns.
        second: String,
    },
    /// A struct whose columns its type does not say.
    #[error(
        "the columns of {row_type} are not known from the type: {cause}; give its fields types with columns: numbers, strings, \
         booleans, options, vectors, structs"
    )]
    NoColumns {
        /// The struct.
        row_type: String,
        /// What is unknown.
        cause: String,
    },
    /// A struct that rows of these columns can never be.
    #[error("{step}: the rows are no {row_type}: {cause}; they have the columns ({available})")]
    NotTheRow {
        /// The step.
        step: String,
        /// The struct.
        row_type: String,
        /// What does not fit.
        cause: String,
        /// The columns there are.
        available: String,
    },
    /// A policy for errors behind a step that has none.
    #[error(
        "{step}: nothing can fail there, so on_error would have no effect; put it right behind the step it is meant for"
    )]
    NothingFails {
        /// The step.
        step: String,
    },
    /// A topic read twice with two policies for records that cannot be read.
    #[error(
        "the topic {topic:?} is read twice, and what cannot be read is to {first} and to {second}; say it once"
    )]
    TwoPolicies {
        /// The topic.
        topic: String,
        /// The first policy.
        first: String,
        /// The second.
        second: String,
    },
    /// A schema that the format cannot read.
    #[error("stream {topic}: the schema cannot be read: {cause}")]
    Schema {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A column that the step's input does not have.
    #[error("{step}: there is no column {column:?}, only {available}{suggestion}")]
    UnknownColumn {
        /// The step.
        step: String,
        /// The missing column.
        column: String,
        /// The columns there are.
        available: String,
        /// A near name, or nothing.
        suggestion: String,
    },
    /// Two output columns of one name.
    #[error("{step}: two columns are named {column:?}; rename one with .alias(name)")]
    DuplicateColumn {
        /// The step.
        step: String,
        /// The name.
        column: String,
    },
    /// Two sides of a join that have a column of one name.
    #[error(
        "{step}: two columns are named {column:?}, one of each side; rename it in one of them above the join, with \
         select([…, col({column:?}).alias(…)])"
    )]
    DuplicateJoined {
        /// The join.
        step: String,
        /// The name.
        column: String,
    },
    /// A step that was given no expressions.
    #[error("{step}: no {what} given")]
    Nothing {
        /// The step.
        step: String,
        /// What is missing.
        what: &'static str,
    },
    /// Keys of two sides that are of different kinds.
    #[error(
        "{step}: {left} and {right} are of no common type, so that they would never be equal; cast one of them"
    )]
    JoinKeys {
        /// The step.
        step: String,
        /// The key of the left side, with its type.
        left: String,
        /// The key of the right side, with its type.
        right: String,
    },
    /// Keys of a join that are not those of the table.
    #[error(
        "{step}: a row is looked up by the whole key of the table, which is ({expected}), not by ({keys}); make a table with those keys"
    )]
    NotTheKey {
        /// The step.
        step: String,
        /// What was given.
        keys: String,
        /// The columns of the key.
        expected: String,
    },
    /// A table that keeps no versions, where they are asked for.
    #[error(
        "{table} cannot keep versions: only the tables of table(…), to_table(…) and to_table_deleting(…) do, of which versioned(…) is called"
    )]
    NoVersions {
        /// The table.
        table: String,
    },
    /// A time for which versions cannot be kept, or for which rows cannot wait.
    #[error("{step}: {reason}")]
    History {
        /// The step.
        step: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Dead letters of a global table.
    #[error(
        "global table {topic}: each process of the job reads it, so that each would write the same dead letters; let it skip() them, or fail()"
    )]
    GlobalDeadLetters {
        /// The topic.
        topic: String,
    },
    /// A table without a column of its key.
    #[error(
        "{step}: the column {column:?} is of the table's key, and has to stay as it is, for a table has one row a key; keep it, under whatever \
         name, or go on with the rows that change as a stream with .changes()"
    )]
    KeyDropped {
        /// The step.
        step: String,
        /// The column.
        column: String,
    },
    /// A join whose stream has to be repartitioned, and that has no name for the topic.
    #[error(
        "{step}: the rows have to go through a repartition topic to be where those of the same key are; give the join a name for it with .named(name)"
    )]
    JoinName {
        /// The step.
        step: String,
    },
    /// A table of which no row can be looked up.
    #[error(
        "{step}: no row of {table} can be looked up; write it to a topic with .to(topic, format) and join with app.table(topic, format, keys)"
    )]
    NoLookup {
        /// The step.
        step: String,
        /// The table.
        table: String,
    },
    /// A table whose rows are in partitions by something else than what they are to meet others by.
    #[error(
        "{step}: the rows of {table} are not in the partitions of ({keys}), and those of a table stay where they are; make it with these \
         keys in this order"
    )]
    TablePartitions {
        /// The step.
        step: String,
        /// The table.
        table: String,
        /// The keys that it should be partitioned by.
        keys: String,
    },
    /// An expression of another type than the step needs.
    #[error("{step}: {expr} is of type {actual}, not {expected}")]
    WrongType {
        /// The step.
        step: String,
        /// The expression.
        expr: String,
        /// Its type.
        actual: DataType,
        /// What the step needs.
        expected: &'static str,
    },
    /// A key column whose type has no stable encoding.
    #[error(
        "{step}: cannot group by {column:?} of type {actual}; cast it to a string, a number or a timestamp"
    )]
    UnsupportedKey {
        /// The step.
        step: String,
        /// The key column.
        column: String,
        /// Its type.
        actual: DataType,
    },
    /// Something else than an aggregate function where one is needed.
    #[error("{step}: {expr} is not an aggregate; use count_all(), sum(…), min(…), max(…) or avg(…)")]
    NotAnAggregate {
        /// The step.
        step: String,
        /// The expression.
        expr: String,
    },
    /// A column that the output format cannot write.
    #[error("{step}: cannot write as {format}: {reason}")]
    NotWritable {
        /// The sink.
        step: String,
        /// The format.
        format: String,
        /// Why not.
        reason: String,
    },
    /// An expression that DataFusion refuses.
    #[error("{step}: {expr} does not compile: {}", .cause.strip_backtrace())]
    Expression {
        /// The step.
        step: String,
        /// The expression.
        expr: String,
        /// What DataFusion says.
        #[source]
        cause: Box<DataFusionError>,
    },
    /// Streams that are grouped by different numbers of columns.
    #[error(
        "{step}: the first stream is grouped by ({first}), another by ({other}); group all by as many keys"
    )]
    CogroupKeys {
        /// The step.
        step: String,
        /// The keys of the first stream.
        first: String,
        /// Those of the other.
        other: String,
    },
    /// An order by what has none.
    #[error(
        "{step}: there is no order of {expr}, which is {actual}; order by a number, a time, a text or a truth value"
    )]
    NoOrder {
        /// The step.
        step: String,
        /// The expression.
        expr: String,
        /// Its type.
        actual: DataType,
    },
    /// Ties whose rows cannot be taken back.
    #[error(
        "{step}: a row that is no tie any more cannot be taken back from results that are written at each change; write them when          windows close: .emit(OnWindowClose)"
    )]
    TiesOnUpdate {
        /// The step.
        step: String,
    },
    /// Windows that cannot be.
    #[error("{step}: the windows are not possible: {reason}")]
    Windows {
        /// The step.
        step: String,
        /// The rule they break.
        reason: &'static str,
    },
    /// A time that changes of a table cannot wait.
    #[error(
        "{step}: changes cannot wait for {limit:?}: it must be whole milliseconds, at least one, and at most 10,000 years"
    )]
    Suppress {
        /// The step.
        step: String,
        /// The time.
        limit: std::time::Duration,
    },
    /// A watermark that is not that of one source.
    #[error(
        "{step} has no single source: a watermark belongs to the partitions of one topic; declare it on each stream \
         before merge, and not behind a keyed step, which keeps the time of its rows"
    )]
    WatermarkOfSeveral {
        /// The step.
        step: String,
    },
    /// Streams from before and behind a repartition topic, merged above something that waits for event time.
    #[error(
        "event time would stand still: a stream from before the repartition topic {topic} is merged with one from behind it, so that each \
         waits for the other; put .repartition(name, keys) behind the first as well, before the merge"
    )]
    CircularTime {
        /// The repartition topic.
        topic: String,
    },
    /// Event time from a column that is no time.
    #[error("{step}: {column} is {actual}; event time is a timestamp or a 64-bit integer in milliseconds")]
    NotATime {
        /// The step.
        step: String,
        /// The column or expression.
        column: String,
        /// Its type.
        actual: DataType,
    },
}

impl PlanError {
    /// A format that does not say which columns it reads of `topic`.
    pub(super) fn columns(topic: &str, cause: &FormatError) -> Self {
        let unavailable = cause.is_unavailable();
        let (topic, cause) = (topic.to_owned(), cause.to_string());
        match unavailable {
            true => Self::Unavailable { topic, cause },
            false => Self::Schema { topic, cause },
        }
    }
}
