//! Producers that fence each other, slow and failing writes, crashes at any moment: from a seed, against an oracle.
//!
//! The oracle: every transaction has one outcome, the same in each partition it wrote to; the outcome is the one that
//! was answered; nobody writes after being fenced; in the end nothing is left open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use kafka_protocol::ResponseError;
use tokio::time::{Instant, timeout};

use super::memory::{Disk, Entry, Life, TestClock, start};
use super::*;

const IDS: [&str; 3] = ["a", "b", "c"];
const DATA_PARTITIONS: u64 = 4;
const STEPS: usize = 400;

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }
}

/// One process that uses a transactional id.
#[derive(Debug)]
struct Client {
    id: &'static str,
    producer: Option<(ProducerId, ProducerEpoch)>,
    /// The test's number of the transaction it believes to be in.
    number: u64,
    added: BTreeSet<TopicPartition>,
    /// It has asked for this end, and does not know what became of it.
    ending: Option<bool>,
}

#[derive(Default)]
struct World {
    numbers: u64,
    /// The ends that were answered.
    answered: BTreeMap<u64, bool>,
    /// The greatest producer that was given, by transactional id.
    given: BTreeMap<&'static str, (ProducerId, ProducerEpoch)>,
    trace: Vec<String>,
}

struct Run {
    seed: u64,
    dice: Dice,
    disk: Arc<Disk>,
    life: Arc<Life>,
    clock: Arc<TestClock>,
    manager: Arc<TransactionManager>,
    clients: Vec<Client>,
    world: World,
}

fn config() -> TransactionConfig {
    TransactionConfig {
        abort_interval_ms: 300,
        markers_in_flight_max: 3,
        ..TransactionConfig::default()
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = Arc::new(Disk::default());
        let life = Life::new(&disk, seed);
        let clock = Arc::new(TestClock(Instant::now()));
        let manager = start(&life, &clock, config());
        let client = |at: usize| Client {
            id: IDS[at % IDS.len()],
            producer: None,
            number: 0,
            added: BTreeSet::new(),
            ending: None,
        };
        Self {
            seed,
            dice: Dice(seed),
            clients: (0..2 * IDS.len()).map(client).collect(),
            world: World::default(),
            disk,
            life,
            clock,
            manager,
        }
    }

    fn crash(&mut self) {
        self.life.kill();
        let seed = self.dice.below(u64::MAX);
        self.life = Life::new(&self.disk, seed);
        self.manager = start(&self.life, &self.clock, config());
        self.world.trace.push("crash".into());
    }

    async fn step(&mut self) {
        match self.dice.below(60) {
            0 => self.crash(),
            1 => self.life.failing.store(self.dice.below(400), Ordering::SeqCst),
            2 => self.life.failing.store(0, Ordering::SeqCst),
            3 => self.life.slowness_ms.store(self.dice.below(60), Ordering::SeqCst),
            4 => tokio::time::sleep(Duration::from_millis(self.dice.below(400))).await,
            _ => {
                // The second process of an id shows up now and then.
                let processes = IDS.len() as u64 * if self.dice.below(30) == 0 { 2 } else { 1 };
                let at = self.dice.below(processes) as usize;
                self.client_step(at).await;
            }
        }
    }

    async fn client_step(&mut self, at: usize) {
        let patience = Duration::from_millis(1 + self.dice.below(60));
        let choice = self.dice.below(50);
        let index = self.dice.below(DATA_PARTITIONS) as i32;
        let manager = self.manager.clone();
        let client = &mut self.clients[at];
        let Some(producer) = client.producer.filter(|_| choice > 0) else {
            let own = client.producer.filter(|_| choice % 2 == 1);
            let mut wanted = request(client.id);
            if let Some((id, epoch)) = own {
                (wanted.producer_id, wanted.producer_epoch) = (id, epoch);
            }
            client.producer = None;
            if let Ok(Ok(given)) = timeout(patience, manager.initialize(&wanted)).await {
                let greatest = self.world.given.entry(client.id).or_insert(given);
                assert!(given >= *greatest, "seed {}: {given:?} was fenced", self.seed);
                *greatest = given;
                client.producer = Some(given);
                client.begin(&mut self.world.numbers);
            }
            return;
        };
        let by = named(client.id, producer);
        let result = match client.ending {
            None if choice < 15 => {
                let partition = partition(index);
                let added = timeout(
                    patience,
                    manager.add_partitions(&by, std::slice::from_ref(&partition)),
                )
                .await;
                if let Ok(Ok(())) = added {
                    client.added.insert(partition);
                }
                added
            }
            None if choice < 35 => {
                let nth = index as usize % client.added.len().max(1);
                let Some(partition) = client.added.iter().nth(nth) else {
                    return;
                };
                let verified = manager.verify_now(client.id, producer.0, producer.1, partition);
                if verified.is_ok() {
                    let mut data = self.disk.data.lock().unwrap();
                    data.entry(partition.clone()).or_default().push(Entry::Record {
                        producer: producer.0,
                        number: client.number,
                    });
                }
                Ok(verified)
            }
            ending => {
                if ending.is_none() && client.added.is_empty() {
                    return;
                }
                let commit = ending.unwrap_or(choice < 45);
                client.ending = Some(commit);
                let ended = timeout(patience, manager.end(&by, commit)).await;
                if let Ok(Ok(())) = ended {
                    self.world.answered.insert(client.number, commit);
                    client.begin(&mut self.world.numbers);
                }
                ended
            }
        };
        self.world
            .trace
            .push(format!("{at} {} {producer:?} {choice}: {result:?}", client.id));
        let code = result
            .ok()
            .and_then(Result::err)
            .map(|error| error.response_error());
        match code {
            None | Some(ResponseError::ConcurrentTransactions | ResponseError::CoordinatorNotAvailable) => {}
            // Fenced: begin anew.
            Some(ResponseError::ProducerFenced | ResponseError::InvalidProducerIdMapping) => {
                client.producer = None;
            }
            Some(other) => panic!("seed {}: {other:?}\n{}", self.seed, self.world.trace.join("\n")),
        }
    }

    /// Lets everything come to an end, once over a crash, and looks at what there is.
    async fn conclude(mut self) -> Vec<String> {
        self.crash();
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.manager.flush().await;
        let trace = self.world.trace.join("\n");
        assert_eq!(self.manager.open_count(), 0, "seed {}\n{trace}", self.seed);
        let mut outcomes: BTreeMap<u64, BTreeSet<bool>> = BTreeMap::new();
        for (partition, entries) in self.disk.data.lock().unwrap().iter() {
            let mut open: BTreeMap<ProducerId, BTreeSet<u64>> = BTreeMap::new();
            for entry in entries {
                match entry {
                    Entry::Record { producer, number } => {
                        open.entry(*producer).or_default().insert(*number);
                    }
                    Entry::Marker(marker) => {
                        let ended = open.remove(&marker.producer_id).unwrap_or_default();
                        assert!(
                            ended.len() <= 1,
                            "seed {}: {ended:?} in {partition}\n{trace}",
                            self.seed
                        );
                        for number in ended {
                            outcomes.entry(number).or_default().insert(marker.commit);
                        }
                    }
                }
            }
            assert!(
                open.is_empty(),
                "seed {}: {open:?} in {partition}\n{trace}",
                self.seed
            );
        }
        for (number, outcome) in &outcomes {
            assert_eq!(
                outcome.len(),
                1,
                "seed {}: transaction {number}\n{trace}",
                self.seed
            );
            if let Some(answered) = self.world.answered.get(number) {
                assert!(
                    outcome.contains(answered),
                    "seed {}: transaction {number}\n{trace}",
                    self.seed
                );
            }
        }
        self.world.trace.push(format!("{outcomes:?}"));
        self.world.trace
    }
}

impl Client {
    fn begin(&mut self, numbers: &mut u64) {
        *numbers += 1;
        self.number = *numbers;
        self.added.clear();
        self.ending = None;
    }
}

async fn run(seed: u64) -> Vec<String> {
    let mut run = Run::new(seed);
    for _ in 0..STEPS {
        run.step().await;
    }
    run.conclude().await
}

#[tokio::test(start_paused = true)]
async fn transactions_are_all_or_nothing_whatever_happens() {
    let mut committed = 0;
    for seed in 0..60 {
        let trace = run(seed).await;
        committed += trace
            .last()
            .map_or(0, |outcomes| outcomes.matches("true").count());
    }
    assert!(committed > 500, "only {committed} transactions were committed");
}

#[tokio::test(start_paused = true)]
async fn a_seed_gives_the_same_run_twice() {
    assert_eq!(run(1_000).await, run(1_000).await);
}
