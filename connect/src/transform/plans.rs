//! What a transform prepared for each schema it met.
//!
//! Records of one schema come in long runs, and share the schema: it is found again by its identity. A converter that makes a new schema
//! for each record still finds its plan, by equality. The number of plans is bounded; the oldest one makes room.
use std::sync::Arc;

use crate::record::{Schema, SchemaRef};

/// How many schemas are remembered: tables of a source, say. Beyond that plans are made again.
const SCHEMAS: usize = 64;

/// Plans by schema.
///
/// ```
/// use millstream_connect::record::{Schema, SchemaError};
/// use millstream_connect::transform::Plans;
///
/// let mut plans = Plans::new();
/// let plan = plans.of(&Schema::string(), |schema| Ok::<_, SchemaError>(schema.kind_name()));
/// assert_eq!(*plan.unwrap(), "string");
/// ```
#[derive(Debug)]
pub struct Plans<P> {
    entries: Vec<(SchemaRef, P)>,
    /// Where the last one was found.
    last: usize,
    /// Which one makes room next.
    oldest: usize,
}

impl<P> Default for Plans<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> Plans<P> {
    /// None.
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            last: 0,
            oldest: 0,
        }
    }

    /// The plan for `schema`, made if it is a new one.
    ///
    /// # Errors
    /// Those of `make`; nothing is remembered then.
    pub fn of<E>(&mut self, schema: &SchemaRef, make: impl FnOnce(&Schema) -> Result<P, E>) -> Result<&P, E> {
        let index = match self.find(schema) {
            Some(index) => index,
            None => self.add(schema, make(schema)?),
        };
        self.last = index;
        Ok(&self.entries[index].1)
    }

    fn find(&mut self, schema: &SchemaRef) -> Option<usize> {
        let is_last = |entry: &(SchemaRef, P)| Arc::ptr_eq(&entry.0, schema);
        if self.entries.get(self.last).is_some_and(is_last) {
            return Some(self.last);
        }
        if let Some(index) = self.entries.iter().position(is_last) {
            return Some(index);
        }
        let index = self.entries.iter().position(|(its, _)| its == schema)?;
        self.entries[index].0 = Arc::clone(schema);
        Some(index)
    }

    fn add(&mut self, schema: &SchemaRef, plan: P) -> usize {
        let entry = (Arc::clone(schema), plan);
        if self.entries.len() < SCHEMAS {
            self.entries.push(entry);
            return self.entries.len() - 1;
        }
        let index = self.oldest;
        self.entries[index] = entry;
        self.oldest = (index + 1) % SCHEMAS;
        index
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::record::SchemaKind;

    #[test]
    fn plans_are_made_once_for_equal_schemas_and_are_bounded() {
        let mut plans = Plans::new();
        let mut made = 0;
        let mut meet = |plans: &mut Plans<usize>, name: String| {
            let schema = Arc::new(Schema::from(SchemaKind::Int8).named(name));
            let plan = plans.of(&schema, |_| {
                made += 1;
                Ok::<_, Infallible>(made)
            });
            *plan.unwrap()
        };
        assert_eq!(meet(&mut plans, "a".to_owned()), 1);
        assert_eq!(meet(&mut plans, "a".to_owned()), 1, "equal, though another one");
        for number in 0..1000 {
            assert_eq!(meet(&mut plans, number.to_string()), number + 2);
        }
        assert_eq!(plans.entries.len(), SCHEMAS);
        assert_eq!(
            meet(&mut plans, "999".to_owned()),
            1001,
            "a recent one is still there"
        );
        assert_eq!(meet(&mut plans, "a".to_owned()), 1002, "the oldest made room");
    }
}
