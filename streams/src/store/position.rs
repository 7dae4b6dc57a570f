//! How far a local store stands in its changelog, and how that is written down.

/// The version of the local stores' form; another one is not read.
const VERSION: u8 = 1;

/// The first record of a log: a log that was deleted and made anew has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstRecord {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
}

/// Where a checkpoint stands: it holds everything committed before `offset` of the log that begins with `first`. It may hold more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: i64,
    pub(crate) first: FirstRecord,
}

/// A position with what says whether it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) position: Position,
    /// When no deletion behind the offset could have left the log yet, in milliseconds since 1970.
    pub(super) seen_ms: u64,
    /// The id of the log's cluster.
    pub(super) cluster: String,
}

impl Stamp {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.seen_ms.to_be_bytes());
        bytes.extend(self.position.offset.to_be_bytes());
        bytes.extend(self.position.first.offset.to_be_bytes());
        bytes.extend(self.position.first.timestamp.to_be_bytes());
        bytes.extend(self.cluster.as_bytes());
        bytes
    }

    /// None if it is of another version, or no stamp.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        let (numbers, cluster) = rest.split_at_checked(4 * size_of::<u64>())?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let [seen_ms, offset, first, timestamp] = numbers else {
            return None;
        };
        let position = Position {
            offset: i64::from_be_bytes(*offset),
            first: FirstRecord {
                offset: i64::from_be_bytes(*first),
                timestamp: i64::from_be_bytes(*timestamp),
            },
        };
        (version == VERSION && position.offset >= 0).then_some(Self {
            position,
            seen_ms: u64::from_be_bytes(*seen_ms),
            cluster: str::from_utf8(cluster).ok()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_fixed() {
        let stamp = Stamp {
            position: Position {
                offset: 258,
                first: FirstRecord {
                    offset: 3,
                    timestamp: 4,
                },
            },
            seen_ms: 2,
            cluster: "kafka".to_owned(),
        };
        let bytes = stamp.encode();
        let mut golden = vec![1];
        for number in [2_u64, 258, 3, 4] {
            golden.extend(number.to_be_bytes());
        }
        golden.extend(b"kafka");
        assert_eq!(bytes, golden);
        assert_eq!(Stamp::decode(&bytes), Some(stamp));
        assert_eq!(Stamp::decode(&bytes[..30]), None);
        let mut other = bytes;
        other[0] = 2;
        assert_eq!(Stamp::decode(&other), None);
    }
}
