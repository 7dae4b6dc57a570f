//! What tests begin with.
use crate::mysql::config::{NameAdjustment, RecordConfig};

/// What Debezium has where nothing is said.
pub(in crate::mysql) fn config() -> RecordConfig {
    RecordConfig {
        connector: "c".into(),
        prefix: "p".into(),
        delimiter: ".".to_owned(),
        heartbeat_prefix: "__debezium-heartbeat".to_owned(),
        transaction_topic: "transaction".to_owned(),
        tombstones: true,
        decimals: Default::default(),
        times: Default::default(),
        unsigned_bigint: Default::default(),
        binary: Default::default(),
        schema_names: NameAdjustment::None,
        field_names: NameAdjustment::None,
        masks: Vec::new(),
        keys: Vec::new(),
        propagate_column_types: None,
        propagate_types: None,
        include_query: false,
        comments: false,
        transactions: false,
        schema_changes: true,
        placeholder: "__debezium_unavailable_value".into(),
        adjust_years: true,
        failures: Default::default(),
    }
}
