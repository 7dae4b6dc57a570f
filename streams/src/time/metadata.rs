//! Event time as the metadata of a committed offset.
//!
//! Version 1, words parted by spaces: `ms1`, the task's watermark, `1` if it was ever idle or else `0`; then for a source `s`, `1` if it is
//! idle or else `0`, and of each of its strategies the watermark, the allowed out-of-orderness and the name of its event time (hexadecimal),
//! parted by `:`, or the watermark alone, as it was written at first; for a repartition topic `r`, the plan (hexadecimal) and for
//! each upstream task its watermark as the distance from the task's first word that is greatest, in base 36, with `~` behind it
//! if it is idle. No watermark is `-`.
use super::upstream::{UPSTREAM_TASKS_MAX, UpstreamTable, UpstreamTask};
use super::{Bound, Tracker, Watermark};

const VERSION: &str = "ms1";
const NONE: &str = "-";

/// What is stored with the offset of one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) watermark: Watermark,
    pub(super) was_idle: bool,
    pub(super) input: StoredInput,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoredInput {
    Source { idle: bool, marks: Vec<StoredMark> },
    Upstream(UpstreamTable),
}

/// How far a strategy was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredMark {
    pub(super) watermark: Watermark,
    /// Which strategy it was, if that was noted.
    pub(super) bound: Option<Bound>,
}

impl Stored {
    pub(super) fn encode(&self) -> String {
        let mut text = format!("{VERSION} {} {}", word(self.watermark), u8::from(self.was_idle));
        match &self.input {
            StoredInput::Source { idle, marks } => {
                text.push_str(&format!(" s {}", u8::from(*idle)));
                for mark in marks {
                    text.push(' ');
                    text.push_str(&word(mark.watermark));
                    if let Some(bound) = mark.bound {
                        text.push_str(&format!(":{}:{:x}", bound.out_of_orderness_ms, bound.time));
                    }
                }
            }
            StoredInput::Upstream(table) => {
                let last = table.tasks.iter().map(|task| task.watermark).max();
                let last = last.unwrap_or(Watermark::NONE);
                text.push_str(&format!(" r {:x} {}", table.plan, word(last)));
                for task in &table.tasks {
                    text.push(' ');
                    match task.watermark {
                        Watermark::NONE => text.push_str(NONE),
                        watermark => base36(last.millis().abs_diff(watermark.millis()), &mut text),
                    }
                    if task.idle {
                        text.push('~');
                    }
                }
            }
        }
        text
    }

    /// What `text` says; none if it is not of this form.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next()? != VERSION {
            return None;
        }
        let watermark = watermark(words.next()?)?;
        let was_idle = truth(words.next()?)?;
        let input = match words.next()? {
            "s" => StoredInput::Source {
                idle: truth(words.next()?)?,
                marks: words.map(mark).collect::<Option<_>>()?,
            },
            "r" => {
                let plan = u64::from_str_radix(words.next()?, 16).ok()?;
                let last = self::watermark(words.next()?)?;
                let task = |word: &str| {
                    let (word, idle) = match word.strip_suffix('~') {
                        Some(word) => (word, true),
                        None => (word, false),
                    };
                    let watermark = match word {
                        NONE => Watermark::NONE,
                        distance => {
                            let distance = u64::from_str_radix(distance, 36).ok()?;
                            Watermark::at(last.millis().checked_sub_unsigned(distance)?)
                        }
                    };
                    Some(UpstreamTask { watermark, idle })
                };
                let tasks = words.map(task).take(UPSTREAM_TASKS_MAX);
                StoredInput::Upstream(UpstreamTable {
                    plan,
                    tasks: tasks.collect::<Option<_>>()?,
                })
            }
            _ => return None,
        };
        Some(Self {
            watermark,
            was_idle,
            input,
        })
    }
}

pub(super) fn marks(trackers: &[Tracker]) -> Vec<StoredMark> {
    let mark = |tracker: &Tracker| StoredMark {
        watermark: tracker.watermark(),
        bound: Some(tracker.bound()),
    };
    trackers.iter().map(mark).collect()
}

fn mark(word: &str) -> Option<StoredMark> {
    let Some((watermark, bound)) = word.split_once(':') else {
        let watermark = self::watermark(word)?;
        return Some(StoredMark {
            watermark,
            bound: None,
        });
    };
    let (out_of_orderness_ms, time) = bound.split_once(':')?;
    let bound = Bound {
        time: u32::from_str_radix(time, 16).ok()?,
        out_of_orderness_ms: out_of_orderness_ms.parse().ok()?,
    };
    Some(StoredMark {
        watermark: self::watermark(watermark)?,
        bound: Some(bound),
    })
}

fn word(watermark: Watermark) -> String {
    match watermark {
        Watermark::NONE => NONE.to_owned(),
        watermark => watermark.millis().to_string(),
    }
}

fn watermark(word: &str) -> Option<Watermark> {
    match word {
        NONE => Some(Watermark::NONE),
        word => word.parse().ok().map(Watermark::at),
    }
}

fn truth(word: &str) -> Option<bool> {
    match word {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn base36(mut number: u64, out: &mut String) {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).expect("a rest below 36");
        digits.push(char::from_digit(digit, 36).expect("a digit below 36"));
        number /= 36;
        if number == 0 {
            break;
        }
    }
    out.extend(digits.iter().rev());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_is_fixed() {
        let of = |input| {
            let stored = Stored {
                watermark: Watermark::at(1_700_000_000_000),
                was_idle: true,
                input,
            };
            stored.encode()
        };
        let mark = |watermark, bound| StoredMark { watermark, bound };
        let bound = Bound {
            time: 0xabc,
            out_of_orderness_ms: 4000,
        };
        let source = StoredInput::Source {
            idle: false,
            marks: vec![
                mark(Watermark::at(17), Some(bound)),
                mark(Watermark::NONE, Some(bound)),
                mark(Watermark::at(18), None),
            ],
        };
        assert_eq!(of(source), "ms1 1700000000000 1 s 0 17:4000:abc -:4000:abc 18");
        let task = |watermark, idle| UpstreamTask { watermark, idle };
        let table = UpstreamTable {
            plan: 255,
            tasks: vec![
                task(Watermark::at(1000), false),
                task(Watermark::at(900), true),
                task(Watermark::NONE, true),
            ],
        };
        assert_eq!(
            of(StoredInput::Upstream(table)),
            "ms1 1700000000000 1 r ff 1000 0 2s~ -~"
        );
        for bad in [
            "",
            "ms1",
            "ms2 1 0 s 0",
            "ms1 x 0 s 0",
            "ms1 1 0 q",
            "ms1 1 0 r zz 1 1",
            "ms1 1 0 s 0 y",
            "ms1 1 0 s 0 1:2",
            "ms1 1 0 s 0 1:2:x",
            "ms1 1 0 s 0 1:2:3:4",
        ] {
            assert_eq!(Stored::decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_largest_table_fits_an_offset() {
        // A year apart, which is more than any job's partitions are.
        let task = |number: i64| UpstreamTask {
            watermark: Watermark::at(1_700_000_000_000 + i64::from(number == 0) * 31_536_000_000),
            idle: true,
        };
        let tasks = (0..UPSTREAM_TASKS_MAX as i64).map(task).collect();
        let stored = Stored {
            watermark: Watermark::at(1_700_000_000_000),
            was_idle: true,
            input: StoredInput::Upstream(UpstreamTable {
                plan: u64::MAX,
                tasks,
            }),
        };
        assert!(stored.encode().len() <= 4096, "{}", stored.encode().len());
    }

    proptest! {
        #[test]
        fn what_is_stored_comes_back(
            first: Option<i64>, was_idle: bool, idle: bool, plan: u64, source: bool,
            tasks in proptest::collection::vec((proptest::option::of(0..i64::MAX / 2), any::<bool>()), 0..20),
        ) {
            let mark = |time: Option<i64>| time.map_or(Watermark::NONE, Watermark::at);
            let input = match source {
                true => StoredInput::Source { idle, marks: tasks.iter().map(|(time, named)| StoredMark {
                    watermark: mark(*time),
                    bound: named.then_some(Bound { time: plan as u32, out_of_orderness_ms: 5 }),
                }).collect() },
                false => StoredInput::Upstream(UpstreamTable {
                    plan,
                    tasks: tasks.iter().map(|(time, idle)| UpstreamTask { watermark: mark(*time), idle: *idle }).collect(),
                }),
            };
            let stored = Stored { watermark: mark(first), was_idle, input };
            prop_assert_eq!(Stored::decode(&stored.encode()), Some(stored));
        }

        #[test]
        fn any_text_is_taken_without_panic(text in "ms1 [-0-9a-z~]{0,20}( [srx0-9a-z~:-]{0,16}){0,6}") {
            Stored::decode(&text);
        }
    }
}
