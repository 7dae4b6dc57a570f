//! A registry that is a file on this machine, for those who run none: `schema.registry.url=file:schemas.jsonl`.
//!
//! Each line is a version of a subject, as `GET /subjects/SUBJECT/versions/VERSION` of Confluent's API says it, so that another registry can import it.
//! Lines are only appended, under a lock, and on the disk before their number is used; several converters and workers may share
//! the file. What a crash left of a line is cut off by who appends the next.
//!
//! Owns: the file. Does not own: whether schemas are compatible with those before; nothing here compares them.
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::request::{Answer, Reference, Request};
use crate::plugin::PluginError;

/// How large the file may become. All of it is kept in memory.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
struct Line {
    subject: String,
    version: i32,
    id: i32,
    #[serde(rename = "schemaType")]
    kind: String,
    schema: Arc<str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    references: Vec<Reference>,
}

/// The file, as far as it was read.
#[derive(Debug)]
pub(super) struct FileRegistry {
    path: PathBuf,
    lines: Vec<Line>,
    /// The bytes of these lines.
    bytes: u64,
}

impl FileRegistry {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            lines: Vec::new(),
            bytes: 0,
        }
    }

    /// What the file says.
    ///
    /// # Errors
    /// Retriable, if it cannot be read or written; about the record, if it does not have what is asked for.
    pub(super) fn ask(&mut self, request: Request<'_>) -> Result<Answer, PluginError> {
        if let Some(found) = self.find(request) {
            return Ok(found);
        }
        let register = matches!(request, Request::WithText { register: true, .. });
        if !register {
            self.read_more()?;
            return self.find(request).ok_or_else(|| self.missing(request));
        }
        let mut file = self.open_to_append().map_err(|error| self.failed(error))?;
        // Unlocked when it is closed.
        file.lock().map_err(|error| self.failed(error))?;
        self.read(&mut file)?;
        match self.find(request) {
            Some(found) => Ok(found),
            None => self.append(&mut file, request),
        }
    }

    fn find(&self, request: Request<'_>) -> Option<Answer> {
        let mut lines = self.lines.iter();
        let found = match request {
            Request::WithText { subject, .. } => {
                lines.find(|line| line.subject == subject && line.is(request))
            }
            Request::Latest(subject) => lines.rfind(|line| line.subject == subject),
            Request::Version(subject, version) => {
                lines.find(|line| line.subject == subject && line.version == version)
            }
            Request::ById(id) => lines.find(|line| line.id == id),
        };
        found.map(Line::answer)
    }

    fn append(&mut self, file: &mut File, request: Request<'_>) -> Result<Answer, PluginError> {
        let Request::WithText {
            subject,
            kind,
            text,
            references,
            ..
        } = request
        else {
            unreachable!("nothing else is registered")
        };
        let same = self.lines.iter().find(|line| line.is(request));
        let id = same.map(|line| line.id).unwrap_or_else(|| {
            let last = self.lines.iter().map(|line| line.id).max();
            last.unwrap_or(0) + 1
        });
        let of_subject = self.lines.iter().filter(|line| line.subject == subject);
        let line = Line {
            subject: subject.to_owned(),
            version: of_subject.map(|line| line.version).max().unwrap_or(0) + 1,
            id,
            kind: kind.to_owned(),
            schema: Arc::clone(text),
            references: references.to_vec(),
        };
        let mut written = serde_json::to_string(&line).expect("texts and numbers are JSON");
        written.push('\n');
        let bytes = self.bytes + written.len() as u64;
        if bytes > FILE_BYTES_MAX {
            let path = self.path.display();
            return Err(PluginError::user_config(format!(
                "{path} would be larger than {FILE_BYTES_MAX} bytes with another schema; use a registry that is a service (schema.registry.url)"
            )));
        }
        self.write(file, &written).map_err(|error| self.failed(error))?;
        self.bytes = bytes;
        let answer = line.answer();
        self.lines.push(line);
        Ok(answer)
    }

    fn write(&self, file: &mut File, line: &str) -> io::Result<()> {
        file.set_len(self.bytes)?;
        file.seek(SeekFrom::Start(self.bytes))?;
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }

    fn open_to_append(&self) -> io::Result<File> {
        let options = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true);
            options
        };
        match options().open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let file = options().create(true).truncate(false).open(&self.path)?;
        File::open(folder)?.sync_all()?;
        Ok(file)
    }

    /// Reads what others appended.
    fn read_more(&mut self) -> Result<(), PluginError> {
        match File::open(&self.path) {
            Ok(mut file) => {
                file.lock_shared().map_err(|error| self.failed(error))?;
                self.read(&mut file)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The same, with a file that is locked.
    fn read(&mut self, file: &mut File) -> Result<(), PluginError> {
        let length = file.metadata().map_err(|error| self.failed(error))?.len();
        if length < self.bytes || length > FILE_BYTES_MAX {
            let path = self.path.display();
            return Err(PluginError::user_config(format!(
                "{path} has {length} bytes: it was replaced, or is no file of schemas; put the one back whose schemas are in use, or name another in schema.registry.url"
            )));
        }
        let mut text = String::new();
        file.seek(SeekFrom::Start(self.bytes))
            .and_then(|_| file.read_to_string(&mut text))
            .map_err(|error| self.failed(error))?;
        // What is not a whole line was never used.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[..whole].split_inclusive('\n') {
            let parsed = serde_json::from_str(line).map_err(|error| {
                let (path, number) = (self.path.display(), self.lines.len() + 1);
                PluginError::user_config(format!("line {number} of {path} is no schema: {error}"))
            })?;
            self.lines.push(parsed);
            self.bytes += line.len() as u64;
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> PluginError {
        let path = self.path.display();
        PluginError::retriable(format!("{path}, the file of schemas, cannot be used: {error}"))
            .caused_by(error)
    }

    fn missing(&self, request: Request<'_>) -> PluginError {
        let path = self.path.display();
        PluginError::bad_record(match request {
            Request::WithText { subject, .. } | Request::Latest(subject) => {
                format!(
                    "{path} does not have the schema for the subject {subject}; check the subject and auto.register.schemas"
                )
            }
            Request::Version(subject, version) => {
                format!("{path} does not have version {version} of the subject {subject}")
            }
            Request::ById(id) => format!(
                "{path} has no schema with the id {id}; what was written with it was written with another registry: check schema.registry.url"
            ),
        })
    }
}

impl Line {
    /// Whether it is the schema that is asked for, in whatever subject.
    fn is(&self, request: Request<'_>) -> bool {
        matches!(request, Request::WithText { kind, text, references, .. }
            if self.kind == kind && self.schema == *text && self.references == references)
    }

    fn answer(&self) -> Answer {
        Answer {
            id: self.id,
            version: Some(self.version),
            schema: self.schema.to_string(),
            kind: Some(self.kind.clone()),
            references: self.references.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::ErrorKind;

    fn with_text<'a>(subject: &'a str, text: &'a Arc<str>, register: bool) -> Request<'a> {
        Request::WithText {
            subject,
            kind: "AVRO",
            text,
            references: &[],
            register,
        }
    }

    #[test]
    fn those_who_share_a_file_know_the_same_schemas() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/too/schemas.jsonl");
        let (mut one, mut two) = (FileRegistry::new(&path), FileRegistry::new(&path));
        let (int, long): (Arc<str>, Arc<str>) = ("\"int\"".into(), "\"long\"".into());
        let missing = two.ask(Request::Latest("t-value")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::BadRecord);
        let numbers = |answer: Answer| (answer.id, answer.version);
        assert_eq!(
            numbers(one.ask(with_text("t-value", &int, true)).unwrap()),
            (1, Some(1))
        );
        assert_eq!(
            numbers(two.ask(with_text("t-value", &long, true)).unwrap()),
            (2, Some(2))
        );
        assert_eq!(
            numbers(one.ask(with_text("t-value", &int, true)).unwrap()),
            (1, Some(1))
        );
        // The same schema has the same number everywhere.
        assert_eq!(
            numbers(one.ask(with_text("u-value", &long, true)).unwrap()),
            (2, Some(1))
        );
        assert_eq!(
            numbers(two.ask(with_text("u-value", &long, false)).unwrap()),
            (2, Some(1))
        );
        let latest = two.ask(Request::Latest("t-value")).unwrap();
        assert_eq!(
            (&*latest.schema, latest.kind.as_deref()),
            ("\"long\"", Some("AVRO"))
        );
        assert_eq!(two.ask(Request::Version("t-value", 1)).unwrap().schema, "\"int\"");
        assert_eq!(two.ask(Request::ById(2)).unwrap().schema, "\"long\"");
        for unknown in [
            Request::ById(3),
            with_text("v-value", &int, false),
            Request::Version("t-value", 3),
        ] {
            assert_eq!(two.ask(unknown).unwrap_err().kind(), ErrorKind::BadRecord);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
    }

    #[test]
    fn many_at_once_get_numbers_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schemas.jsonl");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    let mut registry = FileRegistry::new(path);
                    for number in 0..25 {
                        let text: Arc<str> = format!("\"{thread}-{number}\"").into();
                        registry.ask(with_text("t", &text, true)).unwrap();
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Line> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (index, line) in lines.iter().enumerate() {
            assert_eq!((line.id, line.version), (index as i32 + 1, index as i32 + 1));
        }
        assert_eq!(lines.len(), 100);
    }

    /// A crash may leave half a line, which nobody has used.
    #[test]
    fn half_a_line_is_written_over_and_other_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schemas.jsonl");
        let text: Arc<str> = "\"int\"".into();
        FileRegistry::new(&path).ask(with_text("t", &text, true)).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{}", &whole[..20])).unwrap();
        let mut registry = FileRegistry::new(&path);
        assert!(registry.ask(Request::Version("t", 2)).is_err());
        assert_eq!(registry.ask(with_text("u", &text, true)).unwrap().id, 1);
        let lines = std::fs::read_to_string(&path).unwrap();
        assert!(lines.starts_with(&whole) && lines.lines().count() == 2, "{lines}");

        std::fs::write(&path, format!("{whole}nonsense\n")).unwrap();
        let error = FileRegistry::new(&path).ask(Request::ById(9)).unwrap_err();
        assert!(error.to_string().contains("line 2 of"), "{error}");
        std::fs::write(&path, "").unwrap();
        let error = registry.ask(Request::ById(9)).unwrap_err();
        assert!(error.to_string().contains("was replaced"), "{error}");
    }
}
