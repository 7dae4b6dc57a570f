//! Logs of real servers, whole and damaged.
mod damage;
pub(in crate::mysql) mod golden;
mod sources;
