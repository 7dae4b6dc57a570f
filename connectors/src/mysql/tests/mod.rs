//! Logs of real servers, whole and damaged.
mod damage;
mod golden;
mod sources;
