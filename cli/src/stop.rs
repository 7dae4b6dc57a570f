//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the process at once.
//!
//! Commands poll [`StopSignal::requested`] between small steps, or wait on it; nothing is torn down inside a signal
//! handler.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::CliError;

/// Signals within so long of the first one are one with it.
const ONE_WISH: Duration = Duration::from_millis(200);

/// Whether the user asked for a stop.
#[derive(Clone, Debug, Default)]
pub struct StopSignal {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requested: AtomicBool,
    lock: Mutex<()>,
    /// Removed when the process is ended at once.
    temporary: Mutex<Vec<PathBuf>>,
    changed: Condvar,
}

impl StopSignal {
    /// Listens for SIGINT and SIGTERM on a thread of its own from now on.
    pub fn listen() -> Result<Self, CliError> {
        let signal = Self::default();
        let seen = signal.clone();
        let cannot = |error: std::io::Error| CliError::new(format!("cannot listen for signals: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(cannot)?;
        let (mut interrupt, mut terminate) = {
            use tokio::signal::unix::{SignalKind, signal};
            let _context = runtime.enter();
            (
                signal(SignalKind::interrupt()).map_err(cannot)?,
                signal(SignalKind::terminate()).map_err(cannot)?,
            )
        };
        let wait = move || {
            runtime.block_on(async {
                let mut first: Option<Instant> = None;
                loop {
                    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                    // One wish may come as two signals: `timeout` and some shells send one to the process and one to its group.
                    let since = first.get_or_insert_with(Instant::now).elapsed();
                    if seen.requested() && since < ONE_WISH {
                        continue;
                    }
                    if seen.requested() {
                        eprintln!("millstream: stopped at once by a second signal");
                        seen.remove_temporary();
                        std::process::exit(130);
                    }
                    seen.request();
                }
            });
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(wait)
            .map_err(cannot)?;
        Ok(signal)
    }

    /// Whether a stop was asked for.
    pub fn requested(&self) -> bool {
        self.inner.requested.load(Ordering::Acquire)
    }

    /// [`CliError::Interrupted`] once a stop was asked for.
    pub fn check(&self) -> Result<(), CliError> {
        if self.requested() {
            Err(CliError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Blocks until a stop is asked for, `limit` at most; says whether it was.
    pub fn wait(&self, limit: Duration) -> bool {
        let guard = self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let (_guard, _timeout) = self
            .inner
            .changed
            .wait_timeout_while(guard, limit, |()| !self.requested())
            .unwrap_or_else(PoisonError::into_inner);
        self.requested()
    }

    /// Names a directory that must not outlive the process even where it is ended at once.
    pub fn remove_on_exit(&self, directory: PathBuf) {
        self.inner
            .temporary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(directory);
    }

    fn remove_temporary(&self) {
        for directory in self
            .inner
            .temporary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            if let Err(error) = std::fs::remove_dir_all(&directory) {
                eprintln!("millstream: cannot remove {}: {error}", directory.display());
            }
        }
    }

    /// Asks for a stop, as a signal does.
    pub fn request(&self) {
        let _guard = self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.requested.store(true, Ordering::Release);
        self.inner.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_wakes_whoever_waits() {
        let signal = StopSignal::default();
        assert!(!signal.wait(Duration::from_millis(1)));
        let other = signal.clone();
        let waiter = std::thread::spawn(move || other.wait(Duration::from_secs(60)));
        signal.request();
        assert!(waiter.join().expect("the waiter does not panic"));
        assert!(matches!(signal.check(), Err(CliError::Interrupted)));
    }
}
