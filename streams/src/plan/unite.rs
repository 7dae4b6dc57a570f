//! Sub-topologies that become one, because a stream of each is merged with one of the other.
use super::NodeId;
use super::build::{Builder, Output};
use super::typed::OpenFlow;

impl Builder {
    /// Has `work` see `outputs`, which are of no node, as if they were of nodes. They follow when sub-topologies become one.
    pub(super) fn with_outputs<T, const N: usize>(
        &mut self,
        outputs: [Output; N],
        work: impl FnOnce(&mut Self, [NodeId; N]) -> T,
    ) -> T {
        let held = self.outputs.len();
        self.outputs.extend(outputs);
        let done = work(self, std::array::from_fn(|number| NodeId(held + number)));
        self.outputs.truncate(held);
        done
    }

    /// Makes one sub-topology of two: a task then reads the same partition of the inputs of both.
    pub(super) fn unite(&mut self, one: usize, other: usize) {
        let (into, gone) = (one.min(other), one.max(other));
        if into == gone {
            return;
        }
        let (mut inputs, mut steps) = std::mem::take(&mut self.subs[gone]);
        let (first_input, first_step) = (self.subs[into].0.len(), self.subs[into].1.len());
        let input_children = inputs
            .iter_mut()
            .flat_map(|input| input.children.iter_mut().chain(&mut input.row_children));
        let step_children = steps
            .iter_mut()
            .flat_map(|step| step.children.iter_mut().flatten());
        for child in input_children.chain(step_children) {
            child.to.0 += first_step;
        }
        for table in steps.iter_mut().flat_map(|step| &mut step.tables) {
            table.0 += first_step;
        }
        self.subs[into].0.append(&mut inputs);
        self.subs[into].1.append(&mut steps);
        let sides = self.sides.values_mut();
        let open = self.open.values_mut().map(OpenFlow::above);
        let outputs = self.outputs.iter_mut().chain(sides).chain(open);
        for output in outputs.filter(|output| output.sub == gone) {
            output.shift(into, first_input, first_step);
        }
        for (sub, input) in self.sources.values_mut().filter(|(sub, _)| *sub == gone) {
            (*sub, *input) = (into, *input + first_input);
        }
        let repartitions = self.repartitions.iter_mut().map(|topic| &mut topic.upstream);
        let changelogs = self.changelogs.iter_mut().map(|topic| &mut topic.sub);
        for sub in repartitions.chain(changelogs).filter(|sub| **sub == gone) {
            *sub = into;
        }
    }

    /// Numbers the sub-topologies that are left without gaps, each behind those that write to it. Where two write to each other, the
    /// order in which they were written down decides.
    pub(super) fn renumber(&mut self) {
        let order = self.order();
        let mut numbers = vec![0; self.subs.len()];
        order
            .iter()
            .enumerate()
            .for_each(|(number, sub)| numbers[*sub] = number);
        let mut subs = std::mem::take(&mut self.subs);
        self.subs = order.iter().map(|sub| std::mem::take(&mut subs[*sub])).collect();
        let repartitions = self.repartitions.iter_mut().map(|topic| &mut topic.upstream);
        let changelogs = self.changelogs.iter_mut().map(|topic| &mut topic.sub);
        for sub in repartitions.chain(changelogs) {
            *sub = numbers[*sub];
        }
    }

    /// The sub-topologies with inputs, writers before readers as far as possible.
    fn order(&self) -> Vec<usize> {
        let reads = |sub: usize, topic: &str| self.subs[sub].0.iter().any(|input| &*input.topic == topic);
        let mut left: Vec<usize> = (0..self.subs.len())
            .filter(|sub| !self.subs[*sub].0.is_empty())
            .collect();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let waits = |sub: usize| {
                self.repartitions
                    .iter()
                    .any(|to| to.upstream != sub && left.contains(&to.upstream) && reads(sub, &to.topic))
            };
            let next = left.iter().position(|sub| !waits(*sub)).unwrap_or(0);
            order.push(left.remove(next));
        }
        order
    }
}
