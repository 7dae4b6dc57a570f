//! Copies that rotation makes: what was read of the original is not read of the copy, and what was not is read of it.
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tracing::info;

use super::opening::{fits, has};
use super::{Files, Opened, Whereabouts, folder};
use crate::file::source::data::Data;
use crate::file::source::place::{FileKey, PREFIX_BYTES, Place, Stamp, file_name};
use crate::file::source::rotation;

/// What a file that was never read is.
enum Verdict {
    /// A file of its own.
    Own,
    /// A copy of one that is truncated now or gone: what lies behind the place is new.
    Behind(Place),
    /// A copy of one that is still there, with the place up to which they are the same if it is whole.
    CopyOf(FileKey, Option<Place>),
}

impl Files {
    /// Whether a file that was never read is a copy of one that was.
    pub(super) fn tell_copy(&mut self, key: FileKey, now: Instant) -> io::Result<Opened> {
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        let (known_copy, path) = (file.known_copy, file.path.clone());
        let mut data = file.data.take().expect("it was opened");
        let verdict = self.compare(key, &path, &mut data);
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        file.data = Some(data);
        match verdict? {
            Verdict::Own if known_copy => {
                // All of it was in the file that it is a copy of.
                file.copy_of = Some(key);
                Ok(Opened::NotNow)
            }
            Verdict::Own => {
                if file.stamp.size > 0 {
                    file.fresh = false;
                    file.checked = true;
                }
                Ok(Opened::Ready)
            }
            Verdict::Behind(place) => {
                info!(
                    "{} goes on where its original stopped, at byte {}",
                    file_name(&path),
                    place.position
                );
                file.place = place;
                file.fresh = false;
                file.checked = true;
                self.mark_unstored(key);
                Ok(Opened::Ready)
            }
            Verdict::CopyOf(original, place) => {
                file.copy_of = Some(original);
                file.changed = now;
                self.copies.insert(key);
                if let Some(place) = place {
                    file.place = place;
                    file.known_copy = true;
                    self.mark_unstored(key);
                }
                Ok(Opened::NotNow)
            }
        }
    }

    fn compare(&mut self, key: FileKey, path: &Path, data: &mut Data) -> io::Result<Verdict> {
        for origin in rotation::origins(path) {
            let at_name = [self.by_path.get(&origin), self.last_at.get(&origin)];
            for original in at_name.map(|its| its.copied()).into_iter().flatten() {
                let verdict = self.compare_with(original, key, data)?;
                if !matches!(verdict, Verdict::Own) {
                    return Ok(verdict);
                }
            }
            let Some(stored) = self.stored.get(&origin).map(|stored| self.newest(stored)) else {
                continue;
            };
            let place = stored.place.clone();
            let original = stored.key.and_then(|its| self.same(&its));
            // If it is tracked it was compared, unless it began again since.
            let current = original
                .and_then(|its| self.files.get(&its))
                .map(|file| file.place.position);
            let over = current.is_none_or(|position| position < place.position);
            if over && place.position > 0 && !place.unchecked && fits(&place, data)? {
                return Ok(Verdict::Behind(place));
            }
        }
        self.compare_with_gone(path, data)
    }

    /// A file that was compressed and then got another number is found under a name that its original never had; the original is gone.
    fn compare_with_gone(&self, path: &Path, data: &mut Data) -> io::Result<Verdict> {
        for name in rotation::earlier_names(path) {
            let last = self.last_at.get(&name);
            let tracked = last.and_then(|last| Some((*last, self.files.get(last)?)));
            if let Some((original, file)) = tracked.filter(|(_, its)| its.whereabouts == Whereabouts::Away)
                && file.place.position > 0
                && fits(&file.place, data)?
            {
                return Ok(Verdict::CopyOf(original, Some(file.place.clone())));
            }
            let Some(stored) = self.stored.get(&name).map(|stored| self.newest(stored)) else {
                continue;
            };
            let gone = stored.key.is_some_and(|its| self.same(&its).is_none());
            if gone && stored.place.position > 0 && !stored.place.unchecked && fits(&stored.place, data)? {
                return Ok(Verdict::Behind(stored.place.clone()));
            }
        }
        Ok(Verdict::Own)
    }

    fn compare_with(&mut self, original: FileKey, key: FileKey, data: &mut Data) -> io::Result<Verdict> {
        let its = self
            .files
            .get(&original)
            .filter(|its| original != key && its.place.position > 0);
        let Some(place) = its.map(|its| its.place.clone()) else {
            return Ok(Verdict::Own);
        };
        let intact = self.open(original).is_ok() && {
            let its = self.files.get_mut(&original).expect("a file that is tracked");
            fits(&place, its.data.as_mut().expect("it was opened"))?
        };
        let whole = fits(&place, data)?;
        if !intact && whole {
            self.read_before(key, Some(original));
            // What was not read of it is in this copy: no other is looked for.
            self.begin_anew(original);
            self.enqueue(original);
            return Ok(Verdict::Behind(place));
        }
        if intact && whole {
            return Ok(Verdict::CopyOf(original, Some(place)));
        }
        if intact && self.begins_alike(original, data)? {
            return Ok(Verdict::CopyOf(original, None));
        }
        Ok(Verdict::Own)
    }

    /// Whether what there is of a file is how another begins: then it may be a copy that is still being made.
    fn begins_alike(&mut self, original: FileKey, data: &mut Data) -> io::Result<bool> {
        let place = self.files[&original].place.position;
        let begin = data.read(0, PREFIX_BYTES)?;
        let unfinished = begin.is_empty() || data.read(place, 1)?.is_empty() && !has(data, place)?;
        let its = self.files.get_mut(&original).expect("a file that is tracked");
        let its_data = its.data.as_mut().expect("it was opened");
        let its_begin = its_data.read(0, begin.len())?;
        Ok(!begin.is_empty() && unfinished && begin == its_begin)
    }

    /// The file is not what was read: it was truncated, or written anew. What was not read of it is perhaps in a copy.
    pub fn restart(&mut self, key: FileKey, now: Instant) -> Opened {
        let place = self.begin_anew(key);
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        let (path, former) = (file.path.clone(), file.former.clone());
        file.at_end = false;
        let mut copy = self.release_copies(key, &place);
        for name in [Some(&path), former.as_ref()].into_iter().flatten() {
            if copy.is_none() && self.rules.rotation_copies {
                copy = self.find_copy(&place, folder::copies_of(name), now);
            }
        }
        match copy {
            Some(copy) => self.read_before(copy, Some(key)),
            None => info!(
                "{} was truncated or written anew after byte {}: it is read from its beginning",
                file_name(&path),
                place.position
            ),
        }
        self.turns.keep(key);
        Opened::NotNow
    }

    /// The file is read from its beginning; says how far it was read before.
    fn begin_anew(&mut self, key: FileKey) -> Place {
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        let place = std::mem::replace(&mut file.place, Place::start());
        (file.checked, file.partial, file.fresh) = (true, false, false);
        file.schema = None;
        self.mark_unstored(key);
        place
    }

    /// Lets copies of a file go on where it was read to, and returns one that does.
    pub(super) fn release_copies(&mut self, original: FileKey, place: &Place) -> Option<FileKey> {
        let its = |key: &FileKey| self.files.get(key).and_then(|file| file.copy_of) == Some(original);
        let mut copies: Vec<FileKey> = self.copies.iter().filter(|key| its(key)).copied().collect();
        copies.sort();
        let mut released = None;
        for key in copies {
            let opened = self.open(key);
            let file = self.files.get_mut(&key).expect("a file that is tracked");
            let data = file.data.as_mut().filter(|_| opened.is_ok());
            let whole = data.is_some_and(|data| fits(place, data).unwrap_or(false));
            if whole && released.is_none() {
                file.place = place.clone();
                (file.copy_of, file.known_copy, file.fresh) = (None, false, false);
                file.checked = true;
                self.copies.remove(&key);
                self.mark_unstored(key);
                self.enqueue(key);
                released = Some(key);
            } else {
                // All that is in it was in the original.
                (file.copy_of, file.known_copy) = (Some(key), true);
            }
        }
        released
    }

    /// The candidate that is not read yet and begins with what was read of another, before `place`.
    pub(super) fn find_copy(
        &mut self,
        place: &Place,
        candidates: Vec<(PathBuf, Stamp)>,
        now: Instant,
    ) -> Option<FileKey> {
        for (candidate, stamp) in candidates {
            let unread = self.files.get(&stamp.key).is_none_or(|file| file.fresh);
            if !unread || self.stored_of(&candidate, &stamp.key).is_some() {
                continue;
            }
            let fitting =
                Data::open(&candidate, self.rules.unpack).and_then(|(mut data, _)| fits(place, &mut data));
            if !fitting.unwrap_or(false) {
                continue;
            }
            if !self.files.contains_key(&stamp.key) {
                self.take_in_away(candidate, stamp, now);
            }
            let file = self.files.get_mut(&stamp.key).expect("it was admitted");
            file.place = place.clone();
            (file.fresh, file.checked, file.copy_of) = (false, true, None);
            self.mark_unstored(stamp.key);
            self.enqueue(stamp.key);
            return Some(stamp.key);
        }
        None
    }
}
