//! The files that a task reads: which there are, which is which, and in which order they are read.
//!
//! The truth is a scan: what the pattern finds now is compared with what was known. A file is its [`FileKey`], so a new name of it is a rotation,
//! and another file under its name a successor, which waits until the rotated one is read. A file whose bytes before the position have changed
//! was truncated or written anew: it begins again, and if there is a copy of what was in it, what was not read of that comes first.
//! docs/adr/0017 says what cannot be told apart. [`copies`] tells copies of files from files.
//!
//! Owns: the set of files with their places, and how many of them are open. Does not own: records ([`task`](super::task)).
mod copies;
mod opening;
mod progress;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use millstream_connect::record::SchemaRef;
use tracing::warn;

use super::clock;
use super::data::Data;
use super::place::{FileKey, Place, Stamp, Stored, file_name};

/// How many offsets of files that are gone are kept in mind, should the files come back.
const REMEMBERED_MAX: usize = 100_000;

/// File systems count time in ticks of up to this: what changes twice within one may look unchanged.
const TICK: Duration = Duration::from_millis(20);

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// Where the pattern finds it.
    Here,
    /// Under a name that does not match, or nowhere but open.
    Away,
}

/// A file that is read.
pub(super) struct Tracked {
    pub path: PathBuf,
    pub stamp: Stamp,
    pub place: Place,
    pub data: Option<Box<Data>>,
    pub whereabouts: Whereabouts,
    /// When it was last seen to change.
    pub changed: Instant,
    /// Its offset has to be stored, though nothing was read.
    pub unstored: bool,
    /// What no line end ends is a record now.
    pub last_call: bool,
    /// Of its rows, if they have one.
    pub schema: Option<SchemaRef>,
    /// There is something behind the position that is no whole record.
    pub partial: bool,
    /// How far what was read is stored.
    pub committed: Option<u64>,
    /// Read to its end as of `stamp`.
    pub at_end: bool,
    checked: bool,
    /// It was looked at once more after its last change was seen, when a further change would show in its time.
    settled: bool,
    /// It was never read, and may be a copy.
    fresh: bool,
    /// It was found to be a copy in an earlier life.
    known_copy: bool,
    /// Its name before the last change of it.
    former: Option<PathBuf>,
    /// It is a copy of this file, which is still there.
    copy_of: Option<FileKey>,
    /// Read behind this one.
    behind: Option<FileKey>,
    queued: bool,
    round: u64,
}

/// What a look at the beginning of a file that is to be read says.
pub(super) enum Opened {
    /// It can be read.
    Ready,
    /// Not now.
    NotNow,
}

/// What the files are found and told apart by.
pub(super) struct Rules {
    pub unpack: bool,
    pub open_files_max: usize,
    pub rotation_wait: Duration,
    pub rotation_copies: bool,
    pub last_idle: Option<Duration>,
    /// One file that cannot be opened is an error, among many it is a warning.
    pub strict: bool,
}

/// The files of a task.
pub(super) struct Files {
    rules: Rules,
    files: HashMap<FileKey, Tracked>,
    by_path: HashMap<PathBuf, FileKey>,
    /// Which file had a name last, of names that were given up.
    last_at: HashMap<PathBuf, FileKey>,
    queue: VecDeque<FileKey>,
    /// Open files, the one that was used last at the end.
    open: VecDeque<FileKey>,
    stored: HashMap<PathBuf, Stored>,
    stored_by_inode: HashMap<u64, Vec<PathBuf>>,
    round: u64,
    sequence: u64,
    /// The sizes of files that were moved or deleted, or have gone, since the task began.
    settled_bytes: u64,
    /// How many bytes were read before the task began.
    bytes_before: Option<u64>,
    /// What was warned about already.
    warned: HashSet<PathBuf>,
}

impl Files {
    /// No files yet, and what is stored of them.
    pub fn new(rules: Rules, stored: Vec<Stored>) -> Self {
        let mut files = Self {
            rules,
            files: HashMap::new(),
            by_path: HashMap::new(),
            last_at: HashMap::new(),
            queue: VecDeque::new(),
            open: VecDeque::new(),
            stored: HashMap::new(),
            stored_by_inode: HashMap::new(),
            round: 0,
            sequence: 0,
            settled_bytes: 0,
            bytes_before: None,
            warned: HashSet::new(),
        };
        for one in stored {
            files.sequence = files.sequence.max(one.sequence);
            files.remember(one);
        }
        files
    }

    fn remember(&mut self, stored: Stored) {
        if self.stored.len() >= REMEMBERED_MAX.max(2 * self.files.len()) {
            let oldest = self.stored.values().min_by_key(|one| one.sequence);
            if let Some(path) = oldest.map(|one| one.path.clone()) {
                self.stored.remove(&path);
            }
        }
        if let Some(key) = stored.key {
            let paths = self.stored_by_inode.entry(key.inode).or_default();
            if !paths.contains(&stored.path) {
                paths.push(stored.path.clone());
            }
        }
        self.stored.insert(stored.path.clone(), stored);
    }

    /// The number of the next batch of offsets.
    pub fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub fn get_mut(&mut self, key: &FileKey) -> Option<&mut Tracked> {
        self.files.get_mut(key)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&FileKey, &mut Tracked)> {
        self.files.iter_mut()
    }

    /// What is to be stored of a file now.
    pub fn offset_of(&self, key: &FileKey, sequence: u64) -> Option<Stored> {
        let file = self.files.get(key)?;
        let original = file.copy_of.and_then(|original| self.files.get(&original));
        Some(Stored {
            path: file.path.clone(),
            place: file.place.clone(),
            key: Some(*key),
            sequence,
            copy_of: original.map(|original| original.path.clone()),
        })
    }

    /// The next file to read.
    pub fn next(&mut self) -> Option<FileKey> {
        for _ in 0..self.queue.len() {
            let key = self.queue.pop_front()?;
            let Some(file) = self.files.get(&key) else {
                continue;
            };
            let before = file.behind.and_then(|before| self.files.get(&before));
            if before.is_some_and(|before| before.queued) {
                self.queue.push_back(key);
                continue;
            }
            if let Some(file) = self.files.get_mut(&key) {
                file.queued = false;
                file.behind = None;
            }
            return Some(key);
        }
        None
    }

    /// Reads the file again, after the others.
    pub fn enqueue(&mut self, key: FileKey) {
        if let Some(file) = self.files.get_mut(&key) {
            file.at_end = false;
            if !file.queued && file.copy_of.is_none() {
                file.queued = true;
                self.queue.push_back(key);
            }
        }
    }

    /// Forgets a file that was moved or deleted.
    pub fn drop_file(&mut self, key: FileKey) {
        if let Some(file) = self.files.remove(&key) {
            self.settled_bytes += file.stamp.size;
            if self.by_path.get(&file.path) == Some(&key) {
                self.by_path.remove(&file.path);
            }
            if let Some(former) = &file.former
                && self.last_at.get(former) == Some(&key)
            {
                self.last_at.remove(former);
            }
            self.open.retain(|open| *open != key);
            self.sequence += 1;
            self.remember(Stored {
                path: file.path,
                place: file.place,
                key: Some(key),
                sequence: self.sequence,
                copy_of: None,
            });
        }
    }

    /// Takes in what there is now.
    pub fn scan(&mut self, mut found: Vec<(PathBuf, Stamp)>, now: Instant) {
        self.round += 1;
        // The oldest first: lines of rotated files were written before those of their successors.
        found.sort_by(|(path, stamp), (other, its)| (stamp.modified_ns, path).cmp(&(its.modified_ns, other)));
        let mut former: HashMap<PathBuf, FileKey> = HashMap::new();
        let mut new = Vec::new();
        for (path, stamp) in found {
            match self.files.get_mut(&stamp.key) {
                // Another name of the same file.
                Some(file) if file.round == self.round => {}
                Some(file) => {
                    file.round = self.round;
                    file.whereabouts = Whereabouts::Here;
                    if file.path != path {
                        former.insert(self.rename(stamp.key, path), stamp.key);
                    }
                    self.look(stamp.key, stamp, now);
                }
                None => new.push((path, stamp)),
            }
        }
        self.miss(&mut former, now);
        let (resumed, new): (Vec<_>, Vec<_>) = new
            .into_iter()
            .partition(|(path, stamp)| self.stored_of(path, &stamp.key).is_some());
        for (path, stamp) in resumed.into_iter().chain(new) {
            let before = former.get(&path).copied();
            self.admit(path, stamp, before, now);
        }
        if self.round == 1 {
            self.find_moved(now);
            self.bytes_before = Some(self.progress().done);
        }
    }

    /// Gives a file its new name, and returns the old one.
    fn rename(&mut self, key: FileKey, path: PathBuf) -> PathBuf {
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        let old = std::mem::replace(&mut file.path, path.clone());
        file.unstored = true;
        if let Some(forgotten) = file.former.replace(old.clone())
            && self.last_at.get(&forgotten) == Some(&key)
        {
            self.last_at.remove(&forgotten);
        }
        self.last_at.insert(old.clone(), key);
        if self.by_path.get(&old) == Some(&key) {
            self.by_path.remove(&old);
        }
        self.by_path.insert(path, key);
        old
    }

    fn look(&mut self, key: FileKey, stamp: Stamp, now: Instant) {
        let idle = self.rules.last_idle;
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        if file.stamp != stamp {
            file.stamp = stamp;
            file.changed = now;
            file.last_call = false;
            file.settled = false;
            if file.copy_of.is_some() && !file.known_copy {
                // Whether it is a copy is asked again.
                file.copy_of = None;
            }
            self.enqueue(key);
        } else if !file.settled && file.at_end {
            file.settled = now - file.changed >= TICK;
            let packed = file.data.as_ref().is_some_and(|data| data.is_packed());
            if !packed {
                self.enqueue(key);
            }
        } else if file.partial && !file.last_call && idle.is_some_and(|idle| now - file.changed >= idle) {
            file.last_call = true;
            self.enqueue(key);
        } else if file.copy_of.is_some()
            && !file.known_copy
            && file.place.position == 0
            && now - file.changed >= self.rules.rotation_wait
        {
            // It only began like the other one.
            file.copy_of = None;
            file.fresh = false;
            self.enqueue(key);
        }
    }

    /// Files that the pattern does not find.
    fn miss(&mut self, former: &mut HashMap<PathBuf, FileKey>, now: Instant) {
        let missing: Vec<FileKey> = self
            .files
            .iter()
            .filter(|(_, file)| file.round != self.round)
            .map(|(key, _)| *key)
            .collect();
        let mut folders: HashMap<PathBuf, Vec<(PathBuf, Stamp)>> = HashMap::new();
        for key in missing {
            let file = self.files.get_mut(&key).expect("a file that is tracked");
            file.round = self.round;
            if file.whereabouts == Whereabouts::Here {
                former.insert(file.path.clone(), key);
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
            let there = folders.entry(folder).or_insert_with_key(|folder| list(folder));
            let elsewhere = there.iter().find(|(_, stamp)| stamp.key == key).cloned();
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
        if file.queued || !file.at_end || now - file.changed < self.rules.rotation_wait {
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

    /// The stored offset of a file that was found.
    fn stored_of(&self, path: &Path, key: &FileKey) -> Option<&Stored> {
        let paths = self.stored_by_inode.get(&key.inode);
        let of_it = paths
            .into_iter()
            .flatten()
            .filter_map(|path| self.stored.get(path));
        let of_it = of_it.filter(|stored| stored.key.is_some_and(|its| its.is_same(key)));
        let newest = of_it.max_by_key(|stored| stored.sequence);
        newest.or_else(|| self.stored.get(path).filter(|stored| stored.key.is_none()))
    }

    /// The last that is stored of the file that another stored offset is of.
    fn newest<'a>(&'a self, stored: &'a Stored) -> &'a Stored {
        let same = stored.key.and_then(|key| self.stored_of(&stored.path, &key));
        same.unwrap_or(stored)
    }

    fn admit(&mut self, path: PathBuf, stamp: Stamp, behind: Option<FileKey>, now: Instant) {
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
            committed: stored.as_ref().map(|stored| stored.place.position),
            unstored: former.is_some(),
            former,
            place,
            data: None,
            whereabouts: Whereabouts::Here,
            changed: now,
            last_call: false,
            schema: None,
            partial: false,
            at_end: false,
            checked: false,
            settled: clock::now_ms() - stamp.modified_ns / 1_000_000 > 1000,
            fresh: self.rules.rotation_copies && (unknown || known_copy),
            known_copy,
            copy_of: None,
            behind: behind.filter(|before| *before != stamp.key),
            queued: false,
            round: self.round,
        };
        self.files.insert(stamp.key, file);
        self.by_path.insert(path, stamp.key);
        self.enqueue(stamp.key);
        if self.open.len() < self.rules.open_files_max {
            // Who has it open can read it even when it is deleted. What goes wrong is said when it is read.
            let _ = self.open(stamp.key);
        }
    }

    /// Files that were renamed, while no task ran, to where the pattern does not find them.
    fn find_moved(&mut self, now: Instant) {
        let mut folders: HashMap<PathBuf, Vec<(PathBuf, Stamp)>> = HashMap::new();
        let gone: Vec<Stored> = self.stored.values().cloned().collect();
        for stored in gone {
            let Some(key) = stored.key else { continue };
            if self.newest(&stored).sequence > stored.sequence {
                continue;
            }
            if self
                .files
                .keys()
                .any(|its| its.inode == key.inode && its.is_same(&key))
            {
                continue;
            }
            let folder = stored.path.parent().unwrap_or(Path::new("")).to_owned();
            let there = folders.entry(folder).or_insert_with_key(|folder| list(folder));
            let found = there.iter().find(|(_, stamp)| stamp.key.is_same(&key)).cloned();
            let successor = self.by_path.get(&stored.path).copied();
            if let Some((path, stamp)) = found {
                let newest = self.stored_of(&path, &stamp.key).map(|stored| stored.sequence);
                if newest == Some(stored.sequence) && !self.files.contains_key(&stamp.key) {
                    self.admit(path, stamp, None, now);
                    self.set_away(stamp.key);
                    self.put_behind(successor, stamp.key);
                }
            } else if self.rules.rotation_copies && stored.place.position > 0 && stored.copy_of.is_none() {
                let copy = self.find_copy(&stored.path, &stored.place, there.clone(), now);
                if let Some(copy) = copy {
                    self.put_behind(successor, copy);
                }
            }
        }
    }

    fn set_away(&mut self, key: FileKey) {
        if let Some(file) = self.files.get_mut(&key) {
            file.whereabouts = Whereabouts::Away;
        }
    }

    fn put_behind(&mut self, successor: Option<FileKey>, key: FileKey) {
        if let Some(successor) = successor.and_then(|successor| self.files.get_mut(&successor)) {
            successor.behind = Some(key);
        }
    }
}

/// The files of a folder.
fn list(folder: &Path) -> Vec<(PathBuf, Stamp)> {
    let shown = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = fs::read_dir(shown) else {
        return Vec::new();
    };
    let files = entries.flatten().filter_map(|entry| {
        let metadata = fs::metadata(entry.path()).ok().filter(Metadata::is_file)?;
        Some((folder.join(entry.file_name()), Stamp::of(&metadata)))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}
