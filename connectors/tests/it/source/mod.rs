//! The MySQL source against real servers: its task, driven as a worker drives it, that may die at any moment.
mod between;
mod harness;
mod interruptions;
mod schemas;
mod snapshots;
mod starting;
mod types;
