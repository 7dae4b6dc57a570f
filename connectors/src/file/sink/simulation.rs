//! A file system in memory that crashes: what was not synced is lost, or is there, by chance.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::disk::{Disk, Output};

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: usize,
    locked: u64,
}

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Both names of what was renamed and is not synced: file systems with a journal keep both changes or neither.
    renamed: Vec<(PathBuf, PathBuf)>,
    steps: u64,
    /// The step that fails, and all behind it.
    crash_at: u64,
    generation: u64,
    error: Option<io::ErrorKind>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct SimulatedDisk(Arc<Mutex<State>>);

struct SimulatedFile {
    disk: SimulatedDisk,
    content: usize,
    generation: u64,
}

impl State {
    fn step(&mut self, generation: u64) -> io::Result<()> {
        if generation != self.generation {
            return Err(io::Error::other("its process is dead"));
        }
        self.steps += 1;
        match self.steps > self.crash_at {
            true => Err(io::Error::from(self.error.unwrap_or(io::ErrorKind::Other))),
            false => Ok(()),
        }
    }
}

impl SimulatedDisk {
    /// Fails from the next `steps` calls on.
    pub fn crash_after(&self, steps: u64, error: io::ErrorKind) {
        let mut state = self.0.lock().unwrap();
        (state.crash_at, state.error) = (state.steps + steps, Some(error));
    }

    /// The machine starts again; of each thing that was not synced `keep` says whether it is there.
    pub fn restart(&self, keep: &mut dyn FnMut() -> bool) {
        let mut state = self.0.lock().unwrap();
        state.generation += 1;
        state.crash_at = u64::MAX;
        let State {
            names,
            durable_names,
            contents,
            renamed,
            ..
        } = &mut *state;
        let mut decided: BTreeMap<PathBuf, bool> = BTreeMap::new();
        for (from, to) in renamed.drain(..) {
            let known = decided.get(&from).or(decided.get(&to)).copied();
            let kept = known.unwrap_or_else(&mut *keep);
            decided.insert(from, kept);
            decided.insert(to, kept);
        }
        // Each name is as it was when its folder was synced, or as it was last.
        let all: Vec<PathBuf> = names.keys().chain(durable_names.keys()).cloned().collect();
        for path in all {
            let kept = decided.get(&path).copied();
            if names.get(&path) != durable_names.get(&path) && !kept.unwrap_or_else(&mut *keep) {
                match durable_names.get(&path) {
                    Some(content) => drop(names.insert(path, *content)),
                    None => drop(names.remove(&path)),
                }
            }
        }
        durable_names.clone_from(names);
        for content in contents {
            let unsynced = content.bytes.len().saturating_sub(content.durable);
            let kept = if keep() {
                unsynced
            } else if keep() {
                unsynced / 2
            } else {
                0
            };
            content.bytes.truncate(content.durable + kept);
            content.durable = content.bytes.len();
            content.locked = 0;
        }
    }

    /// The process is gone, the machine is not.
    pub fn kill(&self) {
        self.restart(&mut || true);
    }

    pub fn all_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.0.lock().unwrap();
        let files = state
            .names
            .iter()
            .map(|(path, content)| (path.clone(), state.contents[*content].bytes.clone()));
        files.collect()
    }

    fn with<T>(&self, call: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        let generation = state.generation;
        state.step(generation)?;
        call(&mut state)
    }

    fn file(&self, state: &State, content: usize) -> Box<dyn Output> {
        Box::new(SimulatedFile {
            disk: self.clone(),
            content,
            generation: state.generation,
        })
    }
}

impl Write for SimulatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.0.lock().unwrap();
        let result = state.step(self.generation);
        if self.generation != state.generation {
            return Err(io::Error::other("its process is dead"));
        }
        // A write that fails may have written a part.
        let written = if result.is_ok() {
            bytes.len()
        } else {
            bytes.len() / 2
        };
        state.contents[self.content]
            .bytes
            .extend_from_slice(&bytes[..written]);
        result.map(|()| written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for SimulatedFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        state.step(self.generation)?;
        let content = &mut state.contents[self.content];
        content.durable = content.bytes.len();
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.disk.0.lock().unwrap();
        Ok(state.contents[self.content].bytes.len() as u64)
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock().unwrap();
        if state.generation == self.generation {
            state.contents[self.content].locked = 0;
        }
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        self.with(|state| {
            state.contents.push(Content::default());
            let content = state.contents.len() - 1;
            state.names.insert(path.to_owned(), content);
            Ok(self.file(state, content))
        })
    }

    fn append(&self, path: &Path, length: &dyn Fn(u64) -> u64) -> io::Result<Box<dyn Output>> {
        let content = self.with(|state| {
            let next = state.contents.len();
            let content = *state.names.entry(path.to_owned()).or_insert(next);
            if content == next {
                state.contents.push(Content::default());
            }
            if state.contents[content].locked > 0 {
                return Err(io::Error::from(io::ErrorKind::ResourceBusy));
            }
            state.contents[content].locked = 1;
            Ok(content)
        })?;
        let is = self.0.lock().unwrap().contents[content].bytes.len();
        let wanted = usize::try_from(length(is as u64)).unwrap();
        self.with(|state| {
            let content_of = &mut state.contents[content];
            content_of.bytes.truncate(wanted);
            content_of.durable = content_of.durable.min(wanted);
            Ok(self.file(state, content))
        })
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.with(|state| {
            let content = state.names.get(path);
            Ok(content.map(|content| state.contents[*content].bytes.clone()))
        })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.with(|state| Ok(state.names.contains_key(path)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(|state| {
            let content = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), content);
            state.renamed.push((from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let there = self.0.lock().unwrap().names.contains_key(to);
        match there {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => self.rename(from, to),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.with(|state| match state.names.remove(path) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.with(|state| {
            let mut synced: Vec<PathBuf> = Vec::new();
            state.renamed.retain(|(from, to)| {
                let touched = from.parent() == Some(folder) || to.parent() == Some(folder);
                if touched {
                    synced.extend([from.clone(), to.clone()]);
                }
                !touched
            });
            let inside = |path: &PathBuf| path.parent() == Some(folder) || synced.contains(path);
            state.durable_names.retain(|path, _| !inside(path));
            for (path, content) in state.names.iter().filter(|(path, _)| inside(path)) {
                state.durable_names.insert(path.clone(), *content);
            }
            Ok(())
        })
    }

    fn create_folders(&self, _path: &Path) -> io::Result<()> {
        self.with(|_| Ok(()))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.with(|state| {
            let inside = state.names.keys().filter(|path| path.parent() == Some(folder));
            Ok(inside
                .filter_map(|path| path.file_name().map(OsString::from))
                .collect())
        })
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Send>> {
        self.with(|_| Ok(Box::new(()) as Box<dyn Send>))
    }
}
