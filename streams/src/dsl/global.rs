//! Tables that each process of a job has whole, and joins with them.
use std::ops::Deref;
use std::sync::Arc;

use super::joined::On;
use super::{SharedPlan, Stream};
use crate::plan::{ErrorPolicy, GlobalLookupNode, GlobalSource, LookupNode, Node, NodeId};

/// A table that each process of the job has whole. Made by [`Streams::global_table`](crate::Streams::global_table).
#[derive(Debug, Clone)]
pub struct GlobalTable(Arc<GlobalSource>);

impl GlobalTable {
    pub(super) fn new(source: GlobalSource) -> Self {
        Self(Arc::new(source))
    }

    /// What becomes of records that cannot be read, and of rows on which a key fails: [`skip`](crate::skip) or [`fail`](crate::fail). Without it, and with a
    /// dead letter topic in the configuration, they are skipped, because each process would write the same letters. All other errors end the job.
    ///
    /// ```
    /// use millstream_streams::{Streams, key, skip, text};
    /// let app = Streams::new("shop");
    /// let countries = app.global_table("countries", text("name").with_key("code"), key("code")).on_error(skip());
    /// ```
    #[must_use]
    pub fn on_error(&self, policy: ErrorPolicy) -> Self {
        let mut source = GlobalSource::clone(&self.0);
        source.on_error = Some(policy);
        Self::new(source)
    }
}

/// The rows of a stream with those that a global table has for their keys: a stream. Made by [`Stream::join`].
#[derive(Debug, Clone)]
pub struct GlobalLookup {
    stream: Stream,
    input: NodeId,
    make: GlobalLookupNode,
}

impl GlobalLookup {
    pub(super) fn new(plan: &SharedPlan, stream: &Stream, table: &GlobalTable, On(on): On) -> Self {
        let make = GlobalLookupNode {
            source: Arc::clone(&table.0),
            lookup: LookupNode {
                on,
                left: false,
                name: None,
            },
        };
        let input = stream.node();
        let node = plan.add(joined(input, &make));
        let stream = Stream::new(plan.clone(), node);
        Self { stream, input, make }
    }

    /// Keeps rows for which the table has none, with null in its columns.
    ///
    /// ```
    /// use millstream_streams::{Streams, json, key, on, text};
    /// let app = Streams::new("shop");
    /// let countries = app.global_table("countries", text("name").with_key("code"), key("code"));
    /// app.stream("visits", text("country")).join(&countries, on("country", "code")).left().to("out", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left(mut self) -> Self {
        self.make.lookup.left = true;
        self.stream.replace(joined(self.input, &self.make));
        self
    }

    /// What becomes of rows on which a key fails.
    ///
    /// ```
    /// use millstream_streams::{DataType, Streams, cast, col, json, json_schema, key, on, skip, text};
    /// # use millstream_streams::{Field, Schema};
    /// let app = Streams::new("shop");
    /// let rate = json_schema(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("rate", DataType::Int64, true)]));
    /// let rates = app.global_table("rates", rate, key("id"));
    /// let id = cast(col("line"), DataType::Int64);
    /// app.stream("lines", text("line")).join(&rates, on(id, "id")).on_error(skip()).to("out", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn on_error(self, policy: ErrorPolicy) -> Self {
        let stream = self.stream.on_error(policy);
        Self { stream, ..self }
    }
}

fn joined(input: NodeId, make: &GlobalLookupNode) -> Node {
    Node::Keyed {
        inputs: vec![input],
        make: Arc::new(make.clone()),
    }
}

impl Deref for GlobalLookup {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}
