//! Transactions in one log: what consumers of committed records see, whatever happens in between.

use std::collections::BTreeMap;

use super::*;
use crate::ids::{ProducerEpoch, ProducerId};
use crate::transaction::TransactionMarker;

fn write(id: i64, epoch: i16, first: i32, transactional: bool) -> Bytes {
    let mut builder = BatchBuilder::new().producer(id, epoch, first);
    if transactional {
        builder = builder.transactional();
    }
    builder.push(
        1,
        Some(b"key"),
        Some(format!("{id}:{epoch}:{first}").as_bytes()),
        &[],
    );
    builder.build().unwrap()
}

fn marker(id: i64, epoch: i16, commit: bool) -> TransactionMarker {
    TransactionMarker {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(epoch),
        commit,
        coordinator_epoch: 0,
    }
}

/// Appends with a guard taken now.
fn put(log: &Partition, id: i64, epoch: i16, first: i32) -> Result<Appended, AppendError> {
    let guard = match log.verification(ProducerId(id), ProducerEpoch(epoch)) {
        Verification::Needed(guard) => Some(guard),
        Verification::NotNeeded => None,
    };
    let batch = write(id, epoch, first, true);
    log.append_verified(batch, Origin::Client, guard, &mut 1000.clone())
}

/// What a consumer of committed records reads, as Java's does it: up to the last stable offset, without the producers
/// whose aborted transactions are under way.
fn committed(log: &Partition) -> Vec<String> {
    let mut values = Vec::new();
    let mut next = log.log_start_offset();
    let end = log.last_stable_offset();
    while next < end {
        let slice = log.read(next, 200, end, true).unwrap();
        let aborted = log.aborted_transactions_in(next, &slice).unwrap();
        let bytes = slice.read().unwrap();
        let mut starts: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for one in aborted {
            starts.entry(one.first_offset).or_default().push(one.producer_id);
        }
        let mut skipped = std::collections::BTreeSet::new();
        for batch in RecordBatches::new(&bytes) {
            let batch = batch.unwrap();
            let header = *batch.header();
            while let Some(first) = starts.first_entry().filter(|e| *e.key() <= header.last_offset()) {
                skipped.extend(first.remove());
            }
            next = Offset(header.next_offset());
            if header.is_control() {
                if batch.end_marker().unwrap().is_some_and(|end| !end.commit) {
                    skipped.remove(&header.producer_id);
                }
                continue;
            }
            if header.is_transactional() && skipped.contains(&header.producer_id) {
                continue;
            }
            for record in &batch.records(1000).unwrap() {
                values.push(String::from_utf8_lossy(record.unwrap().value.unwrap()).into_owned());
            }
        }
    }
    values
}

fn partition(dir: &LogDir) -> Arc<Partition> {
    dir.partition(&tp()).unwrap()
}

async fn settled(log: &Partition) {
    log.wait_durable(log.log_end_offset()).await.unwrap();
}

#[tokio::test]
async fn undecided_records_hold_back_all_that_follow() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open(temp.path(), &LogConfig::default());
    let log = dir.create_partition(&tp(), LogConfig::default()).unwrap();
    put(&log, 1, 0, 0).unwrap();
    put(&log, 2, 0, 0).unwrap();
    log.append(write(3, 0, 0, false), Origin::Client).unwrap();
    settled(&log).await;
    assert_eq!(
        (log.high_watermark(), log.last_stable_offset()),
        (Offset(3), Offset(0))
    );
    assert_eq!(log.open_transactions(), 2);
    log.append_marker(marker(1, 0, false)).unwrap();
    settled(&log).await;
    assert_eq!(log.last_stable_offset(), Offset(1));
    assert_eq!(committed(&log), Vec::<String>::new());
    log.append_marker(marker(2, 0, true)).unwrap();
    settled(&log).await;
    assert_eq!(log.last_stable_offset(), Offset(5));
    assert_eq!(committed(&log), ["2:0:0", "3:0:0"]);
    let described = log.producers();
    assert_eq!(described.len(), 3);
    assert_eq!(
        (described[0].transaction_start, described[0].coordinator_epoch),
        (-1, 0)
    );
}

/// KIP-890: a batch that was under way when its transaction ended must not begin the next one.
#[tokio::test]
async fn a_late_batch_opens_no_transaction() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open(temp.path(), &LogConfig::default());
    let log = dir.create_partition(&tp(), LogConfig::default()).unwrap();
    let (id, epoch) = (ProducerId(1), ProducerEpoch(0));
    let Verification::Needed(late) = log.verification(id, epoch) else {
        panic!("no transaction is open");
    };
    let refused = |guard| {
        let appended = log.append_verified(write(1, 0, 1, true), Origin::Client, guard, &mut 1000.clone());
        assert!(
            matches!(appended, Err(AppendError::InvalidTransactionState { .. })),
            "{appended:?}"
        );
    };
    refused(None);
    put(&log, 1, 0, 0).unwrap();
    assert_eq!(log.verification(id, epoch), Verification::NotNeeded);
    log.append_marker(marker(1, 0, true)).unwrap();
    refused(Some(late));
    // The retry of a batch that is in the log stays a duplicate, and a batch outside of transactions is refused inside one.
    let again = log.append_verified(
        write(1, 0, 0, true),
        Origin::Client,
        Some(late),
        &mut 1000.clone(),
    );
    assert!(again.unwrap().duplicate);
    put(&log, 1, 0, 1).unwrap();
    let plain = log.append(write(1, 0, 2, false), Origin::Client);
    assert!(
        matches!(plain, Err(AppendError::InvalidTransactionState { .. })),
        "{plain:?}"
    );
}

#[tokio::test]
async fn markers_of_the_past_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open(temp.path(), &LogConfig::default());
    let log = dir.create_partition(&tp(), LogConfig::default()).unwrap();
    put(&log, 1, 5, 0).unwrap();
    let old = log.append_marker(marker(1, 4, true));
    assert!(
        matches!(old, Err(AppendError::InvalidProducerEpoch { .. })),
        "{old:?}"
    );
    let newer = TransactionMarker {
        coordinator_epoch: 3,
        ..marker(1, 5, false)
    };
    log.append_marker(newer).unwrap();
    let fenced = log.append_marker(marker(1, 5, false));
    assert!(
        matches!(fenced, Err(AppendError::CoordinatorFenced { current: 3, .. })),
        "{fenced:?}"
    );
}

/// Producers write, commit and abort in any order while the log is closed, killed and damaged: consumers of committed
/// records see what an oracle of the durable part says, and nothing of an aborted transaction.
#[tokio::test]
async fn consumers_see_what_was_committed_whatever_happens() {
    for seed in 0..60 {
        simulate(seed).await;
    }
}

/// One thing that is in the log.
enum Entry {
    Record {
        id: i64,
        value: String,
        transactional: bool,
    },
    End {
        id: i64,
        commit: bool,
    },
}

/// What a consumer of committed records may see of a log: everything before the first undecided record.
fn oracle(log: &[Entry]) -> Vec<String> {
    let mut fate: BTreeMap<usize, bool> = BTreeMap::new();
    let mut open: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (at, entry) in log.iter().enumerate() {
        match entry {
            Entry::Record {
                id,
                transactional: true,
                ..
            } => open.entry(*id).or_default().push(at),
            Entry::Record { .. } => drop(fate.insert(at, true)),
            Entry::End { id, commit } => {
                let decided = open.remove(id).unwrap_or_default();
                fate.extend(decided.into_iter().map(|at| (at, *commit)));
            }
        }
    }
    let undecided = open.values().flatten().min().copied().unwrap_or(log.len());
    let visible = log.iter().enumerate().take(undecided);
    visible
        .filter_map(|(at, entry)| match entry {
            Entry::Record { value, .. } if fate.get(&at) == Some(&true) => Some(value.clone()),
            _ => None,
        })
        .collect()
}

async fn simulate(seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut below = move |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    let temp = tempfile::tempdir().unwrap();
    let config = LogConfig {
        flush: if seed.is_multiple_of(3) {
            FlushMode::Os
        } else {
            FlushMode::Sync
        },
        ..small_segments()
    };
    let mut dir = open(temp.path(), &config);
    dir.create_partition(&tp(), config.clone()).unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    // Of each producer the next sequence; the fourth never uses transactions.
    let mut sequences = [0_i32; 4];
    for _ in 0..120 {
        let log = partition(&dir);
        let id = below(4) as i64;
        match below(20) {
            0 => {
                settled(&log).await;
                drop(log);
                if below(2) == 0 {
                    dir.close().unwrap();
                }
                drop(dir);
                dir = open(temp.path(), &config);
                assert_eq!(
                    partition(&dir).log_end_offset().0,
                    entries.len() as i64,
                    "seed {seed}"
                );
            }
            1..=4 if id < 3 => {
                let commit = below(2) == 0;
                log.append_marker(marker(id, 0, commit)).unwrap();
                entries.push(Entry::End { id, commit });
            }
            _ => {
                let first = sequences[id as usize];
                let transactional = id < 3;
                let appended = match transactional {
                    true => put(&log, id, 0, first),
                    false => log.append(write(id, 0, first, false), Origin::Client),
                };
                assert_eq!(
                    appended.unwrap().base_offset.0,
                    entries.len() as i64,
                    "seed {seed}"
                );
                sequences[id as usize] += 1;
                let value = format!("{id}:0:{first}");
                entries.push(Entry::Record {
                    id,
                    value,
                    transactional,
                });
            }
        }
        if below(4) == 0 {
            let log = partition(&dir);
            settled(&log).await;
            assert_eq!(committed(&log), oracle(&entries), "seed {seed}");
        }
    }
}
