//! Views of pages in windows of ten seconds of their own time, and those that came too late.
//!
//! A view is late if the watermark of its partition had passed its window before it: that follows from the partition alone, so the
//! oracle knows it. Each window must be published once, with all of its views, and each late view once, as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::Message;
use serde_json::Value;

use super::{Instance, PARTITIONS, Report, SETTLE, Write, reader};
use crate::random::Random;

pub(super) const VIEWS: &str = "views";
pub(super) const PER_PAGE: &str = "views-per-page";
pub(super) const LATE: &str = "late-views";
const PAGES: u64 = 20;

const SIZE_MS: i64 = 10_000;
const GRACE_MS: i64 = 3_000;
const OUT_OF_ORDERNESS_MS: i64 = 2_000;
/// Behind all other views; its windows stay open.
const END_MS: i64 = 1_000_000_000;

/// How many views a page has in the window that ends then, and the sum of their users.
type Windows = BTreeMap<(String, i64), (u64, u64)>;

/// What must come out.
#[derive(Default)]
pub(super) struct Oracle {
    windows: Windows,
    late: BTreeSet<u64>,
    views: u64,
    /// The latest time of each partition.
    latest: BTreeMap<i32, i64>,
}

impl Oracle {
    /// A view; each user views once.
    fn view(&mut self, partition: i32, page: &str, user: u64, at: i64) {
        let latest = self.latest.entry(partition).or_insert(i64::MIN / 2);
        let end = at - at % SIZE_MS + SIZE_MS;
        if end + GRACE_MS <= *latest - OUT_OF_ORDERNESS_MS {
            self.late.insert(user);
        } else if at < END_MS {
            let window = self.windows.entry((page.to_owned(), end)).or_default();
            *window = (window.0 + 1, window.1 + user);
        }
        *latest = at.max(*latest);
        self.views += 1;
    }
}

/// Writes views until `pause` says that it is enough, and then one in each partition that closes all windows.
pub(super) fn feed(random: &mut Random, write: Write<'_>, pause: &dyn Fn() -> bool) -> Oracle {
    let mut oracle = Oracle::default();
    let (mut now, mut user) = (100_000, 0);
    let mut view = |oracle: &mut Oracle, partition, page: &str, at| {
        user += 1;
        write(
            VIEWS,
            partition,
            &format!(r#"{{"page":"{page}","user":{user},"at":{at}}}"#),
        );
        oracle.view(partition, page, user, at);
    };
    while !pause() {
        for _ in 0..50 {
            let late = match random.below(50) {
                0 => random.below(40_000),
                _ => random.below(4_000),
            };
            let page = format!("p{}", random.below(PAGES));
            let partition = random.below(PARTITIONS as u64) as i32;
            view(&mut oracle, partition, &page, now - late as i64);
            now += random.below(20) as i64;
        }
    }
    for partition in 0..PARTITIONS {
        view(&mut oracle, partition, "end", END_MS);
    }
    oracle
}

impl Oracle {
    /// Reads the windows and the late views until they are the oracle's.
    pub(super) fn check(&self, address: &str, seed: u64, instances: &mut [Instance], report: &mut Report) {
        (report.records, report.counted, report.late) = (self.views, self.views, self.late.len() as u64);
        let reader = reader(address, &[PER_PAGE, LATE]);
        let (mut windows, mut late) = (Windows::new(), BTreeSet::new());
        let mut deadline = Instant::now() + SETTLE;
        while windows.len() < self.windows.len() || late.len() < self.late.len() {
            let Some(record) = reader.poll(Duration::from_millis(200)) else {
                assert!(
                    Instant::now() < deadline,
                    "seed {seed}: {} windows of {} and {} late views of {} came; missing {:?} {:?}",
                    windows.len(),
                    self.windows.len(),
                    late.len(),
                    self.late.len(),
                    self.windows.keys().find(|window| !windows.contains_key(*window)),
                    self.late.difference(&late).next(),
                );
                instances.iter_mut().for_each(|instance| instance.must_run(seed));
                continue;
            };
            let Ok(record) = record else { continue };
            deadline = Instant::now() + SETTLE;
            report.published += 1;
            let place = format!("{}-{} at {}", record.topic(), record.partition(), record.offset());
            let value: Value =
                serde_json::from_slice(record.payload().unwrap_or_default()).expect("the value is JSON");
            if record.topic() == LATE {
                let user = value["user"].as_u64().expect("a view has a user");
                assert!(
                    self.late.contains(&user),
                    "seed {seed}: view {user} is not late ({place})"
                );
                assert!(
                    late.insert(user),
                    "seed {seed}: the late view {user} came twice ({place})"
                );
                continue;
            }
            let key: Value =
                serde_json::from_slice(record.key().unwrap_or_default()).expect("the key is JSON");
            let page = key[0].as_str().expect("a page").to_owned();
            let end = millis(key[2].as_str().expect("the end of a window"));
            let of = |name: &str| value[name].as_u64().expect("a number");
            let found = (of("views"), of("checksum"));
            assert_eq!(
                of("users"),
                found.0,
                "seed {seed}: a user was counted twice ({place})"
            );
            let expected = self.windows.get(&(page.clone(), end));
            assert_eq!(
                expected,
                Some(&found),
                "seed {seed}: page {page} until {end} ({place})"
            );
            let before = windows.insert((page.clone(), end), found);
            assert_eq!(
                before, None,
                "seed {seed}: page {page} until {end} came twice ({place})"
            );
        }
    }
}

/// Milliseconds since 1970 of a time within January of that year, like `1970-01-02T03:04:05.678Z`.
pub(super) fn millis(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("a number");
    let seconds = ((number(8..10) - 1) * 24 + number(11..13)) * 3600 + number(14..16) * 60 + number(17..19);
    seconds * 1000
        + text
            .get(20..23)
            .map_or(0, |digits| digits.parse().expect("milliseconds"))
}
