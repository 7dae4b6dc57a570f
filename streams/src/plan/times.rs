//! Which inputs have a part in event time, once the topology is whole.
//!
//! Watermarks cost a record an epoch and partition of a repartition topic, so only those sub-topologies have them on
//! which a window or the timers of a processor depend, directly or through other sub-topologies.
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::build::Builder;
use super::name::fingerprint;
use super::{
    Announces, Decode, Edge, Input, InputTime, NodeId, PlanError, Repartition, RepartitionTopic, Step,
    StepId, StepKind, TablePartial, WatermarkStep,
};
use crate::expr::CompiledExpr;
use crate::time::Bound;

impl Builder {
    /// Gives inputs their part in event time, and sources without a strategy the default one where a window depends on
    /// them. Gives the announcements of each sub-topology.
    pub(super) fn settle_time(&mut self) -> Result<Vec<Vec<Announces>>, PlanError> {
        let timed = self.timed();
        let reader = self.readers();
        self.check_circles(&timed, &reader)?;
        let mut announces = vec![Vec::new(); self.subs.len()];
        for repartition in &self.repartitions {
            if timed[reader[&repartition.topic]] {
                announces[repartition.upstream].push(Announces {
                    topic: repartition.topic.clone(),
                    hold_ms: repartition.hold_ms,
                });
            }
        }
        for (number, (inputs, steps)) in self.subs.iter_mut().enumerate() {
            check_watermarks(inputs, steps)?;
            if timed[number] {
                let topics: Vec<&str> = announces[number].iter().map(|to| &*to.topic).collect();
                add_defaults(inputs, steps, &topics);
                number_strategies(inputs, steps);
                for step in steps {
                    if let StepKind::Repartition(repartition) = &mut step.kind {
                        repartition.timed = topics.contains(&&*repartition.topic);
                    }
                }
            }
        }
        Ok(announces)
    }

    /// No watermark comes back to the sub-topology that announces it: its tasks would wait for their own word.
    fn check_circles(
        &self,
        timed: &[bool],
        readers: &HashMap<std::sync::Arc<str>, usize>,
    ) -> Result<(), PlanError> {
        for repartition in self.repartitions.iter().filter(|to| timed[readers[&to.topic]]) {
            let mut behind = BTreeSet::new();
            let mut next = vec![readers[&repartition.topic]];
            while let Some(sub) = next.pop() {
                if behind.insert(sub) {
                    let further = self.repartitions.iter().filter(|to| to.upstream == sub);
                    next.extend(further.map(|to| readers[&to.topic]));
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

    /// The sub-topology that reads each repartition topic.
    pub(super) fn readers(&self) -> HashMap<std::sync::Arc<str>, usize> {
        let mut readers = HashMap::new();
        for (number, (inputs, _)) in self.subs.iter().enumerate() {
            readers.extend(inputs.iter().map(|input| (input.topic.clone(), number)));
        }
        readers
    }

    /// Whether a window depends on the time of each sub-topology.
    fn timed(&self) -> Vec<bool> {
        let mut timed: Vec<bool> = self.subs.iter().map(|(_, steps)| waits_for_time(steps)).collect();
        let readers = self.readers();
        // A sub-topology is read by those behind it.
        loop {
            let waiting = |repartition: &&RepartitionTopic| {
                timed[readers[&repartition.topic]] && !timed[repartition.upstream]
            };
            let Some(repartition) = self.repartitions.iter().find(waiting) else {
                return timed;
            };
            let upstream = repartition.upstream;
            timed[upstream] = true;
        }
    }
}

fn waits_for_time(steps: &[Step]) -> bool {
    let waits = |step: &Step| match &step.kind {
        StepKind::WindowPartial(_) | StepKind::WindowJudge(_) | StepKind::WindowFinal(_) => true,
        StepKind::Keyed(plan) => plan.waits_for_time(),
        _ => false,
    };
    steps.iter().any(waits)
}

/// Every strategy has one input, which is a source.
fn check_watermarks(inputs: &[Input], steps: &[Step]) -> Result<(), PlanError> {
    let mut seen: BTreeSet<StepId> = BTreeSet::new();
    for input in inputs {
        let from_source = matches!(input.decode, Decode::Rows(_));
        for step in reached(input, steps, |_| true) {
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
        let untimed = reached(input, steps, |kind| !matches!(kind, StepKind::Watermark(_)));
        let uses_time = |step: &StepId| match &steps[step.0].kind {
            StepKind::WindowPartial(_) => true,
            StepKind::PartialAggregate { topic, .. }
            | StepKind::Repartition(Repartition { topic, .. })
            | StepKind::TablePartial(TablePartial { topic, .. }) => announces.contains(&&**topic),
            StepKind::Keyed(plan) => {
                let ships_to = plan.repartition_topic();
                plan.waits_for_time() || ships_to.is_some_and(|topic| announces.contains(&&**topic))
            }
            _ => false,
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
            hold_ms: 0,
            on_error: None,
        });
        // It holds nothing back at the end of an epoch, so its number does not matter.
        let to = StepId(steps.len() - 1);
        input.children = vec![Edge { to, port: 0 }];
    }
}

/// Numbers the strategies of each source, and tells the inputs of them.
fn number_strategies(inputs: &mut [Input], steps: &mut [Step]) {
    for (number, input) in inputs.iter_mut().enumerate() {
        if let Decode::Shuffle(_) = input.decode {
            input.time = InputTime::Upstream;
            continue;
        }
        let (mut bounds, mut silence) = (Vec::new(), Some(Duration::ZERO));
        for step in reached(input, steps, |_| true) {
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

/// The steps that rows of `input` come to, behind steps of a kind that `passes` lets through.
fn reached(input: &Input, steps: &[Step], passes: impl Fn(&StepKind) -> bool) -> BTreeSet<StepId> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<Edge> = input.edges().collect();
    while let Some(Edge { to: step, .. }) = next.pop() {
        if reached.insert(step) && passes(&steps[step.0].kind) {
            next.extend(steps[step.0].children.iter().flatten());
        }
    }
    reached
}
