//! Pauses between attempts.
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Pauses that double, each somewhat shorter by chance, so that many who lost the same server do not come back at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next pause.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        // A random number of sixteen bits: hashers are seeded by chance.
        let chance = RandomState::new().hash_one(0_u8) as u16;
        pause - pause / 2 * u32::from(chance) / (1 << 16)
    }

    /// It went well.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let mut longest = FIRST;
        for _ in 0..20 {
            let pause = backoff.pause();
            assert!(
                pause > longest / 2 && pause <= longest,
                "{pause:?} of {longest:?}"
            );
            longest = (longest * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
