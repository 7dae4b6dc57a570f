//! The file descriptor of a stream: what is there is taken, and nothing is waited for but where a wait can be dropped.
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;
/// How long a thread may still wait when nobody waits for it any more.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// An open stream.
#[derive(Debug, Clone)]
pub(super) struct Input {
    file: Arc<File>,
    is_pipe: bool,
}

/// What a look at a stream finds.
pub(super) enum Got {
    Data(Vec<u8>),
    /// Not yet.
    Nothing,
    /// All who wrote to it have closed it.
    Closed,
}

impl Input {
    /// The standard input; nothing, if the process has none.
    pub fn standard() -> io::Result<Self> {
        let file = match rustix::io::dup(rustix::stdio::stdin()) {
            Ok(own) => File::from(own),
            Err(rustix::io::Errno::BADF) => File::open("/dev/null")?,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            file: Arc::new(file),
            is_pipe: false,
        })
    }

    /// A named pipe, for whose writers nobody waits, or a device.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        let flags = i32::try_from(flags).expect("flags of open are an int in C");
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let is_pipe = file.metadata()?.file_type().is_fifo();
        Ok(Self {
            file: Arc::new(file),
            is_pipe,
        })
    }

    pub fn is_pipe(&self) -> bool {
        self.is_pipe
    }

    /// Opens what has the name now, if it is another pipe; says whether it is.
    ///
    /// # Errors
    /// The file system's, or that it is no pipe any more.
    pub fn renew(&mut self, path: &Path) -> io::Result<bool> {
        let there = match fs::metadata(path) {
            Ok(there) => there,
            // It may be made anew.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let own = self.file.metadata()?;
        if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
            return Ok(false);
        }
        if !there.file_type().is_fifo() {
            return Err(io::Error::other("it is no pipe any more"));
        }
        *self = Self::open(path)?;
        Ok(true)
    }

    /// What is there.
    ///
    /// # Errors
    /// The file system's.
    pub fn read(&self) -> io::Result<Got> {
        let seen = look(&self.file, Duration::ZERO)?;
        if seen.is_empty() {
            return Ok(Got::Nothing);
        }
        // Without data, a pipe without a writer says so here; reading one that never had a writer would say the same.
        if seen.contains(PollFlags::HUP) && !seen.contains(PollFlags::IN) {
            return Ok(Got::Closed);
        }
        let mut part = vec![0; READ_BYTES];
        match rustix::io::read(self.file.as_fd(), &mut part[..]) {
            Ok(0) => Ok(Got::Closed),
            Ok(length) => {
                part.truncate(length);
                Ok(Got::Data(part))
            }
            // Who shares it was faster.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Got::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until there may be something to read, or the time is over. Who stops waiting leaves everything where it is.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn wait(&self, most: Duration) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        let wait = move || look(&file, most.min(WAIT_MAX)).map(drop);
        tokio::task::spawn_blocking(wait)
            .await
            .map_err(io::Error::other)?
    }
}

/// What there is of a stream, as soon as there is something, but not after more than `most`.
fn look(file: &File, most: Duration) -> io::Result<PollFlags> {
    let mut fds = [PollFd::new(file, PollFlags::IN)];
    let most = Timespec::try_from(most).map_err(io::Error::other)?;
    match poll(&mut fds, Some(&most)) {
        Ok(_) => Ok(fds[0].revents()),
        Err(rustix::io::Errno::INTR) => Ok(PollFlags::empty()),
        Err(error) => Err(error.into()),
    }
}
