//! The rules of one transactional id, step by step.

use kafka_protocol::ResponseError;

use super::*;
use crate::ids::Timestamp;
use crate::transaction::coordinator::{Initialized, Step, Transaction};
use crate::transaction::metadata::EPOCH_MAX;

const PARTITIONS_MAX: usize = 3;

/// One transactional id whose records are written at once.
struct Driver {
    transaction: Transaction,
    next_id: i64,
    now: Timestamp,
}

fn start() -> Driver {
    Driver {
        transaction: Transaction::new("tx".into()),
        next_id: 7,
        now: Timestamp(1_000),
    }
}

impl Driver {
    fn propose_init(&mut self, expected: Option<Producer>) -> Result<Initialized, ResponseError> {
        let mut fresh = None;
        loop {
            let initialized = self
                .transaction
                .initialize(expected, 1_000, fresh, self.now)
                .map_err(|error| error.response_error())?;
            if initialized != Initialized::NeedsProducerId {
                return Ok(initialized);
            }
            fresh = Some(ProducerId(self.next_id));
            self.next_id += 1;
        }
    }

    fn init(&mut self, expected: Option<Producer>) -> Result<Producer, ResponseError> {
        let initialized = self.propose_init(expected)?;
        self.transaction.on_written(true);
        match initialized {
            Initialized::Give(producer) => Ok(producer),
            _ => Err(ResponseError::ConcurrentTransactions),
        }
    }

    fn add(&mut self, by: Producer, partitions: &[i32]) -> Result<Step, ResponseError> {
        let partitions: Vec<_> = partitions.iter().map(|p| partition(*p)).collect();
        let step = self
            .transaction
            .add(by, &partitions, PARTITIONS_MAX, self.now)
            .map_err(|error| error.response_error())?;
        self.transaction.on_written(true);
        Ok(step)
    }

    fn end(&mut self, by: Producer, commit: bool) -> Result<Step, ResponseError> {
        let step = self
            .transaction
            .end(by, commit, self.now)
            .map_err(|error| error.response_error())?;
        assert_eq!(self.transaction.on_written(true), step == Step::Write);
        Ok(step)
    }

    fn complete(&mut self) {
        assert_eq!(self.transaction.complete(self.now), Step::Write);
        assert!(!self.transaction.on_written(true));
    }

    fn state(&self) -> TransactionState {
        self.transaction.durable().unwrap().state
    }

    fn verify(&self, by: Producer, index: i32) -> Result<(), ResponseError> {
        self.transaction
            .verify(by, &partition(index))
            .map_err(|error| error.write_error())
    }

    /// A producer with an open transaction over partition 0.
    fn begin(&mut self) -> Producer {
        let by = self.init(None).unwrap();
        assert_eq!(self.add(by, &[0]), Ok(Step::Write));
        by
    }
}

#[test]
fn a_transaction_goes_through_its_states() {
    for commit in [true, false] {
        let mut d = start();
        let by = d.init(None).unwrap();
        assert_eq!((by, d.state()), (producer(7, 0), TransactionState::Empty));
        assert_eq!(d.end(by, commit), Err(ResponseError::InvalidTxnState));
        assert_eq!(d.verify(by, 0), Err(ResponseError::InvalidTxnState));
        d.now = Timestamp(2_000);
        assert_eq!(d.add(by, &[0, 1]), Ok(Step::Write));
        d.now = Timestamp(2_500);
        assert_eq!(d.add(by, &[1]), Ok(Step::Done));
        assert_eq!(d.add(by, &[2]), Ok(Step::Write));
        assert_eq!(d.add(by, &[3]), Err(ResponseError::PolicyViolation));
        assert_eq!(d.transaction.durable().unwrap().started, Timestamp(2_000));
        assert_eq!((d.verify(by, 2), d.transaction.is_open()), (Ok(()), true));
        assert_eq!(d.verify(by, 3), Err(ResponseError::InvalidTxnState));
        assert_eq!(d.end(by, commit), Ok(Step::Write));
        // The answer may be lost, and the producer may be in a hurry.
        assert_eq!(d.end(by, commit), Err(ResponseError::ConcurrentTransactions));
        assert_eq!(d.end(by, !commit), Err(ResponseError::InvalidTxnState));
        assert_eq!(d.add(by, &[0]), Err(ResponseError::ConcurrentTransactions));
        assert_eq!(d.init(None), Err(ResponseError::ConcurrentTransactions));
        assert_eq!(d.verify(by, 0), Err(ResponseError::ConcurrentTransactions));
        let (marker, partitions) = d.transaction.due_markers().unwrap();
        assert_eq!(
            (marker.commit, marker.producer_id, partitions.len()),
            (commit, by.id, 3)
        );
        d.complete();
        assert_eq!(
            (d.transaction.due_markers(), d.transaction.is_open()),
            (None, false)
        );
        assert_eq!(d.end(by, commit), Ok(Step::Done));
        assert_eq!(d.end(by, !commit), Err(ResponseError::InvalidTxnState));
        d.now = Timestamp(3_000);
        assert_eq!(d.add(by, &[1]), Ok(Step::Write));
        let known = d.transaction.durable().unwrap();
        assert_eq!((known.started, known.partitions.len()), (Timestamp(3_000), 1));
    }
}

#[test]
fn strangers_and_the_fenced_are_told_apart() {
    let mut d = start();
    assert_eq!(
        d.add(producer(7, 0), &[0]),
        Err(ResponseError::InvalidProducerIdMapping)
    );
    assert_eq!(
        d.end(producer(7, 0), true),
        Err(ResponseError::InvalidProducerIdMapping)
    );
    let old = d.init(None).unwrap();
    let new = d.init(None).unwrap();
    assert_eq!((old, new), (producer(7, 0), producer(7, 1)));
    for fenced in [old, producer(7, 2)] {
        assert_eq!(d.add(fenced, &[0]), Err(ResponseError::ProducerFenced));
        assert_eq!(d.end(fenced, true), Err(ResponseError::ProducerFenced));
        assert_eq!(d.verify(fenced, 0), Err(ResponseError::InvalidProducerEpoch));
    }
    let stranger = producer(8, 1);
    assert_eq!(
        d.add(stranger, &[0]),
        Err(ResponseError::InvalidProducerIdMapping)
    );
    assert_eq!(
        d.end(stranger, true),
        Err(ResponseError::InvalidProducerIdMapping)
    );
    assert_eq!(
        d.verify(stranger, 0),
        Err(ResponseError::InvalidProducerIdMapping)
    );
    assert_eq!(d.init(Some(stranger)), Err(ResponseError::ProducerFenced));
}

#[test]
fn a_new_producer_aborts_and_fences_the_one_before() {
    let mut d = start();
    let old = d.begin();
    assert_eq!(d.init(None), Err(ResponseError::ConcurrentTransactions));
    assert_eq!(d.state(), TransactionState::PrepareAbort);
    let (marker, _) = d.transaction.due_markers().unwrap();
    assert_eq!((marker.commit, marker.producer_epoch), (false, ProducerEpoch(1)));
    assert_eq!(d.end(old, true), Err(ResponseError::ProducerFenced));
    assert_eq!(d.init(None), Err(ResponseError::ConcurrentTransactions));
    d.complete();
    // The epoch that fenced is nobody's.
    assert_eq!(d.init(None), Ok(producer(7, 2)));
    assert_eq!(d.add(old, &[0]), Err(ResponseError::ProducerFenced));
}

#[test]
fn a_producer_raises_its_own_epoch_once_however_often_it_asks() {
    let mut d = start();
    let first = d.init(None).unwrap();
    let second = d.init(Some(first)).unwrap();
    assert_eq!(second, producer(7, 1));
    assert_eq!(d.init(Some(first)), Ok(second));
    assert_eq!(d.init(Some(second)), Ok(producer(7, 2)));
    assert_eq!(d.init(Some(first)), Err(ResponseError::ProducerFenced));
    // Somebody else took over: nobody may go on from before.
    assert_eq!(d.init(None), Ok(producer(7, 3)));
    assert_eq!(d.init(Some(producer(7, 2))), Err(ResponseError::ProducerFenced));
    // One that is fenced does not disturb its successor's transaction.
    let current = producer(7, 3);
    assert_eq!(d.add(current, &[0]), Ok(Step::Write));
    assert_eq!(d.init(Some(second)), Err(ResponseError::ProducerFenced));
    assert_eq!(d.state(), TransactionState::Ongoing);
    assert_eq!(d.init(Some(current)), Err(ResponseError::ConcurrentTransactions));
    assert_eq!(d.state(), TransactionState::PrepareAbort);
}

#[test]
fn used_up_epochs_bring_a_new_producer_id() {
    for own in [false, true] {
        let mut d = start();
        let mut last = d.init(None).unwrap();
        for _ in 0..EPOCH_MAX.0 {
            last = d.init(None).unwrap();
        }
        assert_eq!(last, producer(7, i16::MAX - 1));
        assert_eq!(d.init(Some(producer(7, 3))), Err(ResponseError::ProducerFenced));
        let expected = own.then_some(last);
        let next = d.init(expected).unwrap();
        assert_eq!(next, producer(8, 0));
        // A lost answer, which only the one that asked as itself may fetch again.
        let again = d.init(Some(last));
        assert_eq!(
            again,
            if own {
                Ok(next)
            } else {
                Err(ResponseError::ProducerFenced)
            }
        );
        assert_eq!(d.add(last, &[0]), Err(ResponseError::InvalidProducerIdMapping));
    }
    // Fencing takes the very last epoch.
    let mut d = start();
    d.init(None).unwrap();
    for _ in 0..EPOCH_MAX.0 {
        d.init(None).unwrap();
    }
    let last = producer(7, i16::MAX - 1);
    assert_eq!(d.add(last, &[0]), Ok(Step::Write));
    assert_eq!(d.init(None), Err(ResponseError::ConcurrentTransactions));
    assert_eq!(d.transaction.durable().unwrap().producer_epoch.0, i16::MAX);
    d.complete();
    assert_eq!(d.init(None), Ok(producer(8, 0)));
}

#[test]
fn while_a_change_is_written_everybody_waits_and_a_failed_write_changes_nothing() {
    let mut d = start();
    let by = d.begin();
    let before = d.transaction.durable().cloned();
    assert_eq!(d.transaction.end(by, true, d.now), Ok(Step::Write));
    assert_eq!(d.propose_init(None), Err(ResponseError::ConcurrentTransactions));
    let code = |error: TransactionError| error.response_error();
    let added = d.transaction.add(by, &[partition(1)], PARTITIONS_MAX, d.now);
    assert_eq!(added.map_err(code), Err(ResponseError::ConcurrentTransactions));
    let ended = d.transaction.end(by, false, d.now);
    assert_eq!(ended.map_err(code), Err(ResponseError::ConcurrentTransactions));
    assert_eq!(d.verify(by, 0), Err(ResponseError::ConcurrentTransactions));
    assert_eq!(d.transaction.abort_if_timed_out(Timestamp(i64::MAX)), Step::Done);
    assert!(!d.transaction.on_written(false));
    assert_eq!(d.transaction.durable().cloned(), before);
    assert_eq!((d.verify(by, 0), d.end(by, true)), (Ok(()), Ok(Step::Write)));

    let mut d = start();
    assert!(matches!(d.propose_init(None), Ok(Initialized::Give(_))));
    assert!(!d.transaction.is_vacant());
    d.transaction.on_written(false);
    assert!(d.transaction.is_vacant());
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let mut d = start();
    let by = d.begin();
    assert_eq!(d.transaction.abort_if_timed_out(Timestamp(2_000)), Step::Done);
    assert_eq!(d.transaction.abort_if_timed_out(Timestamp(2_001)), Step::Write);
    assert!(d.transaction.on_written(true));
    let (marker, _) = d.transaction.due_markers().unwrap();
    assert_eq!((marker.commit, marker.producer_epoch), (false, ProducerEpoch(1)));
    assert_eq!(d.end(by, true), Err(ResponseError::ProducerFenced));
    d.complete();
    assert_eq!(d.init(Some(by)), Err(ResponseError::ProducerFenced));
    assert_eq!(d.transaction.abort_if_timed_out(Timestamp(i64::MAX)), Step::Done);
}

#[test]
fn ids_expire_unless_a_transaction_is_under_way() {
    let mut d = start();
    let by = d.begin();
    let late = Timestamp(1_000 + 50);
    assert_eq!(d.transaction.forget_if_expired(late, 50), Step::Done);
    d.end(by, true).unwrap();
    assert_eq!(d.transaction.forget_if_expired(late, 50), Step::Done);
    d.complete();
    assert_eq!(d.transaction.forget_if_expired(Timestamp(1_049), 50), Step::Done);
    assert_eq!(d.transaction.forget_if_expired(late, 50), Step::Write);
    assert_eq!(d.transaction.proposed(), Some(None));
    assert_eq!(d.init(None), Err(ResponseError::ConcurrentTransactions));
    assert!(!d.transaction.on_written(true));
    assert!(d.transaction.is_vacant());
}

#[test]
fn states_follow_each_other_as_in_kafka() {
    use TransactionState::*;
    let all = [
        Empty,
        Ongoing,
        PrepareCommit,
        PrepareAbort,
        CompleteCommit,
        CompleteAbort,
        Dead,
    ];
    for (next, before) in [
        (Empty, &[Empty, CompleteCommit, CompleteAbort][..]),
        (Ongoing, &[Empty, Ongoing, CompleteCommit, CompleteAbort]),
        (PrepareCommit, &[Ongoing]),
        (PrepareAbort, &[Ongoing]),
        (CompleteCommit, &[PrepareCommit]),
        (CompleteAbort, &[PrepareAbort]),
        (Dead, &[Empty, CompleteCommit, CompleteAbort]),
    ] {
        for state in all {
            assert_eq!(
                state.may_become(next),
                before.contains(&state),
                "{state} to {next}"
            );
        }
        assert_eq!(TransactionState::named(next.as_str()), Some(next));
    }
    assert_eq!(TransactionState::named("ongoing"), None);
}
