//! What the events are, and that they stay the same.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde_json::Value;

use super::files::murmur2;
use super::*;

const SMALL: Layout = Layout {
    events: 20_000,
    partitions: 4,
    seed: 1,
};

fn time(event: &Event) -> u64 {
    let value: Value = serde_json::from_str(&event.value).unwrap();
    value["at"].as_u64().unwrap_or(0)
}

/// All of a layout's events with their partitions, in order.
fn events(layout: &Layout) -> Vec<(Event, u64)> {
    let mut all = Vec::new();
    let taken = layout.each(|event, partition| {
        all.push((event.clone(), partition));
        Ok::<_, Infallible>(())
    });
    assert!(taken.is_ok());
    all
}

#[test]
fn the_first_events_are_these() {
    let model = Model::new(1);
    let found: String = (0..20).map(|number| model.event(number).line()).collect();
    assert_eq!(found, include_str!("golden.tsv"));
}

#[test]
fn of_fifty_events_one_is_a_person_and_three_are_auctions() {
    let mut found = BTreeMap::<Topic, u64>::new();
    for (event, _) in events(&SMALL) {
        *found.entry(event.topic).or_default() += 1;
    }
    let closing = SMALL.partitions * CLOSING;
    let expected = [
        (Topic::Persons, 400 + closing),
        (Topic::Auctions, 1_200 + closing),
        (Topic::Bids, 18_400 + closing),
        (Topic::Side, SIDE_ROWS),
    ];
    assert_eq!(found, expected.into());
}

#[test]
fn events_come_late_but_never_later_than_said() {
    let (mut latest, mut latest_by, mut disorder) = (0, 0, 0);
    for (event, _) in events(&SMALL) {
        let time = time(&event);
        if event.topic == Topic::Side || event.key < FIRST_ID {
            continue;
        }
        disorder += u64::from(time < latest);
        latest = latest.max(time);
        latest_by = latest_by.max(latest - time);
    }
    assert!(
        latest_by <= DISORDER_MS && latest_by > DISORDER_MS * 9 / 10,
        "{latest_by}"
    );
    assert!(disorder > SMALL.events / 2, "{disorder}");
}

#[test]
fn half_of_the_bids_go_to_hot_auctions_and_three_quarters_come_from_hot_bidders() {
    let (mut bids, mut auctions, mut bidders) = (0, 0, 0);
    for (event, _) in events(&SMALL) {
        if event.topic == Topic::Bids && event.key >= FIRST_ID {
            let bid: Value = serde_json::from_str(&event.value).unwrap();
            assert_eq!(bid["auction"], event.key);
            let price = bid["price"].as_u64().unwrap();
            assert!((100..=100_000_000).contains(&price), "{price}");
            bids += 1;
            auctions += u64::from(event.key % 100 == 0);
            bidders += u64::from(bid["bidder"].as_u64().unwrap() % 100 == 1);
        }
    }
    assert!(
        (bids * 48 / 100..bids * 53 / 100).contains(&auctions),
        "{auctions}"
    );
    assert!((bids * 73 / 100..bids * 78 / 100).contains(&bidders), "{bidders}");
}

#[test]
fn each_partition_has_its_keys_and_ends_with_what_closes_windows() {
    let mut last = BTreeMap::new();
    for (event, partition) in events(&SMALL) {
        if event.key >= FIRST_ID || event.topic == Topic::Side {
            let hash = murmur2(event.key.to_string().as_bytes()) & 0x7fff_ffff;
            assert_eq!(u64::from(hash) % SMALL.partitions, partition);
        }
        last.insert((event.topic, partition), event);
    }
    assert_eq!(last.len(), 16);
    let last_time = Model::time(SMALL.events);
    for ((topic, partition), event) in last {
        let closes = topic == Topic::Side || time(&event) > last_time + 24 * 3_600_000;
        assert!(closes, "{topic}-{partition}: {event:?}");
    }
    // However their keys are shuffled, as texts or as numbers.
    for partitions in 1..=4 {
        for bytes in [
            |key: u64| key.to_string().into_bytes(),
            |key: u64| key.to_be_bytes().to_vec(),
        ] {
            let hit = (0..CLOSING).map(|key| (murmur2(&bytes(key)) & 0x7fff_ffff) % partitions);
            assert_eq!(
                hit.collect::<std::collections::BTreeSet<_>>().len(),
                partitions as usize
            );
        }
    }
}

/// What Kafka's own tests say of it.
#[test]
fn keys_are_placed_as_by_kafka() {
    assert_eq!(murmur2(b"21"), -973_932_308_i32 as u32);
    assert_eq!(murmur2(b"foobar"), -790_332_482_i32 as u32);
    assert_eq!(murmur2(b"a-little-bit-long-string"), -985_981_536_i32 as u32);
    assert_eq!(murmur2(b"abc"), 479_470_107);
}

#[test]
fn a_line_that_is_another_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout {
        events: 500,
        partitions: 2,
        seed: 7,
    };
    Files::write(folder.path(), &layout).unwrap();
    assert_eq!(Files::check(folder.path(), &layout).unwrap(), None);
    let place = folder.path().join("bids-1.tsv");
    let text = std::fs::read_to_string(&place).unwrap();
    let (first, _) = text.split_once('\n').unwrap();
    std::fs::write(&place, text.replacen(first, "1\t{}", 1)).unwrap();
    let difference = Files::check(folder.path(), &layout).unwrap().unwrap();
    assert_eq!((difference.file.as_str(), difference.line), ("bids-1.tsv", 1));
    std::fs::write(&place, format!("{text}1\t{{}}\n")).unwrap();
    let difference = Files::check(folder.path(), &layout).unwrap().unwrap();
    assert_eq!(difference.line, 1 + text.lines().count() as u64);
}
