//! Which tasks the group would give to this process if others died.
//!
//! librdkafka's range assignor gives each member a run of the partitions of every topic, in the order of the members' names. It takes no
//! wishes, so that nobody can choose who takes a task over; but everybody can tell who will.
use std::collections::{BTreeMap, BTreeSet};

use millstream_client::{GroupMember, GroupMembers};

use crate::runtime::worker::TaskId;

/// Assignments that are worked out at most: all of those in which one of a thousand processes is missing, or two of forty.
const ASSIGNMENTS_MAX: usize = 1_000;

/// A group whose members have their partitions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The process of each member, in the order in which the members get partitions.
    members: Vec<usize>,
    processes: usize,
    own: usize,
    /// How many partitions each topic has.
    counts: BTreeMap<String, usize>,
    /// What this process has.
    here: BTreeSet<(String, i32)>,
}

impl Group {
    /// The group as process `own` sees it; none if that has no member in it.
    pub(super) fn of(found: &GroupMembers, own: &str) -> Option<Self> {
        let mut members: Vec<&GroupMember> = found.members.iter().collect();
        // Only among members that all have names of their own do these count.
        match members.iter().all(|member| member.instance_id.is_some()) {
            true => members.sort_by_key(|member| member.instance_id.as_deref()),
            false => members.sort_by_key(|member| &*member.member_id),
        }
        let names: Vec<&str> = members.iter().map(|member| process_of(member)).collect();
        let processes: BTreeSet<&str> = names.iter().copied().collect();
        let processes: Vec<&str> = processes.into_iter().collect();
        let number = |name: &str| processes.binary_search(&name).ok();
        let (mut counts, mut here) = (BTreeMap::<String, usize>::new(), BTreeSet::new());
        for (member, name) in members.iter().zip(&names) {
            for (topic, partition) in &member.partitions {
                let count = counts.entry(topic.clone()).or_default();
                *count = (*count).max(usize::try_from(*partition).unwrap_or(0) + 1);
                if *name == own {
                    here.insert((topic.clone(), *partition));
                }
            }
        }
        Some(Self {
            own: number(own)?,
            members: names.iter().filter_map(|name| number(name)).collect(),
            processes: processes.len(),
            counts,
            here,
        })
    }

    /// How many processes there are besides this one.
    pub(super) fn others(&self) -> usize {
        self.processes - 1
    }

    /// The tasks that this process does not have, and would have if up to `deaths` others died. `subs` are sub-topologies, each with
    /// the topics it reads.
    pub(super) fn successions(&self, deaths: usize, subs: &[(usize, Vec<String>)]) -> BTreeSet<TaskId> {
        let others: Vec<usize> = (0..self.processes)
            .filter(|process| *process != self.own)
            .collect();
        let mut tasks = BTreeSet::new();
        let mut left = ASSIGNMENTS_MAX;
        for dead in 1..=deaths.min(others.len()) {
            each_of(&others, dead, &mut Vec::new(), &mut left, &mut |dead| {
                self.given_without(dead, subs, &mut tasks);
            });
        }
        tasks
    }

    /// Whether this process was given a partition of one of these topics.
    pub(super) fn is_here(&self, topics: &[String], partition: i32) -> bool {
        topics
            .iter()
            .any(|topic| self.here.contains(&(topic.clone(), partition)))
    }

    fn given_without(&self, dead: &[usize], subs: &[(usize, Vec<String>)], tasks: &mut BTreeSet<TaskId>) {
        let alive: Vec<usize> = self
            .members
            .iter()
            .copied()
            .filter(|process| !dead.contains(process))
            .collect();
        for (sub, topics) in subs {
            // Those of a task with state have as many partitions each.
            let known = topics.iter().find_map(|topic| self.counts.get(topic).copied());
            let Some(count) = known else {
                continue;
            };
            for (place, process) in alive.iter().enumerate() {
                if *process != self.own {
                    continue;
                }
                for partition in run(place, alive.len(), count) {
                    if !self.is_here(topics, partition) {
                        tasks.insert((*sub, partition));
                    }
                }
            }
        }
    }
}

/// The process that a member belongs to: its name without the number of its thread.
fn process_of(member: &GroupMember) -> &str {
    process_name(member.instance_id.as_deref().unwrap_or(&member.member_id))
}

/// See [`process_of`].
pub(super) fn process_name(instance: &str) -> &str {
    match instance.rsplit_once("-stream-") {
        Some((process, number)) if number.parse::<u16>().is_ok() => process,
        _ => instance,
    }
}

/// The partitions of member number `place` of so many.
fn run(place: usize, members: usize, count: usize) -> std::ops::Range<i32> {
    let (each, more) = (count / members, count % members);
    let begin = |place: usize| (place * each + place.min(more)) as i32;
    begin(place)..begin(place + 1)
}

/// Hands out all choices of `count` of `from`, as long as there are any `left`.
fn each_of(
    from: &[usize],
    count: usize,
    chosen: &mut Vec<usize>,
    left: &mut usize,
    each: &mut dyn FnMut(&[usize]),
) {
    if count == 0 {
        if *left > 0 {
            *left -= 1;
            each(chosen);
        }
        return;
    }
    for (place, one) in from.iter().enumerate() {
        if *left == 0 {
            return;
        }
        chosen.push(*one);
        each_of(&from[place + 1..], count - 1, chosen, left, each);
        chosen.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group of processes with so many threads each, over topics with so many partitions.
    fn group(threads: &[usize], topics: &[(&str, usize)]) -> GroupMembers {
        let names = threads.iter().enumerate().flat_map(|(process, threads)| {
            (1..=*threads).map(move |number| format!("p{process}-stream-{number}"))
        });
        let names: Vec<String> = names.collect();
        let member = |(place, name): (usize, &String)| GroupMember {
            member_id: format!("{}-{name}", names.len() - place),
            instance_id: Some(name.clone()),
            partitions: topics
                .iter()
                .flat_map(|(topic, count)| {
                    run(place, names.len(), *count).map(|number| ((*topic).to_owned(), number))
                })
                .collect(),
            ..GroupMember::default()
        };
        GroupMembers {
            stable: true,
            // Nobody promises an order.
            members: names.iter().enumerate().map(member).rev().collect(),
        }
    }

    fn copies(threads: &[usize], partitions: usize, deaths: usize) -> Vec<Vec<i32>> {
        let found = group(threads, &[("words", partitions), ("other", 1)]);
        let subs = [(1, vec!["not here".to_owned(), "words".to_owned()])];
        let of = |process| {
            let group = Group::of(&found, &format!("p{process}")).unwrap();
            let tasks = group.successions(deaths, &subs);
            tasks.into_iter().map(|(_, partition)| partition).collect()
        };
        (0..threads.len()).map(of).collect()
    }

    #[test]
    fn whoever_would_get_a_partition_copies_it() {
        assert_eq!(copies(&[1], 4, 1), [[0; 0]], "who is alone has all");
        assert_eq!(copies(&[1, 1], 5, 1), [vec![3, 4], vec![0, 1, 2]]);
        assert_eq!(
            copies(&[1, 1, 1], 6, 1),
            [vec![2], vec![0, 1, 4, 5], vec![3]],
            "a death moves partitions between survivors as well"
        );
        assert_eq!(
            copies(&[1, 1, 1, 1], 8, 1),
            [vec![2], vec![0, 1, 4, 5], vec![3, 6, 7], vec![]]
        );
        // All members of a process die together.
        assert_eq!(copies(&[2, 2], 4, 1), [vec![2, 3], vec![0, 1]]);
        assert_eq!(copies(&[1, 1, 1], 3, 2), [vec![1, 2], vec![0, 2], vec![0, 1]]);
        assert_eq!(
            copies(&[1, 1], 2, 7),
            [vec![1], vec![0]],
            "no more can die than there are"
        );
    }

    /// However many there are, who takes over after as many deaths as there are copies has one.
    #[test]
    fn a_successor_always_has_a_copy() {
        for processes in 2..6_usize {
            for partitions in 1..20 {
                for deaths in 1..3_usize.min(processes) {
                    let threads: Vec<usize> = (0..processes).map(|process| 1 + process % 2).collect();
                    let copies = copies(&threads, partitions, deaths);
                    let of_member: Vec<usize> = (0..processes)
                        .flat_map(|process| vec![process; threads[process]])
                        .collect();
                    let owners = |dead: &[usize]| -> Vec<usize> {
                        let alive: Vec<usize> = of_member
                            .iter()
                            .copied()
                            .filter(|process| !dead.contains(process))
                            .collect();
                        let runs = alive.iter().enumerate();
                        runs.flat_map(|(place, process)| {
                            run(place, alive.len(), partitions).map(|_| *process)
                        })
                        .collect()
                    };
                    let before = owners(&[]);
                    assert_eq!(before.len(), partitions);
                    let all: Vec<usize> = (0..processes).collect();
                    let mut left = usize::MAX;
                    each_of(&all, deaths, &mut Vec::new(), &mut left, &mut |dead| {
                        for (partition, owner) in owners(dead).into_iter().enumerate() {
                            let copied = copies[owner].contains(&(partition as i32));
                            assert!(
                                copied || before[partition] == owner,
                                "{partition} of {partitions} goes to {owner} without {dead:?} of {processes}: {copies:?}"
                            );
                        }
                    });
                    for (process, copies) in copies.iter().enumerate() {
                        assert!(
                            copies
                                .iter()
                                .all(|partition| before[*partition as usize] != process)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_process_that_is_no_member_knows_nothing() {
        let mut found = group(&[1, 1], &[("words", 2)]);
        assert_eq!(Group::of(&found, "p7"), None);
        // Members without names of their own are a process each, in the order that the group gave them.
        for (member, id) in found.members.iter_mut().zip(["b-7", "a-stream-x"]) {
            (member.instance_id, member.member_id) = (None, id.to_owned());
        }
        let group = Group::of(&found, "a-stream-x").unwrap();
        assert_eq!((group.others(), group.members), (1, vec![0, 1]));
        assert_eq!(process_name("x-stream-12"), "x");
        assert_eq!(process_name("x-stream-y-stream-3"), "x-stream-y");
        assert_eq!(process_name("host"), "host");
    }
}
