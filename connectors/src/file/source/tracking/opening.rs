//! Opening files, and checking that what was read of them is still there.
use std::io;
use std::time::Instant;

use millstream_connect::plugin::PluginError;
use tracing::warn;

use super::{Files, Opened, REMEMBERED_MAX};
use crate::file::source::data::Data;
use crate::file::source::place::{FileKey, Place, file_name, hash};

/// How often in succession a scan may find a file that is not there when it is opened.
const SOUGHT_MAX: u8 = 20;

impl Files {
    /// Opens a file, closing the one that was not used for longest if there are too many.
    pub(super) fn open(&mut self, key: FileKey) -> io::Result<()> {
        self.open.retain(|open| *open != key);
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        if file.data.is_none() {
            let (data, stamp) = Data::open(&file.path, self.rules.unpack)?;
            if stamp.key != key {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    "another file has its name now",
                ));
            }
            file.data = Some(Box::new(data));
            file.sought = 0;
        }
        self.open.push_back(key);
        while self.open.len() > self.rules.open_files_max.max(1) {
            if let Some(closed) = self.open.pop_front().and_then(|key| self.files.get_mut(&key)) {
                closed.data = None;
            }
        }
        Ok(())
    }

    /// Prepares a file that is to be read: opens it, and checks that the place is in it.
    ///
    /// # Errors
    /// When it cannot be opened or read, and is the only one.
    pub fn prepare(&mut self, key: FileKey, now: Instant) -> Result<Opened, PluginError> {
        match self.try_prepare(key, now) {
            Ok(opened) => Ok(opened),
            Err(error) => self.failed(key, error),
        }
    }

    /// What a file that cannot be read means.
    ///
    /// # Errors
    /// If it is the only one, or damaged.
    pub fn failed(&mut self, key: FileKey, error: io::Error) -> Result<Opened, PluginError> {
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        file.data = None;
        self.open.retain(|open| *open != key);
        let name = file_name(&file.path);
        if error.kind() == io::ErrorKind::NotFound && file.sought < SOUGHT_MAX {
            // The next scan finds out what became of it; it was renamed, if it is not gone.
            file.sought += 1;
            self.turns.hold(key);
            return Ok(Opened::NotNow);
        }
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => "; give the worker's user the right to read it",
            _ => "",
        };
        if self.rules.strict || error.kind() == io::ErrorKind::InvalidData {
            return Err(PluginError::disconnected(format!(
                "cannot read {name}: {error}{remedy}"
            )));
        }
        if self.warned.len() < REMEMBERED_MAX && self.warned.insert(file.path.clone()) {
            warn!("cannot read {name}, and goes on without it until that is possible: {error}{remedy}");
        }
        // Tried again with the next scan, because the stamp differs from any.
        file.stamp.modified_ns = i64::MIN;
        Ok(Opened::NotNow)
    }

    /// Whether what was read of an open file is still in it.
    ///
    /// # Errors
    /// The file system's.
    pub fn is_intact(&mut self, key: FileKey, place: &Place) -> io::Result<bool> {
        match self.files.get_mut(&key).and_then(|file| file.data.as_mut()) {
            Some(data) => fits(place, data),
            None => Ok(true),
        }
    }

    fn try_prepare(&mut self, key: FileKey, now: Instant) -> io::Result<Opened> {
        self.open(key)?;
        let file = self.files.get_mut(&key).expect("a file that is tracked");
        if let (0, true, Some(data)) = (file.place.position, self.rules.unpack, &mut file.data) {
            data.tell_packing()?;
        }
        if file.fresh {
            return self.tell_copy(key, now);
        }
        if file.checked {
            return Ok(Opened::Ready);
        }
        let data = file.data.as_mut().expect("it was opened");
        if file.place.unchecked {
            match adopt(&file.place, data)? {
                Some(place) => file.place = place,
                None => {
                    warn!(
                        "{} is shorter than its stored offset, {}: it is read from its beginning",
                        file_name(&file.path),
                        file.place.position
                    );
                    file.place = Place::start();
                }
            }
        } else if !fits(&file.place, data)? {
            return Ok(self.restart(key, now));
        }
        file.checked = true;
        Ok(Opened::Ready)
    }
}

/// Whether data reach up to `position`.
pub(super) fn has(data: &mut Data, position: u64) -> io::Result<bool> {
    match position {
        0 => Ok(true),
        _ => Ok(!data.read(position - 1, 1)?.is_empty()),
    }
}

/// Whether the place is in these data.
pub(super) fn fits(place: &Place, data: &mut Data) -> io::Result<bool> {
    let length = place.prefix_length();
    let prefix = data.read(0, length)?;
    if prefix.len() < length || hash(&prefix) != place.prefix_hash {
        return Ok(false);
    }
    let back = place.look_back();
    let before = data.read(place.position - back as u64, back)?;
    Ok(before.len() == back && place.fits(&before))
}

/// The place at a position that is trusted.
fn adopt(place: &Place, data: &mut Data) -> io::Result<Option<Place>> {
    let back = place.look_back();
    let base = place.position - back as u64;
    let prefix = data.read(0, place.prefix_length())?;
    let before = data.read(base, back)?;
    if before.len() < back {
        return Ok(None);
    }
    let mut adopted = Place::start();
    adopted.prefix_hash = hash(&prefix);
    let mut adopted = adopted.moved(place.position, base, &before);
    adopted.rows = place.rows;
    Ok(Some(adopted))
}
