//! Random members with random delays, from a seed: they join, sync, commit, die, come back; writes are slow or
//! fail; the coordinator is killed and replays its log.

use std::collections::{HashMap, HashSet};

use super::*;

/// A small generator (SplitMix64), so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Debug)]
enum Doing {
    Idle,
    Joining(Token),
    Syncing(Token, Joined),
    Member(Joined),
}

/// A simulated client.
struct Client {
    name: String,
    instance: Option<String>,
    id: MemberId,
    doing: Doing,
    acts_at: u64,
}

struct Simulation {
    d: Driver,
    random: Random,
    clients: Vec<Client>,
    /// Requests with the time by which they must have been answered.
    owed: HashMap<Token, u64>,
    /// The leader that the members of each generation were told.
    leaders: HashMap<i32, MemberId>,
    generation: i32,
    stable_generations: HashSet<i32>,
    commits: i64,
}

/// Longest wait for any answer: a rebalance with its extensions, then the new member's join timeout.
const ANSWER_MS_MAX: u64 = 300_000 + 2 * REBALANCE_MS as u64;

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let client = |n: u64, random: &mut Random| Client {
            name: format!("c{n}"),
            instance: random.chance(40).then(|| format!("i{n}")),
            id: "".into(),
            doing: Doing::Idle,
            acts_at: random.below(20_000),
        };
        let clients = (0..2 + random.below(6)).map(|n| client(n, &mut random)).collect();
        let mut d = Driver::new();
        d.hold_writes = true;
        Self {
            d,
            random,
            clients,
            owed: HashMap::new(),
            leaders: HashMap::new(),
            generation: 0,
            stable_generations: HashSet::new(),
            commits: 0,
        }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.d.advance(self.random.below(700));
            self.writes();
            for at in 0..self.clients.len() {
                if self.clients[at].acts_at <= self.d.now_ms {
                    self.act(at);
                }
            }
            if self.random.below(2_000) == 0 {
                self.kill_coordinator();
            }
            self.check();
        }
        self.drain();
    }

    /// Some of the writes end, now and then with a failure.
    fn writes(&mut self) {
        while self.d.writes_under_way() > 0 && self.random.chance(70) {
            let failed = self.random.chance(2);
            let error = GroupError::Storage {
                reason: "simulated".to_owned(),
            };
            self.d.finish_write(if failed { Err(error) } else { Ok(()) });
        }
    }

    fn kill_coordinator(&mut self) {
        self.d.restart();
        // Connections break: answers that nobody has read yet are lost, and nothing is owed any more. A
        // generation whose assignment was not on disk is made again, perhaps with another leader.
        self.d.answers.clear();
        self.owed.clear();
        self.leaders.clear();
        self.generation = self.d.group.generation;
        for client in &mut self.clients {
            // Whoever waited for an answer tries again.
            if matches!(client.doing, Doing::Joining(_) | Doing::Syncing(..)) {
                client.doing = Doing::Idle;
            }
        }
    }

    fn act(&mut self, at: usize) {
        let pause = 200 + self.random.below(2_500);
        self.clients[at].acts_at = self.d.now_ms + pause;
        if self.random.chance(1) {
            // The process dies and comes back with a short memory.
            self.clients[at].doing = Doing::Idle;
            self.clients[at].id = "".into();
            self.clients[at].acts_at += self.random.below(40_000);
            return;
        }
        match self.clients[at].doing.clone() {
            Doing::Idle => self.join(at),
            Doing::Joining(token) => self.after_join(at, token),
            Doing::Syncing(token, joined) => self.after_sync(at, token, joined),
            Doing::Member(joined) => self.live(at, joined),
        }
    }

    fn owe(&mut self, token: Token) {
        if self.d.waits(token) {
            self.owed.insert(token, self.d.now_ms + ANSWER_MS_MAX);
        }
    }

    fn join(&mut self, at: usize) {
        let client = &self.clients[at];
        let request = JoinRequest {
            member_id: client.id.clone(),
            instance: client.instance.as_deref().map(Into::into),
            require_member_id: true,
            supports_skip_assignment: at.is_multiple_of(2),
            ..join(&client.name)
        };
        let token = self.d.join(&request);
        self.owe(token);
        self.clients[at].doing = Doing::Joining(token);
    }

    fn after_join(&mut self, at: usize, token: Token) {
        let Some(answer) = self.d.answers.get(&token).cloned() else {
            return;
        };
        match answer {
            Response::Join(Ok(joined)) => {
                self.clients[at].id = joined.member_id.clone();
                self.sync(at, joined);
            }
            Response::Join(Err(error)) => self.after_error(at, &error),
            other => panic!("a join was answered by {other:?}"),
        }
    }

    fn sync(&mut self, at: usize, joined: Joined) {
        let text = |id: &MemberId| format!("{id} in {}", joined.generation);
        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        let assigned: Vec<(MemberId, String)> = match leads {
            true => joined
                .members
                .iter()
                .map(|m| (m.member_id.clone(), text(&m.member_id)))
                .collect(),
            false => Vec::new(),
        };
        let assigned: Vec<(&MemberId, &str)> =
            assigned.iter().map(|(id, text)| (id, text.as_str())).collect();
        let token = self.d.sync(&joined, &assigned);
        self.owe(token);
        self.clients[at].doing = Doing::Syncing(token, joined);
    }

    fn after_sync(&mut self, at: usize, token: Token, joined: Joined) {
        let Some(answer) = self.d.answers.get(&token).cloned() else {
            return;
        };
        match answer {
            Response::Sync(Ok(synced)) => {
                let text = String::from_utf8(synced.assignment.to_vec()).unwrap();
                let (id, generation) = text.split_once(" in ").unwrap_or_default();
                assert_eq!(
                    generation,
                    joined.generation.to_string(),
                    "assignment of another generation"
                );
                match &self.clients[at].instance {
                    // A static member keeps what its earlier id was assigned.
                    Some(instance) => assert!(id.starts_with(instance.as_str())),
                    None => assert_eq!(id, joined.member_id.as_str()),
                }
                self.clients[at].doing = Doing::Member(joined);
            }
            Response::Sync(Err(error)) => self.after_error(at, &error),
            other => panic!("a sync was answered by {other:?}"),
        }
    }

    fn live(&mut self, at: usize, joined: Joined) {
        let id = joined.member_id.as_str().to_owned();
        if self.random.chance(2) {
            self.d
                .leave(&[(&id, self.clients[at].instance.clone().as_deref())])
                .unwrap();
            self.clients[at].doing = Doing::Idle;
            self.clients[at].id = "".into();
            self.clients[at].acts_at += self.random.below(30_000);
        } else if self.random.chance(30) {
            self.commits += 1;
            let token = self.d.commit(joined.generation, &id, self.commits);
            self.owe(token);
        } else {
            let instance = self.clients[at].instance.clone();
            let beat = self
                .d
                .heartbeat_as(&joined.member_id, joined.generation, instance.as_deref());
            if let Err(error) = beat {
                self.after_error(at, &error);
            }
        }
    }

    fn after_error(&mut self, at: usize, error: &GroupError) {
        let client = &mut self.clients[at];
        client.doing = Doing::Idle;
        match error {
            GroupError::MemberIdRequired { member_id } => client.id = member_id.clone(),
            GroupError::RebalanceInProgress { .. } | GroupError::Storage { .. } => {}
            GroupError::UnknownMember { .. }
            | GroupError::UnknownInstance { .. }
            | GroupError::IllegalGeneration { .. }
            | GroupError::FencedInstance { .. } => client.id = "".into(),
            other => panic!("{other}"),
        }
    }

    fn check(&mut self) {
        let group = &self.d.group;
        assert!(group.generation >= self.generation, "the generation went back");
        self.generation = group.generation;
        assert_eq!(
            self.d.replayed(),
            *group.durable(),
            "replay gives what the group has"
        );
        if group.state == GroupState::Stable {
            self.stable_generations.insert(group.generation);
        }
        for answer in self.d.answers.values() {
            let Response::Join(Ok(joined)) = answer else {
                continue;
            };
            if !joined.members.is_empty() && !joined.skip_assignment {
                let told = self
                    .leaders
                    .entry(joined.generation)
                    .or_insert_with(|| joined.member_id.clone());
                assert_eq!(
                    *told, joined.member_id,
                    "generation {} has two leaders",
                    joined.generation
                );
            }
        }
        for (token, by) in &self.owed {
            let waits = self.d.waits(*token);
            assert!(
                !waits || self.d.now_ms <= *by,
                "{token:?} was not answered in time"
            );
        }
        let answers = &self.d.answers;
        self.owed.retain(|token, _| !answers.contains_key(token));
        // Answers that are behind every client are not looked at again.
        let low = self.d.tokens.saturating_sub(200);
        let waited: HashSet<Token> = self
            .clients
            .iter()
            .filter_map(|c| match &c.doing {
                Doing::Joining(token) | Doing::Syncing(token, _) => Some(*token),
                Doing::Idle | Doing::Member(_) => None,
            })
            .collect();
        self.d
            .answers
            .retain(|token, _| token.0 > low || waited.contains(token));
    }

    /// All clients fall silent: everything that is owed is answered, and the group ends up empty.
    fn drain(&mut self) {
        self.d.hold_writes = false;
        self.d.settle();
        self.d.advance(2 * ANSWER_MS_MAX);
        for token in self.owed.keys() {
            assert!(!self.d.waits(*token), "{token:?} was lost");
        }
        assert!(matches!(self.d.group.state, GroupState::Empty | GroupState::Dead));
        assert_eq!(self.d.group.member_count(), 0);
        assert_eq!(self.d.replayed(), *self.d.group.durable());
    }
}

#[test]
fn random_members_from_seeds() {
    let mut stable = 0;
    for seed in 0..60 {
        let mut simulation = Simulation::new(seed);
        simulation.run(1_500);
        stable += simulation.stable_generations.len();
    }
    assert!(
        stable > 600,
        "the simulation must get somewhere: {stable} stable generations"
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let log = |seed| {
        let mut simulation = Simulation::new(seed);
        simulation.run(800);
        simulation.d.log
    };
    assert_eq!(log(7), log(7));
    assert_ne!(log(7), log(8));
}
