//! How much a step emits at once: what the steps below work on before more is made.
//!
//! Rows alone are no measure: pairs of one large row repeat it, and a column of texts has no room for more than two GiB.

/// Rows that are emitted in one batch; few in tests, so that there are several.
pub(super) const OUTPUT_ROWS_MAX: usize = if cfg!(test) { 7 } else { 8 * 1024 };
/// What they may take, unless one row alone takes more.
pub(super) const OUTPUT_BYTES_MAX: usize = if cfg!(test) { 512 } else { 16 << 20 };

/// How many of some rows, which take so many bytes each, are one batch, and what they take: at least one row, if there are any.
pub(super) fn portion(sizes: impl Iterator<Item = usize>) -> (usize, usize) {
    let (mut rows, mut bytes) = (0, 0_usize);
    for size in sizes.take(OUTPUT_ROWS_MAX) {
        if rows > 0 && bytes.saturating_add(size) > OUTPUT_BYTES_MAX {
            break;
        }
        rows += 1;
        bytes = bytes.saturating_add(size);
    }
    (rows, bytes)
}

/// Keys that are looked up at once in the beginning, when it is not known what their rows take.
const KEYS_MIN: usize = if cfg!(test) { 2 } else { 256 };

/// How many keys are looked up at once: about as many as have rows for one batch.
#[derive(Debug)]
pub(super) struct Looks {
    keys_max: usize,
}

impl Looks {
    pub(super) fn new() -> Self {
        Self { keys_max: KEYS_MIN }
    }

    /// At least one.
    pub(super) fn keys_max(&self) -> usize {
        self.keys_max
    }

    /// So many keys were looked up, and what there was for them took so much.
    pub(super) fn took(&mut self, keys: usize, bytes: usize) {
        let fit = keys.max(1).saturating_mul(OUTPUT_BYTES_MAX) / bytes.max(1);
        // Those that come next may take more.
        self.keys_max = fit.clamp(1, OUTPUT_ROWS_MAX.min(2 * self.keys_max));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_keys_are_looked_up_where_their_rows_are_large() {
        let mut looks = Looks::new();
        assert_eq!(looks.keys_max(), 2);
        let mut after = |keys, bytes| {
            looks.took(keys, bytes);
            looks.keys_max()
        };
        assert_eq!(after(2, 100), 4);
        assert_eq!(after(4, 0), OUTPUT_ROWS_MAX);
        assert_eq!(after(0, 0), OUTPUT_ROWS_MAX);
        assert_eq!(after(OUTPUT_ROWS_MAX, 2 * OUTPUT_BYTES_MAX), OUTPUT_ROWS_MAX / 2);
        assert_eq!(after(1, usize::MAX), 1);
        assert_eq!(after(1, OUTPUT_BYTES_MAX / 2), 2);
    }

    #[test]
    fn a_batch_ends_with_its_rows_or_with_its_bytes() {
        let of = |sizes: &[usize]| portion(sizes.iter().copied());
        assert_eq!(of(&[]), (0, 0));
        assert_eq!(of(&[0; 100]), (OUTPUT_ROWS_MAX, 0));
        assert_eq!(of(&[1; 3]), (3, 3));
        let half = OUTPUT_BYTES_MAX / 2;
        assert_eq!(of(&[half, half, 1]), (2, 2 * half));
        // What alone is too much goes alone, wherever it is.
        assert_eq!(of(&[usize::MAX, 1, 1]), (1, usize::MAX));
        assert_eq!(of(&[1, usize::MAX, 1]), (1, 1));
    }
}
