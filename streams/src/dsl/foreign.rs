//! A table with the rows of another that it names.
use std::ops::Deref;
use std::sync::Arc;

use datafusion::logical_expr::Expr;

use super::{SharedPlan, Table};
use crate::plan::{ErrorPolicy, ForeignNode, Node, NodeId};

/// A table joined by columns of its own that are the key of another: a table. Made by [`Table::join_by`].
#[derive(Debug, Clone)]
pub struct ForeignJoin {
    table: Table,
    inputs: Vec<NodeId>,
    make: ForeignNode,
}

impl ForeignJoin {
    pub(super) fn new(plan: &SharedPlan, left: &Table, right: &Table, name: String, keys: Vec<Expr>) -> Self {
        let make = ForeignNode {
            name,
            keys,
            left: false,
        };
        let inputs = vec![left.node(), right.node()];
        let node = plan.add(joined(&inputs, &make));
        let table = Table::new(plan.clone(), node);
        Self { table, inputs, make }
    }

    /// Keeps rows for which the other table has none, with null in its columns.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("shop");
    /// let orders = app.table("orders", text("customer").with_key("order"), key("order"));
    /// let customers = app.table("customers", text("name").with_key("id"), key("id"));
    /// orders.join_by("buyers", &customers, [col("customer")]).left().select([col("order"), col("name")]).to("out", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// driver.pipe("orders", TestRecord::new("7").key("o1"))?;
    /// driver.commit()?;
    /// assert_eq!(driver.read("out")[0].as_text().1, r#"{"name":null}"#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left(mut self) -> Self {
        self.make.left = true;
        self.table.replace(joined(&self.inputs, &self.make));
        self
    }

    /// What becomes of rows for which the key of the other table fails. They are not in the join.
    ///
    /// ```
    /// use millstream_streams::{DataType, Streams, cast, col, json, key, skip, text};
    /// let app = Streams::new("shop");
    /// let orders = app.table("orders", text("customer").with_key("order"), key("order"));
    /// let id = cast(cast(col("id"), DataType::Utf8View), DataType::Int64).alias("id");
    /// let customers = app.table("customers", text("name").with_key("id"), [id]);
    /// let customer = cast(col("customer"), DataType::Int64);
    /// orders.join_by("buyers", &customers, [customer]).on_error(skip()).to("out", json());
    /// # app.build()?;
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    #[must_use]
    pub fn on_error(self, policy: ErrorPolicy) -> Self {
        let table = self.table.on_error(policy);
        Self { table, ..self }
    }
}

fn joined(inputs: &[NodeId], make: &ForeignNode) -> Node {
    Node::Keyed {
        inputs: inputs.to_vec(),
        make: Arc::new(make.clone()),
    }
}

impl Deref for ForeignJoin {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}
