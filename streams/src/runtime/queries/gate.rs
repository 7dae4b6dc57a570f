//! How many look through whole partitions at a time.
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Each copies what waits for the disk, and keeps a core busy.
const INSIDE_MAX: usize = 4;

#[derive(Default)]
pub(super) struct Gate {
    inside: Mutex<usize>,
    left: Condvar,
}

/// A place inside.
pub(super) struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.left.notify_one();
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if one is free before `patience` is over.
    pub(super) fn enter(&self, patience: Duration) -> Option<Place<'_>> {
        let full = |inside: &mut usize| *inside >= INSIDE_MAX;
        let waited = self.left.wait_timeout_while(self.lock(), patience, full);
        let (mut inside, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (*inside < INSIDE_MAX).then(|| {
            *inside += 1;
            Place(self)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_inside() {
        let gate = Gate::default();
        let mut places: Vec<Place<'_>> = (0..INSIDE_MAX)
            .map(|_| gate.enter(Duration::ZERO).unwrap())
            .collect();
        assert!(gate.enter(Duration::ZERO).is_none());
        places.pop();
        assert!(gate.enter(Duration::ZERO).is_some());
    }
}
