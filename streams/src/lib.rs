//! A Streams DSL with columnar execution on Arrow and DataFusion.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
