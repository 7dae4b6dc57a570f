//! How much of the files is read, for people who wait for it.
use millstream_connect::plugin::{Progress, ProgressUnit};

use super::Files;

impl Files {
    /// How many bytes of the files are read, as they lie on the disk.
    pub fn progress(&self) -> Progress {
        let (mut done, mut total) = (self.settled_bytes, self.settled_bytes);
        for file in self.files.values() {
            total += file.stamp.size;
            done += match &file.data {
                _ if file.at_end || file.copy_of.is_some() => file.stamp.size,
                Some(data) if data.is_packed() => data.packed_position().min(file.stamp.size),
                _ => file.place.position.min(file.stamp.size),
            };
        }
        Progress {
            done,
            before: self.bytes_before.unwrap_or(done),
            total: Some(total),
            unit: ProgressUnit::Bytes,
        }
    }
}
