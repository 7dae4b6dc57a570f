//! Files of removed segments that wait for their end (`file.delete.delay.ms`).
//!
//! They have another name already, so that nobody finds them; the next start removes what is left of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::durable;
use super::lock::lock;

/// Ending of their names.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";
/// Beyond so many, files go at once.
const WAITING_MAX: usize = 20_000;

/// What is to be removed, and when.
#[derive(Debug, Default)]
pub(crate) struct Graveyard {
    waiting: Mutex<BTreeMap<(Instant, u64), PathBuf>>,
    /// Tells files of the same instant apart.
    count: AtomicU64,
}

impl Graveyard {
    /// Removes the file after the delay, or at once if there are too many.
    pub(crate) fn put(&self, path: PathBuf, delay: Duration) {
        let due = Instant::now().checked_add(delay);
        let mut waiting = lock(&self.waiting);
        match due {
            Some(due) if waiting.len() < WAITING_MAX && !delay.is_zero() => {
                waiting.insert((due, self.count.fetch_add(1, Ordering::Relaxed)), path);
            }
            // So long that it can only be for good: the next start removes it.
            None => {}
            Some(_) => {
                drop(waiting);
                remove(&path);
            }
        }
    }

    /// Removes what is due; with `all`, everything.
    pub(crate) fn reap(&self, all: bool) {
        let now = Instant::now();
        let due = {
            let mut waiting = lock(&self.waiting);
            let later = match all {
                true => BTreeMap::new(),
                false => waiting.split_off(&(now, u64::MAX)),
            };
            std::mem::replace(&mut *waiting, later)
        };
        for path in due.values() {
            remove(path);
        }
    }
}

fn remove(path: &std::path::Path) {
    if let Err(error) = durable::remove_if_there(path) {
        tracing::warn!(file = %path.display(), %error, "cannot remove a deleted file; the next start tries again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_until_they_are_due() {
        let dir = tempfile::tempdir().unwrap();
        let graveyard = Graveyard::default();
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, name).unwrap();
            path
        };
        let (now, later, never) = (file("a"), file("b"), file("c"));
        graveyard.put(now.clone(), Duration::ZERO);
        graveyard.put(later.clone(), Duration::from_millis(30));
        graveyard.put(never.clone(), Duration::from_secs(3600));
        graveyard.put(file("d"), Duration::MAX);
        assert!(!now.exists() && later.exists());
        std::thread::sleep(Duration::from_millis(40));
        graveyard.reap(false);
        assert!(!later.exists() && never.exists());
        graveyard.reap(true);
        assert!(!never.exists() && dir.path().join("d").exists());
    }
}
