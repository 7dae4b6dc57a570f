//! Records, of tables and of real servers' logs beside Debezium's.
mod debezium;
mod rows;
