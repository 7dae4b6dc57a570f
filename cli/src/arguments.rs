//! Kafka's ways to order words on the command line, turned into ours before they are parsed.

use std::ffi::{OsStr, OsString};

/// Commands whose action is a flag in Kafka's script, and these actions.
const FLAGS: [(&str, &[&str]); 1] = [(
    "topics",
    &["--create", "--list", "--describe", "--alter", "--delete"],
)];

/// Commands whose action is a word that may stand behind options in Kafka's script: the actions, and the options that
/// take no value.
const WORDS: [(&str, &[&str], &[&str]); 1] = [(
    "transactions",
    &["list", "describe", "describe-producers", "abort", "find-hanging"],
    &["--json", "--help", "-h"],
)];

/// Puts the action right behind the command: `topics --topic a --create` becomes `topics create --topic a`, and
/// `transactions --bootstrap-server b list` becomes `transactions list --bootstrap-server b`.
pub fn accept_kafka_order(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let Some(command) = command(&arguments) else {
        return arguments;
    };
    let name = arguments[command].clone();
    let rest = command + 1;
    let found = if let Some((_, actions)) = FLAGS.iter().find(|(flag, _)| name == *flag) {
        arguments[rest..].iter().position(|word| is_one_of(word, actions))
    } else if let Some((_, actions, switches)) = WORDS.iter().find(|(word, ..)| name == *word) {
        word_behind_options(&arguments[rest..], actions, switches)
    } else {
        None
    };
    if let Some(at) = found {
        let action = arguments.remove(rest + at);
        let word = action.to_string_lossy().trim_start_matches('-').to_owned();
        arguments.insert(rest, word.into());
    }
    arguments
}

/// Where the subcommand stands: the first word that is no option and no option's value.
fn command(arguments: &[OsString]) -> Option<usize> {
    let mut index = 1;
    while let Some(argument) = arguments.get(index) {
        let text = argument.to_string_lossy();
        match text.as_ref() {
            "--log" | "--log-format" => index += 2,
            option if option.starts_with('-') => index += 1,
            _ => return Some(index),
        }
    }
    None
}

/// Where the first word stands that is an action and not the value of an option.
fn word_behind_options(words: &[OsString], actions: &[&str], switches: &[&str]) -> Option<usize> {
    let mut index = 0;
    while let Some(word) = words.get(index) {
        let text = word.to_string_lossy();
        if is_one_of(word, actions) {
            return Some(index);
        }
        let takes_value = text.starts_with('-') && !text.contains('=') && !is_one_of(word, switches);
        index += if takes_value { 2 } else { 1 };
    }
    None
}

fn is_one_of(word: &OsStr, words: &[&str]) -> bool {
    words.iter().any(|one| word == *one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let words = line.split(' ').map(Into::into).collect();
        let words: Vec<String> = accept_kafka_order(words)
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        words.join(" ")
    }

    #[test]
    fn the_flags_of_kafka_topics_become_subcommands() {
        assert_eq!(
            translated("millstream topics --topic a --create --partitions 3"),
            "millstream topics create --topic a --partitions 3"
        );
        assert_eq!(
            translated("millstream --log info topics --list"),
            "millstream --log info topics list"
        );
        assert_eq!(
            translated("millstream topics --alter --topic a"),
            "millstream topics alter --topic a"
        );
    }

    #[test]
    fn the_action_of_transactions_may_stand_behind_options() {
        assert_eq!(
            translated("millstream transactions --bootstrap-server b:1 list"),
            "millstream transactions list --bootstrap-server b:1"
        );
        assert_eq!(
            translated("millstream transactions --json describe --transactional-id list"),
            "millstream transactions describe --json --transactional-id list"
        );
        for line in [
            "millstream transactions describe --transactional-id list",
            "millstream transactions list",
            "millstream transactions --help",
        ] {
            assert_eq!(translated(line), line);
        }
    }

    #[test]
    fn other_commands_keep_their_arguments() {
        for line in [
            "millstream consume --topic topics --list",
            "millstream --version",
            "millstream produce --topic transactions list",
        ] {
            assert_eq!(translated(line), line);
        }
    }
}
