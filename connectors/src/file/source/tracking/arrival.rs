//! Files that are new to the task: what is known of them, and which of those that rotation made is older.
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::turns::Family;
use super::{Files, Tracked, Whereabouts};
use crate::file::source::place::{FileKey, Place, Stamp, hash};
use crate::file::source::{clock, rotation};

/// The family of what has this name, which is that of all its rotations.
fn family(path: &Path) -> Family {
    Family(hash(rotation::stem(path).as_os_str().as_bytes()))
}

impl Files {
    /// Takes in files that were not known, in the order in which they were written to, and has them read.
    pub(super) fn take_in(&mut self, new: Vec<(PathBuf, Stamp)>, now: Instant) {
        let asking: Vec<FileKey> = new.iter().map(|(_, stamp)| stamp.key).collect();
        // Those that were read before are known first, because others may be copies of them.
        let (resumed, new): (Vec<_>, Vec<_>) = new
            .into_iter()
            .partition(|(path, stamp)| self.stored_of(path, &stamp.key).is_some());
        let mut keys = Vec::with_capacity(resumed.len() + new.len());
        for (path, stamp) in resumed.into_iter().chain(new) {
            // A file of two names is one.
            if !self.files.contains_key(&stamp.key) {
                keys.push(stamp.key);
                self.admit(path, stamp, now);
            }
        }
        for key in self.oldest_first(keys) {
            self.join(key);
        }
        for key in asking {
            self.enqueue(key);
        }
    }

    /// Brings files into the order in which what is in them was written, as far as it has to be kept.
    ///
    /// What rotation renamed or copied is older than what has the name now; else it is their times that tell, then their births and
    /// numbers. But a file that had a name is older than the one that has it, whatever they say.
    fn oldest_first(&self, mut keys: Vec<FileKey>) -> Vec<FileKey> {
        keys.sort_by_cached_key(|key| {
            let file = &self.files[key];
            let is_stem = rotation::origins(&file.path).is_empty();
            let number = Reverse(rotation::number(&file.path));
            let written = (file.stamp.modified_ns, key.birth_ns);
            (is_stem, written, number, file.path.clone())
        });
        let had: HashMap<&Path, FileKey> = keys
            .iter()
            .filter_map(|key| Some((&**self.files[key].former.as_ref()?, *key)))
            .collect();
        let mut ordered = Vec::with_capacity(keys.len());
        let mut seen = HashSet::with_capacity(keys.len());
        let mut chain = Vec::new();
        for key in &keys {
            let mut next = Some(*key);
            while let Some(key) = next.filter(|key| seen.insert(*key)) {
                chain.push(key);
                next = had.get(&*self.files[&key].path).copied();
            }
            ordered.extend(chain.drain(..).rev());
        }
        ordered
    }

    /// Gives a file that was admitted its place among its rotations.
    fn join(&mut self, key: FileKey) {
        let file = &self.files[&key];
        let family = family(file.former.as_ref().unwrap_or(&file.path));
        let before = self.last_at.get(&file.path).copied();
        self.turns.join(key, family);
        if let Some(before) = before {
            self.turns.put_before(before, key);
        }
        self.keep_stem_youngest(key);
    }

    /// The file that is not rotated yet comes behind what was rotated.
    fn keep_stem_youngest(&mut self, rotated: FileKey) {
        let Some(file) = self.files.get(&rotated) else {
            return;
        };
        let stem = rotation::origins(&file.path).pop();
        let holder = stem.and_then(|stem| self.by_path.get(&stem));
        let holder = holder.and_then(|holder| Some((*holder, self.files.get(holder)?)));
        if let Some((holder, _)) = holder.filter(|(_, its)| its.whereabouts == Whereabouts::Here) {
            self.turns.make_youngest(holder);
        }
    }

    /// What is in `older` was written before what is in `younger`.
    pub(super) fn read_before(&mut self, older: FileKey, younger: Option<FileKey>) {
        if let Some(younger) = younger
            && self.turns.put_before(older, younger)
        {
            self.keep_stem_youngest(younger);
        }
    }

    /// Takes in a file that the pattern does not find, and has it read.
    pub(super) fn take_in_away(&mut self, path: PathBuf, stamp: Stamp, now: Instant) {
        self.admit(path, stamp, now);
        if let Some(file) = self.files.get_mut(&stamp.key) {
            file.whereabouts = Whereabouts::Away;
        }
        self.join(stamp.key);
        self.enqueue(stamp.key);
    }

    fn admit(&mut self, path: PathBuf, stamp: Stamp, now: Instant) {
        let stored = self.stored_of(&path, &stamp.key).cloned();
        let known_copy = stored.as_ref().is_some_and(|stored| stored.copy_of.is_some());
        let unknown = stored.is_none() && (self.round > 1 || !self.stored.is_empty());
        let former = stored
            .as_ref()
            .map(|stored| stored.path.clone())
            .filter(|its| *its != path);
        if let Some(former) = &former {
            self.last_at.insert(former.clone(), stamp.key);
        }
        let place = match &stored {
            Some(stored) if !known_copy => stored.place.clone(),
            _ => Place::start(),
        };
        let file = Tracked {
            path: path.clone(),
            stamp,
            committed: stored.as_ref().map(|stored| stored.place.reached()),
            stored_here: stored.as_ref().is_some_and(|stored| stored.path == path),
            unstored: false,
            former,
            place,
            data: None,
            whereabouts: Whereabouts::Here,
            changed: now,
            last_call: false,
            schema: None,
            partial: false,
            unfinished: false,
            at_end: false,
            checked: false,
            settled: clock::now_ms() - stamp.modified_ns / 1_000_000 > 1000,
            fresh: self.rules.rotation_copies && (unknown || known_copy),
            known_copy,
            copy_of: None,
            sought: 0,
            round: self.round,
        };
        let came_back = stored.is_some_and(|stored| stored.gone_ms.is_some());
        let unstored = file.former.is_some() || came_back;
        self.files.insert(stamp.key, file);
        self.by_path.insert(path, stamp.key);
        self.by_inode.insert((stamp.key.inode, stamp.key));
        if unstored {
            self.mark_unstored(stamp.key);
        }
        if self.open.len() < self.rules.open_files_max {
            // Who has it open can read it even when it is deleted. What goes wrong is said when it is read.
            let _ = self.open(stamp.key);
        }
    }
}
