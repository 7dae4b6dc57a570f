//! Binary logs of MySQL 5.5 and later and of MariaDB, from raw events to the values of rows.
//!
//! A [`Decoder`] is given the raw events of a file or of a server's stream, one after the other, and answers with [`Event`]s
//! that borrow from them. It follows files and positions, verifies checksums, inflates compressed transactions and remembers
//! the tables that rows refer to. It knows nothing of connections.
//!
//! * `header`, `cursor`, `error`: frames, checked reading, what is wrong and where.
//! * `table_map`, `metadata`, `column`: what tables are.
//! * `rows`, `skip`, `value`, `decimal`, `temporal`: what is in them.
//! * `transaction`, `query`, `payload`, `mariadb`: what is around them.
mod column;
pub(crate) mod cursor;
mod decimal;
mod decoder;
mod error;
mod event;
pub mod event_type;
mod header;
pub mod mariadb;
mod metadata;
mod payload;
mod query;
mod rows;
mod skip;
mod table_map;
mod tables;
mod temporal;
mod transaction;
mod value;

pub use column::ColumnType;
pub use decimal::Decimal;
pub use decoder::{Decoder, Limits};
pub use error::{Damage, DecodeError, Kind, Place};
pub use event::Event;
pub use header::{ARTIFICIAL, Format, HEADER_BYTES, Header};
pub use query::{Query, Session, XaPrepare, Xid};
pub use rows::{Change, Row, Rows, RowsBody};
pub use table_map::{Column, KeyPart, TableMap};
pub use temporal::{Date, DateTime, Time};
pub use transaction::{MariadbStart, TransactionStart};
pub use value::{BINARY, Collation, Value};

/// What a file begins with, before its first event.
pub const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
