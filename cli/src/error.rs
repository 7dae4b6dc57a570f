//! What a command says when it can't go on: one line that names the thing and the remedy, and a non-zero exit.

use std::io;

/// A failure of a command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A message that already names the thing, the place and the remedy.
    #[error("{0}")]
    Message(String),
    /// A server could not be asked, so that there is no answer to what the command is for.
    #[error("{0}")]
    Unanswered(String),
    /// The user stopped the command; what had to be finished was finished.
    #[error("interrupted")]
    Interrupted,
    /// Whoever read our standard output went away (`| head`): not worth a word.
    #[error("standard output was closed")]
    OutputClosed,
}

impl CliError {
    /// An error from its one line.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// Prints the line on standard error; a closed output says nothing.
    pub fn report(&self) {
        if !matches!(self, Self::OutputClosed) {
            eprintln!("millstream: {}", one_line(&self.to_string()));
        }
    }

    /// 1 for errors, 2 where those who look for 1 have no answer, 130 as shells have it for Ctrl-C, 141 as for a closed pipe.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Message(_) => 1,
            Self::Unanswered(_) => 2,
            Self::Interrupted => 130,
            Self::OutputClosed => 141,
        }
    }
}

/// Folds line ends, so that whatever a library put into its message stays one line.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An error of writing to standard output.
pub fn output(error: io::Error) -> CliError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        CliError::OutputClosed
    } else {
        CliError::new(format!("cannot write to standard output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_becomes_one() {
        assert_eq!(one_line("a\n  b\tc "), "a b c");
    }

    #[test]
    fn a_closed_pipe_is_not_an_error_to_talk_about() {
        let error = output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(error, CliError::OutputClosed));
        assert_eq!(error.exit_code(), 141);
    }
}
