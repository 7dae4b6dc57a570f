//! Where answers differ from those of Kafka Connect 4.2, and why.
use std::sync::LazyLock;

use serde::Deserialize;

/// All of them; the peer `connect-rest`, which asks both workers, reads them, too.
const FILE: &str = include_str!("../../../golden/rest/differences.json");

/// What is compared of an answer that differs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ours {
    /// The status is this, whatever the body says.
    Status(u16),
    /// Status and kind of answer are the same; only the error's text differs.
    Text,
    /// Status, and all of a validation but what these keys say (and the number of errors).
    Keys(Vec<String>),
}

/// Which workers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Among {
    /// Whatever answers for ours.
    #[default]
    All,
    /// The doubles of this crate's tests.
    Doubles,
    /// The binary, with its plugins.
    Live,
    /// The binary as a distributed worker.
    Distributed,
}

/// A call by its method, its path and a part of its body; the first that fits counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Difference {
    pub method: String,
    pub path: String,
    pub body: String,
    pub ours: Ours,
    pub why: String,
    #[serde(default)]
    among: Among,
}

/// Those of the doubles.
pub(super) static ALL: LazyLock<Vec<Difference>> = LazyLock::new(|| {
    let all: Vec<Difference> = serde_json::from_str(FILE).expect("the file is read with every test");
    let mine = |difference: &Difference| matches!(difference.among, Among::All | Among::Doubles);
    all.into_iter().filter(mine).collect()
});

/// The difference that a call has, if it has one. A body that begins with `=` is the whole one; a path may end with `*`.
pub(super) fn of(method: &str, path: &str, body: &str) -> Option<&'static Difference> {
    ALL.iter().find(|difference| {
        let same_path = match difference.path.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => difference.path == path,
        };
        let same_body = match difference.body.strip_prefix('=') {
            Some(whole) => body == whole,
            None => body.contains(&difference.body),
        };
        difference.method == method && same_path && same_body
    })
}
