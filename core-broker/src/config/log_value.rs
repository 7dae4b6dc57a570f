//! Values of keys about stored batches: codecs and ratios.

use super::value::{ConfigType, ConfigValue};
use crate::log::batch::Compression;

/// In which codec batches are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompressionType(
    /// The codec; none keeps the producer's.
    pub Option<Compression>,
);

const CODECS: [(&str, Option<Compression>); 6] = [
    ("uncompressed", Some(Compression::None)),
    ("zstd", Some(Compression::Zstd)),
    ("lz4", Some(Compression::Lz4)),
    ("snappy", Some(Compression::Snappy)),
    ("gzip", Some(Compression::Gzip)),
    ("producer", None),
];

impl ConfigValue for CompressionType {
    const TYPE: ConfigType = ConfigType::String;

    fn read(text: &str) -> Result<Self, String> {
        let found = CODECS.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, codec)| Self(*codec))
            .ok_or_else(|| "uncompressed, zstd, lz4, snappy, gzip or producer".into())
    }

    fn show(&self) -> Option<String> {
        let found = CODECS.iter().find(|(_, codec)| *codec == self.0);
        found.map(|(name, _)| (*name).to_owned())
    }
}

/// A share from 0 to 1, held in millionths so that settings can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// Millionths.
    pub ppm: u32,
}

impl ConfigValue for Ratio {
    const TYPE: ConfigType = ConfigType::Double;

    fn read(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Self {
                ppm: (ratio * 1e6).round() as u32,
            }),
            _ => Err("a number from 0 to 1".into()),
        }
    }

    fn show(&self) -> Option<String> {
        Some((f64::from(self.ppm) / 1e6).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back() {
        for (name, codec) in CODECS {
            assert_eq!(CompressionType::read(name), Ok(CompressionType(codec)));
            assert_eq!(CompressionType(codec).show().as_deref(), Some(name));
        }
        assert!(CompressionType::read("rar").is_err());
        for text in ["0.5", "0", "1", "0.000001"] {
            assert_eq!(Ratio::read(text).unwrap().show().as_deref(), Some(text));
        }
        for text in ["1.1", "-0.1", "x", "NaN"] {
            assert!(Ratio::read(text).is_err(), "{text}");
        }
    }
}
