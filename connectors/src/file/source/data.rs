//! The data of a file: its bytes, unpacked if it is compressed.
//!
//! Positions are positions in the data. A plain file is read where it is wanted; a compressed one from its beginning, keeping what lies behind the
//! last read, so that going on costs nothing and going back costs a reading from the start.
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::place::Stamp;

/// An open file.
pub(super) enum Data {
    Plain(File),
    Packed(Packed),
}

/// A compressed file and the part of its data that was unpacked last.
pub(super) struct Packed {
    file: File,
    decoder: Option<Box<dyn Read + Send>>,
    window: Vec<u8>,
    /// The position of the window's first byte.
    base: u64,
    kind: Packing,
    /// What was unpacked last ends within a frame.
    unfinished: bool,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstandard,
}

impl Packing {
    fn of(file: &File) -> io::Result<Option<Self>> {
        let mut magic = [0; 4];
        let mut length = 0;
        while length < magic.len() {
            match file.read_at(&mut magic[length..], length as u64) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(match &magic[..length] {
            // Two bytes are enough for a file that is cut there: neither pair begins a text.
            [0x1f, 0x8b] | [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5] | [0x28, 0xb5, 0x2f] | [0x28, 0xb5, 0x2f, 0xfd] => Some(Self::Zstandard),
            _ => None,
        })
    }
}

impl Data {
    /// Opens a file. It never waits, not even if the file has become a pipe.
    ///
    /// # Errors
    /// The file system's, or that it is no file.
    pub fn open(path: &Path, unpack: bool) -> io::Result<(Self, Stamp)> {
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        let flags = i32::try_from(flags).expect("flags of open are an int in C");
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let stamp = Stamp::of(&metadata);
        let mut data = Self::Plain(file);
        if unpack {
            data.tell_packing()?;
        }
        Ok((data, stamp))
    }

    /// Looks whether the file is compressed: it may have been empty before.
    ///
    /// # Errors
    /// The file system's.
    pub fn tell_packing(&mut self) -> io::Result<()> {
        if let Self::Plain(file) = self
            && let Some(kind) = Packing::of(file)?
        {
            *self = Self::Packed(Packed {
                file: file.try_clone()?,
                decoder: None,
                window: Vec::new(),
                base: 0,
                kind,
                unfinished: false,
            });
        }
        Ok(())
    }

    /// What the file system says of it now.
    ///
    /// # Errors
    /// The file system's.
    pub fn stamp(&self) -> io::Result<Stamp> {
        let file = match self {
            Self::Plain(file) | Self::Packed(Packed { file, .. }) => file,
        };
        Ok(Stamp::of(&file.metadata()?))
    }

    /// The file, if its data are its bytes.
    pub fn plain(&self) -> Option<&File> {
        match self {
            Self::Plain(file) => Some(file),
            Self::Packed(_) => None,
        }
    }

    /// Whether reading its end again means reading all of it.
    pub fn is_packed(&self) -> bool {
        matches!(self, Self::Packed(_))
    }

    /// Whether the end that was read last is one within a frame, so that what is there is not all.
    pub fn is_unfinished(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Packed(packed) => packed.unfinished,
        }
    }

    /// How much of a compressed file was unpacked, in bytes as they lie on the disk.
    pub fn packed_position(&self) -> u64 {
        match self {
            Self::Plain(_) => 0,
            // The decoder reads through a copy of the descriptor, which shares its position.
            Self::Packed(Packed { file, .. }) => {
                let mut file: &File = file;
                file.stream_position().unwrap_or(0)
            }
        }
    }

    /// The bytes from `from` on, `most` of them; fewer only at the end.
    ///
    /// # Errors
    /// The file system's, or that a compressed file is damaged.
    pub fn read(&mut self, from: u64, most: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(file) => {
                let size = file.metadata()?.len();
                let there = usize::try_from(size.saturating_sub(from)).unwrap_or(usize::MAX);
                // One byte more, so that the end is seen without growing.
                let mut bytes = Vec::with_capacity(most.min(there.saturating_add(1)));
                file.seek(SeekFrom::Start(from))?;
                (&*file).take(most as u64).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Self::Packed(packed) => packed.read(from, most),
        }
    }
}

impl Packed {
    fn rewind(&mut self) -> io::Result<()> {
        self.window = Vec::new();
        self.base = 0;
        self.unfinished = false;
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        let file = BufReader::with_capacity(64 << 10, file);
        self.decoder = Some(match self.kind {
            Packing::Gzip => Box::new(MultiGzDecoder::new(file)),
            Packing::Zstandard => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
        });
        Ok(())
    }

    /// Unpacks until the window has `length` bytes.
    fn fill(&mut self, length: usize) -> io::Result<()> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(());
        };
        let missing = length.saturating_sub(self.window.len());
        let read = decoder.take(missing as u64).read_to_end(&mut self.window);
        match read {
            Ok(read) => {
                // A decoder that has ended does not see what is appended later.
                if read < missing {
                    self.decoder = None;
                }
                Ok(())
            }
            // What is there of a file that is being written; when it has grown, it is read again from its start.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.decoder = None;
                self.unfinished = true;
                Ok(())
            }
            Err(error) => {
                self.decoder = None;
                let damaged =
                    format!("its compressed data are damaged ({error}): restore the file, or remove it");
                Err(io::Error::new(io::ErrorKind::InvalidData, damaged))
            }
        }
    }

    fn read(&mut self, from: u64, most: usize) -> io::Result<Vec<u8>> {
        let end = from.saturating_add(most as u64);
        let known = self.base + self.window.len() as u64;
        if from < self.base || (self.decoder.is_none() && end > known) {
            self.rewind()?;
        }
        loop {
            let before = usize::try_from(from - self.base).unwrap_or(usize::MAX);
            if before <= self.window.len() {
                self.window.drain(..before);
                self.base = from;
                self.fill(most)?;
                return Ok(self.window[..self.window.len().min(most)].to_vec());
            }
            self.base += self.window.len() as u64;
            self.window.clear();
            self.fill(before.min(1 << 20))?;
            if self.window.is_empty() {
                return Ok(Vec::new());
            }
        }
    }
}
