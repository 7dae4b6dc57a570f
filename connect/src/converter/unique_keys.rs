//! Maps whose keys were given several times.
use std::collections::HashMap;

use super::text::write_to_string;
use crate::record::Value;

/// Up to how many entries each is compared with each.
const FEW: usize = 16;

/// The entries with each key once, at its first place and with its last value.
pub(super) fn keep_last(given: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
    let mut kept: Vec<(Value, Value)> = Vec::with_capacity(given.len());
    if given.len() <= FEW {
        for (key, value) in given {
            match kept.iter_mut().find(|(its, _)| *its == key) {
                Some(entry) => entry.1 = value,
                None => kept.push((key, value)),
            }
        }
        return kept;
    }
    // Values cannot be hashed, but their texts can; different keys may have the same.
    let mut places: HashMap<Vec<u8>, Vec<usize>> = HashMap::with_capacity(given.len());
    for (key, value) in given {
        let mut text = Vec::new();
        write_to_string(&key, &mut text);
        let alike = places.entry(text).or_default();
        match alike.iter().find(|place| kept[**place].0 == key) {
            Some(place) => kept[*place].1 = value,
            None => {
                alike.push(kept.len());
                kept.push((key, value));
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_counts() {
        for count in [10, 10_000] {
            let number = |number: i32| (Value::Int32(number % (count / 2)), Value::Int32(number));
            let text = (Value::from("1"), Value::Null);
            let kept = keep_last((0..count).map(number).chain([text.clone()]).collect());
            assert_eq!(kept.len() as i32, count / 2 + 1);
            assert_eq!(kept[1], (Value::Int32(1), Value::Int32(count / 2 + 1)));
            assert_eq!(kept.last(), Some(&text));
        }
    }
}
