//! The example of first rows and of rows that pass once, beside a plain count of what it makes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use millstream_tests::program;

/// A window's payments: card, merchant and amount.
type Payments = Vec<(u64, u64, u64)>;
/// A card's amounts, each with its merchant, and its merchants.
type Card = (Vec<(u64, u64)>, BTreeSet<u64>);

/// The payments of the example, each once, in those windows that have closed.
fn windows() -> BTreeMap<u64, Payments> {
    let (mut windows, mut latest) = (BTreeMap::<u64, Payments>::new(), 0);
    for number in 0..2_400_u64 {
        let stolen = (1_200..1_300).contains(&number) && number.is_multiple_of(5);
        let card = if stolen { 13 } else { number * 31 % 40 };
        let merchant = if stolen {
            number % 47
        } else {
            card * 3 + number / 40 % (2 + card % 7)
        };
        let at = 600_000 + number * 1_000 - number * 7_919 % 2_500;
        let payment = (card, merchant, 100 + number * 7_919 % 20_000);
        windows.entry(at / 600_000 * 600_000).or_default().push(payment);
        latest = latest.max(at);
    }
    windows.retain(|start, _| start + 600_000 <= latest - 3_000);
    windows
}

fn minutes(ms: u64) -> String {
    format!("1970-01-01T00:{:02}:00Z", ms / 60_000)
}

#[test]
fn the_card_fraud_example_finds_the_largest_payments_and_the_stolen_card() {
    let mut expected = BTreeSet::new();
    let mut suspects = BTreeSet::new();
    let closed = windows();
    assert_eq!(closed.len(), 3);
    for (start, payments) in closed {
        let bounds = format!("\"{}\",\"{}\"", minutes(start), minutes(start + 600_000));
        let mut cards: BTreeMap<u64, Card> = BTreeMap::new();
        for (card, merchant, amount) in payments {
            let of = cards.entry(card).or_default();
            of.0.push((amount, merchant));
            of.1.insert(merchant);
        }
        let most = cards.values().map(|of| of.1.len()).max().unwrap();
        for (card, (mut amounts, merchants)) in cards {
            amounts.sort_unstable_by(|one, other| other.cmp(one));
            for (rank, (amount, merchant)) in (1..).zip(amounts.into_iter().take(2)) {
                let key = format!("[{card},{bounds},{rank}]");
                expected.insert((key, card, merchant, amount));
            }
            if merchants.len() == most {
                suspects.insert((start, card, most));
            }
        }
    }
    assert!(suspects.iter().any(|(_, card, most)| *card == 13 && *most > 10));

    let run = Command::new(program::example("card_fraud")).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let shown = String::from_utf8(run.stdout).unwrap();
    let (mut found, mut found_suspects) = (BTreeSet::new(), BTreeSet::new());
    for line in shown.lines() {
        let [topic, key, value] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let row: serde_json::Value = serde_json::from_str(value).unwrap();
        let number = |name: &str| row[name].as_u64().unwrap_or_else(|| panic!("{line}"));
        let keys: Vec<serde_json::Value> = serde_json::from_str(key).unwrap();
        match topic {
            "largest-payments" => {
                let card = keys[0].as_u64().unwrap();
                let row = (key.to_owned(), card, number("merchant"), number("amount"));
                assert!(found.insert(row), "{line} came twice");
            }
            _ => {
                let since = (0..60).find(|minute| Some(&*minutes(minute * 60_000)) == keys[0].as_str());
                let suspect = (
                    since.unwrap() * 60_000,
                    number("card"),
                    number("merchants") as usize,
                );
                assert!(found_suspects.insert(suspect), "{line} came twice");
            }
        }
    }
    assert_eq!(found, expected);
    assert_eq!(found_suspects, suspects);
}
