//! How many partitions the job's own topics have.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::StreamsError;
use crate::plan::{Decode, Input, InputTime, SubTopology, Topology};

/// The counts of all topics of the job, of those that there are already as well as of those that are to come.
pub(super) struct Partitions {
    counts: HashMap<String, usize>,
}

impl Partitions {
    /// Decides on the counts of repartition topics, from those of the topics that are not the job's own.
    ///
    /// One whose reader reads other topics beside it, and waits for event time or keeps state, has as many as these: its reader's tasks read a
    /// partition of each. Any other has as many as its writers read.
    pub(super) fn new(topology: &Topology, topics: &HashMap<String, usize>) -> Result<Self, StreamsError> {
        let source_topics: BTreeSet<&str> = topology.source_topics().into_iter().collect();
        let counts = topics
            .iter()
            .filter(|(topic, _)| source_topics.contains(topic.as_str()))
            .map(|(topic, count)| (topic.clone(), *count));
        let mut all = Self {
            counts: counts.collect(),
        };
        let mut left = groups(topology);
        while !left.is_empty() {
            let next = left.iter().position(|group| all.is_known(topology, group));
            // Writers that wait for each other: what is known of them counts.
            let group = left.remove(next.unwrap_or(0));
            let count = all.count_of(topology, &group);
            for topic in group.topics {
                all.counts.insert(topic.to_string(), count);
            }
        }
        for sub in &topology.sub_topologies {
            all.check(sub)?;
        }
        Ok(all)
    }

    /// The count of one of the job's topics.
    pub(super) fn of(&self, topic: &str) -> usize {
        self.counts.get(topic).copied().unwrap_or(1)
    }

    /// The largest count of what a sub-topology reads: the number of its tasks.
    pub(super) fn most(&self, inputs: &[Input]) -> usize {
        let counts = inputs.iter().filter_map(|input| self.counts.get(&*input.topic));
        counts.max().copied().unwrap_or(1)
    }

    fn sources<'a>(&'a self, sub: &'a SubTopology) -> impl Iterator<Item = usize> + 'a {
        let inputs = sub.inputs.iter();
        let sources = inputs.filter(|input| matches!(input.decode, Decode::Rows(_)));
        sources.filter_map(|input| self.counts.get(&*input.topic).copied())
    }

    fn is_known(&self, topology: &Topology, group: &Group<'_>) -> bool {
        let inputs = group
            .writers
            .iter()
            .flat_map(|sub| &topology.sub_topologies[*sub].inputs);
        group.decides(self).is_some()
            || inputs
                .into_iter()
                .all(|input| self.counts.contains_key(&*input.topic) || group.topics.contains(&input.topic))
    }

    fn count_of(&self, topology: &Topology, group: &Group<'_>) -> usize {
        let writers = group.writers.iter().map(|sub| &topology.sub_topologies[*sub]);
        let most = || writers.map(|sub| self.most(&sub.inputs)).max();
        group.decides(self).or_else(most).unwrap_or(1)
    }

    /// What is merged or joined with event time or state has to have the same partitions: a task reads one of each, and the group
    /// gives those of one number to one member only if the counts are equal.
    fn check(&self, sub: &SubTopology) -> Result<(), StreamsError> {
        let mut counts = sub
            .inputs
            .iter()
            .filter_map(|input| Some((&input.topic, *self.counts.get(&*input.topic)?)));
        let Some((first, count)) = counts.next() else {
            return Ok(());
        };
        match counts.find(|(_, other)| *other != count) {
            Some((topic, other)) if needs_equal(sub) => Err(StreamsError::UnequalPartitions {
                first: first.to_string(),
                first_partitions: count,
                second: topic.to_string(),
                second_partitions: other,
            }),
            _ => Ok(()),
        }
    }
}

/// Repartition topics that have as many partitions as each other.
struct Group<'a> {
    topics: Vec<Arc<str>>,
    /// The sub-topologies that write them.
    writers: BTreeSet<usize>,
    /// Who reads them, if its other inputs decide.
    reader: Option<&'a SubTopology>,
}

impl Group<'_> {
    /// What the reader's other inputs say.
    fn decides(&self, partitions: &Partitions) -> Option<usize> {
        partitions.sources(self.reader?).max()
    }
}

fn groups(topology: &Topology) -> Vec<Group<'_>> {
    let mut by_reader: BTreeMap<usize, Group<'_>> = BTreeMap::new();
    let mut alone = Vec::new();
    for repartition in &topology.repartitions {
        let reader = topology
            .reader_of(&repartition.topic)
            .map(|(reader, _)| &**reader);
        let reader = reader.filter(|reader| needs_equal(reader));
        let new = || Group {
            topics: Vec::new(),
            writers: BTreeSet::new(),
            reader,
        };
        let group = match reader {
            Some(reader) => by_reader.entry(reader.id).or_insert_with(new),
            None => {
                alone.push(new());
                alone.last_mut().expect("one was put there")
            }
        };
        group.topics.push(Arc::clone(&repartition.topic));
        group.writers.insert(repartition.upstream);
    }
    alone.extend(by_reader.into_values());
    alone
}

/// Whether partitions of one number belong together for the sub-topology.
fn needs_equal(sub: &SubTopology) -> bool {
    sub.inputs.iter().any(|input| input.time != InputTime::Untimed) || sub.stores().next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Streams, col, count_all, json, text, tumbling};
    use std::time::Duration;

    fn partitions(app: &Streams, topics: &[(&str, usize)]) -> Result<Partitions, StreamsError> {
        let topics = topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count));
        Partitions::new(&app.build().unwrap(), &topics.collect())
    }

    #[test]
    fn a_repartition_topic_has_as_many_as_its_writer_reads() {
        let app = Streams::new("a");
        let lines = app.stream("lines", text("line"));
        let counts = lines
            .group_by([col("line")])
            .aggregate("counts", [count_all().alias("n")]);
        let sizes = counts
            .group_by([col("n")])
            .aggregate("sizes", [count_all().alias("lines")]);
        sizes.to("out", json());
        let found = partitions(&app, &[("lines", 5), ("others", 9)]).unwrap();
        assert_eq!(
            (found.of("a-counts-repartition"), found.of("a-sizes-repartition")),
            (5, 5)
        );
    }

    #[test]
    fn one_that_is_merged_before_state_has_as_many_as_the_source_beside_it() {
        let merged = |keyed: bool| {
            let app = Streams::new("a");
            let few = app.stream("few", text("line")).repartition("few", [col("line")]);
            let merged = few.merge(&app.stream("many", text("line")));
            match keyed {
                true => {
                    let windowed = merged
                        .group_by([col("line")])
                        .window(tumbling(Duration::from_secs(1)));
                    windowed
                        .aggregate("n", [count_all().alias("n")])
                        .results()
                        .to("out", json());
                }
                false => drop(merged.to("out", text("line"))),
            }
            let found = partitions(&app, &[("few", 2), ("many", 6)]).unwrap();
            found.of("a-few-repartition")
        };
        assert_eq!(merged(true), 6);
        // Whoever only passes rows on takes any.
        assert_eq!(merged(false), 2);
    }

    #[test]
    fn those_that_are_merged_before_state_have_as_many_as_each_other() {
        let app = Streams::new("a");
        let one = app.stream("one", text("line")).repartition("one", [col("line")]);
        let other = app
            .stream("other", text("line"))
            .repartition("other", [col("line")]);
        let windowed = one
            .merge(&other)
            .group_by([col("line")])
            .window(tumbling(Duration::from_secs(1)));
        windowed
            .aggregate("n", [count_all().alias("n")])
            .results()
            .to("out", json());
        let found = partitions(&app, &[("one", 3), ("other", 4)]).unwrap();
        let of = |topic| found.of(topic);
        assert_eq!(
            (
                of("a-one-repartition"),
                of("a-other-repartition"),
                of("a-n-repartition")
            ),
            (4, 4, 4)
        );
    }

    #[test]
    fn sources_that_differ_are_refused_before_any_topic_is_made() {
        let app = Streams::new("a");
        let merged = app
            .stream("one", text("line"))
            .merge(&app.stream("other", text("line")));
        let windowed = merged
            .group_by([col("line")])
            .window(tumbling(Duration::from_secs(1)));
        windowed
            .aggregate("n", [count_all().alias("n")])
            .results()
            .to("out", json());
        let refused = partitions(&app, &[("one", 3), ("other", 4)]).err().unwrap();
        let StreamsError::UnequalPartitions {
            first_partitions,
            second_partitions,
            ..
        } = refused
        else {
            panic!("{refused}");
        };
        assert_eq!((first_partitions, second_partitions), (3, 4));
    }
}
