//! How much memory open files take together.
//!
//! Parquet's take what is in them up to the end of a row group, and a little of each row group up to their own end. Where the task's budget is spent,
//! the fullest end their row groups until a quarter of it is free: so that they are looked through now and then only.
use std::cmp::Reverse;

use millstream_connect::plugin::PluginError;

use super::{Folder, failed};

impl Folder {
    /// Has the fullest files write what they have, if all together have too much.
    pub(super) fn bound_memory(&mut self) -> Result<(), PluginError> {
        let most = self.config.buffer_bytes_max;
        if self.held_bytes <= most {
            return Ok(());
        }
        let wanted = most - most / 4;
        let files = self
            .partitions
            .iter_mut()
            .flat_map(|partition| &mut partition.files);
        let mut fullest: Vec<_> = files.filter(|file| file.encoder.held().group > 0).collect();
        fullest.sort_by_cached_key(|file| Reverse(file.encoder.held().group));
        for file in fullest {
            if self.held_bytes <= wanted {
                break;
            }
            let before = file.encoder.held().all;
            let written = file.encoder.write_group();
            written.map_err(|error| failed("write", &self.config.folder.join(&file.temporary), error))?;
            self.held_bytes = self.held_bytes - before + file.encoder.held().all;
        }
        // What is left is of row groups that are written. It goes with their files.
        while self.held_bytes > wanted {
            let held = |place: &usize| {
                let files = self.partitions[*place].files.iter();
                files.map(|file| file.encoder.held().all).sum::<usize>()
            };
            let fullest = (0..self.partitions.len()).max_by_key(held);
            let Some(fullest) = fullest.filter(|place| held(place) > 0) else {
                break;
            };
            self.roll(fullest)?;
        }
        Ok(())
    }

    /// How much that is, file by file.
    #[cfg(test)]
    pub fn held_bytes(&self) -> (usize, usize) {
        let files = self.partitions.iter().flat_map(|partition| &partition.files);
        let summed = files.map(|file| file.encoder.held().all).sum();
        (self.held_bytes, summed)
    }
}
