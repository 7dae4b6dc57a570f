//! The leader's decisions: who runs what, with few moves and never twice at once.
//!
//! A plain state machine: members, what is wanted, what was given up, and the time come in; the next [`Assignment`] comes out. What moves
//! is first given up by its owner, who says so, and belongs to nobody between. Nobody is waited for who is no longer a member: after
//! `margin` it has stopped by itself. What a lost member ran stays where it was for `delay` (KIP-415), unless its worker comes back.
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::assignment::{Assignment, MemberId, Place};
use crate::herder::Unit;

/// What a decision is made from.
pub(super) struct Situation<'a> {
    /// Who decides.
    pub(super) me: &'a MemberId,
    /// Who is there.
    pub(super) members: &'a BTreeSet<MemberId>,
    /// What there is to run.
    pub(super) wanted: &'a BTreeSet<Unit>,
    /// What was decided last.
    pub(super) current: &'a Assignment,
    /// The last epoch at which this worker (`HOST:PORT`) said that it stopped the unit and will not start it again in that epoch.
    pub(super) released: &'a dyn Fn(&Unit, &str) -> Option<u64>,
    pub(super) now: Instant,
}

/// Decides, and remembers since when somebody is lost.
#[derive(Debug)]
pub(super) struct Planner {
    delay: Duration,
    margin: Duration,
    lost: BTreeMap<MemberId, Instant>,
}

/// How much each member has: units of a kind, and all.
struct Loads(BTreeMap<MemberId, [usize; 2]>);

fn kind(unit: &Unit) -> usize {
    usize::from(unit.task.is_some())
}

impl Loads {
    fn add(&mut self, member: &MemberId, unit: &Unit) {
        if let Some(load) = self.0.get_mut(member) {
            load[kind(unit)] += 1;
        }
    }

    /// Who has the least of the unit's kind.
    fn least(&self, kind: usize) -> Option<&MemberId> {
        let by =
            |(member, load): &(&MemberId, &[usize; 2])| (load[kind], load[0] + load[1], (*member).clone());
        self.0.iter().min_by_key(by).map(|(member, _)| member)
    }

    fn most(&self, kind: usize) -> Option<&MemberId> {
        let by =
            |(member, load): &(&MemberId, &[usize; 2])| (load[kind], load[0] + load[1], (*member).clone());
        self.0.iter().max_by_key(by).map(|(member, _)| member)
    }
}

impl Planner {
    /// `delay` is `scheduled.rebalance.max.delay.ms`; after `margin` a lost member runs nothing any more.
    pub(super) fn new(delay: Duration, margin: Duration) -> Self {
        Self {
            delay,
            margin,
            lost: BTreeMap::new(),
        }
    }

    /// Somebody else led meanwhile: what was seen before is of no use.
    pub(super) fn begin_anew(&mut self) {
        self.lost.clear();
    }

    /// The next assignment, if anything is to change.
    pub(super) fn plan(&mut self, seen: &Situation<'_>) -> Option<Assignment> {
        if !seen.members.contains(seen.me) {
            return None;
        }
        let mut next = seen.current.clone();
        next.epoch += 1;
        next.leader = seen.me.clone();
        let owners: BTreeSet<&MemberId> = next.units.values().map(|place| &place.owner).collect();
        self.lost
            .retain(|member, _| owners.contains(member) && !seen.members.contains(member));
        let mut before = BTreeMap::new();
        let mut waiting = false;
        let epoch = next.epoch;
        next.units.retain(|unit, place| {
            let wanted = seen.wanted.contains(unit);
            if self.keeps(unit, place, wanted, epoch, seen) {
                waiting |= wanted && !seen.members.contains(&place.owner);
                return true;
            }
            before.insert(unit.clone(), place.owner.clone());
            false
        });
        assign(&mut next, seen, &before);
        if !waiting {
            balance(&mut next, seen);
        }
        (next.units != seen.current.units).then_some(next)
    }

    /// Whether the unit stays its owner's; one that it is to give up is marked so.
    fn keeps(
        &mut self,
        unit: &Unit,
        place: &mut Place,
        wanted: bool,
        epoch: u64,
        seen: &Situation<'_>,
    ) -> bool {
        let released = (seen.released)(unit, place.owner.worker_id());
        let released = released.is_some_and(|at| at >= place.draining.unwrap_or(place.since));
        if seen.members.contains(&place.owner) {
            if place.draining.is_none() && !wanted {
                place.draining = Some(epoch);
            }
            return !(released && place.draining.is_some_and(|draining| draining < epoch));
        }
        let since = *self.lost.entry(place.owner.clone()).or_insert(seen.now);
        let passed = seen.now.saturating_duration_since(since);
        // Its worker lives again: whoever it was before has ended, or has stopped everything.
        let back = seen
            .members
            .iter()
            .any(|member| member.url() == place.owner.url());
        let stopped = released || back || passed >= self.margin;
        let due = back || !wanted || place.draining.is_some() || passed >= self.delay;
        !(stopped && due)
    }
}

/// Gives what nobody has to whoever has least, or whose worker had it before.
fn assign(next: &mut Assignment, seen: &Situation<'_>, before: &BTreeMap<Unit, MemberId>) {
    let mut loads = loads(next, seen);
    for unit in seen.wanted {
        if next.units.contains_key(unit) {
            continue;
        }
        let back = before.get(unit).and_then(|before| {
            let mut members = seen.members.iter();
            members.find(|member| *member != before && member.url() == before.url())
        });
        let Some(owner) = back.or_else(|| loads.least(kind(unit))).cloned() else {
            return;
        };
        loads.add(&owner, unit);
        let place = Place {
            owner,
            since: next.epoch,
            draining: None,
        };
        next.units.insert(unit.clone(), place);
    }
}

/// Has whoever has much more than another give something up. It goes to whoever has least once it is given up.
fn balance(next: &mut Assignment, seen: &Situation<'_>) {
    let mut loads = loads(next, seen);
    for (unit, place) in &next.units {
        if place.draining.is_some() && seen.wanted.contains(unit) {
            let least = loads.least(kind(unit)).cloned();
            if let Some(least) = least {
                loads.add(&least, unit);
            }
        }
    }
    for kind_moved in [0, 1] {
        loop {
            let (most, least) = (loads.most(kind_moved).cloned(), loads.least(kind_moved).cloned());
            let (Some(most), Some(least)) = (most, least) else {
                break;
            };
            if loads.0[&most][kind_moved] < loads.0[&least][kind_moved] + 2 {
                break;
            }
            let mut movable = next.units.iter_mut().rev();
            let moved = movable.find(|(unit, place)| {
                kind(unit) == kind_moved && place.owner == most && place.draining.is_none()
            });
            let Some((unit, place)) = moved else {
                break;
            };
            place.draining = Some(next.epoch);
            loads.add(&least, unit);
            loads.0.entry(most).and_modify(|load| load[kind_moved] -= 1);
        }
    }
}

/// What each member runs.
fn loads(next: &Assignment, seen: &Situation<'_>) -> Loads {
    let mut loads = Loads(
        seen.members
            .iter()
            .map(|member| (member.clone(), [0, 0]))
            .collect(),
    );
    for (unit, place) in &next.units {
        if place.draining.is_none() {
            loads.add(&place.owner, unit);
        }
    }
    loads
}

#[cfg(test)]
mod tests;
