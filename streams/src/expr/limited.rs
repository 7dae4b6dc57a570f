//! `collect` and `collect_set` of so many values.
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

/// The first values that come, or the first different ones, up to a number of them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Limited {
    values_max: usize,
    /// It says the number, so that states of another are known for what they are.
    name: String,
    signature: Signature,
}

impl Limited {
    pub(super) fn new(values_max: usize) -> Self {
        Self {
            values_max,
            name: format!("collect_{values_max}"),
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

fn list_of(item: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item.clone(), true)))
}

impl AggregateUDFImpl for Limited {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(list_of(&types[0]))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format!("{}[{}]", args.name, self.name);
        let list = list_of(args.input_fields[0].data_type());
        Ok(vec![Arc::new(Field::new(name, list, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let DataType::List(item) = args.return_field.data_type() else {
            return exec_err!("{} gives lists", self.name);
        };
        Ok(Box::new(Values {
            item: item.data_type().clone(),
            values: Vec::new(),
            values_max: self.values_max,
            seen: args.is_distinct.then(HashSet::new),
            bytes: 0,
        }))
    }
}

/// The values of a group.
#[derive(Debug)]
struct Values {
    item: DataType,
    values: Vec<ScalarValue>,
    values_max: usize,
    /// They are to be different, and these are.
    seen: Option<HashSet<ScalarValue>>,
    bytes: usize,
}

impl Values {
    fn take(&mut self, values: &ArrayRef) -> Result<()> {
        for row in 0..values.len() {
            if self.values.len() >= self.values_max {
                break;
            }
            // Compacted, or it would keep the whole batch alive.
            let value = ScalarValue::try_from_array(values, row)?.compacted();
            if let Some(seen) = &mut self.seen
                && !seen.insert(value.clone())
            {
                continue;
            }
            self.bytes += value.size();
            self.values.push(value);
        }
        Ok(())
    }

    fn list(&self) -> ScalarValue {
        match self.values.is_empty() {
            // As `collect` without a limit has it.
            true => ScalarValue::new_null_list(self.item.clone(), true, 1),
            false => ScalarValue::List(ScalarValue::new_list_nullable(&self.values, &self.item)),
        }
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        lists.iter().flatten().try_for_each(|list| self.take(&list))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.list()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.list())
    }

    fn size(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, |_| 2);
        size_of::<Self>() + self.bytes * (1 + seen)
    }
}
