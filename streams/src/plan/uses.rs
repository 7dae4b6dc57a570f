//! What is used of each node, before any is built.
use std::collections::BTreeSet;

use super::{Node, NodeId, Plan, Side};

impl Plan {
    /// What else is taken of nodes than their rows.
    pub(super) fn sides_taken(&self) -> BTreeSet<(NodeId, Side)> {
        let taken = self.nodes.iter().filter_map(|node| match node {
            Node::Side { of, side } => Some((*of, *side)),
            _ => None,
        });
        taken.collect()
    }

    /// The tables in which others look rows up.
    pub(super) fn looked_up(&self) -> BTreeSet<NodeId> {
        let mut looked_up = BTreeSet::new();
        // Those that look up come behind.
        for (number, node) in self.nodes.iter().enumerate().rev() {
            if let Node::Keyed { inputs, make } = node {
                let tables = make.looks_up(looked_up.contains(&NodeId(number)));
                looked_up.extend(tables.iter().map(|table| inputs[*table]));
            }
        }
        looked_up
    }

    /// Whether another reading of the same topic goes on.
    pub(super) fn reads_elsewhere(&self, topic: &str, used: &BTreeSet<NodeId>) -> bool {
        self.nodes.iter().enumerate().any(|(number, node)| {
            matches!(node, Node::Source { topic: other, .. } if other == topic)
                && used.contains(&NodeId(number))
        })
    }
}
