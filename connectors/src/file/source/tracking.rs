//! The files that a task reads: which there are, which is which, and in which order they are read.
//!
//! The truth is a scan: what the pattern finds now is compared with what was known. A file is its [`FileKey`], so a new name of it is a rotation,
//! and another file under its name a successor, which waits until the rotated one is read. A file whose bytes before the position have changed
//! was truncated or written anew: it begins again, and if there is a copy of what was in it, what was not read of that comes first.
//! docs/adr/0017 says what cannot be told apart. [`copies`] tells copies of files from files.
//!
//! Owns: the set of files with their places, and how many of them are open. Does not own: records ([`task`](super::task)).
mod arrival;
mod copies;
mod folder;
mod gone;
mod missing;
mod opening;
mod progress;
mod turns;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use millstream_connect::record::SchemaRef;

use super::data::Data;
use super::place::{FileKey, Place, RowPlace, Stamp, Stored};
use gone::Gone;
use turns::Turns;

/// How many offsets of files that are gone are kept in mind, should the files come back.
const REMEMBERED_MAX: usize = 100_000;

/// File systems count time in ticks of up to this: what changes twice within one may look unchanged.
const TICK: Duration = Duration::from_millis(20);

/// A file that says itself that it is not whole is taken for one that is not written any more after so long without a change.
pub(super) const UNFINISHED_IDLE: Duration = Duration::from_secs(2);

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
    /// Its offset has to be stored, though nothing was read; it is in the list of those.
    unstored: bool,
    /// What no line end ends is a record now.
    pub last_call: bool,
    /// Of its rows, if they have one.
    pub schema: Option<SchemaRef>,
    /// There is something behind the position that is no whole record.
    pub partial: bool,
    /// It is compressed, and ends within a frame: what is there is not all.
    pub unfinished: bool,
    /// How far what was read is stored.
    pub committed: Option<(u64, Option<RowPlace>)>,
    /// It is stored under the name that it has.
    pub stored_here: bool,
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
    /// How often in succession it was not where it was found.
    sought: u8,
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
    /// Files are looked for once.
    pub once: bool,
    /// For how long the offset of a file that is gone is kept; none: for ever.
    pub forget_after: Option<Duration>,
    /// One file that cannot be opened is an error, among many it is a warning.
    pub strict: bool,
}

/// The files of a task.
pub(super) struct Files {
    rules: Rules,
    files: HashMap<FileKey, Tracked>,
    by_path: HashMap<PathBuf, FileKey>,
    by_inode: BTreeSet<(u64, FileKey)>,
    /// Which file had a name last, of names that were given up.
    last_at: HashMap<PathBuf, FileKey>,
    turns: Turns,
    /// Open files, the one that was used last at the end.
    open: VecDeque<FileKey>,
    stored: HashMap<PathBuf, Stored>,
    stored_by_inode: HashMap<u64, Vec<PathBuf>>,
    /// Files whose offsets have to be stored, though nothing was read of them.
    unstored: Vec<FileKey>,
    /// Files that were found to be copies of others; some may not be any more.
    copies: HashSet<FileKey>,
    round: u64,
    sequence: u64,
    /// The sizes of files that were moved or deleted, or have gone, since the task began.
    settled_bytes: u64,
    /// How many bytes were read before the task began.
    bytes_before: Option<u64>,
    gone: Gone,
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
            by_inode: BTreeSet::new(),
            unstored: Vec::new(),
            copies: HashSet::new(),
            last_at: HashMap::new(),
            turns: Turns::default(),
            open: VecDeque::new(),
            stored: HashMap::new(),
            stored_by_inode: HashMap::new(),
            round: 0,
            sequence: 0,
            settled_bytes: 0,
            bytes_before: None,
            gone: Gone::default(),
            warned: HashSet::new(),
        };
        for one in stored {
            files.sequence = files.sequence.max(one.sequence);
            files.remember(one);
        }
        files
    }

    fn remember(&mut self, stored: Stored) {
        let most = REMEMBERED_MAX.max(2 * self.files.len());
        if self.stored.len() >= most {
            self.forget(most / 4);
        }
        if let Some(key) = stored.key {
            let paths = self.stored_by_inode.entry(key.inode).or_default();
            if !paths.contains(&stored.path) {
                paths.push(stored.path.clone());
            }
        }
        self.stored.insert(stored.path.clone(), stored);
    }

    /// Forgets the oldest offsets: many at once, because looking for them means looking at all.
    fn forget(&mut self, count: usize) {
        let mut sequences: Vec<u64> = self.stored.values().map(|one| one.sequence).collect();
        let (_, last, _) = sequences.select_nth_unstable(count.min(self.stored.len() - 1));
        let (last, mut left) = (*last, count);
        self.stored.retain(|_, one| {
            let goes = one.sequence <= last && left > 0;
            left -= usize::from(goes);
            !goes
        });
        let stored = &self.stored;
        self.stored_by_inode.retain(|_, paths| {
            paths.retain(|path| stored.contains_key(path));
            !paths.is_empty()
        });
    }

    /// The file that is tracked under a key that says the same.
    fn same(&self, key: &FileKey) -> Option<FileKey> {
        let first = FileKey {
            device: 0,
            inode: 0,
            birth_ns: None,
        };
        let of_inode = self.by_inode.range((key.inode, first)..);
        let mut of_inode = of_inode.take_while(|(inode, _)| *inode == key.inode);
        of_inode.find(|(_, its)| its.is_same(key)).map(|(_, its)| *its)
    }

    /// The file's offset has to be stored.
    fn mark_unstored(&mut self, key: FileKey) {
        if let Some(file) = self.files.get_mut(&key)
            && !std::mem::replace(&mut file.unstored, true)
        {
            self.unstored.push(key);
        }
    }

    /// The files whose offsets have to be stored, though nothing was read of them; once.
    pub fn take_unstored(&mut self) -> Vec<FileKey> {
        let keys = std::mem::take(&mut self.unstored);
        for key in &keys {
            if let Some(file) = self.files.get_mut(key) {
                file.unstored = false;
            }
        }
        keys
    }

    /// The number of the next batch of offsets.
    pub fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub fn get(&self, key: &FileKey) -> Option<&Tracked> {
        self.files.get(key)
    }

    pub fn get_mut(&mut self, key: &FileKey) -> Option<&mut Tracked> {
        self.files.get_mut(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&FileKey, &Tracked)> {
        self.files.iter()
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
            gone_ms: None,
            copy_of: original.map(|original| original.path.clone()),
        })
    }

    /// The next file to read.
    pub fn next(&mut self) -> Option<FileKey> {
        self.turns.next()
    }

    /// Whether a scan has to find out where files are that are to be read.
    pub fn seeks(&self) -> bool {
        self.turns.has_held()
    }

    /// Reads the file again, after the others.
    pub fn enqueue(&mut self, key: FileKey) {
        if let Some(file) = self.files.get_mut(&key) {
            file.at_end = false;
            if file.copy_of.is_none() {
                self.turns.ask(key);
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
            self.by_inode.remove(&(key.inode, key));
            self.copies.remove(&key);
            self.turns.leave(&key);
            self.open.retain(|open| *open != key);
            self.sequence += 1;
            self.remember(Stored {
                path: file.path,
                place: file.place,
                key: Some(key),
                sequence: self.sequence,
                gone_ms: None,
                copy_of: None,
            });
        }
    }

    /// Takes in what there is now.
    pub fn scan(&mut self, mut found: Vec<(PathBuf, Stamp)>, now: Instant) {
        self.round += 1;
        // What changed is read in the order of the changes.
        found.sort_by(|(path, stamp), (other, its)| (stamp.modified_ns, path).cmp(&(its.modified_ns, other)));
        let mut new = Vec::new();
        for (path, stamp) in found {
            match self.files.get_mut(&stamp.key) {
                // Another name of the same file.
                Some(file) if file.round == self.round => {}
                Some(file) => {
                    file.round = self.round;
                    file.whereabouts = Whereabouts::Here;
                    if file.path != path {
                        self.rename(stamp.key, path);
                    }
                    self.look(stamp.key, stamp, now);
                }
                None => new.push((path, stamp)),
            }
        }
        self.miss(now);
        self.take_in(new, now);
        if self.round == 1 {
            self.find_moved(now);
            self.bytes_before = Some(self.progress().done);
        }
        self.look_for_gone(now);
    }

    /// Gives a file its new name.
    fn rename(&mut self, key: FileKey, path: PathBuf) {
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        let old = std::mem::replace(&mut file.path, path.clone());
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
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        file.stored_here = false;
        if file.committed.is_some() || file.place.position > 0 {
            // What is stored under the old name is forgotten once it is under the new one, too.
            let (place, sequence) = (file.place.clone(), self.sequence);
            self.remember(Stored {
                path: old,
                place,
                key: Some(key),
                sequence,
                gone_ms: None,
                copy_of: None,
            });
        }
        self.mark_unstored(key);
    }

    fn look(&mut self, key: FileKey, stamp: Stamp, now: Instant) {
        if self.turns.is_held(&key) {
            self.turns.release(key);
            self.enqueue(key);
        }
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        let unfinished = file.unfinished.then_some(UNFINISHED_IDLE);
        let idle = self.rules.last_idle.or(unfinished);
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
}
