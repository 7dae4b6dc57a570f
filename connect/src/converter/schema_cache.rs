//! What was prepared for schemas.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::record::{Schema, SchemaRef};

type Entry<T> = (SchemaRef, Arc<T>);

/// Keeps something for each of the schemas that were used last.
///
/// A schema is found by its identity, and otherwise by comparing it with those that look alike. What has not been used for long is
/// forgotten: there are two generations, each with at most half the limit.
pub(super) struct SchemaCache<T> {
    half: usize,
    last: Option<Entry<T>>,
    /// By the addresses of the schemas, which stay theirs while they are held here.
    young: HashMap<usize, Entry<T>>,
    old: HashMap<usize, Entry<T>>,
}

impl<T> SchemaCache<T> {
    /// For at most `limit` schemas (and two more).
    pub(super) fn new(limit: usize) -> Self {
        Self {
            half: (limit / 2).max(1),
            last: None,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// What is kept for `schema`, or else what `prepare` makes for it.
    pub(super) fn get<E>(
        &mut self,
        schema: &SchemaRef,
        prepare: impl FnOnce() -> Result<T, E>,
    ) -> Result<&Arc<T>, E> {
        let is_last = matches!(&self.last, Some((its, _)) if Arc::ptr_eq(its, schema));
        if !is_last {
            let kept = match self.find(schema) {
                Some(kept) => kept,
                None => {
                    let made = Arc::new(prepare()?);
                    self.keep(Arc::clone(schema), Arc::clone(&made));
                    made
                }
            };
            self.last = Some((Arc::clone(schema), kept));
        }
        let (_, kept) = self.last.as_ref().expect("it was just set if it was not there");
        Ok(kept)
    }

    fn find(&mut self, schema: &SchemaRef) -> Option<Arc<T>> {
        let address = Arc::as_ptr(schema) as usize;
        if let Some((_, kept)) = self.young.get(&address) {
            return Some(Arc::clone(kept));
        }
        if let Some((schema, kept)) = self.old.remove(&address) {
            self.keep(schema, Arc::clone(&kept));
            return Some(kept);
        }
        let mut all = self.young.values().chain(self.old.values());
        let (_, kept) = all.find(|(its, _)| looks_like(its, schema) && **its == **schema)?;
        Some(Arc::clone(kept))
    }

    fn keep(&mut self, schema: SchemaRef, kept: Arc<T>) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        let address = Arc::as_ptr(&schema) as usize;
        self.young.insert(address, (schema, kept));
    }
}

/// The last schema that was found to be equal to somebody's own, beside which it stands.
///
/// A table that is made anew with the same columns has another schema which is equal: to compare the two for each record takes longer
/// than to write it.
#[derive(Debug, Default)]
pub(super) struct Alike(Mutex<Option<SchemaRef>>);

impl Alike {
    /// Whether `other` is equal to `own`, which has to be the same each time.
    pub(super) fn has(&self, own: &SchemaRef, other: &SchemaRef) -> bool {
        if Arc::ptr_eq(own, other) {
            return true;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, other)) {
            return true;
        }
        let is_equal = **own == **other;
        if is_equal {
            *known = Some(Arc::clone(other));
        }
        is_equal
    }
}

/// Whether comparing them is worth the while.
fn looks_like(one: &Schema, other: &Schema) -> bool {
    let shape = |schema: &Schema| (schema.kind_name(), schema.fields().len(), schema.version);
    shape(one) == shape(other) && one.name == other.name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SchemaKind;

    fn named(name: &str) -> SchemaRef {
        Arc::new(Schema::from(SchemaKind::Int32).named(name))
    }

    fn get(cache: &mut SchemaCache<usize>, schema: &SchemaRef, made: &mut usize) -> usize {
        let prepare = || -> Result<usize, ()> {
            *made += 1;
            Ok(*made)
        };
        **cache.get(schema, prepare).unwrap()
    }

    #[test]
    fn equal_schemas_share_what_was_prepared() {
        let (mut cache, mut made) = (SchemaCache::new(10), 0);
        let (a, b) = (named("a"), named("b"));
        assert_eq!(get(&mut cache, &a, &mut made), 1);
        assert_eq!(get(&mut cache, &b, &mut made), 2);
        assert_eq!(get(&mut cache, &a, &mut made), 1);
        assert_eq!(get(&mut cache, &named("b"), &mut made), 2);
        assert_eq!(made, 2);
    }

    #[test]
    fn what_was_found_to_be_equal_is_known_by_its_identity() {
        let (own, equal, other) = (named("a"), named("a"), named("b"));
        let alike = Alike::default();
        assert!(alike.has(&own, &own));
        assert!(!alike.has(&own, &other));
        assert!(alike.has(&own, &equal));
        let known = alike.0.lock().unwrap().clone().unwrap();
        assert!(Arc::ptr_eq(&known, &equal));
        assert!(!alike.has(&own, &other));
        assert!(alike.has(&own, &equal));
    }

    #[test]
    fn it_holds_no_more_than_its_limit() {
        let (mut cache, mut made) = (SchemaCache::new(10), 0);
        let schemas: Vec<_> = (0..100).map(|number| named(&number.to_string())).collect();
        for schema in &schemas {
            get(&mut cache, schema, &mut made);
            get(&mut cache, &schemas[0], &mut made);
        }
        assert!(cache.young.len() + cache.old.len() <= 10);
        // What is used again and again stays.
        assert_eq!(made, 100);
    }
}
