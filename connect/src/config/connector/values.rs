//! What values the common keys take, in Kafka's words.
use std::collections::HashSet;

/// What a list's text stands for, without blanks around its values.
fn parts(value: &str) -> impl Iterator<Item = &str> {
    let value = value.trim();
    let parts = (!value.is_empty()).then(|| value.split(',').map(str::trim));
    parts.into_iter().flatten()
}

/// A name: not empty, without control characters.
pub(super) fn control_free(value: &str) -> Result<(), String> {
    let codes: Vec<String> = value
        .chars()
        .filter(|char| char.is_control())
        .map(|char| u32::from(char).to_string())
        .collect();
    if value.trim().is_empty() {
        Err("String may not be empty".to_owned())
    } else if codes.is_empty() {
        Ok(())
    } else {
        let codes = codes.join(", ");
        Err(format!(
            "String may not contain control sequences but had the following ASCII chars: {codes}"
        ))
    }
}

/// Names of which each comes once.
pub(super) fn duplicate_free(value: &str) -> Result<(), String> {
    let mut seen = HashSet::new();
    match parts(value).all(|part| seen.insert(part)) {
        true => Ok(()),
        false => Err("Duplicate alias provided.".to_owned()),
    }
}

/// Names of topics.
pub(super) fn topics(value: &str) -> Result<(), String> {
    let mut seen = HashSet::new();
    if parts(value).any(str::is_empty) {
        Err("a topic's name is empty; give names between single commas".to_owned())
    } else if !parts(value).all(|part| seen.insert(part)) {
        Err("a topic comes twice; name each once".to_owned())
    } else {
        Ok(())
    }
}

/// A text that is not only blanks.
pub(super) fn non_blank(value: &str) -> Result<(), String> {
    match value.trim().is_empty() {
        true => Err("String must be non-empty".to_owned()),
        false => Ok(()),
    }
}

/// A pattern that this program can match.
pub(super) fn regular_expression(value: &str) -> Result<(), String> {
    match regex::Regex::new(value) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("Invalid regex: {error}")),
    }
}

/// One of these words, in their case.
pub(super) fn literally(
    words: &'static [&'static str],
) -> impl Fn(&str) -> Result<(), String> + Send + Sync + 'static {
    move |value| match words.contains(&value.trim()) {
        true => Ok(()),
        false => Err(format!("String must be one of: {}", words.join(", "))),
    }
}

/// One of these words, in any case.
pub(super) fn whichever_case(
    words: &'static [&'static str],
) -> impl Fn(&str) -> Result<(), String> + Send + Sync + 'static {
    move |value| {
        let known = words.iter().any(|word| word.eq_ignore_ascii_case(value.trim()));
        let known = known.then_some(());
        known.ok_or_else(|| format!("String must be one of (case insensitive): {}", words.join(", ")))
    }
}
