//! The files to count, read block by block and cut into lines.
//!
//! Owns: which files there are, line ends, over-long lines (cut where a word ends, so that counts stay right), and
//! noticing bytes that are not UTF-8. Does not own: what a word is (`millstream_streams`).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use millstream_streams::is_word_char;

use crate::error::CliError;
use crate::stop::StopSignal;

/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Longest record, in bytes: below the 1 MiB that every Kafka broker takes by default. Longer lines become several
/// records; a longer *word* is refused.
pub const RECORD_BYTES_MAX: usize = 900_000;

/// Longest word, in bytes: with its partial count it must fit into a record of the job's own topics.
const WORD_BYTES_MAX: usize = 250_000;
/// Blocks that wait between a pipe and the loader.
const BLOCKS_WAITING_MAX: usize = 2;
/// How long a pipe may be silent before a request to stop is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What there is to count, in order.
#[derive(Debug)]
pub struct Inputs {
    sources: Vec<Source>,
}

#[derive(Debug)]
enum Source {
    StandardInput,
    /// Opened again when its turn comes, so that thousands of files need few descriptors.
    Regular(PathBuf),
    /// A pipe or device: what opened it once must not be closed before it is read.
    Stream(PathBuf, File),
}

impl Source {
    fn name(&self) -> String {
        match self {
            Self::StandardInput => "standard input".into(),
            Self::Regular(path) | Self::Stream(path, _) => path.display().to_string(),
        }
    }
}

/// What was seen while reading.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Lines, the last one counted whether or not a line feed ends it.
    pub lines: u64,
    /// The first input that is not UTF-8 throughout, and the line in it.
    pub not_utf8: Option<(String, u64)>,
}

impl Inputs {
    /// Checks every file before anything is started: it must exist, be readable and not be a directory.
    pub fn open(files: &[PathBuf]) -> Result<Self, CliError> {
        let mut sources = Vec::new();
        for path in files {
            if path == Path::new("-") {
                sources.push(Source::StandardInput);
                continue;
            }
            let file = open(path)?;
            let regular = file.metadata().is_ok_and(|meta| meta.is_file());
            sources.push(if regular {
                Source::Regular(path.clone())
            } else {
                Source::Stream(path.clone(), file)
            });
        }
        if sources.is_empty() {
            sources.push(Source::StandardInput);
        }
        Ok(Self { sources })
    }

    /// Bytes to read in all, where that is known beforehand (regular files).
    pub fn bytes_total(&self) -> Option<u64> {
        self.sources
            .iter()
            .map(|source| match source {
                Source::StandardInput | Source::Stream(..) => None,
                Source::Regular(path) => path.metadata().ok().map(|meta| meta.len()),
            })
            .sum()
    }

    /// Calls `block(lines, bytes read)` with every block's lines, in order; stops at its first error, and when the user
    /// asks, even where a pipe is silent.
    pub fn for_each_block(
        self,
        stop: &StopSignal,
        mut block: impl FnMut(Lines<'_>, u64) -> Result<(), CliError>,
    ) -> Result<Seen, CliError> {
        let mut seen = Seen::default();
        for source in self.sources {
            let name = source.name();
            let result = match source {
                Source::Regular(path) => read(&mut open(&path)?, &name, &mut seen, &mut block),
                Source::Stream(_, file) => read(&mut Piped::start(file, stop)?, &name, &mut seen, &mut block),
                Source::StandardInput => read(
                    &mut Piped::start(std::io::stdin(), stop)?,
                    &name,
                    &mut seen,
                    &mut block,
                ),
            };
            stop.check()?;
            result?;
        }
        Ok(seen)
    }
}

/// Reads a pipe on a thread of its own, so that whoever reads it can be stopped while nothing comes.
struct Piped<'a> {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
    stop: &'a StopSignal,
}

impl<'a> Piped<'a> {
    fn start(source: impl Read + Send + 'static, stop: &'a StopSignal) -> Result<Self, CliError> {
        let (sender, blocks) = sync_channel(BLOCKS_WAITING_MAX);
        std::thread::Builder::new()
            .name("input".into())
            .spawn(move || read_blocks(source, &sender))
            .map_err(|error| CliError::new(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            blocks,
            block: Vec::new(),
            at: 0,
            stop,
        })
    }
}

/// Hands over blocks until the source ends or nobody wants more.
fn read_blocks(mut source: impl Read, blocks: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut block = vec![0; BLOCK_BYTES];
        let result = source.read(&mut block);
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::Interrupted) {
            continue;
        }
        let last = !matches!(result, Ok(1..));
        let handed = blocks.send(result.map(|count| {
            block.truncate(count);
            block
        }));
        if last || handed.is_err() {
            return;
        }
    }
}

impl Read for Piped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if self.stop.requested() {
                return Err(io::Error::other("stopped"));
            }
            match self.blocks.recv_timeout(LOOK) {
                Ok(block) => (self.block, self.at) = (block?, 0),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
            if self.block.is_empty() {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn open(path: &Path) -> Result<File, CliError> {
    let name = path.display();
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CliError::new(format!("{name}: no such file; check the path")),
        std::io::ErrorKind::PermissionDenied => CliError::new(format!(
            "{name}: permission denied; make it readable for this user"
        )),
        _ => CliError::new(format!("{name}: cannot be opened: {error}")),
    })?;
    let is_dir = file.metadata().map(|meta| meta.is_dir()).unwrap_or(false);
    if is_dir {
        return Err(CliError::new(format!(
            "{name}: is a directory; name the files in it, e.g. {name}/*"
        )));
    }
    Ok(file)
}

/// Reads one source to its end.
fn read(
    source: &mut impl Read,
    name: &str,
    seen: &mut Seen,
    block: &mut impl FnMut(Lines<'_>, u64) -> Result<(), CliError>,
) -> Result<(), CliError> {
    // `buffer[..filled]` holds bytes that are not yet handed over.
    let mut buffer = vec![0; BLOCK_BYTES + RECORD_BYTES_MAX];
    let mut filled = 0;
    let mut line = 0;
    let mut line_open = false;
    loop {
        let end = (filled + BLOCK_BYTES).min(buffer.len());
        let read = match source.read(&mut buffer[filled..end]) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(CliError::new(format!(
                    "{name}: reading failed in line {}: {error}",
                    line + 1
                )));
            }
        };
        filled += read;
        let bytes = &buffer[..filled];
        let whole = if read == 0 { filled } else { whole_records(bytes) };
        if whole == 0 && filled >= RECORD_BYTES_MAX {
            return Err(word_too_long(name, line + 1));
        }
        note_invalid(&bytes[..whole], name, line, seen);
        let line_feeds = memchr::memchr_iter(b'\n', &bytes[..whole]).count() as u64;
        block(
            Lines {
                rest: &bytes[..whole],
                name,
                line: line + 1,
            },
            read as u64,
        )?;
        line += line_feeds;
        seen.lines += line_feeds;
        line_open = bytes[..whole].last().map_or(line_open, |&last| last != b'\n');
        if read == 0 {
            seen.lines += u64::from(line_open);
            return Ok(());
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

fn word_too_long(name: &str, line: u64) -> CliError {
    CliError::new(format!(
        "{name}: line {line} holds a word of more than {WORD_BYTES_MAX} bytes; is this text?"
    ))
}

/// How many of the bytes can be handed over before more are read: up to the last line feed or, where a line is too long
/// for one record, up to the end of its last whole word.
fn whole_records(bytes: &[u8]) -> usize {
    match memchr::memrchr(b'\n', bytes) {
        Some(at) => at + 1,
        None if bytes.len() < RECORD_BYTES_MAX => 0,
        None => after_last_separator(bytes),
    }
}

/// Position behind the last character that is in no word; 0 when there is none.
fn after_last_separator(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    while end > 0 {
        let start = (end.saturating_sub(4)..end)
            .rev()
            .find(|&at| bytes[at] & 0b1100_0000 != 0b1000_0000)
            .unwrap_or(end - 1);
        match std::str::from_utf8(&bytes[start..end])
            .ok()
            .and_then(|text| text.chars().next())
        {
            Some(character) if !is_word_char(character) => return end,
            Some(_) => {}
            // Not UTF-8: it may be the beginning of a character that goes on in the next block, so it is no place to cut.
            None => {}
        }
        end = start;
    }
    0
}

/// Whether a word in these bytes is longer than `limit` bytes.
fn has_word_over(bytes: &[u8], limit: usize) -> bool {
    let mut length = 0;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            length = if is_word_char(character) {
                length + character.len_utf8()
            } else {
                0
            };
            if length > limit {
                return true;
            }
        }
        if !chunk.invalid().is_empty() {
            length = 0;
        }
    }
    false
}

/// Remembers the first line that is not UTF-8.
fn note_invalid(bytes: &[u8], name: &str, lines_before: u64, seen: &mut Seen) {
    if seen.not_utf8.is_none()
        && let Err(error) = std::str::from_utf8(bytes)
    {
        let line = memchr::memchr_iter(b'\n', &bytes[..error.valid_up_to()]).count() as u64;
        seen.not_utf8 = Some((name.to_owned(), lines_before + line + 1));
    }
}

/// The records of one block: its lines without their line feeds, over-long ones in parts.
#[derive(Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    name: &'a str,
    line: u64,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let window = &self.rest[..self.rest.len().min(RECORD_BYTES_MAX)];
        let (line, skip) = match memchr::memchr(b'\n', window) {
            Some(at) => (&self.rest[..at], at + 1),
            None if self.rest.len() <= RECORD_BYTES_MAX => (self.rest, self.rest.len()),
            None => match after_last_separator(window) {
                0 => return Some(Err(word_too_long(self.name, self.line))),
                end => (&self.rest[..end], end),
            },
        };
        if line.len() > WORD_BYTES_MAX && has_word_over(line, WORD_BYTES_MAX) {
            return Some(Err(word_too_long(self.name, self.line)));
        }
        self.line += u64::from(skip > line.len());
        self.rest = &self.rest[skip..];
        Some(Ok(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that hands out `step` bytes at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn records(input: &[u8], step: usize) -> Result<(Vec<Vec<u8>>, Seen), CliError> {
        let mut seen = Seen::default();
        let mut all = Vec::new();
        read(&mut Dripping(input, step), "test", &mut seen, &mut |lines, _| {
            for line in lines {
                all.push(line?.to_vec());
            }
            Ok(())
        })?;
        Ok((all, seen))
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_arrive() {
        for step in [1, 2, 3, 1000] {
            let (all, seen) = records("eins\n\nzw\u{f6}lf\r\nend".as_bytes(), step).unwrap();
            assert_eq!(all, ["eins".as_bytes(), b"", "zw\u{f6}lf\r".as_bytes(), b"end"]);
            assert_eq!(seen.lines, 4);
            assert!(seen.not_utf8.is_none());
        }
        assert_eq!(records(b"", 10).unwrap().1.lines, 0);
        assert_eq!(records(b"a\n", 10).unwrap().1.lines, 1);
    }

    #[test]
    fn a_long_line_is_cut_between_words() {
        let text = "h\u{e9}llo w\u{f6}rld\u{3002}".repeat(200_000);
        let (all, seen) = records(text.as_bytes(), 1 << 20).unwrap();
        assert!(all.len() > 1);
        assert!(all.iter().all(|record| record.len() <= RECORD_BYTES_MAX));
        assert_eq!(seen.lines, 1);
        assert_eq!(all.concat(), text.as_bytes());
        for record in &all {
            assert!(!is_word_char(
                std::str::from_utf8(record).unwrap().chars().next_back().unwrap()
            ));
        }
    }

    #[test]
    fn a_word_without_end_is_refused() {
        let mut text = b"a\n".to_vec();
        text.extend(b"x".repeat(WORD_BYTES_MAX + 1));
        for after in ["", "\n"] {
            text.extend(after.as_bytes());
            let error = records(&text, 1 << 20).unwrap_err();
            assert!(error.to_string().contains("line 2"), "{error}");
        }
    }

    #[test]
    fn a_word_without_end_is_refused_in_a_line_without_end() {
        let mut text = b"a\n".to_vec();
        text.extend(b"x".repeat(3 * RECORD_BYTES_MAX));
        assert!(
            records(&text, 1 << 20)
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
        assert!(records(&b"x".repeat(WORD_BYTES_MAX), 1 << 20).is_ok());
    }

    #[test]
    fn a_last_line_that_was_handed_over_before_the_end_was_seen_counts() {
        let (_, seen) = records(&b"ab ".repeat(333_333), 1 << 20).unwrap();
        assert_eq!(seen.lines, 1);
    }

    #[test]
    fn a_silent_pipe_can_be_left_and_a_closed_one_ends() {
        let (sender, blocks) = sync_channel(1);
        let stop = StopSignal::default();
        let mut piped = Piped {
            blocks,
            block: Vec::new(),
            at: 0,
            stop: &stop,
        };
        sender.send(Ok(b"abc".to_vec())).unwrap();
        let mut buffer = [0; 2];
        assert_eq!((piped.read(&mut buffer).unwrap(), &buffer), (2, b"ab"));
        assert_eq!(piped.read(&mut buffer).unwrap(), 1);
        stop.request();
        assert!(piped.read(&mut buffer).is_err());
        let stop = StopSignal::default();
        let mut piped = Piped { stop: &stop, ..piped };
        drop(sender);
        assert_eq!(piped.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn the_first_line_that_is_not_utf8_is_named() {
        let (_, seen) = records(b"fine\nbad \xff\nbad \xfe", 4).unwrap();
        assert_eq!(seen.not_utf8, Some(("test".into(), 2)));
    }

    #[test]
    fn directories_and_missing_files_are_named() {
        let directory = Inputs::open(&["/".into()]).unwrap_err();
        assert!(directory.to_string().contains("directory"), "{directory}");
        let missing = Inputs::open(&["/no/such/file".into()]).unwrap_err();
        assert!(missing.to_string().contains("/no/such/file"), "{missing}");
    }
}
