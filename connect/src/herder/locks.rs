//! One operation at a time for each connector, so that a slow one holds up no other.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Names = Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>;

/// Locks by connectors' names; there are only those that somebody holds or waits for.
#[derive(Debug, Default)]
pub(super) struct NameLocks {
    names: Arc<Names>,
}

/// Held while something is done to a connector.
pub(super) struct NameLock {
    name: String,
    names: Arc<Names>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl NameLocks {
    /// Waits until nobody else works on the connector.
    pub(super) async fn lock(&self, name: &str) -> NameLock {
        let lock = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(names.entry(name.to_owned()).or_default())
        };
        NameLock {
            name: name.to_owned(),
            names: Arc::clone(&self.names),
            guard: Some(lock.lock_owned().await),
        }
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        self.guard = None;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        // Who waits holds a clone, taken under the same mutex.
        if names
            .get(&self.name)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            names.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_name_is_locked_once_and_others_are_free() {
        let locks = NameLocks::default();
        let held = locks.lock("a").await;
        let other = locks.lock("b").await;
        let wait = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, locks.lock("a")).await.is_err());
        drop(held);
        drop(locks.lock("a").await);
        drop(other);
        drop(locks.lock("a").await);
        assert!(!locks.names.lock().unwrap().contains_key("b"));
    }
}
