//! Connector plugins: one folder per external system (files, MySQL) holding its source, its sink and their tests.
//!
//! Nothing of it exists yet; the crate holds the place that `ARCHITECTURE.md` gives it. Connectors see only the
//! plugin API of `millstream-connect`.
