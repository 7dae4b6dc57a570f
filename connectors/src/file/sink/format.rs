//! How records are written: formats and compression.
use std::io::{self, Write};

use flate2::write::GzEncoder;
use millstream_connect::plugin::PluginError;
use millstream_connect::record::{Record, SchemaRef};

use super::disk::Output;
use super::parquet::{Held, ParquetFile};
use super::{csv, json, text};

/// A format of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Lines,
    JsonLines,
    Csv,
    Parquet,
}

/// A compression of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstandard,
}

impl Format {
    /// Their names.
    pub const NAMES: &'static [&'static str] = &["lines", "jsonl", "csv", "parquet"];

    pub fn parse(name: &str) -> Self {
        match &*name.to_lowercase() {
            "jsonl" => Self::JsonLines,
            "csv" => Self::Csv,
            "parquet" => Self::Parquet,
            _ => Self::Lines,
        }
    }

    /// Whether a file is more than its records one after the other.
    pub fn needs_files(self) -> bool {
        matches!(self, Self::Csv | Self::Parquet)
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Lines => "txt",
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// Writes a record behind what is in `out`.
    ///
    /// # Errors
    /// When it cannot be written in this format; `out` is as it was.
    #[inline]
    pub fn write(self, record: &Record, out: &mut Vec<u8>) -> Result<(), PluginError> {
        let length = out.len();
        let written = match self {
            Self::Lines => {
                text::write_value(&record.value.value, out);
                Ok(())
            }
            Self::JsonLines => json::write_value(&record.value.value, out),
            Self::Csv => csv::write_row(&record.value, out),
            Self::Parquet => Err(PluginError::fatal("Parquet is not written record by record")),
        };
        match written {
            Ok(()) => out.push(b'\n'),
            Err(_) => out.truncate(length),
        }
        written
    }
}

impl Compression {
    pub fn parse(name: &str) -> Self {
        match &*name.to_lowercase() {
            "gzip" => Self::Gzip,
            "zstd" => Self::Zstandard,
            _ => Self::None,
        }
    }
}

/// How names of files end.
pub(super) fn extension(format: Format, compression: Compression) -> String {
    let packed = match compression {
        _ if format == Format::Parquet => "",
        Compression::None => "",
        Compression::Gzip => ".gz",
        Compression::Zstandard => ".zst",
    };
    format!("{}{packed}", format.extension())
}

/// When this much is waiting it is written.
const BUFFER_BYTES: usize = 256 << 10;

enum Packer {
    Plain(Box<dyn Output>),
    Gzip(GzEncoder<Box<dyn Output>>),
    Zstandard(zstd::stream::write::Encoder<'static, Box<dyn Output>>),
    Parquet(Box<ParquetFile>),
}

/// A file that is being written.
pub(super) struct Encoder {
    format: Format,
    packer: Packer,
    waiting: Vec<u8>,
    /// What all its records have, in formats with columns.
    schema: Option<SchemaRef>,
    pub bytes: u64,
    pub records: u64,
}

impl Encoder {
    /// A file with nothing in it.
    ///
    /// # Errors
    /// The compressor's.
    pub fn new(output: Box<dyn Output>, format: Format, compression: Compression) -> io::Result<Self> {
        let packer = match compression {
            _ if format == Format::Parquet => {
                Packer::Parquet(Box::new(ParquetFile::new(output, compression)))
            }
            Compression::None => Packer::Plain(output),
            Compression::Gzip => Packer::Gzip(GzEncoder::new(output, flate2::Compression::default())),
            Compression::Zstandard => Packer::Zstandard(zstd::stream::write::Encoder::new(
                output,
                zstd::DEFAULT_COMPRESSION_LEVEL,
            )?),
        };
        Ok(Self {
            format,
            packer,
            waiting: Vec::new(),
            schema: None,
            bytes: 0,
            records: 0,
        })
    }

    /// Whether a record has the columns of this file, or none and is refused by it.
    pub fn takes(&self, record: &Record) -> bool {
        match (&self.schema, &record.value.schema) {
            (Some(schema), Some(its)) => {
                std::sync::Arc::ptr_eq(schema, its) || its.fields().is_empty() || schema == its
            }
            _ => true,
        }
    }

    /// Puts a record into the file.
    ///
    /// # Errors
    /// When it cannot be written in this format; the file is as it was.
    pub fn add(&mut self, record: &Record) -> Result<(), PluginError> {
        if let Packer::Parquet(file) = &mut self.packer {
            self.bytes += file.add(&record.value)? as u64;
            self.schema.clone_from(&record.value.schema);
            self.records += 1;
            return Ok(());
        }
        let length = self.waiting.len();
        if self.format == Format::Csv && self.records == 0 {
            csv::write_header(&record.value, &mut self.waiting)?;
        }
        if let Err(error) = self.format.write(record, &mut self.waiting) {
            self.waiting.truncate(length);
            return Err(error);
        }
        if self.format == Format::Csv && self.schema.is_none() {
            self.schema = record.value.schema.clone();
        }
        self.bytes += (self.waiting.len() - length) as u64;
        self.records += 1;
        Ok(())
    }

    /// Hands on what waits, if it is much.
    ///
    /// # Errors
    /// The file system's.
    pub fn spill(&mut self) -> io::Result<()> {
        if let Packer::Parquet(file) = &mut self.packer {
            return file.spill();
        }
        match self.waiting.len() >= BUFFER_BYTES {
            true => self.write_waiting(),
            false => Ok(()),
        }
    }

    /// How much memory it takes that has to be bounded for all files together. Those of other formats take about the same, whatever is in them.
    pub fn held(&self) -> Held {
        match &self.packer {
            Packer::Parquet(file) => file.held(),
            _ => Held::default(),
        }
    }

    /// Hands on what waits, so that as little as possible of it is held.
    ///
    /// # Errors
    /// The file system's.
    pub fn write_group(&mut self) -> io::Result<()> {
        match &mut self.packer {
            Packer::Parquet(file) => file.write_group(),
            _ => self.write_waiting(),
        }
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        match &mut self.packer {
            Packer::Plain(output) => output.write_all(&self.waiting)?,
            Packer::Gzip(output) => output.write_all(&self.waiting)?,
            Packer::Zstandard(output) => output.write_all(&self.waiting)?,
            Packer::Parquet(_) => {}
        }
        self.waiting.clear();
        Ok(())
    }

    /// Ends the file, durably.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(mut self) -> io::Result<()> {
        self.write_waiting()?;
        let mut output = match self.packer {
            Packer::Plain(output) => output,
            Packer::Gzip(output) => output.finish()?,
            Packer::Zstandard(output) => output.finish()?,
            Packer::Parquet(file) => file.finish()?,
        };
        output.sync()
    }
}
