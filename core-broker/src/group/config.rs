//! Settings of the group coordinator, under Kafka's names where Kafka has them.

/// Settings of the group coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`, default 6 000: shorter sessions mistake a pause for a death.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`, default 1 800 000: longer ones keep partitions idle after a death.
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`, default 3 000: how long an empty group waits for more members, so
    /// that starting N processes costs one rebalance instead of N. 0 answers the first member at once.
    pub initial_rebalance_delay_ms: u32,
    /// `group.max.size`, default 10 000 members (Kafka: no limit): bounds the work of one rebalance.
    pub members_per_group_max: usize,
    /// Groups in the broker, default 50 000; each one costs memory for ever until its offsets expire.
    pub groups_max: usize,
    /// Members over all groups, default 200 000.
    pub members_max: usize,
    /// Bytes of a group id, default 4 096. Kafka has no limit.
    pub group_id_bytes_max: usize,
    /// Bytes of an instance id, protocol type or protocol name, default 1 024. A client id is cut to it.
    pub name_bytes_max: usize,
    /// Protocols one member may offer, default 100.
    pub protocols_per_member_max: usize,
    /// Bytes of metadata of one member over all its protocols, default 1 MiB.
    pub member_metadata_bytes_max: usize,
    /// How long a new member's JoinGroup may wait, in ms, default 300 000 (as in Kafka): it cannot heartbeat
    /// yet, so this is what removes it if it went away.
    pub new_member_join_timeout_ms: u32,
    /// `offset.metadata.max.bytes`, default 4 096.
    pub offset_metadata_bytes_max: usize,
    /// Offsets one group may hold, default 1 000 000 partitions.
    pub offsets_per_group_max: usize,
    /// `offsets.retention.minutes`, default 10 080 (7 days): offsets of an empty group older than this go.
    pub offsets_retention_minutes: u32,
    /// `offsets.retention.check.interval.ms`, default 600 000.
    pub offsets_retention_check_interval_ms: u32,
    /// Bytes of one write to the internal topic, default 16 MiB: one group's membership is one record.
    pub write_bytes_max: usize,
    /// Writes that may wait for the disk per partition of the internal topic, default 10 000.
    pub writes_waiting_max: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            members_per_group_max: 10_000,
            groups_max: 50_000,
            members_max: 200_000,
            group_id_bytes_max: 4_096,
            name_bytes_max: 1_024,
            protocols_per_member_max: 100,
            member_metadata_bytes_max: 1 << 20,
            new_member_join_timeout_ms: 300_000,
            offset_metadata_bytes_max: 4_096,
            offsets_per_group_max: 1_000_000,
            offsets_retention_minutes: 10_080,
            offsets_retention_check_interval_ms: 600_000,
            write_bytes_max: 16 << 20,
            writes_waiting_max: 10_000,
        }
    }
}

impl GroupConfig {
    /// Offset retention in milliseconds.
    pub(super) fn offsets_retention_ms(&self) -> i64 {
        i64::from(self.offsets_retention_minutes) * 60_000
    }
}
