//! Stores that follow from changes of a table: they know what changed since they began, and nothing from before.
//!
//! So they have to begin with the table. A job that is given such a step later, when the table has rows, is refused: it would find none of them.
use std::collections::BTreeSet;
use std::sync::Arc;

use super::StepId;
use super::build::{Builder, From, Output};

/// A changelog that has to begin when another one does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Follower {
    pub(crate) topic: Arc<str>,
    /// The changelog of the table.
    pub(crate) of: Arc<str>,
}

impl Builder {
    /// Notes that what `changelog` says follows from what changes in `table`.
    pub(super) fn follows(&mut self, changelog: &Arc<str>, table: &Output) {
        let steps = &self.subs[table.sub].1;
        let mut left: Vec<StepId> = table.from.iter().filter_map(step_of).collect();
        let mut seen = BTreeSet::new();
        while let Some(step) = left.pop() {
            if !seen.insert(step) {
                continue;
            }
            let kind = &steps[step.0].kind;
            if let Some(of) = kind.changelog() {
                self.followers.push(Follower {
                    topic: Arc::clone(changelog),
                    of: Arc::clone(of),
                });
                if kind.keeps_rows() {
                    continue;
                }
            }
            // It keeps no rows: they are those of the steps above.
            let is_parent = |parent: &StepId| {
                let mut children = steps[parent.0].children.iter().flatten();
                children.any(|edge| edge.to == step)
            };
            left.extend((0..step.0).map(StepId).filter(is_parent));
        }
    }
}

fn step_of(from: &From) -> Option<StepId> {
    match from {
        From::Step(step, _) => Some(*step),
        From::Input(_) | From::Rows(_) => None,
    }
}
