//! The files that are read: what is done to them, and what was ever written.
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::random::Random;

/// Renamed files that are kept before the oldest is deleted.
const ROTATED_MAX: usize = 4;

/// Files that are written to, and what should come of it.
pub(super) struct InputFiles {
    /// How many files are written to.
    count: u64,
    directory: PathBuf,
    /// Where copies go that are not to be read.
    backup: PathBuf,
    /// The number of the next line of each file.
    next: BTreeMap<u64, u64>,
    /// What was written of a line that is not complete.
    unfinished: BTreeMap<u64, String>,
    /// Files that were appended to since everything was known to be read.
    dirty: BTreeSet<u64>,
    rotations: u64,
    rotated: Vec<PathBuf>,
    /// How many of the renamed files are known to be read, from the oldest on.
    rotated_read: usize,
}

impl InputFiles {
    pub(super) fn new(directory: &Path, backup: &Path, count: u64) -> Self {
        fs::create_dir_all(directory).unwrap();
        fs::create_dir_all(backup).unwrap();
        Self {
            count,
            directory: directory.to_owned(),
            backup: backup.to_owned(),
            next: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            dirty: BTreeSet::new(),
            rotations: 0,
            rotated: Vec::new(),
            rotated_read: 0,
        }
    }

    fn path(&self, file: u64) -> PathBuf {
        self.directory.join(format!("{file}.log"))
    }

    /// Lines that were begun.
    pub(super) fn lines(&self) -> u64 {
        self.next.values().sum()
    }

    /// Lines that were ended.
    pub(super) fn complete_lines(&self) -> usize {
        usize::try_from(self.lines()).unwrap() - self.unfinished.len()
    }

    /// Everything that was written is known to be read.
    pub(super) fn all_read(&mut self) {
        self.dirty.clear();
        self.rotated_read = self.rotated.len();
    }

    /// Does something to a file; says whether its content was moved or taken away, which may be done only where `all_read`.
    pub(super) fn act(&mut self, random: &mut Random, all_read: bool) -> bool {
        let file = random.below(self.count);
        let path = self.path(file);
        let exists = path.exists();
        match random.below(10) {
            // A file that is renamed goes on being read under its new name.
            7 if exists => {
                self.rotations += 1;
                let rotated = self.directory.join(format!("{file}.log.{}", self.rotations));
                // What it ends with stays a part of a line; the rest of that line would come in another file.
                self.complete(file);
                fs::rename(&path, &rotated).unwrap();
                self.rotated.push(rotated);
                if self.rotated_read > 0 && self.rotated.len() > ROTATED_MAX {
                    self.rotated_read -= 1;
                    fs::remove_file(self.rotated.remove(0)).unwrap();
                }
                true
            }
            8 if exists && all_read && !self.unfinished.contains_key(&file) && self.is_settled(file) => {
                fs::copy(&path, self.backup.join(format!("{file}.log"))).unwrap();
                File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_len(0)
                    .unwrap();
                true
            }
            9 if exists && all_read && !self.unfinished.contains_key(&file) && self.is_settled(file) => {
                fs::remove_file(&path).unwrap();
                true
            }
            _ => {
                self.append(file, random);
                false
            }
        }
    }

    /// Whether nothing was appended to the file since everything was known to be read.
    fn is_settled(&self, file: u64) -> bool {
        !self.dirty.contains(&file)
    }

    fn append(&mut self, file: u64, random: &mut Random) {
        let mut text = String::new();
        for _ in 0..1 + random.below(200) {
            let line = self.new_line(file, random);
            text.push_str(&line);
        }
        // Half a line now and then; whoever appends next ends it.
        if random.below(4) == 0 {
            let line = self.new_line(file, random);
            let cut = usize::try_from(1 + random.below(line.len() as u64 - 1)).unwrap();
            text.push_str(&line[..cut]);
            self.unfinished.insert(file, line[cut..].to_owned());
        }
        self.write(file, &text);
    }

    /// A line; what is left of the one before comes first.
    fn new_line(&mut self, file: u64, random: &mut Random) -> String {
        let rest = self.unfinished.remove(&file).unwrap_or_default();
        let number = self.next.entry(file).or_default();
        let filler = "abcdefghij klmnopqrst".repeat(usize::try_from(random.below(20)).unwrap());
        let line = format!("{rest}{file} {number} {filler}\n");
        *number += 1;
        line
    }

    fn write(&mut self, file: u64, text: &str) {
        let mut options = OpenOptions::new();
        let mut opened = options.create(true).append(true).open(self.path(file)).unwrap();
        opened.write_all(text.as_bytes()).unwrap();
        self.dirty.insert(file);
    }

    /// Ends the line that the file ends with.
    fn complete(&mut self, file: u64) {
        if let Some(rest) = self.unfinished.remove(&file) {
            self.write(file, &rest);
        }
    }

    pub(super) fn complete_all(&mut self) {
        for file in 0..self.count {
            self.complete(file);
        }
    }

    /// Whether these are the lines that were written: each once, those of a file in their order.
    pub(super) fn compare(&self, lines: &[String]) -> Result<(), String> {
        let mut next: BTreeMap<u64, u64> = BTreeMap::new();
        for (place, line) in lines.iter().enumerate() {
            let Some((file, number)) = numbered(line) else {
                return Err(format!("record {place} is no line that was written: {line:?}"));
            };
            let expected = next.entry(file).or_default();
            if number != *expected {
                let wanted = (file, *expected);
                let later = lines
                    .iter()
                    .skip(place)
                    .position(|line| numbered(line) == Some(wanted));
                let found = later.map_or("which never comes".to_owned(), |later| {
                    format!("which is record {}", place + later)
                });
                return Err(format!(
                    "record {place} is line {number} of file {file}, where {expected} comes next, {found}"
                ));
            }
            *expected += 1;
        }
        if next == self.next {
            return Ok(());
        }
        Err(format!(
            "lines by file: {next:?} came, {:?} were written",
            self.next
        ))
    }

    /// Whether these are the lines that were written: each once, those of a file in their order within a partition.
    pub(super) fn compare_partitions(&self, partitions: &[Vec<String>]) -> Result<(), String> {
        let mut found: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for (partition, lines) in partitions.iter().enumerate() {
            let mut last: BTreeMap<u64, u64> = BTreeMap::new();
            for (place, line) in lines.iter().enumerate() {
                let (file, number) = numbered(line).ok_or_else(|| {
                    format!("record {place} of partition {partition} is no line that was written: {line:?}")
                })?;
                if let Some(before) = last.insert(file, number).filter(|before| *before >= number) {
                    return Err(format!(
                        "record {place} of partition {partition} is line {number} of file {file}, behind line {before}"
                    ));
                }
                if !found.entry(file).or_default().insert(number) {
                    return Err(format!(
                        "line {number} of file {file} is there twice, the second time in partition {partition}"
                    ));
                }
            }
        }
        for (file, next) in &self.next {
            let found = found.entry(*file).or_default();
            if let Some(missing) = (0..*next).find(|number| !found.contains(number)) {
                return Err(format!("line {missing} of file {file} is missing, of {next}"));
            }
            if found.len() as u64 != *next {
                return Err(format!(
                    "{} lines of file {file} came, {next} were written",
                    found.len()
                ));
            }
        }
        Ok(())
    }
}

/// The file and the number that a line begins with.
fn numbered(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split(' ').map(str::parse::<u64>);
    Some((words.next()?.ok()?, words.next()?.ok()?))
}
