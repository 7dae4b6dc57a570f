//! A broker inside this process, in a directory that is given or temporary.

use std::path::{Path, PathBuf};

use millstream_broker::{Broker, BrokerHandle};
use tempfile::TempDir;

use crate::error::CliError;
use crate::stop::StopSignal;

/// A running broker and, where it is ours, its temporary directory.
#[derive(Debug)]
pub struct EmbeddedBroker {
    handle: BrokerHandle,
    directory: Directory,
}

#[derive(Debug)]
enum Directory {
    Given,
    /// Removed when dropped; held only for that.
    Temporary(TempDir),
}

impl EmbeddedBroker {
    /// Starts a broker on a free loopback port.
    pub fn start(data_dir: Option<&Path>, stop: &StopSignal) -> Result<Self, CliError> {
        let (path, directory): (PathBuf, Directory) =
            match data_dir {
                Some(path) => (path.to_owned(), Directory::Given),
                None => {
                    let temporary = tempfile::Builder::new().prefix("millstream-").tempdir().map_err(|error| {
                    CliError::new(format!(
                        "cannot create a temporary directory in {}: {error}; name one with --data-dir",
                        std::env::temp_dir().display()
                    ))
                })?;
                    stop.remove_on_exit(temporary.path().to_owned());
                    (temporary.path().to_owned(), Directory::Temporary(temporary))
                }
            };
        let handle = Broker::builder()
            .data_dir(&path)
            .listener("127.0.0.1:0")
            .start_blocking()
            .map_err(|error| CliError::new(error.to_string()))?;
        Ok(Self { handle, directory })
    }

    /// The address that clients connect to.
    pub fn bootstrap(&self) -> String {
        self.handle.address().to_string()
    }

    /// Stops cleanly and removes a temporary directory.
    pub fn stop(self) -> Result<(), CliError> {
        self.handle
            .shutdown_blocking()
            .map_err(|error| CliError::new(error.to_string()))?;
        match self.directory {
            Directory::Given => Ok(()),
            Directory::Temporary(directory) => {
                let path = directory.path().to_owned();
                directory
                    .close()
                    .map_err(|error| CliError::new(format!("cannot remove {}: {error}", path.display())))
            }
        }
    }
}
