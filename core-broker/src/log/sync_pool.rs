//! Threads that sync several files at once.
//!
//! Why: a file system commits its journal once for all who wait at that moment. Syncing the files of a round one after
//! the other pays for a commit each; syncing them together pays for one or two.
//! Owns: the threads, which start when first needed and rest between rounds.
//! Does not own: what is to be synced when, or what follows ([`super::sync`]).

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::config::Disk;
use super::lock::lock;

/// Threads beside the caller's. They wait for the disk, not for a processor.
const HELPERS_MAX: usize = 15;
/// They call the file system and nothing else.
const STACK_BYTES: usize = 128 << 10;

/// Files that are synced in their order, the folder after them.
#[derive(Debug, Default)]
pub(crate) struct Order {
    pub(crate) files: Vec<Arc<File>>,
    pub(crate) folder: Option<File>,
}

impl Order {
    pub(crate) fn len(&self) -> usize {
        self.files.len() + usize::from(self.folder.is_some())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        self.files.iter().try_for_each(|file| disk.sync_data(file))?;
        self.folder.iter().try_for_each(|folder| disk.sync_dir(folder))
    }
}

/// What one call of [`SyncPool::sync`] has to do; taken from by all threads.
#[derive(Debug)]
struct Round {
    disk: Arc<dyn Disk>,
    orders: Vec<Order>,
    next: AtomicUsize,
    /// Orders that are not done, and the first error.
    left: Mutex<(usize, Option<io::Error>)>,
    done: Condvar,
}

impl Round {
    fn work(&self) {
        while let Some(order) = self.orders.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let report = Report(self);
            let result = order.sync(&*self.disk);
            report.end(result);
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut left = lock(&self.left);
        while left.0 > 0 {
            left = self
                .done
                .wait(left)
                .expect("no thread panics while it holds the count");
        }
        left.1.take().map_or(Ok(()), Err)
    }
}

/// Counts an order as done, even if its thread panics.
struct Report<'a>(&'a Round);

impl Report<'_> {
    fn end(self, result: io::Result<()>) {
        if let Err(error) = result {
            lock(&self.0.left).1.get_or_insert(error);
        }
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        let mut left = lock(&self.0.left);
        if thread::panicking() {
            left.1
                .get_or_insert_with(|| io::Error::other("a sync thread panicked"));
        }
        left.0 -= 1;
        if left.0 == 0 {
            self.0.done.notify_one();
        }
    }
}

#[derive(Debug, Default)]
struct Board {
    round: Option<Arc<Round>>,
    /// Helpers that may still join the round.
    wanted: usize,
    helpers: usize,
    stopped: bool,
}

/// The threads; they end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct SyncPool {
    shared: Arc<(Mutex<Board>, Condvar)>,
}

impl SyncPool {
    /// Syncs all orders, several at once; returns when the last is done, with the first error.
    pub(crate) fn sync(&self, disk: &Arc<dyn Disk>, mut orders: Vec<Order>) -> io::Result<()> {
        if let [_] | [] = orders[..] {
            return orders.pop().map_or(Ok(()), |order| order.sync(&**disk));
        }
        let helpers = (orders.len() - 1).min(HELPERS_MAX);
        let round = Arc::new(Round {
            disk: disk.clone(),
            left: Mutex::new((orders.len(), None)),
            orders,
            next: AtomicUsize::new(0),
            done: Condvar::new(),
        });
        {
            let mut board = lock(&self.shared.0);
            board.round = Some(round.clone());
            board.wanted = helpers;
            while board.helpers < helpers && self.spawn() {
                board.helpers += 1;
            }
        }
        (0..helpers).for_each(|_| self.shared.1.notify_one());
        round.work();
        // Who joins from here on would find nothing.
        lock(&self.shared.0).round = None;
        round.wait()
    }

    /// Whether there is one more thread. With fewer the round takes longer, that is all.
    fn spawn(&self) -> bool {
        let shared = self.shared.clone();
        thread::Builder::new()
            .name("log-sync-helper".into())
            .stack_size(STACK_BYTES)
            .spawn(move || help(&shared))
            .is_ok()
    }
}

impl Drop for SyncPool {
    fn drop(&mut self) {
        lock(&self.shared.0).stopped = true;
        self.shared.1.notify_all();
    }
}

fn help((board, changed): &(Mutex<Board>, Condvar)) {
    let mut held = lock(board);
    while !held.stopped {
        let round = match held.wanted {
            0 => None,
            _ => held.round.clone(),
        };
        held = match round {
            Some(round) => {
                held.wanted -= 1;
                drop(held);
                round.work();
                lock(board)
            }
            None => changed
                .wait(held)
                .expect("no thread panics while it holds the board"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::*;

    /// Counts, and fails or panics at one sync.
    #[derive(Debug, Default)]
    struct Counting {
        syncs: AtomicUsize,
        at_once: AtomicUsize,
        most_at_once: AtomicUsize,
        fail_at: Option<usize>,
        panics: AtomicBool,
    }

    impl Disk for Counting {
        fn sync_data(&self, _file: &File) -> io::Result<()> {
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(1));
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            match self.fail_at == Some(self.syncs.fetch_add(1, Ordering::SeqCst)) {
                true if self.panics.load(Ordering::SeqCst) => panic!("as the test wants it"),
                true => Err(io::Error::other("worn out")),
                false => Ok(()),
            }
        }
    }

    fn orders(count: usize) -> Vec<Order> {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let order = || Order {
            files: vec![file.clone(); 2],
            folder: None,
        };
        (0..count).map(|_| order()).collect()
    }

    #[test]
    fn every_file_of_every_round_is_synced_several_at_once() {
        let counting = Arc::new(Counting::default());
        let disk: Arc<dyn Disk> = counting.clone();
        let pool = SyncPool::default();
        let mut expected = 0;
        for count in [0, 1, 2, 40, 3, 16, 1, 100] {
            pool.sync(&disk, orders(count)).unwrap();
            expected += 2 * count;
            assert_eq!(counting.syncs.load(Ordering::SeqCst), expected);
        }
        let most = counting.most_at_once.load(Ordering::SeqCst);
        assert!((2..=HELPERS_MAX + 1).contains(&most), "{most}");
    }

    #[test]
    fn an_error_and_a_panic_reach_the_caller_and_the_pool_goes_on() {
        for panics in [false, true] {
            let disk: Arc<dyn Disk> = Arc::new(Counting {
                fail_at: Some(9),
                panics: panics.into(),
                ..Counting::default()
            });
            let pool = SyncPool::default();
            // The sync that fails may fall to the caller, whose own panic it then is.
            let result =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.sync(&disk, orders(30))));
            assert!(!matches!(result, Ok(Ok(()))));
            pool.sync(&disk, orders(30)).unwrap();
        }
    }
}
