//! Which inputs a task reads first when it starts.
//!
//! A table that is still behind makes misses. So rows that are looked up in tables wait until these have been read as far as they went when the task
//! came to its partitions. Afterwards all inputs are read as they come.
use std::collections::BTreeSet;

use super::build::Builder;
use super::times::reached;
use super::{Edge, Input, Step, StepId, StepKind};

impl Builder {
    /// Tells inputs which others come first.
    pub(super) fn settle_start(&mut self) {
        for (inputs, steps) in &mut self.subs {
            let after = order(inputs, steps);
            for (input, after) in inputs.iter_mut().zip(after) {
                input.after = after.into_iter().collect();
            }
        }
    }
}

/// For each input those that come first. Where two would wait for each other, neither does.
fn order(inputs: &[Input], steps: &[Step]) -> Vec<BTreeSet<usize>> {
    let reached: Vec<BTreeSet<StepId>> = inputs
        .iter()
        .map(|input| reached(input, steps, |_, _| true, |_| true))
        .collect();
    let mut after = vec![BTreeSet::new(); inputs.len()];
    for (number, step) in steps.iter().enumerate() {
        let StepKind::Keyed(plan) = &step.kind else {
            continue;
        };
        let tables: BTreeSet<usize> = (0..inputs.len())
            .filter(|input| step.tables.iter().any(|table| reached[*input].contains(table)))
            .collect();
        for (input, own) in inputs.iter().enumerate() {
            let ways = input_edges(own, steps, &reached[input]);
            if ways
                .into_iter()
                .any(|way| way.to == StepId(number) && plan.waits_for_tables(way.port))
            {
                after[input].extend(tables.iter().filter(|table| **table != input));
            }
        }
    }
    let circular: Vec<bool> = (0..inputs.len())
        .map(|input| behind(&after, input).contains(&input))
        .collect();
    for (after, circular) in after.iter_mut().zip(circular) {
        if circular {
            after.clear();
        }
    }
    after
}

/// All ways that rows of an input go.
fn input_edges(input: &Input, steps: &[Step], reached: &BTreeSet<StepId>) -> Vec<Edge> {
    let further = reached.iter().flat_map(|step| steps[step.0].edges());
    input.edges().chain(further).collect()
}

/// Those that an input waits for, and those that these wait for.
fn behind(after: &[BTreeSet<usize>], input: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut next: Vec<usize> = after[input].iter().copied().collect();
    while let Some(other) = next.pop() {
        if found.insert(other) {
            next.extend(&after[other]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::{Streams, col, count_all, json, key, on, text};

    /// The inputs of each sub-topology, each with those that come first.
    fn order(app: &Streams) -> Vec<(String, Vec<String>)> {
        let topology = app.build().unwrap();
        let subs = topology.sub_topologies.iter();
        let inputs = subs.flat_map(|sub| {
            sub.inputs.iter().map(|input| {
                let after = input
                    .after
                    .iter()
                    .map(|input| sub.inputs[*input].topic.to_string());
                (input.topic.to_string(), after.collect())
            })
        });
        inputs.collect()
    }

    fn expected(inputs: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        let inputs = inputs.iter();
        inputs
            .map(|(input, after)| {
                (
                    (*input).to_owned(),
                    after.iter().map(|after| (*after).to_owned()).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn rows_come_after_what_they_are_looked_up_in() {
        let app = Streams::new("a");
        let names = app.table("names", text("name").with_key("id"), key("id"));
        let cities = app.table("cities", text("city").with_key("id"), key("id"));
        let visits = app.stream("visits", text("page").with_key("user"));
        visits
            .join(&names.join(&cities), on("user", "id"))
            .to("out", json());
        let all = [
            ("names", &[][..]),
            ("cities", &[]),
            ("visits", &["names", "cities"]),
        ];
        let mut found = order(&app);
        found.sort();
        let mut all = expected(&all);
        all.sort();
        assert_eq!(found, all);
    }

    #[test]
    fn those_that_would_wait_for_each_other_do_not() {
        let app = Streams::new("a");
        let lines = app.stream("lines", text("line").with_key("user"));
        let names = app.table("names", text("name").with_key("id"), key("id"));
        // A table of the stream itself is read with it.
        let last = app.table("lines", text("line").with_key("user"), key("user"));
        lines
            .join(
                &last.select([col("user").alias("id"), col("line").alias("last")]),
                on("user", "id"),
            )
            .to("lasts", json());
        // And the stream of a table's changes is looked up in a table that is made of the stream.
        names.changes().join(&last, on("id", "user")).to("named", json());
        lines
            .select([col("user").alias("who")])
            .join(&names, on("who", "id"))
            .to("out", json());
        assert!(
            order(&app).iter().all(|(_, after)| after.is_empty()),
            "{:?}",
            order(&app)
        );
    }

    #[test]
    fn others_wait_for_nobody() {
        let app = Streams::new("a");
        let names = app.table("names", text("name").with_key("id"), key("id"));
        names
            .group_by([col("name")])
            .aggregate("n", [count_all().alias("n")])
            .to("out", json());
        assert!(order(&app).iter().all(|(_, after)| after.is_empty()));
    }
}
