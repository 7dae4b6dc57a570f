//! Counts made by programs that share nothing with Millstream.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::program::{output_of, python};

/// Words and how often they occur.
pub type Counts = BTreeMap<String, u64>;

/// Counts an ASCII text with coreutils.
pub fn by_coreutils(path: &Path) -> Counts {
    let pipeline =
        "LC_ALL=C; export LC_ALL; tr A-Z a-z <\"$0\" | tr -cs a-z0-9 '\\n' | sed '/^$/d' | sort | uniq -c";
    let table = output_of(Command::new("sh").args(["-c", pipeline]).arg(path), b"");
    table
        .lines()
        .map(|line| {
            let (count, word) = line.trim().split_once(' ').unwrap();
            (word.to_owned(), count.parse().unwrap())
        })
        .collect()
}

/// Counts UTF-8 text (lossily decoded) with Python's `unicodedata`: runs of categories L, M and N, then `str.lower`.
pub fn by_python(path: &Path) -> Counts {
    let script = r#"
import collections, itertools, json, sys, unicodedata
text = open(sys.argv[1], "rb").read().decode("utf-8", "replace")
is_word = lambda c: unicodedata.category(c)[0] in "LMN"
words = ("".join(run).lower() for inside, run in itertools.groupby(text, is_word) if inside)
json.dump(collections.Counter(words), sys.stdout)
"#;
    let json = output_of(Command::new(python()).args(["-c", script]).arg(path), b"");
    serde_json::from_str(&json).unwrap()
}

/// What `word-count --output json` printed.
#[derive(Debug)]
pub struct Printed {
    /// Every word it listed.
    pub counts: Counts,
    /// The words in the order listed.
    pub order: Vec<String>,
    /// The whole object.
    pub json: serde_json::Value,
}

/// Reads the one JSON object of `word-count --output json`.
pub fn printed(stdout: &str) -> Printed {
    let json: serde_json::Value =
        serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error} in {stdout:?}"));
    let rows: Vec<(String, u64)> = json["top"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["word"].as_str().unwrap().to_owned(),
                row["count"].as_u64().unwrap(),
            )
        })
        .collect();
    Printed {
        order: rows.iter().map(|(word, _)| word.clone()).collect(),
        counts: rows.into_iter().collect(),
        json,
    }
}
