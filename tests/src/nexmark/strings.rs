//! Random texts and prices.

use crate::random::Random;

const SHORTEST: u64 = 3;

/// A text of 3 to `longest` − 1 lower-case letters, one in thirteen of which is `special`.
pub(super) fn text(random: &mut Random, longest: u64, special: char) -> String {
    let length = SHORTEST + random.below(longest - SHORTEST);
    let letters = (0..length).map(|_| match random.below(13) {
        0 => special,
        _ => letter(random.below(26)),
    });
    letters.collect::<String>().trim().to_owned()
}

/// A text that brings a record of `size` bytes to about `average`, a fifth of what is missing more or less; none if it has them.
pub(super) fn filler(random: &mut Random, size: u64, average: u64) -> String {
    let missing = average.saturating_sub(size);
    let spread = (missing + 2) / 5;
    let length = missing - spread + if spread > 0 { random.below(2 * spread) } else { 0 };
    exact(random, length)
}

fn exact(random: &mut Random, length: u64) -> String {
    const LETTERS_A_NUMBER: u64 = 12;
    let mut bits = 0;
    (0..length)
        .map(|place| {
            bits = if place % LETTERS_A_NUMBER == 0 {
                random.next()
            } else {
                bits / 26
            };
            letter(bits % 26)
        })
        .collect()
}

fn letter(number: u64) -> char {
    char::from(b'a' + number as u8)
}

/// 100 to 100,000,000, as many of each magnitude: 100 · 10^(6r) for r in 0..1.
///
/// The power is a product of square roots of square roots, because those are rounded alike by every machine.
pub(super) fn price(random: &mut Random) -> u64 {
    let drawn = random.below(6 << 20);
    let (decades, mut fraction) = (drawn >> 20, drawn & ((1 << 20) - 1));
    let (mut power, mut root) = (100.0 * 10_f64.powi(decades as i32), 10_f64);
    for _ in 0..20 {
        root = root.sqrt();
        if fraction & (1 << 19) != 0 {
            power *= root;
        }
        fraction <<= 1;
    }
    power.round() as u64
}
