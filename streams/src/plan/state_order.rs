//! In which order the changelog records of an epoch are written where its records may be read again.
//!
//! A step that is given a record a second time may say less of it than the first time: that a row is gone, that it was not there before, or nothing,
//! because its state knows the record already. So its state may last only when everything has lasted that followed from it, in the
//! outputs and in the states of the steps below: these go first, the states farthest below before those above them.
use std::collections::HashMap;
use std::sync::Arc;

use super::topology::{SubTopology, Topology};

/// How many states, one below the other, go before each changelog.
#[derive(Debug, Clone, Default)]
pub(crate) struct StateOrder {
    ranks: Arc<HashMap<Arc<str>, usize>>,
}

impl StateOrder {
    pub(crate) fn of(topology: &Topology) -> Self {
        let ranks = topology.sub_topologies.iter().flat_map(|sub| ranks(sub));
        Self {
            ranks: Arc::new(ranks.collect()),
        }
    }

    /// When the records of a topic go: none at once, as those of outputs and repartition topics, and changelogs in ascending order.
    pub(crate) fn rank(&self, topic: &str) -> Option<usize> {
        self.ranks.get(topic).copied()
    }
}

fn ranks(sub: &SubTopology) -> Vec<(Arc<str>, usize)> {
    let mut changelogs: Vec<Option<&Arc<str>>> = vec![None; sub.steps.len()];
    for (step, changelog) in sub.stores() {
        changelogs[step.0] = Some(changelog);
    }
    // How many states there are below each step at most; what is below has a larger number.
    let mut below = vec![0; sub.steps.len()];
    for (number, step) in sub.steps.iter().enumerate().rev() {
        let children = step.children.iter().flatten().map(|edge| edge.to.0);
        let counts = children.map(|child| below[child] + usize::from(changelogs[child].is_some()));
        below[number] = counts.max().unwrap_or(0);
    }
    let ranked = changelogs.iter().zip(below);
    ranked
        .filter_map(|(changelog, below)| Some((Arc::clone((*changelog)?), below)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[test]
    fn states_below_go_before_those_above() {
        let app = Streams::new("o");
        let rows = app.stream("in", text("line").with_key("key"));
        let table = rows.to_table("last", [col("key")]);
        let calm = table.suppress("calm", until(std::time::Duration::from_secs(1)));
        calm.to("out", json());
        table
            .group_by([col("line")])
            .aggregate("lines", [count_all().alias("n")])
            .to("lines", json());
        let order = StateOrder::of(&app.build().unwrap());
        let rank = |topic: &str| order.rank(&format!("o-{topic}"));
        assert_eq!(rank("calm-changelog"), Some(0));
        assert_eq!(
            rank("last-changelog"),
            Some(1),
            "calm is below, lines behind a topic"
        );
        assert_eq!(rank("lines-changelog"), Some(0));
        assert_eq!(rank("lines-repartition"), None);
        assert_eq!(order.rank("out"), None);
    }
}
