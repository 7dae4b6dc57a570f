//! Closures over rows as serde structs.
//!
//! Owns: rows ↔ structs (through `serde_arrow`), the chain of closures that consecutive typed steps become (`Flow`), and what a
//! closure's error or panic is, and what an operator of the user's sees ([`Processor`]). Does not own: which steps are fused (`plan`), or what becomes of rows that fail (`task`).
//!
//! # Fusing
//! A typed step knows its types only where it is written. It is therefore a [`Stage`] that can do three things without naming them: open a
//! flow of structs from columns, extend a flow that is open, close a flow to columns. The plan opens before the first of consecutive
//! stages and closes behind the last, so that rows become structs once and columns once; if no stage has made new values, the columns
//! that came in go out as they are.
//!
//! Invariants: a row that fails at any stage is taken out with everything that was made of it; what is made of a row has its event time.
mod error;
mod flow;
mod processor;
mod schema;
mod stage;
#[cfg(test)]
mod tests;

pub use error::ClosureError;
pub(crate) use error::{guard, guard_fallible, panic_message};
pub use processor::{ProcessContext, Processor};
pub use schema::schema_of;

pub(crate) use flow::{RowFunction, to_batch};
pub(crate) use processor::{AnyProcessor, Moment, any_processor};
pub(crate) use schema::field_of;
pub(crate) use stage::{AnyFlow, BatchClosure, Stage, TypedStage, misfit};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A struct that rows are read as and written from: everything with serde's `Serialize` and `Deserialize` that owns its data.
///
/// Each field is a column of its name. Numbers, strings, booleans, options (columns with nulls), vectors (lists), structs, and enums
/// without data (strings) have columns; timestamps are numbers or strings. What cannot be known from the type alone, such as maps or
/// types that parse a string, has none.
pub trait Row: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Row for T {}

/// The type's name without its path.
pub(crate) fn name_of<T>() -> String {
    let name = std::any::type_name::<T>();
    let (path, arguments) = name.split_at(name.find('<').unwrap_or(name.len()));
    let short = path.rsplit("::").next().unwrap_or(path);
    format!("{short}{arguments}")
}
