//! Where state is kept, and how much of it in memory.
use std::path::{Path, PathBuf};

use super::{ConfigError, StreamsConfig};
use crate::store::default_state_dir;

/// Where local state is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum StateDir {
    /// In the user's own directory.
    #[default]
    OfUser,
    /// Nowhere: each start reads the changelogs.
    Off,
    At(PathBuf),
}

impl From<&Path> for StateDir {
    fn from(path: &Path) -> Self {
        match path.as_os_str().is_empty() {
            true => Self::Off,
            false => Self::At(path.to_owned()),
        }
    }
}

impl StreamsConfig {
    /// Where local state is kept (`state.dir`); an empty path switches it off, so that each start reads the changelogs.
    pub fn state_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.state_dir = path.as_ref().into();
        self
    }

    /// The directory, unless local state is switched off.
    pub(crate) fn local_state_dir(&self) -> Option<PathBuf> {
        match &self.state_dir {
            StateDir::At(path) => Some(path.clone()),
            StateDir::Off => None,
            StateDir::OfUser => {
                let path = default_state_dir();
                if path.is_none() {
                    tracing::warn!(
                        "there is no home directory to keep local state in, so that each start reads the changelogs; set state.dir"
                    );
                }
                path
            }
        }
    }

    /// The bytes of state to keep in memory at most, if there is a limit.
    pub(crate) fn cache_bytes_max(&self) -> Option<usize> {
        self.cache_bytes_max
    }

    /// How many warm copies of each task's state there should be.
    pub(crate) fn standbys(&self) -> usize {
        self.standbys
    }

    /// Whether there is a place for the state that memory has no room for.
    pub(super) fn check_state(&self) -> Result<(), ConfigError> {
        if self.cache_bytes_max.is_some() && self.local_state_dir().is_none() {
            return Err(ConfigError::Missing {
                key: "state.dir",
                remedy: "statestore.cache.max.bytes needs it: what memory has no room for is read from there",
            });
        }
        Ok(())
    }
}
