//! The record that says how far a task has come.
//!
//! Its header `millstream-batch` holds the version 2 (1 byte) and the upstream plan (8 bytes, big-endian), its value the
//! task's number (4 bytes), the number of tasks (4), 1 if it is idle plus 2 if it ever was (1), and the watermark in milliseconds (8), all big-endian.
use super::Watermark;
use crate::format::FormatError;

/// The first byte of the header.
pub(crate) const CONTROL_VERSION: u8 = 2;

const VALUE_BYTES: usize = 17;

/// How far a task of the sub-topology before a repartition topic has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// What the numbers mean: the inputs of the sub-topology.
    pub(crate) plan: u64,
    /// The task's number, which is its partition.
    pub(crate) task: u32,
    /// How many tasks there are.
    pub(crate) tasks: u32,
    pub(crate) watermark: Watermark,
    pub(crate) idle: bool,
    /// Windows may have closed without the task, so that who keeps them has to judge its rows.
    pub(crate) was_idle: bool,
}

impl Announcement {
    /// The record's header.
    pub(crate) fn header(&self) -> [u8; 9] {
        let mut header = [CONTROL_VERSION; 9];
        header[1..].copy_from_slice(&self.plan.to_be_bytes());
        header
    }

    /// Appends the record's value.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.task.to_be_bytes());
        out.extend(self.tasks.to_be_bytes());
        out.push(u8::from(self.idle) | u8::from(self.was_idle) << 1);
        out.extend(self.watermark.millis().to_be_bytes());
    }

    /// The announcement of a record whose header is `header`.
    pub(crate) fn decode(header: &[u8], value: Option<&[u8]>) -> Result<Self, FormatError> {
        let damaged = |reason: &str| FormatError::Damaged {
            reason: reason.to_owned(),
        };
        let plan = header.get(1..).and_then(|plan| plan.try_into().ok());
        let plan = plan.ok_or_else(|| damaged("its header is not 9 bytes long"))?;
        let value: &[u8; VALUE_BYTES] = value
            .and_then(|value| value.try_into().ok())
            .ok_or_else(|| damaged("an announcement is 17 bytes long"))?;
        let word = |at: usize| u32::from_be_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
        let (_, watermark) = value.split_last_chunk::<8>().expect("17 bytes end in 8");
        let announcement = Self {
            plan: u64::from_be_bytes(plan),
            task: word(0),
            tasks: word(4),
            idle: value[8] & 1 != 0,
            was_idle: value[8] & 2 != 0,
            watermark: Watermark::at(i64::from_be_bytes(*watermark)),
        };
        match announcement.task < announcement.tasks {
            true => Ok(announcement),
            false => Err(damaged("an announcement of a task beyond their number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_fixed_and_checked() {
        let announcement = Announcement {
            plan: 0x0102,
            task: 3,
            tasks: 8,
            watermark: Watermark::at(0x1_0000),
            idle: true,
            was_idle: false,
        };
        let mut value = Vec::new();
        announcement.encode(&mut value);
        assert_eq!(announcement.header(), [2, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(value, [0, 0, 0, 3, 0, 0, 0, 8, 1, 0, 0, 0, 0, 0, 1, 0, 0]);
        let decode =
            |value: Option<&Vec<u8>>| Announcement::decode(&announcement.header(), value.map(Vec::as_slice));
        assert_eq!(decode(Some(&value)).unwrap(), announcement);
        assert!(decode(None).is_err());
        assert!(decode(Some(&value[1..].to_vec())).is_err());
        let mut beyond = value.clone();
        beyond[3] = 8;
        assert!(decode(Some(&beyond)).is_err());
        assert!(Announcement::decode(&[2], Some(&value)).is_err());
    }
}
