//! Files of a topic's partitions, in the order in which events come.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{CLOSING, DISORDER_MS, Event, Model, SIDE_ROWS, Topic};

/// What the files hold.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Events, besides those that close what is open.
    pub events: u64,
    /// Partitions of each topic.
    pub partitions: u64,
    /// The seed of all that is random.
    pub seed: u64,
}

/// Where a folder's files are not what they should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file's name.
    pub file: String,
    /// The line, counted from 1.
    pub line: u64,
}

impl Layout {
    /// Calls `take` with each event and its partition, in the order in which they come.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn each<E>(&self, mut take: impl FnMut(&Event, u64) -> Result<(), E>) -> Result<(), E> {
        let model = Model::new(self.seed);
        for key in 0..SIDE_ROWS {
            self.placed(&model.side(key), &mut take)?;
        }
        // By when they come; those that come together, by when they happened.
        let mut coming = BinaryHeap::<Reverse<(u64, u64, Event)>>::new();
        for number in 0..self.events {
            let now = Model::time(number);
            let delay = model.random(4, number).below(DISORDER_MS + 1);
            coming.push(Reverse((now + delay, number, model.event(number))));
            while coming
                .peek()
                .is_some_and(|Reverse((arrival, ..))| *arrival <= now)
            {
                let Some(Reverse((_, _, event))) = coming.pop() else {
                    break;
                };
                self.placed(&event, &mut take)?;
            }
        }
        while let Some(Reverse((_, _, event))) = coming.pop() {
            self.placed(&event, &mut take)?;
        }
        for topic in [Topic::Persons, Topic::Auctions, Topic::Bids] {
            for partition in 0..self.partitions {
                for number in 0..CLOSING {
                    take(&Model::closing(topic, number, self.events), partition)?;
                }
            }
        }
        Ok(())
    }

    /// In the partition that Kafka's partitioner gives its key.
    fn placed<E>(&self, event: &Event, take: &mut impl FnMut(&Event, u64) -> Result<(), E>) -> Result<(), E> {
        let hash = murmur2(event.key.to_string().as_bytes());
        take(event, u64::from(hash & 0x7fff_ffff) % self.partitions)
    }
}

/// The files of a folder: `bids-0.tsv`, a line a record.
#[derive(Debug)]
pub struct Files;

impl Files {
    fn name(topic: Topic, partition: u64) -> String {
        format!("{topic}-{partition}.tsv")
    }

    fn all(layout: &Layout) -> impl Iterator<Item = (Topic, u64)> {
        let partitions = layout.partitions;
        Topic::ALL
            .into_iter()
            .flat_map(move |topic| (0..partitions).map(move |partition| (topic, partition)))
    }

    /// Writes them.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(folder: &Path, layout: &Layout) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut files = BTreeMap::new();
        for (topic, partition) in Self::all(layout) {
            let file = File::create(folder.join(Self::name(topic, partition)))?;
            files.insert((topic, partition), BufWriter::new(file));
        }
        layout.each(|event, partition| {
            let file = files.get_mut(&(event.topic, partition));
            let file = file.expect("there is a file for each partition of each topic");
            file.write_all(event.line().as_bytes())
        })?;
        files.values_mut().try_for_each(Write::flush)
    }

    /// The first place where a folder's files are not those that [`write`](Self::write) makes.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn check(folder: &Path, layout: &Layout) -> io::Result<Option<Difference>> {
        let mut files = BTreeMap::new();
        for (topic, partition) in Self::all(layout) {
            let read = Lines::open(folder.join(Self::name(topic, partition)))?;
            files.insert((topic, partition), read);
        }
        let compared = layout.each(|event, partition| {
            let file = files.get_mut(&(event.topic, partition));
            let file = file.expect("there is a file for each partition of each topic");
            file.expect(event.line().as_bytes(), event.topic, partition)
        });
        let mut ends = || {
            files
                .iter_mut()
                .try_for_each(|((topic, partition), file)| file.expect(b"", *topic, *partition))
        };
        match compared.and_then(|()| ends()) {
            Ok(()) => Ok(None),
            Err(Unequal::Place(difference)) => Ok(Some(difference)),
            Err(Unequal::Unread(error)) => Err(error),
        }
    }
}

/// Why a comparison ended.
enum Unequal {
    Place(Difference),
    Unread(io::Error),
}

/// A file that is compared line by line.
struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            file: BufReader::new(File::open(path)?),
            line: Vec::new(),
            number: 0,
        })
    }

    /// The next line is this one; nothing at the end.
    fn expect(&mut self, expected: &[u8], topic: Topic, partition: u64) -> Result<(), Unequal> {
        self.line.clear();
        self.file
            .read_until(b'\n', &mut self.line)
            .map_err(Unequal::Unread)?;
        self.number += 1;
        if self.line == expected {
            return Ok(());
        }
        Err(Unequal::Place(Difference {
            file: Files::name(topic, partition),
            line: self.number,
        }))
    }
}

/// The hash by which Kafka's partitioner spreads keys (MurmurHash2, its seed).
pub(super) fn murmur2(bytes: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ (word ^ (word >> 24)).wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let rest = rest
            .iter()
            .rev()
            .fold(0, |word: u32, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}
