//! A topic that the job writes.
use super::SharedPlan;
use crate::format::Format;
use crate::plan::{ErrorPolicy, Node, NodeId};

/// The end of a stream or table: a topic that its rows are written to. Made by [`Stream::to`](crate::Stream::to) and
/// [`Table::to`](crate::Table::to); nothing more has to be done with it.
#[derive(Debug, Clone)]
pub struct OutputTopic {
    plan: SharedPlan,
    node: NodeId,
}

impl OutputTopic {
    pub(super) fn new(plan: &SharedPlan, input: NodeId, topic: String, format: Format) -> Self {
        let node = plan.add(Node::Sink { input, topic, format });
        Self {
            plan: plan.clone(),
            node,
        }
    }

    /// What becomes of records that are larger than the producer's `message.max.bytes` (1,000,000 unless told).
    ///
    /// ```
    /// use millstream_streams::{Streams, dead_letter, json, text};
    /// let app = Streams::new("copy");
    /// app.stream("lines", text("line")).to("lines-as-json", json()).on_error(dead_letter("too-long"));
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn on_error(&self, policy: ErrorPolicy) -> Self {
        self.plan.change(|plan| plan.on_error(self.node, policy));
        self.clone()
    }
}
