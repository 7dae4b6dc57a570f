//! Logs of real servers, whole and damaged.
mod damage;
pub(super) mod golden;
mod sources;
