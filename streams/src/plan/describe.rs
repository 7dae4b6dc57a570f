//! The topology as text.
use std::fmt::Write;

use super::{Decode, StepId, StepKind, SubTopology, Topology};

impl Topology {
    /// The topology as indented text: sub-topologies, their topics and steps.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, count_all, json, split_words, text};
    /// let app = Streams::new("wc");
    /// app.stream("lines", text("line"))
    ///     .flat_map(split_words(col("line")).alias("word"))
    ///     .group_by([col("word")])
    ///     .aggregate("counts", [count_all().alias("n")])
    ///     .to("word-counts", json());
    /// assert_eq!(app.build()?.describe(), "\
    /// job wc
    /// sub-topology 0
    ///   source lines as text(line)
    ///     flat_map split_words(line) AS word
    ///       partial aggregate counts: word → count(Int64(1)) AS n
    ///         repartition wc-counts-repartition
    /// sub-topology 1
    ///   repartition wc-counts-repartition
    ///     aggregate counts: word → count(Int64(1)) AS n (table)
    ///       changelog wc-counts-changelog
    ///       sink word-counts as json
    /// ");
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn describe(&self) -> String {
        let mut text = format!("job {}\n", self.application_id);
        for sub in &self.sub_topologies {
            describe_sub_topology(sub, &mut text);
        }
        text
    }
}

fn describe_sub_topology(sub: &SubTopology, text: &mut String) {
    line(text, 0, &format!("sub-topology {}", sub.id));
    for input in &sub.inputs {
        match &input.decode {
            Decode::Rows(format) => line(text, 1, &format!("source {} as {format}", input.topic)),
            Decode::Shuffle(_) => line(text, 1, &format!("repartition {}", input.topic)),
        }
        for child in &input.children {
            describe_step(sub, *child, 2, text);
        }
    }
}

fn describe_step(sub: &SubTopology, id: StepId, depth: usize, text: &mut String) {
    let step = &sub.steps[id.0];
    line(text, depth, &step.label);
    match &step.kind {
        StepKind::PartialAggregate { topic, .. } => line(text, depth + 1, &format!("repartition {topic}")),
        StepKind::FinalAggregate { changelog, .. } => {
            line(text, depth + 1, &format!("changelog {changelog}"))
        }
        _ => {}
    }
    for (port, children) in step.children.iter().enumerate() {
        let depth = match &step.kind {
            StepKind::Branch { predicates } if !children.is_empty() => {
                let holds = predicates.get(port).map(|predicate| predicate.text());
                line(text, depth + 1, &format!("→ {}", holds.unwrap_or("the rest")));
                depth + 1
            }
            _ => depth,
        };
        for child in children {
            describe_step(sub, *child, depth + 1, text);
        }
    }
}

fn line(text: &mut String, depth: usize, words: &str) {
    writeln!(text, "{:width$}{words}", "", width = depth * 2).expect("writing to a String does not fail");
}
