//! Options of tables.
use super::collations::CharsetWords;
use super::error::DdlError;
use super::reader::Reader;

/// Options that change nothing of what is known of tables, each with a value.
const OTHERS: [&str; 40] = [
    "ENGINE",
    "TYPE",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHECKSUM",
    "TABLE_CHECKSUM",
    "COMPRESSION",
    "CONNECTION",
    "DELAY_KEY_WRITE",
    "ENCRYPTION",
    "ENCRYPTED",
    "ENCRYPTION_KEY_ID",
    "IETF_QUOTES",
    "INSERT_METHOD",
    "KEY_BLOCK_SIZE",
    "MAX_ROWS",
    "MIN_ROWS",
    "PACK_KEYS",
    "PAGE_CHECKSUM",
    "PAGE_COMPRESSED",
    "PAGE_COMPRESSION_LEVEL",
    "PASSWORD",
    "ROW_FORMAT",
    "SEQUENCE",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "TABLESPACE",
    "TRANSACTIONAL",
    "UNION",
    "STORAGE",
    "SECONDARY_ENGINE",
    "ENGINE_ATTRIBUTE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "AUTOEXTEND_SIZE",
    "NODEGROUP",
    "RAID_TYPE",
    "RAID_CHUNKS",
    "RAID_CHUNKSIZE",
    "ATOMIC_WRITES",
];

/// What a statement says of a table as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) charset: CharsetWords,
    pub(super) comment: Option<String>,
}

impl Options {
    /// Reads one; whether there was one.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Result<bool, DdlError> {
        if reader.peek_is(&["DEFAULT"]) {
            reader.skip();
        }
        let value = |reader: &mut Reader<'_>| {
            reader.take_sign('=');
        };
        if reader.take(&["CHARACTER", "SET"]) || reader.take(&["CHAR", "SET"]) || reader.take(&["CHARSET"]) {
            value(reader);
            self.charset.charset = Some(reader.name_or_text()?);
        } else if reader.take(&["COLLATE"]) {
            value(reader);
            self.charset.collation = Some(reader.name_or_text()?);
        } else if reader.take(&["COMMENT"]) {
            value(reader);
            self.comment = Some(reader.text()?);
        } else if reader.take(&["DATA", "DIRECTORY"])
            || reader.take(&["INDEX", "DIRECTORY"])
            || reader.take_any(&OTHERS)
        {
            value(reader);
            reader.skip_one()?;
            // TABLESPACE name STORAGE DISK.
        } else if !reader.take(&["START", "TRANSACTION"]) {
            return Ok(false);
        }
        Ok(true)
    }
}
