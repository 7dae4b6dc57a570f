use super::*;

const DELAY: Duration = Duration::from_secs(60);
const MARGIN: Duration = Duration::from_secs(10);

fn member(name: &str) -> MemberId {
    MemberId::new(&format!("{name}:1"), "1")
}

fn units(connectors: usize, tasks: u32) -> BTreeSet<Unit> {
    let each = (0..connectors).flat_map(|number| {
        let tasks = (0..tasks).map(Some);
        [None].into_iter().chain(tasks).map(move |task| Unit {
            connector: format!("c{number}"),
            task,
        })
    });
    each.collect()
}

/// A leader at work: everybody gives up at once what they are to give up.
struct Table {
    planner: Planner,
    members: BTreeSet<MemberId>,
    wanted: BTreeSet<Unit>,
    current: Assignment,
    released: BTreeMap<(Unit, String), u64>,
    now: Instant,
}

impl Table {
    fn new(names: &[&str], wanted: BTreeSet<Unit>) -> Self {
        let mut table = Self {
            planner: Planner::new(DELAY, MARGIN),
            members: names.iter().map(|name| member(name)).collect(),
            wanted,
            current: Assignment::default(),
            released: BTreeMap::new(),
            now: Instant::now(),
        };
        table.settle();
        table
    }

    fn step(&mut self) -> bool {
        let me = self.members.first().cloned().unwrap();
        let released =
            |unit: &Unit, worker: &str| self.released.get(&(unit.clone(), worker.to_owned())).copied();
        let next = self.planner.plan(&Situation {
            me: &me,
            members: &self.members,
            wanted: &self.wanted,
            current: &self.current,
            released: &released,
            now: self.now,
        });
        let changed = next.is_some();
        self.current = next.unwrap_or_else(|| self.current.clone());
        changed
    }

    fn give_up(&mut self) {
        for (unit, place) in &self.current.units {
            if place.draining.is_some() && self.members.contains(&place.owner) {
                let key = (unit.clone(), place.owner.worker_id().to_owned());
                self.released.insert(key, self.current.epoch);
            }
        }
    }

    /// Until nothing changes; gives how often something changed hands.
    fn settle(&mut self) -> usize {
        let before = self.owners();
        for _ in 0..20 {
            if !self.step() {
                let after = self.owners();
                return before
                    .iter()
                    .filter(|(unit, owner)| after.get(*unit) != Some(owner))
                    .count();
            }
            self.give_up();
        }
        panic!("no end of changes: {:?}", self.current);
    }

    fn owners(&self) -> BTreeMap<Unit, MemberId> {
        let units = self
            .current
            .units
            .iter()
            .filter(|(_, place)| place.draining.is_none());
        units
            .map(|(unit, place)| (unit.clone(), place.owner.clone()))
            .collect()
    }

    fn counts(&self, name: &str) -> (usize, usize) {
        let owners = self.owners();
        let its: Vec<&Unit> = owners
            .iter()
            .filter(|(_, owner)| **owner == member(name))
            .map(|(unit, _)| unit)
            .collect();
        let tasks = its.iter().filter(|unit| unit.task.is_some()).count();
        (its.len() - tasks, tasks)
    }
}

#[test]
fn work_is_shared_and_few_units_move_when_somebody_joins() {
    let mut table = Table::new(&["a"], units(4, 3));
    assert_eq!(table.counts("a"), (4, 12));
    table.members.insert(member("b"));
    assert_eq!(table.settle(), 2 + 6);
    assert_eq!((table.counts("a"), table.counts("b")), ((2, 6), (2, 6)));
    table.members.insert(member("c"));
    assert_eq!(table.settle(), 1 + 4);
    assert_eq!(table.counts("c"), (1, 4));
    assert_eq!(table.settle(), 0);
}

#[test]
fn nothing_has_two_owners_while_it_moves() {
    let mut table = Table::new(&["a"], units(2, 0));
    table.members.insert(member("b"));
    assert!(table.step());
    let moving: Vec<&Place> = table
        .current
        .units
        .values()
        .filter(|place| place.draining.is_some())
        .collect();
    assert_eq!((moving.len(), &moving[0].owner), (1, &member("a")));
    // Without a word from its owner it stays so.
    assert!(!table.step());
    table.now += DELAY + MARGIN;
    assert!(!table.step());
    table.give_up();
    assert!(table.step());
    assert_eq!(table.counts("b"), (1, 0));
}

#[test]
fn what_a_lost_member_ran_stays_until_the_delay_is_over() {
    let mut table = Table::new(&["a", "b"], units(2, 2));
    table.members.remove(&member("b"));
    assert_eq!(table.settle(), 0);
    table.now += MARGIN;
    // Whoever comes meanwhile gets nothing of the others.
    table.members.insert(member("c"));
    assert_eq!(table.settle(), 0);
    table.now += DELAY;
    table.settle();
    assert_eq!((table.counts("a"), table.counts("c")), ((1, 2), (1, 2)));
}

#[test]
fn a_worker_that_comes_back_gets_what_it_had() {
    let mut table = Table::new(&["a", "b", "c"], units(3, 3));
    let before: BTreeSet<Unit> = table
        .owners()
        .into_iter()
        .filter(|(_, owner)| *owner == member("b"))
        .map(|(unit, _)| unit)
        .collect();
    table.members.remove(&member("b"));
    table.settle();
    let again = MemberId::new("b:1", "2");
    table.members.insert(again.clone());
    assert_eq!(table.settle(), before.len());
    let after = table.owners().into_iter().filter(|(_, owner)| *owner == again);
    assert_eq!(after.map(|(unit, _)| unit).collect::<BTreeSet<_>>(), before);
}

#[test]
fn without_a_delay_a_lost_member_is_still_given_time_to_stop() {
    let mut table = Table::new(&["a", "b"], units(2, 0));
    table.planner = Planner::new(Duration::ZERO, MARGIN);
    table.members.remove(&member("b"));
    assert_eq!(table.settle(), 0);
    table.now += MARGIN;
    table.settle();
    assert_eq!(table.counts("a"), (2, 0));
    // Who says that it stopped is not waited for.
    table.members.insert(member("b"));
    table.settle();
    let given_up: Vec<Unit> = table.current.units.keys().cloned().collect();
    for unit in given_up {
        table
            .released
            .insert((unit, "b:1".to_owned()), table.current.epoch);
    }
    table.members.remove(&member("b"));
    table.settle();
    assert_eq!(table.counts("a"), (2, 0));
}

#[test]
fn what_is_not_wanted_is_given_up_before_it_is_gone() {
    let mut table = Table::new(&["a", "b"], units(2, 1));
    table.wanted = units(1, 1);
    assert!(table.step());
    assert_eq!(table.current.units.len(), 4);
    // It is wanted again before it was given up: somebody else's turn comes only then.
    table.wanted = units(2, 1);
    assert!(!table.step());
    table.give_up();
    table.settle();
    assert_eq!(table.owners().len(), 4);
    table.wanted.clear();
    table.settle();
    assert_eq!(table.current.units.len(), 0);
}

#[test]
fn who_is_no_member_decides_nothing() {
    let mut planner = Planner::new(DELAY, MARGIN);
    let (me, current, wanted) = (member("a"), Assignment::default(), units(1, 1));
    let situation = Situation {
        me: &me,
        members: &[member("b")].into(),
        wanted: &wanted,
        current: &current,
        released: &|_, _| None,
        now: Instant::now(),
    };
    assert_eq!(planner.plan(&situation), None);
}
