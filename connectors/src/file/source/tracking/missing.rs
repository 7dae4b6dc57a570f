//! Files that the pattern does not find, though they were there, or an offset of them is stored.
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tracing::warn;

use super::folder::Folder;
use super::{Files, Whereabouts};
use crate::file::source::place::{FileKey, Stamp, Stored, file_name};

impl Files {
    /// Files that the pattern does not find.
    pub(super) fn miss(&mut self, now: Instant) {
        let missing: Vec<FileKey> = self
            .files
            .iter()
            .filter(|(_, file)| file.round != self.round)
            .map(|(key, _)| *key)
            .collect();
        let mut folders: HashMap<PathBuf, Folder> = HashMap::new();
        for key in missing {
            let file = self.files.get_mut(&key).expect("a file that is tracked");
            file.round = self.round;
            if file.whereabouts == Whereabouts::Here {
                file.changed = now;
                file.whereabouts = Whereabouts::Away;
            }
            if let Ok(metadata) = fs::metadata(&file.path)
                && Stamp::of(&metadata).key == key
            {
                self.look(key, Stamp::of(&metadata), now);
                self.leave_when_idle(key, now);
                continue;
            }
            let folder = file.path.parent().unwrap_or(Path::new("")).to_owned();
            let there = folders
                .entry(folder)
                .or_insert_with_key(|folder| Folder::list(folder));
            let elsewhere = there.same(&key).filter(|(_, stamp)| stamp.key == key);
            if let Some((path, stamp)) = elsewhere {
                self.rename(key, path);
                self.look(key, stamp, now);
                self.leave_when_idle(key, now);
                continue;
            }
            match file.data.as_ref().map(|data| data.stamp()) {
                Some(Ok(stamp)) => {
                    file.former = Some(file.path.clone());
                    self.last_at.insert(file.path.clone(), key);
                    self.look(key, stamp, now);
                    self.leave_when_idle(key, now);
                }
                _ => {
                    let unread = !file.at_end && file.copy_of.is_none();
                    if unread {
                        warn!(
                            "{} is gone, and was read up to byte {} only, because it was not open: its last lines are lost; \
                             a greater max.open.files keeps more files open",
                            file_name(&file.path),
                            file.place.position
                        );
                    }
                    self.leave(key);
                }
            }
        }
    }

    fn leave_when_idle(&mut self, key: FileKey, now: Instant) {
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        if self.turns.waits(&key) || !file.at_end || now - file.changed < self.rules.rotation_wait {
            return;
        }
        if file.partial && !file.last_call {
            file.last_call = true;
            self.enqueue(key);
            return;
        }
        self.leave(key);
    }

    fn leave(&mut self, key: FileKey) {
        if let Some(file) = self.files.get(&key) {
            let place = file.place.clone();
            self.release_copies(key, &place);
            self.drop_file(key);
        }
    }

    /// Files that were renamed, while no task ran, to where the pattern does not find them.
    pub(super) fn find_moved(&mut self, now: Instant) {
        let mut folders: HashMap<PathBuf, Folder> = HashMap::new();
        let gone = self.stored.values().filter(|stored| {
            let is_gone = stored.key.is_some_and(|key| self.same(&key).is_none());
            is_gone && self.newest(stored).sequence <= stored.sequence
        });
        let gone: Vec<Stored> = gone.cloned().collect();
        for stored in gone {
            let Some(key) = stored.key.filter(|key| self.same(key).is_none()) else {
                continue;
            };
            let folder = stored.path.parent().unwrap_or(Path::new("")).to_owned();
            let there = folders
                .entry(folder)
                .or_insert_with_key(|folder| Folder::list(folder));
            let successor = self.by_path.get(&stored.path).copied();
            if let Some((path, stamp)) = there.same(&key) {
                let newest = self.stored_of(&path, &stamp.key).map(|stored| stored.sequence);
                if newest == Some(stored.sequence) && !self.files.contains_key(&stamp.key) {
                    self.take_in_away(path, stamp, now);
                    self.read_before(stamp.key, successor);
                }
            } else if self.rules.rotation_copies && stored.place.position > 0 && stored.copy_of.is_none() {
                let copy = self.find_copy(&stored.place, there.copies_of(&stored.path), now);
                if let Some(copy) = copy {
                    self.read_before(copy, successor);
                }
            }
        }
    }
}
