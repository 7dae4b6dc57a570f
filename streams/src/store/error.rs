//! How local stores fail.
use std::path::PathBuf;

use thiserror::Error;

/// Local state that cannot be kept or read. The changelogs have all of it, so nothing is lost.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum LocalStoreError {
    /// The state directory cannot be used.
    #[error(
        "the state directory {path} cannot be used: {cause}; give state.dir a directory that this user can write, \
         or leave it empty to do without local state"
    )]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// More processes than there are places.
    #[error(
        "{slots} processes of the job use the state directory {path} already; give this one another state.dir"
    )]
    Crowded {
        /// The job's directory.
        path: PathBuf,
        /// How many there may be.
        slots: usize,
    },
    /// A process of the job still runs.
    #[error("a process of the job uses {path}; stop it first")]
    InUse {
        /// Its directory.
        path: PathBuf,
    },
    /// A local store that cannot be read.
    #[error(
        "the local store of {changelog} in {path} cannot be read: {cause}; it was given up, and the next start restores it \
         from the changelog"
    )]
    Read {
        /// The changelog's partition.
        changelog: String,
        /// The state directory.
        path: PathBuf,
        /// What the store says.
        cause: String,
    },
    /// A local store that cannot be written.
    #[error(
        "the local store of {changelog} in {path} cannot be written: {cause}; is there room on the disk?"
    )]
    Write {
        /// The changelog's partition.
        changelog: String,
        /// The state directory.
        path: PathBuf,
        /// What the store says.
        cause: String,
    },
    /// The changelog is still being read.
    #[error("the local store of {changelog} is being restored from its changelog; ask again")]
    Restoring {
        /// The changelog's partition.
        changelog: String,
    },
    /// Another thread of the process was given the partition meanwhile.
    #[error("the local store of {changelog} was taken over by another thread, which was given the partition")]
    Taken {
        /// The changelog's partition.
        changelog: String,
    },
}
