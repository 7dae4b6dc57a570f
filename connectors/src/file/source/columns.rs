//! The columns of files whose rows have some.
use super::config::{Rows, SourceConfig};
use super::place::Place;
use super::text;
use super::tracking::Tracked;

/// The longest row of names that is looked for again when a task goes on behind it.
const NAMES_BYTES_MAX: usize = 512 << 10;

/// The data of a file as they are read first.
pub(super) struct Beginning<'a> {
    pub place: &'a Place,
    pub mark: usize,
    pub bytes: &'a [u8],
    pub last_call: bool,
}

/// Why the columns of a file are not known.
pub(super) enum NoColumns {
    /// The row of names is not whole.
    NotYet,
    /// What is wrong with them.
    Wrong(String),
}

impl Beginning<'_> {
    /// Learns the columns of a file whose rows have some; how long the row of names is, if it comes first in these data.
    ///
    /// # Errors
    /// [`NoColumns`].
    pub fn columns(&self, config: &SourceConfig, file: &mut Tracked) -> Result<usize, NoColumns> {
        let Rows::Csv(rules) = &config.rows else {
            return Ok(0);
        };
        if !rules.header {
            if file.schema.is_none() {
                file.schema = Some(rules.schema(None).map_err(NoColumns::Wrong)?);
            }
            return Ok(0);
        }
        if file.schema.is_some() && self.place.position > 0 {
            return Ok(0);
        }
        let read;
        let begin = match (self.place.position, &mut file.data) {
            (0, _) => &self.bytes[self.mark..],
            (_, Some(data)) => {
                read = data
                    .read(0, config.line_bytes_max.min(NAMES_BYTES_MAX))
                    .map_err(|_| NoColumns::NotYet)?;
                &read[text::mark_length(&read).unwrap_or(0)..]
            }
            (_, None) => return Err(NoColumns::NotYet),
        };
        let found = config
            .splitter
            .next(begin, self.last_call)
            .ok_or(NoColumns::NotYet)?;
        let names = std::str::from_utf8(&begin[..found.content])
            .map_err(|error| NoColumns::Wrong(error.to_string()))?;
        file.schema = Some(rules.schema(Some(names)).map_err(NoColumns::Wrong)?);
        Ok(if self.place.position == 0 { found.whole } else { 0 })
    }
}
