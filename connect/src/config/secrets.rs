//! What references of a configuration stand for, kept out of whatever is shown.
use std::collections::HashSet;
use std::sync::Arc;

use super::ConfigMap;
use super::providers::{between_references, is_reference};

/// The shortest value that is cut out of texts: shorter ones are parts of words.
const BYTES_MIN: usize = 4;
/// Values that are none's secret, and stand in many texts.
const NO_SECRETS: [&str; 4] = ["true", "false", "null", "none"];
/// What is shown instead of a secret.
const HIDDEN: &str = "[hidden]";

/// What references stand for, to be kept out of logs and answers. `Debug` hides it.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[Secret]>);

struct Secret {
    /// As its provider gives it.
    value: String,
    /// The reference.
    written: String,
}

impl Secret {
    /// Spaces around it may have been cut off.
    fn trimmed(&self) -> &str {
        self.value.trim()
    }
}

impl Secrets {
    /// Those of references and what they stand for.
    pub(super) fn new(resolved: impl IntoIterator<Item = (String, String)>) -> Self {
        let of = |(written, value)| Secret { value, written };
        Self::of(resolved.into_iter().map(of).collect())
    }

    fn of(mut secrets: Vec<Secret>) -> Self {
        secrets.retain(|secret| {
            let value = secret.trimmed();
            value.len() >= BYTES_MIN && !NO_SECRETS.contains(&&*value.to_ascii_lowercase())
        });
        let mut seen = HashSet::new();
        secrets.retain(|secret| seen.insert(secret.value.clone()));
        // One may hold another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.trimmed().len()));
        Self(secrets.into())
    }

    /// These, and others.
    pub(crate) fn and(&self, others: &Self) -> Self {
        if others.0.is_empty() {
            return self.clone();
        }
        let both = self.0.iter().chain(others.0.iter()).map(|secret| Secret {
            value: secret.value.clone(),
            written: secret.written.clone(),
        });
        Self::of(both.collect())
    }

    /// The text without them. References in it stay as they are.
    pub fn hidden(&self, text: &str) -> String {
        self.replaced(text, |secret| (secret.trimmed(), HIDDEN))
    }

    /// The text with references instead of them: resolved, it is the same again.
    pub(crate) fn referred(&self, text: &str) -> String {
        self.replaced(text, |secret| (&*secret.value, &*secret.written))
    }

    /// A task's configuration as it may be kept and shown: with references instead of secrets, under whatever key its connector hands them on.
    /// What users wrote themselves stays as it is.
    pub(crate) fn referred_in(&self, connector: &ConfigMap, task: ConfigMap) -> ConfigMap {
        let keys = task.into_iter().map(|(key, value)| match connector.get(&key) {
            Some(written) if is_reference(written) => (key, written.clone()),
            Some(written) if *written == value => (key, value),
            _ => {
                let referred = self.referred(&value);
                (key, referred)
            }
        });
        keys.collect()
    }

    /// A task's configuration as it is shown: secrets that no reference could be put for are hidden.
    pub(crate) fn hidden_in(&self, connector: &ConfigMap, task: &ConfigMap) -> ConfigMap {
        let keys = task.iter().map(|(key, value)| match connector.get(key) {
            Some(written) if written == value => (key.clone(), value.clone()),
            _ => (key.clone(), self.hidden(value)),
        });
        keys.collect()
    }

    /// Replaces what `of` says of each secret, in one pass: what was put in may hold what another secret is.
    fn replaced<'a>(&'a self, text: &str, of: impl Fn(&'a Secret) -> (&'a str, &'a str)) -> String {
        let found = |text: &str| self.0.iter().any(|secret| text.contains(of(secret).0));
        if !found(text) {
            return text.to_owned();
        }
        let mut replaced = String::with_capacity(text.len());
        for (plain, reference) in between_references(text) {
            let mut rest = plain;
            while let Some(next) = rest.chars().next() {
                let here = self.0.iter().map(&of).find(|(value, _)| rest.starts_with(value));
                let taken = match here {
                    Some((value, instead)) => {
                        replaced.push_str(instead);
                        value.len()
                    }
                    None => {
                        replaced.push(next);
                        next.len_utf8()
                    }
                };
                rest = &rest[taken..];
            }
            replaced.push_str(reference);
        }
        replaced
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let pairs = [
            ("${file:/etc/db.properties:password}", "hunter2"),
            ("${file:/etc/db.properties:user}", "db.properties"),
            ("${dir:/run:token}", "t0ken\n"),
            ("${env:LONG}", "hunter2-and-more"),
            ("${env:FLAG}", "true"),
            ("${env:SHORT}", "abc"),
        ];
        Secrets::new(pairs.map(|(written, value)| (written.to_owned(), value.to_owned())))
    }

    fn map(pairs: &[(&str, &str)]) -> ConfigMap {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_longest_is_hidden_and_what_is_no_secret_stays() {
        let hidden = |text: &str| secrets().hidden(text);
        assert_eq!(hidden("é hunter2-and-more, hunter2"), "é [hidden], [hidden]");
        assert_eq!(hidden("t0ken abc true"), "[hidden] abc true");
        assert_eq!(
            hidden("cannot resolve ${file:/etc/db.properties:x} for db.properties"),
            "cannot resolve ${file:/etc/db.properties:x} for [hidden]"
        );
        assert_eq!(format!("{:?}", secrets()), "[hidden]");
        let both = Secrets::default().and(&secrets());
        assert_eq!(both.hidden("hunter2"), "[hidden]");
    }

    /// A connector handed its password on under another key, or within an address: it was shown with the tasks, and kept.
    #[test]
    fn what_a_connector_hands_on_is_a_reference_again() {
        let connector = map(&[
            ("password", "${file:/etc/db.properties:password}"),
            ("topic", "db.properties"),
        ]);
        let task = map(&[
            ("password", "hunter2"),
            ("topic", "db.properties"),
            ("url", "jdbc:db.properties:hunter2@host"),
            ("token", "t0ken"),
            ("task.id", "0"),
        ]);
        let kept = secrets().referred_in(&connector, task);
        let expected = map(&[
            ("password", "${file:/etc/db.properties:password}"),
            ("topic", "db.properties"),
            (
                "url",
                "jdbc:${file:/etc/db.properties:user}:${file:/etc/db.properties:password}@host",
            ),
            // The reference would bring its end of line back.
            ("token", "t0ken"),
            ("task.id", "0"),
        ]);
        assert_eq!(kept, expected);
        let shown = secrets().hidden_in(&connector, &kept);
        assert_eq!(shown["token"], "[hidden]");
        assert_eq!(shown["topic"], "db.properties");
        assert_eq!(shown["url"], kept["url"]);
    }
}
