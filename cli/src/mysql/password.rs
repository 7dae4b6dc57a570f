//! Asking for a password.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::CliError;

/// A terminal that does not show what is typed; dropping it shows it again.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks at the terminal, whatever standard input is; nothing of what is typed is shown.
pub fn prompt(question: &str) -> Result<String, CliError> {
    let failed = |error: std::io::Error| {
        CliError::new(format!(
            "cannot ask for the password at the terminal: {error}; set MYSQL_PWD instead"
        ))
    };
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(failed)?;
    let before = tcgetattr(&terminal).map_err(|error| failed(error.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    let hidden = Hidden {
        terminal: &terminal,
        before,
    };
    tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
    let mut writer = &terminal;
    writer.write_all(question.as_bytes()).map_err(failed)?;
    let mut line = String::new();
    BufReader::new(&terminal).read_line(&mut line).map_err(failed)?;
    drop(hidden);
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
