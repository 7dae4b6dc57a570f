//! Settings of the transaction coordinator, under Kafka's names where Kafka has them.

/// Settings of the transaction coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms`, default 900 000: an open transaction holds back consumers.
    pub timeout_ms_max: i32,
    /// `transactional.id.expiration.ms`, default 604 800 000 (7 days): an id not used for so long is forgotten.
    pub id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`, default 1 000 (Kafka's is 10 000): who
    /// takes over waits for what the dead one left open.
    pub abort_interval_ms: u32,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`, default 3 600 000.
    pub expire_interval_ms: u32,
    /// Transactional ids in the broker, default 100 000; each one costs memory until it expires.
    pub ids_max: usize,
    /// Bytes of a transactional id, default 4 096. Kafka has no limit.
    pub id_bytes_max: usize,
    /// Partitions of one transaction, default 10 000: all of them stand in one record.
    pub partitions_per_transaction_max: usize,
    /// Writes that may wait for the disk, default 10 000.
    pub writes_waiting_max: usize,
    /// Markers that are written at the same time, default 256.
    pub markers_in_flight_max: usize,
    /// Milliseconds before a marker or a final record that could not be written is tried again, default 100; doubled
    /// each time, up to 50 times as long.
    pub retry_backoff_ms: u32,
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            timeout_ms_max: 900_000,
            id_expiration_ms: 604_800_000,
            abort_interval_ms: 1_000,
            expire_interval_ms: 3_600_000,
            ids_max: 100_000,
            id_bytes_max: 4_096,
            partitions_per_transaction_max: 10_000,
            writes_waiting_max: 10_000,
            markers_in_flight_max: 256,
            retry_backoff_ms: 100,
        }
    }
}
