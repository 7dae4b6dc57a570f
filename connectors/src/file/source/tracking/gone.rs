//! Offsets that are of no use any more: of files that are gone, and of names that files no longer have.
//!
//! A file that is gone may come back: a folder is mounted again, a file moved back. So it is noted in its offset since when it is gone, and forgotten only
//! when that is long ago. Where no file is found at all, or its folder is empty, nothing is concluded.
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::info;

use super::{Files, Whereabouts};
use crate::file::source::clock;
use crate::file::source::place::{Stamp, Stored};

/// Offsets are looked through so often, or less often where that takes long.
const INTERVAL: Duration = Duration::from_secs(60);
const SHARE: u32 = 20;
/// So many are handed over with a batch.
const BATCH_MAX: usize = 1000;

/// What is to be said of offsets.
#[derive(Default)]
pub(super) struct Gone {
    /// Files that were found to be gone.
    noted: Vec<PathBuf>,
    forgotten: Vec<PathBuf>,
    next_look: Option<Instant>,
}

/// How often offsets are looked through where they are kept for so long.
fn interval(kept: Duration) -> Duration {
    (kept / 4).clamp(Duration::from_millis(10), INTERVAL)
}

/// Whether a name stands for another, as in offsets of names that are no UTF-8: which that is, it does not say.
fn is_escaped(path: &Path) -> bool {
    path.to_str().is_none_or(|name| name.contains("\\x"))
}

/// What was found out about folders.
#[derive(Default)]
struct Folders(HashMap<PathBuf, bool>);

impl Folders {
    /// Whether what is missing in a folder has to be gone. An empty one may be where another was mounted.
    fn tell(&mut self, folder: &Path) -> bool {
        if let Some(tells) = self.0.get(folder) {
            return *tells;
        }
        let shown = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let tells = match fs::read_dir(shown) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        self.0.insert(folder.to_owned(), tells);
        tells
    }

    fn is_gone(&mut self, stored: &Stored) -> bool {
        match fs::metadata(&stored.path) {
            // Another has its name.
            Ok(there) => stored.key.is_some_and(|key| !Stamp::of(&there).key.is_same(&key)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.tell(stored.path.parent().unwrap_or(Path::new("")))
            }
            Err(_) => false,
        }
    }
}

impl Files {
    /// Looks through the offsets of files that are not where they were, if it is time for that.
    pub(super) fn look_for_gone(&mut self, now: Instant) {
        let Some(kept) = self.rules.forget_after else {
            return;
        };
        let due = *self.gone.next_look.get_or_insert_with(|| match self.rules.once {
            true => now,
            false => now + interval(kept),
        });
        let found = |any: &super::Tracked| any.whereabouts == Whereabouts::Here;
        if now < due || !self.files.values().any(found) {
            return;
        }
        let now_ms = u64::try_from(clock::now_ms()).unwrap_or(0);
        let mut folders = Folders::default();
        let (mut noted, mut forgotten) = (Vec::new(), Vec::new());
        for (path, stored) in &self.stored {
            if self.by_path.contains_key(path) || is_escaped(path) {
                continue;
            }
            let tracked = stored.key.and_then(|key| self.files.get(&self.same(&key)?));
            if let Some(file) = tracked {
                // It has another name now, under which its offset is stored, too.
                forgotten.extend(file.stored_here.then(|| path.clone()));
                continue;
            }
            let long_ago = |since: u64| u128::from(now_ms.saturating_sub(since)) >= kept.as_millis();
            if !stored.gone_ms.is_none_or(long_ago) || !folders.is_gone(stored) {
                continue;
            }
            match stored.gone_ms {
                None => noted.push(path.clone()),
                Some(_) => forgotten.push(path.clone()),
            }
        }
        for path in &noted {
            if let Some(stored) = self.stored.get_mut(path) {
                stored.gone_ms = Some(now_ms);
            }
        }
        if !forgotten.is_empty() {
            info!(
                "the offsets of {} names that are gone are forgotten",
                forgotten.len()
            );
        }
        for path in &forgotten {
            self.drop_stored(path);
        }
        self.gone.noted.extend(noted);
        self.gone.forgotten.extend(forgotten);
        self.gone.next_look = Some(now + interval(kept).max(now.elapsed() * SHARE));
    }

    fn drop_stored(&mut self, path: &Path) {
        let key = self.stored.remove(path).and_then(|stored| stored.key);
        let Some(inode) = key.map(|key| key.inode) else {
            return;
        };
        if let Some(paths) = self.stored_by_inode.get_mut(&inode) {
            paths.retain(|its| its != path);
            if paths.is_empty() {
                self.stored_by_inode.remove(&inode);
            }
        }
    }

    /// Offsets that say since when their files are gone, to be stored; some of them, once.
    pub fn take_gone(&mut self) -> Vec<Stored> {
        let count = self.gone.noted.len().min(BATCH_MAX);
        let noted = self.gone.noted.drain(..count);
        // What has the name by now has an offset of its own.
        let noted = noted.filter(|path| !self.by_path.contains_key(path));
        noted
            .filter_map(|path| self.stored.get(&path).cloned())
            .filter(|stored| stored.gone_ms.is_some())
            .collect()
    }

    /// Names whose offsets are to be forgotten; some of them, once.
    pub fn take_forgotten(&mut self) -> Vec<PathBuf> {
        let count = self.gone.forgotten.len().min(BATCH_MAX);
        let forgotten = self.gone.forgotten.drain(..count);
        forgotten
            .filter(|path| !self.by_path.contains_key(path) && !self.stored.contains_key(path))
            .collect()
    }
}
