//! QUERY: statements, above all DDL, with what their session had set.
use super::Damage;
use super::cursor::{Cursor, utf8};
use super::value::Collation;

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The session's number.
    pub thread_id: u32,
    /// The seconds that it took.
    pub duration_s: u32,
    /// The error with which it ended on the server, 0 for none.
    pub error_code: u16,
    /// The database it ran in; empty for none.
    pub database: &'a str,
    /// Its text, in the session's character set.
    pub statement: &'a [u8],
    /// What the session had set.
    pub session: Session<'a>,
}

/// Settings of a session that decide what its statements mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session<'a> {
    /// `sql_mode`, a bit for each mode.
    pub sql_mode: Option<u64>,
    /// `character_set_client`, by a collation of it: what the statement's text is.
    pub client: Option<Collation>,
    /// `collation_connection`.
    pub connection: Option<Collation>,
    /// `collation_server`.
    pub server: Option<Collation>,
    /// The default collation of the database.
    pub database: Option<Collation>,
    /// `time_zone`.
    pub time_zone: Option<&'a [u8]>,
    /// Microseconds of when it began.
    pub micros: Option<u32>,
    /// `explicit_defaults_for_timestamp`; MySQL 8.0 and later.
    pub explicit_timestamps: Option<bool>,
    /// `default_collation_for_utf8mb4`; MySQL 8.0 and later.
    pub utf8mb4: Option<Collation>,
}

impl<'a> Query<'a> {
    pub(crate) fn read(content: &'a [u8]) -> Result<Self, Damage> {
        Self::read_behind(content, 0)
    }

    /// One that loads a file: its number, where its name stands in the text, and what is done about duplicates are before its settings.
    pub(crate) fn read_load(content: &'a [u8]) -> Result<Self, Damage> {
        Self::read_behind(content, 13)
    }

    fn read_behind(content: &'a [u8], extra_bytes: usize) -> Result<Self, Damage> {
        let mut cursor = Cursor::new(content);
        let thread_id = cursor.u32("a statement's thread")?;
        let duration_s = cursor.u32("a statement's duration")?;
        let database_bytes = cursor.u8("the length of a statement's database")?;
        let error_code = cursor.u16("a statement's error")?;
        let settings_bytes = cursor.u16("the length of a statement's settings")?;
        cursor.take(extra_bytes, "the file of a statement")?;
        let settings = cursor.take(usize::from(settings_bytes), "a statement's settings")?;
        let database = cursor.take(usize::from(database_bytes), "a statement's database")?;
        let database = utf8(database, "a statement's database")?;
        cursor.u8("the end of a statement's database")?;
        let session = Session::read(settings)?;
        Ok(Self {
            thread_id,
            duration_s,
            error_code,
            database,
            statement: cursor.rest(),
            session,
        })
    }

    /// Whether it is `word` alone, such as BEGIN.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        self.statement.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
    }
}

impl<'a> Session<'a> {
    /// Settings stand one after the other, each with a number that says its size. Behind a number that is not known nothing
    /// can be read, nor needs to be: what is of use here comes first.
    fn read(settings: &'a [u8]) -> Result<Self, Damage> {
        let what = "a statement's settings";
        let mut cursor = Cursor::new(settings);
        let mut session = Self::default();
        while !cursor.is_empty() {
            match cursor.u8(what)? {
                0 | 10 => cursor.take(4, what).map(drop)?,
                1 => session.sql_mode = Some(cursor.u64(what)?),
                2 => {
                    let length = usize::from(cursor.u8(what)?);
                    cursor.take(length + 1, what)?;
                }
                3 => cursor.take(4, what).map(drop)?,
                4 => {
                    session.client = Some(cursor.u16(what)?);
                    session.connection = Some(cursor.u16(what)?);
                    session.server = Some(cursor.u16(what)?);
                }
                5 => {
                    let length = usize::from(cursor.u8(what)?);
                    session.time_zone = Some(cursor.take(length, what)?);
                }
                6 => {
                    let length = usize::from(cursor.u8(what)?);
                    cursor.take(length, what)?;
                }
                7 => cursor.take(2, what).map(drop)?,
                8 => session.database = Some(cursor.u16(what)?),
                9 | 17 => cursor.take(8, what).map(drop)?,
                11 => {
                    for _ in 0..2 {
                        let length = usize::from(cursor.u8(what)?);
                        cursor.take(length, what)?;
                    }
                }
                12 => updated_databases(&mut cursor)?,
                13 => session.micros = Some(cursor.uint(3, what)? as u32),
                16 => session.explicit_timestamps = Some(cursor.u8(what)? != 0),
                18 => session.utf8mb4 = Some(cursor.u16(what)?),
                19 | 20 => cursor.take(1, what).map(drop)?,
                128 => session.micros = Some(cursor.uint(3, what)? as u32),
                _ => break,
            }
        }
        Ok(session)
    }
}

/// Names of databases that a statement changes; 254 where there are too many.
fn updated_databases(cursor: &mut Cursor<'_>) -> Result<(), Damage> {
    let what = "a statement's databases";
    let count = cursor.u8(what)?;
    if count == 254 {
        return Ok(());
    }
    for _ in 0..count {
        let length = cursor.rest().iter().position(|byte| *byte == 0);
        let left = cursor.left();
        cursor.take(
            length.ok_or(Damage::Short {
                what,
                needed: left + 1,
                left,
            })? + 1,
            what,
        )?;
    }
    Ok(())
}

/// The name of an XA transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Xid {
    /// Its format, 1 unless the client says another.
    pub format: u32,
    /// The global part.
    pub global: Vec<u8>,
    /// The branch.
    pub branch: Vec<u8>,
}

/// The most bytes of each part of a name.
const XID_PART_MAX: usize = 64;

/// XA_PREPARE: an XA transaction is prepared, or committed in one phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XaPrepare {
    /// Whether it is committed with this.
    pub one_phase: bool,
    /// Its name.
    pub xid: Xid,
}

impl XaPrepare {
    pub(crate) fn read(content: &[u8]) -> Result<Self, Damage> {
        let what = "an XA transaction's name";
        let mut cursor = Cursor::new(content);
        let one_phase = cursor.u8(what)? != 0;
        Ok(Self {
            one_phase,
            xid: Xid::read(&mut cursor)?,
        })
    }
}

impl Xid {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Damage> {
        let what = "an XA transaction's name";
        let (format, global, branch) = (
            cursor.u32(what)?,
            cursor.u32(what)? as usize,
            cursor.u32(what)? as usize,
        );
        if global > XID_PART_MAX || branch > XID_PART_MAX {
            let rule = "more bytes than a part of it can have";
            return Err(Damage::Invalid {
                what,
                value: global.max(branch) as u64,
                rule,
            });
        }
        Ok(Self {
            format,
            global: cursor.take(global, what)?.to_vec(),
            branch: cursor.take(branch, what)?.to_vec(),
        })
    }

    /// The name as `XA COMMIT` has it in the log: `X'6162',X'63',1`.
    ///
    /// ```
    /// use millstream_connectors::mysql::binlog::Xid;
    ///
    /// let xid = Xid { format: 1, global: b"ab".to_vec(), branch: b"c".to_vec() };
    /// assert_eq!(xid.to_string(), "X'6162',X'63',1");
    /// assert_eq!(Xid::from_statement("XA COMMIT X'6162',X'63',1", "XA COMMIT"), Some(xid));
    /// ```
    #[must_use]
    pub fn from_statement(statement: &str, verb: &str) -> Option<Self> {
        let (head, rest) = statement.trim().split_at_checked(verb.len())?;
        if !head.eq_ignore_ascii_case(verb) {
            return None;
        }
        let mut parts = rest.trim_start().splitn(3, ',');
        let global = hex(parts.next()?)?;
        let branch = hex(parts.next().unwrap_or("X''"))?;
        let format = parts
            .next()
            .unwrap_or("1")
            .split_whitespace()
            .next()?
            .parse()
            .ok()?;
        Some(Self {
            format,
            global,
            branch,
        })
    }
}

fn hex(literal: &str) -> Option<Vec<u8>> {
    let digits = literal
        .trim()
        .strip_prefix(['X', 'x'])?
        .strip_prefix('\'')?
        .strip_suffix('\'')?;
    if digits.len() % 2 != 0 || digits.len() > 2 * XID_PART_MAX || !digits.is_ascii() {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

impl std::fmt::Display for Xid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in [&self.global, &self.branch] {
            f.write_str("X'")?;
            part.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str("',")?;
        }
        write!(f, "{}", self.format)
    }
}
