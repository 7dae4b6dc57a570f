//! Which inputs have a part in event time, once the topology is whole.
//!
//! Watermarks cost a record an epoch and partition of a repartition topic, and an input that stands still holds back all others, so only
//! those inputs have them on which a window or the timers of a processor depend, directly or through other sub-topologies.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::build::Builder;
use super::name::fingerprint;
use super::{
    Announces, Decode, Edge, Input, InputTime, NodeId, Pace, PlanError, RepartitionTopic, Step, StepId,
    StepKind, WatermarkStep,
};
use crate::expr::CompiledExpr;
use crate::time::Bound;

impl Builder {
    /// Gives inputs their part in event time, and sources without a strategy the default one where a window depends on
    /// them. Gives the announcements of each sub-topology.
    pub(super) fn settle_time(&mut self) -> Result<Vec<Vec<Announces>>, PlanError> {
        let times = Times::of(self);
        times.check_circles(&self.repartitions)?;
        let mut announces = vec![Vec::new(); self.subs.len()];
        for repartition in &self.repartitions {
            if times.is_timed(&repartition.topic) {
                announces[repartition.upstream].push(Announces {
                    topic: repartition.topic.clone(),
                    hold_ms: repartition.hold_ms,
                });
            }
        }
        for (number, (inputs, steps)) in self.subs.iter_mut().enumerate() {
            check_watermarks(inputs, steps)?;
            let topics: Vec<&str> = announces[number].iter().map(|to| &*to.topic).collect();
            add_defaults(inputs, steps, &topics);
            number_strategies(inputs, steps, &times.timed[number]);
            for step in steps.iter_mut() {
                if let StepKind::Repartition(repartition) = &mut step.kind {
                    repartition.timed = topics.contains(&&*repartition.topic);
                }
            }
            settle_paces(inputs, steps);
        }
        Ok(announces)
    }

    /// The sub-topology that reads each topic, and the number of its input.
    pub(super) fn readers(&self) -> HashMap<Arc<str>, (usize, usize)> {
        let mut readers = HashMap::new();
        for (number, (inputs, _)) in self.subs.iter().enumerate() {
            let topics = inputs.iter().map(|input| Arc::clone(&input.topic));
            readers.extend(topics.zip((0..).map(|input| (number, input))));
        }
        readers
    }
}

/// Which inputs have a part in event time: those from which rows come to a step that waits for it, or to a repartition topic
/// that has a part in it. A table that others look up has none, or it would hold them back whenever it stands still.
struct Times {
    /// By sub-topology and input.
    timed: Vec<Vec<bool>>,
    /// See [`Builder::readers`].
    readers: HashMap<Arc<str>, (usize, usize)>,
}

impl Times {
    fn of(builder: &Builder) -> Self {
        let subs = builder.subs.iter();
        let mut times = Self {
            timed: subs.map(|(inputs, _)| vec![false; inputs.len()]).collect(),
            readers: builder.readers(),
        };
        // Those behind have to be known before those in front of them.
        while times.grow(builder) {}
        times
    }

    /// Adds inputs that depend on what is known; says whether there were any.
    fn grow(&mut self, builder: &Builder) -> bool {
        let mut found = Vec::new();
        for (sub, (inputs, steps)) in builder.subs.iter().enumerate() {
            let waits = |step: &StepId| {
                let kind = &steps[step.0].kind;
                kind.waits_for_time() || kind.repartition_topic().is_some_and(|topic| self.is_timed(topic))
            };
            let others = inputs
                .iter()
                .enumerate()
                .filter(|(input, _)| !self.timed[sub][*input]);
            let waiting =
                others.filter(|(_, input)| reached(input, steps, is_timed, |_| true).iter().any(waits));
            found.extend(waiting.map(|(input, _)| (sub, input)));
        }
        for (sub, input) in &found {
            self.timed[*sub][*input] = true;
        }
        !found.is_empty()
    }

    /// Whether a repartition topic has a part in event time.
    fn is_timed(&self, topic: &str) -> bool {
        let (sub, input) = self.readers[topic];
        self.timed[sub][input]
    }

    /// No watermark comes back to the sub-topology that announces it: its tasks would wait for their own word.
    fn check_circles(&self, repartitions: &[RepartitionTopic]) -> Result<(), PlanError> {
        let timed = || repartitions.iter().filter(|to| self.is_timed(&to.topic));
        for repartition in timed() {
            let mut behind = BTreeSet::new();
            let mut next = vec![self.readers[&repartition.topic].0];
            while let Some(sub) = next.pop() {
                if behind.insert(sub) {
                    let further = timed().filter(|to| to.upstream == sub);
                    next.extend(further.map(|to| self.readers[&to.topic].0));
                }
            }
            if behind.contains(&repartition.upstream) {
                return Err(PlanError::CircularTime {
                    topic: repartition.topic.to_string(),
                });
            }
        }
        Ok(())
    }
}

/// Says of each input of the steps how the clock goes with its rows. It moves with a repartition topic, whose announcements are
/// in its log; it is ahead of the rows of a source, of which a batch is looked at before it goes on, and of what steps emit at the
/// end of an epoch.
fn settle_paces(inputs: &[Input], steps: &mut [Step]) {
    let ways: Vec<Edge> = inputs
        .iter()
        .flat_map(Input::edges)
        .chain(steps.iter().flat_map(Step::edges))
        .collect();
    for Edge { to, port } in ways {
        let paces = &mut steps[to.0].paces;
        paces.resize(paces.len().max(usize::from(port) + 1), Pace::Log);
    }
    let sources = inputs
        .iter()
        .filter(|input| matches!(input.decode, Decode::Rows(_)));
    let late = steps.iter().filter(|step| !step.kind.passes_on_at_once());
    let mut next: Vec<Edge> = sources
        .flat_map(Input::edges)
        .chain(late.flat_map(Step::edges))
        .collect();
    while let Some(Edge { to, port }) = next.pop() {
        let step = &mut steps[to.0];
        let before = std::mem::replace(&mut step.paces[usize::from(port)], Pace::Epoch);
        if before == Pace::Log && step.kind.passes_on_at_once() {
            next.extend(step.edges());
        }
    }
}

/// Every strategy has one input, which is a source.
fn check_watermarks(inputs: &[Input], steps: &[Step]) -> Result<(), PlanError> {
    let mut seen: BTreeSet<StepId> = BTreeSet::new();
    for input in inputs {
        let from_source = matches!(input.decode, Decode::Rows(_));
        for step in reached(input, steps, |_, _| true, |_| true) {
            if let StepKind::Watermark(_) = steps[step.0].kind
                && (!from_source || !seen.insert(step))
            {
                let step = steps[step.0].label.clone();
                return Err(PlanError::WatermarkOfSeveral { step });
            }
        }
    }
    Ok(())
}

/// Puts the strategy of records' timestamps before all steps of a source from which rows come to a window without one.
fn add_defaults(inputs: &mut [Input], steps: &mut Vec<Step>, announces: &[&str]) {
    for input in inputs {
        let without = |kind: &StepKind| !matches!(kind, StepKind::Watermark(_));
        let untimed = reached(input, steps, is_timed, without);
        let uses_time = |step: &StepId| {
            let kind = &steps[step.0].kind;
            let ships_to = kind.repartition_topic();
            kind.waits_for_time() || ships_to.is_some_and(|topic| announces.contains(&&**topic))
        };
        if !matches!(input.decode, Decode::Rows(_)) || !untimed.iter().any(uses_time) {
            continue;
        }
        let default = crate::time::record_time(Duration::ZERO);
        steps.push(Step {
            // No node made it, and so none has a policy for it.
            node: NodeId(usize::MAX),
            label: format!("watermark {default}"),
            kind: StepKind::Watermark(WatermarkStep {
                time: None,
                out_of_orderness_ms: 0,
                idle_after: default.idle_after,
                tracks: None,
            }),
            children: vec![std::mem::take(&mut input.children)],
            tables: Vec::new(),
            paces: Vec::new(),
            hold_ms: 0,
            on_error: None,
        });
        // It holds nothing back at the end of an epoch, so its number does not matter.
        let to = StepId(steps.len() - 1);
        input.children = vec![Edge { to, port: 0 }];
    }
}

/// Numbers the strategies of each source that has a part in event time, and tells the inputs of them.
fn number_strategies(inputs: &mut [Input], steps: &mut [Step], timed: &[bool]) {
    for (number, input) in inputs.iter_mut().enumerate().filter(|(number, _)| timed[*number]) {
        if let Decode::Shuffle(_) = input.decode {
            input.time = InputTime::Upstream;
            continue;
        }
        let (mut bounds, mut silence) = (Vec::new(), Some(Duration::ZERO));
        for step in reached(input, steps, is_timed, |_| true) {
            if let StepKind::Watermark(watermark) = &mut steps[step.0].kind {
                watermark.tracks = Some((number, bounds.len()));
                bounds.push(watermark.bound());
                // Who never wants to be idle, prevails.
                silence = silence
                    .zip(watermark.idle_after)
                    .map(|(one, other)| one.max(other));
            }
        }
        if !bounds.is_empty() {
            input.time = InputTime::Source {
                bounds,
                idle_after: silence,
            };
        }
    }
}

impl WatermarkStep {
    fn bound(&self) -> Bound {
        // As many bits as tell a job's few expressions apart; an offset's metadata has little room.
        let name = |time: &CompiledExpr| fingerprint(std::iter::once(time.text())) as u32;
        Bound {
            time: self.time.as_ref().map_or(0, name),
            out_of_orderness_ms: self.out_of_orderness_ms,
        }
    }
}

fn is_timed(kind: &StepKind, port: u8) -> bool {
    kind.is_timed(port)
}

/// The steps that rows of `input` come to, at ports that `enters` takes, behind steps of a kind that `passes` lets through.
pub(super) fn reached(
    input: &Input,
    steps: &[Step],
    enters: impl Fn(&StepKind, u8) -> bool,
    passes: impl Fn(&StepKind) -> bool,
) -> BTreeSet<StepId> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<Edge> = input.edges().collect();
    while let Some(Edge { to, port }) = next.pop() {
        let step = &steps[to.0];
        if enters(&step.kind, port) && reached.insert(to) && passes(&step.kind) {
            next.extend(step.edges());
        }
    }
    reached
}
