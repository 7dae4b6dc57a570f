//! Functions of one's own, as DataFusion has them, so that a program depends on this crate alone.
//!
//! An aggregate's state is stored between epochs, and merged with what comes later in the log: `state` and `merge_batch` count as much as
//! `update_batch`. If what the state means changes, the step needs another name.
//!
//! ```
//! use std::sync::Arc;
//! use millstream_streams::udf::{Accumulator, Result, ScalarValue, Volatility, arrow, create_udaf};
//! use millstream_streams::{DataType, TestDriver, TestRecord, prelude::*};
//!
//! /// The product of all values.
//! #[derive(Debug)]
//! struct Product(f64);
//!
//! impl Accumulator for Product {
//!     fn update_batch(&mut self, values: &[arrow::array::ArrayRef]) -> Result<()> {
//!         use arrow::array::AsArray;
//!         let values = values[0].as_primitive::<arrow::datatypes::Float64Type>();
//!         self.0 *= values.iter().flatten().product::<f64>();
//!         Ok(())
//!     }
//!     fn merge_batch(&mut self, states: &[arrow::array::ArrayRef]) -> Result<()> {
//!         self.update_batch(states)
//!     }
//!     fn state(&mut self) -> Result<Vec<ScalarValue>> {
//!         Ok(vec![self.0.into()])
//!     }
//!     fn evaluate(&mut self) -> Result<ScalarValue> {
//!         Ok(self.0.into())
//!     }
//!     fn size(&self) -> usize {
//!         size_of::<Self>()
//!     }
//! }
//!
//! let product = create_udaf(
//!     "product",
//!     vec![DataType::Float64],
//!     Arc::new(DataType::Float64),
//!     Volatility::Immutable,
//!     Arc::new(|_| Ok(Box::new(Product(1.0)))),
//!     Arc::new(vec![DataType::Float64]),
//! );
//! let app = Streams::new("products");
//! app.stream("factors", text("factor"))
//!     .select([cast(col("factor"), DataType::Float64).alias("factor"), lit("all").alias("key")])
//!     .group_by([col("key")])
//!     .aggregate("products", [product.call(vec![col("factor")]).alias("product")])
//!     .to("products", json());
//! let mut driver = TestDriver::new(&app)?;
//! for factor in ["2", "3", "4"] {
//!     driver.pipe("factors", TestRecord::new(factor))?;
//!     driver.commit()?;
//!     driver.restart()?;
//! }
//! assert_eq!(driver.read("products")[2].as_text().1, r#"{"product":24.0}"#);
//! # Ok::<(), millstream_streams::StreamsError>(())
//! ```
pub use arrow;
pub use datafusion::common::{DataFusionError, Result, ScalarValue};
pub use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
pub use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility, create_udaf,
    create_udf,
};
