use super::*;
use crate::herder::distributed::assignment::{Assignment, Place};
use crate::herder::distributed::configs;

const SESSION: Duration = Duration::from_secs(10);

fn unit(task: Option<u32>) -> Unit {
    Unit {
        connector: "c".to_owned(),
        task,
    }
}

fn map(value: &str) -> ConfigMap {
    ConfigMap::from([("work".to_owned(), value.to_owned())])
}

/// A worker that knows a connector of two tasks, all of it its own.
struct Table {
    knowledge: Knowledge,
    me: MemberId,
    now: Instant,
}

impl Table {
    fn new() -> Self {
        let (me, now) = (MemberId::new("a:1", "x"), Instant::now());
        let mut table = Self {
            knowledge: Knowledge {
                configs_ready: true,
                statuses_ready: true,
                me: Some(me.clone()),
                ..Knowledge::default()
            },
            me,
            now,
        };
        table.write([configs::connector("c", &map("x"))]);
        table.write(configs::tasks("c", &[map("0"), map("1")]));
        table.place(1, &[(None, None), (Some(0), None), (Some(1), None)]);
        table.hear(Duration::ZERO, true);
        table
    }

    fn write(&mut self, records: impl IntoIterator<Item = configs::ConfigRecord>) {
        for record in records {
            let value = record.value.map(|value| value.to_string());
            let configs = &mut self.knowledge.configs;
            configs.apply(
                configs.read_to,
                &record.key,
                value.as_ref().map(|value| value.as_bytes()),
            );
        }
    }

    fn place(&mut self, epoch: u64, units: &[(Option<u32>, Option<u64>)]) {
        let units = units.iter().map(|(task, draining)| {
            let place = Place {
                owner: self.me.clone(),
                since: 1,
                draining: *draining,
            };
            (unit(*task), place)
        });
        self.knowledge.configs.assignment = Assignment {
            epoch,
            leader: self.me.clone(),
            units: units.collect(),
        };
    }

    fn hear(&mut self, later: Duration, is_in: bool) -> bool {
        let roll = Roll {
            asked: self.now + later,
            members: is_in.then(|| self.me.clone()).into_iter().collect(),
            leader: None,
        };
        let me = self.me.clone();
        self.knowledge.hear(roll, &me, SESSION)
    }

    fn todo(&self) -> Todo {
        self.knowledge.todo("c", self.now, SESSION)
    }

    fn run(&mut self) {
        let todo = self.todo();
        for unit in todo.stop {
            self.knowledge.running.remove(&unit);
            self.knowledge.again.remove(&unit);
        }
        self.knowledge.running.extend(todo.start);
    }
}

fn units(tasks: &[Option<u32>]) -> BTreeSet<Unit> {
    tasks.iter().map(|task| unit(*task)).collect()
}

#[test]
fn what_is_assigned_is_started_and_then_there_is_nothing_to_do() {
    let mut table = Table::new();
    let todo = table.todo();
    assert_eq!(
        todo.start.into_keys().collect::<BTreeSet<_>>(),
        units(&[None, Some(0), Some(1)])
    );
    table.run();
    assert!(table.todo().is_empty());
}

#[test]
fn only_what_changed_is_started_again() {
    let mut table = Table::new();
    table.run();
    table.write(configs::tasks("c", &[map("0"), map("one")]));
    assert_eq!(table.todo().stop, units(&[Some(1)]));
    table.run();
    table.write([configs::connector("c", &map("y"))]);
    assert_eq!(table.todo().stop, units(&[None]));
    table.run();
    // Its tasks follow once its work is divided by the new configuration.
    table.write(configs::tasks("c", &[map("0"), map("one")]));
    assert_eq!(table.todo().stop, units(&[Some(0), Some(1)]));
    table.run();
    assert!(table.todo().is_empty());
}

#[test]
fn what_moves_is_stopped_and_released_until_the_word_is_heard() {
    let mut table = Table::new();
    table.run();
    table.place(2, &[(None, None), (Some(0), None), (Some(1), Some(2))]);
    let todo = table.todo();
    assert_eq!((todo.stop, todo.release), (units(&[Some(1)]), units(&[Some(1)])));
    table.run();
    assert_eq!(table.todo().release, units(&[Some(1)]));
    let said =
        r#"{"state":"UNASSIGNED","trace":null,"worker_id":"a:1","generation":2,"version":null,"released":2}"#;
    table
        .knowledge
        .statuses
        .apply("status-task-c-1", Some(said.as_bytes()));
    assert!(table.todo().is_empty());
    // A later one of the same worker needs another word.
    table.place(5, &[(None, None), (Some(0), None), (Some(1), Some(5))]);
    assert_eq!(table.todo().release, units(&[Some(1)]));
}

#[test]
fn who_is_not_known_to_the_group_runs_nothing() {
    let mut table = Table::new();
    table.run();
    table.now += SESSION + Duration::from_millis(1);
    let todo = table.todo();
    assert_eq!(todo.stop.len(), 3);
    assert!(todo.start.is_empty() && todo.release.is_empty());
    // Nor does one that comes back after longer than a session: others may have begun.
    assert!(table.hear(Duration::ZERO, true));
    let mut table = Table::new();
    assert!(!table.hear(Duration::from_secs(1), true));
    assert!(table.hear(Duration::from_secs(2), false));
}

#[test]
fn a_target_changes_without_a_restart_but_for_stopping() {
    let mut table = Table::new();
    table.run();
    table.write([configs::target("c", TargetState::Paused)]);
    let todo = table.todo();
    assert_eq!((todo.target, todo.stop.len()), (Some(TargetState::Paused), 0));
    for started in table.knowledge.running.values_mut() {
        started.target = TargetState::Paused;
    }
    assert!(table.todo().is_empty());
    table.write(configs::tasks("c", &[]));
    table.write([configs::target("c", TargetState::Stopped)]);
    assert_eq!(table.todo().stop.len(), 3);
    table.run();
    assert_eq!(table.knowledge.running[&unit(None)].target, TargetState::Stopped);
    assert!(table.todo().is_empty());
    table.write(configs::deleted("c"));
    assert_eq!(table.todo().stop, units(&[None]));
}

#[test]
fn a_restart_takes_what_it_names() {
    let mut table = Table::new();
    table.run();
    let failed = r#"{"state":"FAILED","trace":"why","worker_id":"a:1","generation":2,"version":null}"#;
    table
        .knowledge
        .statuses
        .apply("status-task-c-1", Some(failed.as_bytes()));
    let request = |include_tasks, only_failed| RestartRequest {
        include_tasks,
        only_failed,
    };
    table.knowledge.restart("c", request(true, true));
    assert_eq!(table.todo().stop, units(&[Some(1)]));
    table.knowledge.restart("c", request(false, false));
    assert_eq!(table.todo().stop, units(&[None, Some(1)]));
    table.run();
    assert!(table.todo().is_empty());
}

/// It forgot the restart that was due, and nothing else started what had failed.
#[test]
fn the_same_configuration_again_starts_what_failed_and_nothing_else() {
    let mut table = Table::new();
    table.run();
    let failed = r#"{"state":"FAILED","trace":"why","worker_id":"a:1","generation":2,"version":null}"#;
    table
        .knowledge
        .statuses
        .apply("status-task-c-1", Some(failed.as_bytes()));
    let before = table.knowledge.config("c").cloned();
    table.write([configs::connector("c", &map("x"))]);
    table.knowledge.configured("c", before.as_ref());
    let todo = table.todo();
    assert_eq!(todo.stop, units(&[Some(1)]));
    // What its owner asked for on account of the former record was dropped with it.
    assert!(todo.divide);
    table.run();
    assert!(!table.todo().stop.contains(&unit(Some(1))));

    table.write([configs::connector("c", &map("y"))]);
    table.knowledge.configured("c", before.as_ref());
    assert_eq!(
        table.todo().stop,
        units(&[None]),
        "its tasks wait for their division"
    );
}

#[test]
fn tasks_are_to_come_until_the_work_is_divided_by_the_present_configuration() {
    let mut table = Table::new();
    assert!(!table.knowledge.is_being_divided("c") && !table.knowledge.is_being_divided("nobody"));
    table.write([configs::connector("c", &map("y"))]);
    assert!(table.knowledge.is_being_divided("c"));
    let failed = r#"{"state":"FAILED","trace":"why","worker_id":"a:1","generation":2,"version":null}"#;
    let statuses = &mut table.knowledge.statuses;
    statuses.apply("status-connector-c", Some(failed.as_bytes()));
    assert!(!table.knowledge.is_being_divided("c"), "it divides nothing");
    table.knowledge.statuses.apply("status-connector-c", None);
    table.write([configs::target("c", TargetState::Paused)]);
    assert!(!table.knowledge.is_being_divided("c"));
    table.write([configs::target("c", TargetState::Started)]);
    table.write(configs::tasks("c", &[]));
    assert!(!table.knowledge.is_being_divided("c"));
}
