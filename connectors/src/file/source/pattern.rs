//! Which files are meant: a path, a folder, or a path with wildcards.
//!
//! `*`, `?`, `[a-z]`, `[!a-z]` and `{a,b}` match within a name, `**` any number of folders. Names that begin with a dot are matched by names that
//! do so, too. Paths are bytes: names need not be UTF-8.
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use regex::bytes::{Regex, RegexBuilder};

/// One step of a path.
#[derive(Debug, Clone)]
enum Step {
    Name(OsString),
    Pattern {
        regex: Regex,
        hidden: bool,
    },
    /// Any number of folders.
    Deep,
}

/// What `file` and `file.pattern` say.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// The folder where wildcards begin, or the one file.
    base: PathBuf,
    steps: Vec<Step>,
}

/// What a walk came across beside files.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Pipes, sockets and devices that match; they are not read.
    pub special: Vec<PathBuf>,
    /// Folders that cannot be read, and why.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

fn has_wildcard(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'{'))
}

impl Pattern {
    /// The pattern of `file`, which may be a folder, and of `file.pattern`, which is below that folder.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(file: &str, below: Option<&str>) -> Result<Self, String> {
        let path = Path::new(file);
        let literal = path.exists() || !has_wildcard(file.as_bytes());
        if literal && (below.is_some() || path.is_dir()) {
            let steps = Self::steps(Path::new(below.unwrap_or("*")))?;
            let base = path.to_owned();
            return Ok(Self { base, steps });
        }
        if below.is_some() {
            return Err(
                "file.pattern is for a file that is a folder; this one has wildcards itself".to_owned(),
            );
        }
        if literal {
            let (base, steps) = (path.to_owned(), Vec::new());
            return Ok(Self { base, steps });
        }
        let mut base = PathBuf::new();
        let mut rest = path.components().peekable();
        while let Some(part) = rest.next_if(|part| !has_wildcard(part.as_os_str().as_bytes())) {
            base.push(part);
        }
        let steps = Self::steps(&rest.collect::<PathBuf>())?;
        if base.as_os_str().is_empty() {
            base.push(".");
        }
        Ok(Self { base, steps })
    }

    fn steps(path: &Path) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        for part in path.components() {
            let Component::Normal(name) = part else {
                return Err(format!("a pattern has no {part:?} behind its first wildcard"));
            };
            let name = name.as_bytes();
            steps.push(if name == b"**" {
                Step::Deep
            } else if has_wildcard(name) {
                let regex = expression(&String::from_utf8_lossy(name))?;
                let hidden = name.starts_with(b".");
                Step::Pattern { regex, hidden }
            } else {
                Step::Name(part.as_os_str().to_owned())
            });
        }
        match steps.last() {
            Some(Step::Deep) => steps.push(Step::Pattern {
                regex: expression("*")?,
                hidden: false,
            }),
            Some(_) => {}
            None => return Err("a pattern has at least one name".to_owned()),
        }
        Ok(steps)
    }

    /// The one file it means, if it has no wildcards.
    pub fn single(&self) -> Option<&Path> {
        self.steps.is_empty().then_some(&*self.base)
    }

    /// The folder below which files are found.
    pub fn base(&self) -> &Path {
        match self.single() {
            Some(file) => match file.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            },
            None => &self.base,
        }
    }

    /// Whether files in folders below the base may match.
    pub fn is_deep(&self) -> bool {
        self.steps.len() > 1
    }

    /// Calls `each` with every file that matches, following links.
    pub fn walk(&self, each: &mut dyn FnMut(PathBuf, &Metadata)) -> Passed {
        let mut passed = Passed::default();
        let mut above = Vec::new();
        self.enter(&self.base, &self.steps, &mut above, &mut passed, each);
        passed
    }

    fn enter(
        &self,
        path: &Path,
        steps: &[Step],
        above: &mut Vec<(u64, u64)>,
        passed: &mut Passed,
        each: &mut dyn FnMut(PathBuf, &Metadata),
    ) {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => {
                // Gone, a link to nothing, or a link to itself: none of them is a file.
                if error.kind() == io::ErrorKind::PermissionDenied {
                    passed.unreadable.push((path.to_owned(), error));
                }
                return;
            }
        };
        let Some((step, rest)) = steps.split_first() else {
            let kind = metadata.file_type();
            if kind.is_file() {
                each(path.to_owned(), &metadata);
            } else if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
                passed.special.push(path.to_owned());
            }
            return;
        };
        if !metadata.is_dir() {
            return;
        }
        if let Step::Name(name) = step {
            return self.enter(&path.join(name), rest, above, passed, each);
        }
        // A link that leads to a folder above would lead there for ever.
        let folder = (metadata.dev(), metadata.ino());
        if matches!(step, Step::Deep) && above.contains(&folder) {
            return;
        }
        above.push(folder);
        self.list(path, steps, above, passed, each);
        above.pop();
    }

    fn list(
        &self,
        path: &Path,
        steps: &[Step],
        above: &mut Vec<(u64, u64)>,
        passed: &mut Passed,
        each: &mut dyn FnMut(PathBuf, &Metadata),
    ) {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return passed.unreadable.push((path.to_owned(), error)),
        };
        let deep = matches!(steps.first(), Some(Step::Deep));
        let rest = match deep {
            true => &steps[steps.iter().take_while(|step| matches!(step, Step::Deep)).count()..],
            false => steps,
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let matches = match &rest[0] {
                Step::Name(its) => *its == name,
                Step::Pattern { regex, hidden } => {
                    regex.is_match(name.as_bytes()) && (*hidden || !name.as_bytes().starts_with(b"."))
                }
                Step::Deep => false,
            };
            // Below the base itself a path has no "./" in front, so that names are those a user would write.
            let below = match path == Path::new(".") {
                true => PathBuf::from(&name),
                false => path.join(&name),
            };
            if matches {
                self.enter(&below, &rest[1..], above, passed, each);
            }
            let folder = || {
                entry
                    .file_type()
                    .is_ok_and(|kind| kind.is_dir() || kind.is_symlink())
            };
            if deep && !name.as_bytes().starts_with(b".") && folder() && below.is_dir() {
                self.enter(&below, steps, above, passed, each);
            }
        }
    }
}

/// The regular expression of a name with wildcards.
fn expression(name: &str) -> Result<Regex, String> {
    let mut text = String::from("^");
    let mut letters = name.chars().peekable();
    let mut braces = 0;
    while let Some(letter) = letters.next() {
        match letter {
            '*' => text.push_str(".*"),
            '?' => text.push_str("(?u:.)"),
            '[' => {
                text.push('[');
                if letters.next_if(|next| matches!(next, '!' | '^')).is_some() {
                    text.push('^');
                }
                let mut closed = false;
                for inside in letters.by_ref() {
                    match inside {
                        ']' => {
                            closed = true;
                            break;
                        }
                        '[' | '\\' | '&' | '~' | '^' => text.extend(['\\', inside]),
                        _ => text.push(inside),
                    }
                }
                if !closed {
                    return Err(format!("the pattern {name} has a [ without a ]"));
                }
                text.push(']');
            }
            '{' => {
                braces += 1;
                text.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                text.push(')');
            }
            ',' if braces > 0 => text.push('|'),
            other => text.push_str(&regex::escape(&other.to_string())),
        }
    }
    if braces > 0 {
        return Err(format!("the pattern {name} has a {{ without a }}"));
    }
    text.push('$');
    let built = RegexBuilder::new(&text)
        .unicode(false)
        .dot_matches_new_line(true)
        .build();
    let built = built.or_else(|_| RegexBuilder::new(&text).dot_matches_new_line(true).build());
    built.map_err(|error| format!("the pattern {name} is none: {error}"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    use super::*;

    fn found(pattern: &Pattern, base: &Path) -> Vec<String> {
        let mut names = Vec::new();
        pattern.walk(&mut |path, _| {
            let below = path.strip_prefix(base).unwrap();
            names.push(super::super::place::file_name(below));
        });
        names.sort();
        names
    }

    #[test]
    fn wildcards_match_names_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        for name in [
            "a.log",
            "b.log",
            "b.txt",
            ".hidden.log",
            "x/c.log",
            "x/y/d.log",
            "x/y/e.txt",
            "[z].log",
        ] {
            fs::create_dir_all(base.join(name).parent().unwrap()).unwrap();
            fs::write(base.join(name), "").unwrap();
        }
        let of = |pattern: &str| {
            let whole = base.join(pattern);
            found(&Pattern::new(whole.to_str().unwrap(), None).unwrap(), base)
        };
        assert_eq!(of("*.log"), ["[z].log", "a.log", "b.log"]);
        assert_eq!(of("[!a].log"), ["b.log"]);
        assert_eq!(of("?.{log,txt}"), ["a.log", "b.log", "b.txt"]);
        assert_eq!(
            of("**/*.log"),
            ["[z].log", "a.log", "b.log", "x/c.log", "x/y/d.log"]
        );
        assert_eq!(of("*/y/*"), ["x/y/d.log", "x/y/e.txt"]);
        assert_eq!(of("x/**"), ["x/c.log", "x/y/d.log", "x/y/e.txt"]);
        assert_eq!(of("[z].log"), ["[z].log"], "a file of that very name comes first");
        let folder = Pattern::new(base.to_str().unwrap(), Some("**/*.txt")).unwrap();
        assert_eq!(found(&folder, base), ["b.txt", "x/y/e.txt"]);
        assert!(Pattern::new("[a", None).is_err());
    }

    #[test]
    fn loops_of_links_end_and_names_need_not_be_utf8() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        fs::create_dir_all(base.join("x/y")).unwrap();
        symlink(base.join("x"), base.join("x/y/up")).unwrap();
        symlink(base.join("self"), base.join("self")).unwrap();
        fs::write(base.join(OsStr::from_bytes(b"x/\xffname")), "").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, base.join("x/pipe"), rustix::fs::Mode::RWXU).unwrap();
        let pattern = Pattern::new(base.to_str().unwrap(), Some("**/*")).unwrap();
        assert_eq!(found(&pattern, base), ["x/\\xFFname"]);
        assert_eq!(pattern.walk(&mut |_, _| {}).special, [base.join("x/pipe")]);
    }
}
