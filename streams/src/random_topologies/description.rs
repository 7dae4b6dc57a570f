//! What a random topology does, and what happens to it.
use proptest::prelude::*;

/// A step from rows to rows.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// The rows whose id does not have this remainder.
    Filter(i64, i64),
    /// The rows with an `n` above this.
    Above(i64),
    /// Adds to `n`.
    Add(i64),
    /// `k` becomes the remainder of `n`.
    Rekey(i64),
    /// None, one or two rows for each.
    FlatMap,
    /// By the remainder of the id one way or the other; then merged.
    Branch(i64, Vec<Step>, Vec<Step>),
    /// By the user, or else by `k`.
    Repartition(bool),
    /// A processor by the user or by `k`, which passes rows on.
    Process(bool),
}

/// What becomes of rows in the end.
#[derive(Debug, Clone)]
pub(super) enum End {
    Rows,
    /// By the user or by `k`; then the groups by their count, if asked for.
    Aggregate(bool, bool),
    /// The last row of each user, deleted where the id is divisible; then by `k`.
    Table,
    Window(Windowed),
}

#[derive(Debug, Clone)]
pub(super) struct Windowed {
    pub(super) size: i64,
    pub(super) advance: i64,
    pub(super) grace: i64,
    pub(super) on_close: bool,
    /// The size of windows over the windows' results.
    pub(super) again: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
    pub(super) children: Vec<Tree>,
}

impl Step {
    /// Whether rows come to other tasks.
    pub(super) fn moves(&self) -> bool {
        matches!(self, Self::Repartition(_) | Self::Process(_))
    }

    /// Whether the rows of a user stay in their order.
    pub(super) fn keeps_order(&self) -> bool {
        !matches!(
            self,
            Self::Branch(..) | Self::Repartition(false) | Self::Process(false)
        )
    }
}

fn plain_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (2..5_i64, 0..2_i64).prop_map(|(of, is)| Step::Filter(of, is)),
        1 => (-15..5_i64).prop_map(Step::Above),
        2 => (-5..5_i64).prop_map(Step::Add),
        2 => (2..5_i64).prop_map(Step::Rekey),
        2 => Just(Step::FlatMap),
        2 => any::<bool>().prop_map(Step::Repartition),
        1 => any::<bool>().prop_map(Step::Process),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let way = || proptest::collection::vec(plain_step(), 0..3);
    prop_oneof![
        6 => plain_step(),
        2 => (2..4_i64, way(), way()).prop_map(|(of, one, other)| Step::Branch(of, one, other)),
    ]
}

fn end() -> impl Strategy<Value = End> {
    let windowed = (
        1..80_i64,
        1..4_i64,
        0..40_i64,
        any::<bool>(),
        proptest::option::of(20..150_i64),
    );
    let windowed = windowed.prop_map(|(size, overlap, grace, on_close, again)| Windowed {
        size,
        advance: (size / overlap).max(1),
        grace,
        on_close,
        again: again.filter(|_| on_close),
    });
    prop_oneof![
        1 => Just(End::Rows),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(user, again)| End::Aggregate(user, again)),
        1 => Just(End::Table),
        3 => windowed.prop_map(End::Window),
    ]
}

pub(super) fn description() -> impl Strategy<Value = Tree> {
    let leaf = (proptest::collection::vec(step(), 0..3), end()).prop_map(|(steps, end)| Tree {
        steps,
        end,
        children: Vec::new(),
    });
    let steps = proptest::collection::vec(step(), 0..4);
    (steps, end(), proptest::collection::vec(leaf, 0..3)).prop_map(|(steps, end, children)| Tree {
        steps,
        end,
        children,
    })
}

/// What happens next.
#[derive(Debug, Clone)]
pub(super) enum Move {
    /// A row: user, `n`, event time.
    Row(i64, Option<i64>, Option<i64>),
    Epoch(usize, usize),
    Aborted(usize, usize),
    /// One that dies; the next one is of the same records.
    Torn(usize, usize, u64),
    Restart,
    /// So many seconds of silence.
    Silence(u64),
}

/// `silence` is how often there is silence, and `torn` how often an epoch dies, beside 100 other moves.
pub(super) fn moves(silence: u32, torn: u32) -> impl Strategy<Value = Vec<Move>> {
    let n = proptest::option::weighted(0.9, -20..20_i64);
    let at = proptest::option::weighted(0.95, 0..400_i64);
    let one = prop_oneof![
        60 => (0..6_i64, n, at).prop_map(|(user, n, at)| Move::Row(user, n, at)),
        30 => (0..64_usize, 0..8_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        6 => (0..64_usize, 0..8_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        torn => (0..64_usize, 0..8_usize, any::<u64>()).prop_map(|(task, records, seed)| Move::Torn(task, records, seed)),
        4 => Just(Move::Restart),
        silence => (3..9_u64).prop_map(Move::Silence),
    ];
    proptest::collection::vec(one, 1..120)
}
