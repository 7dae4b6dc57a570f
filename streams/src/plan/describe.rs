//! The topology as text and as a diagram.
use std::fmt::Write;

use std::collections::BTreeSet;

use super::{Decode, Edge, Part, SinkRows, Step, StepId, StepKind, SubTopology, Topology};

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
        for global in &self.globals {
            if let Some(Decode::Rows(format)) = global.sub.inputs.first().map(|input| &input.decode) {
                line(
                    &mut text,
                    0,
                    &format!("global table {} as {format}", global.topic),
                );
            }
        }
        for sub in &self.sub_topologies {
            describe_sub_topology(sub, &mut text);
        }
        text
    }
}

impl Topology {
    /// The topology as a [Mermaid](https://mermaid.js.org) flowchart: topics, and steps by sub-topology.
    ///
    /// ```
    /// use millstream_streams::{Streams, col, json, lit, length, text};
    /// let app = Streams::new("long");
    /// app.stream("lines", text("line")).filter(length(col("line")).gt(lit(80))).to("long-lines", json());
    /// assert_eq!(app.build()?.mermaid(), r#"flowchart TD
    ///   subgraph sub0["sub-topology 0"]
    ///     s0_0["filter character_length(line) &gt; Int32(80)"]
    ///   end
    ///   t0[("lines")] --> s0_0
    ///   s0_0 --> t1[("long-lines")]
    /// "#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    pub fn mermaid(&self) -> String {
        let mut chart = Chart::default();
        for sub in &self.sub_topologies {
            chart.sub_topology(sub);
        }
        format!("flowchart TD\n{}{}", chart.groups, chart.edges)
    }
}

/// A flowchart under construction.
#[derive(Default)]
struct Chart {
    groups: String,
    edges: String,
    /// Topics in the order of their numbers, each declared where it is first met.
    topics: Vec<String>,
}

impl Chart {
    fn sub_topology(&mut self, sub: &SubTopology) {
        let id = sub.id;
        add(
            &mut self.groups,
            &format!("  subgraph sub{id}[\"sub-topology {id}\"]"),
        );
        for (number, step) in sub.steps.iter().enumerate() {
            if !matches!(step.kind, StepKind::Sink { .. }) {
                add(
                    &mut self.groups,
                    &format!("    s{id}_{number}[{}]", quoted(&step.label)),
                );
            }
        }
        add(&mut self.groups, "  end");
        for input in &sub.inputs {
            for child in input.edges() {
                let from = self.topic(&input.topic);
                let to = self.step(sub, child.to);
                add(&mut self.edges, &format!("  {from} --> {to}"));
            }
        }
        for (number, step) in sub.steps.iter().enumerate() {
            self.below(sub, StepId(number), step);
        }
    }

    fn below(&mut self, sub: &SubTopology, id: StepId, step: &Step) {
        let from = format!("s{}_{}", sub.id, id.0);
        if let Some(topic) = step.kind.repartition_topic() {
            let to = self.topic(topic);
            add(&mut self.edges, &format!("  {from} --> {to}"));
        }
        if let Some(changelog) = step.kind.changelog() {
            let to = self.topic(changelog);
            add(&mut self.edges, &format!("  {from} -.-> {to}"));
        }
        for table in &step.tables {
            let table = self.step(sub, *table);
            add(&mut self.edges, &format!("  {table} -.-> {from}"));
        }
        for (port, children) in step.children.iter().enumerate() {
            let label = match &step.kind {
                StepKind::Branch { predicates } => {
                    let holds = predicates.get(port).map(|predicate| predicate.text());
                    format!("|{}|", quoted(holds.unwrap_or("the rest")))
                }
                _ => String::new(),
            };
            for child in children.iter().filter(|child| !is_deletions(sub, child.to)) {
                let to = self.step(sub, child.to);
                add(&mut self.edges, &format!("  {from} -->{label} {to}"));
            }
        }
    }

    /// A step; a sink is its topic.
    fn step(&mut self, sub: &SubTopology, id: StepId) -> String {
        match &sub.steps[id.0].kind {
            StepKind::Sink { topic, .. } => self.topic(topic),
            _ => format!("s{}_{}", sub.id, id.0),
        }
    }

    fn topic(&mut self, topic: &str) -> String {
        if let Some(number) = self.topics.iter().position(|known| known == topic) {
            return format!("t{number}");
        }
        self.topics.push(topic.to_owned());
        format!("t{}[({})]", self.topics.len() - 1, quoted(topic))
    }
}

fn add(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// A label: what has a meaning in Mermaid or HTML is written as an entity.
fn quoted(label: &str) -> String {
    let label = label.replace('&', "&amp;").replace('"', "&quot;");
    format!("\"{}\"", label.replace('<', "&lt;").replace('>', "&gt;"))
}

fn describe_sub_topology(sub: &SubTopology, text: &mut String) {
    let mut shown = BTreeSet::new();
    line(text, 0, &format!("sub-topology {}", sub.id));
    for input in &sub.inputs {
        match &input.decode {
            Decode::Rows(format) => line(text, 1, &format!("source {} as {format}", input.topic)),
            Decode::Shuffle(_) => line(text, 1, &format!("repartition {}", input.topic)),
        }
        if let Some(policy) = &input.on_error {
            line(text, 2, &format!("on error: {policy}"));
        }
        for child in input.edges() {
            describe_step(sub, child.to, 2, &mut shown, text);
        }
    }
}

/// What `id` is and what is below it. A step with several ports is described where it is first met: `shown` has those.
fn describe_step(
    sub: &SubTopology,
    id: StepId,
    depth: usize,
    shown: &mut BTreeSet<StepId>,
    text: &mut String,
) {
    let step = &sub.steps[id.0];
    if sub.ports(id) > 1 && !shown.insert(id) {
        line(text, depth, &format!("{} (see above)", step.label));
        return;
    }
    line(text, depth, &step.label);
    if let Some(policy) = &step.on_error {
        line(text, depth + 1, &format!("on error: {policy}"));
    }
    for (part, policy) in step.parts().iter().filter_map(Part::policy) {
        line(text, depth + 1, &format!("on error of {part}: {policy}"));
    }
    if let Some(topic) = step.kind.repartition_topic() {
        line(text, depth + 1, &format!("repartition {topic}"));
    }
    if let Some(changelog) = step.kind.changelog() {
        line(text, depth + 1, &format!("changelog {changelog}"));
    }
    for table in &step.tables {
        line(text, depth + 1, &format!("reads {}", sub.steps[table.0].label));
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
        for Edge { to, .. } in children.iter().filter(|child| !is_deletions(sub, child.to)) {
            describe_step(sub, *to, depth + 1, shown, text);
        }
    }
}

/// Whether the step is the part of a table's sink that deletes keys, which the sink stands for.
fn is_deletions(sub: &SubTopology, step: StepId) -> bool {
    matches!(
        sub.steps[step.0].kind,
        StepKind::Sink {
            rows: SinkRows::Deletions,
            ..
        }
    )
}

fn line(text: &mut String, depth: usize, words: &str) {
    writeln!(text, "{:width$}{words}", "", width = depth * 2).expect("writing to a String does not fail");
}
