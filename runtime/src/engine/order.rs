//! Which step waits for which: what the code says, the textual order of steps without dependency,
//! and the textual order of steps of one tool as far as the others allow it. Pure, and never a
//! circle.

use std::collections::HashMap;

use langop_dsl::{Action, Step};

/// The order of a workflow's steps, by their index in the text.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// Which steps each waits for.
    pub(super) waits_for: Vec<Vec<usize>>,
    /// Which steps each depends on, directly or not, in textual order: those whose results it may
    /// see.
    pub(super) ancestors: Vec<Vec<usize>>,
}

impl Order {
    pub(super) fn of(steps: &[Step]) -> Self {
        let by_name: HashMap<&str, usize> = steps
            .iter()
            .enumerate()
            .map(|(index, step)| (&*step.name, index))
            .collect();
        let mut graph = Graph::new(steps.len());
        for (index, step) in steps.iter().enumerate() {
            for name in &step.depends_on {
                if let Some(earlier) = by_name.get(name.as_str()) {
                    graph.add(index, *earlier);
                }
            }
        }
        let ancestors = (0..steps.len()).map(|step| graph.ancestors(step)).collect();
        textual(steps, &mut graph);
        by_tool(steps, &mut graph);
        Self {
            waits_for: graph.waits_for,
            ancestors,
        }
    }
}

/// A step without dependency waits for the one before it that has none either.
fn textual(steps: &[Step], graph: &mut Graph) {
    let mut last = None;
    for (index, step) in steps.iter().enumerate() {
        if step.depends_on.is_empty() {
            if let Some(last) = last {
                graph.add(index, last);
            }
            last = Some(index);
        }
    }
}

/// Steps of one tool in textual order. Where a dependency says otherwise, it wins.
fn by_tool(steps: &[Step], graph: &mut Graph) {
    let mut of_tool: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        let Action::UseTool { tool, .. } = &step.action else {
            continue;
        };
        let earlier = of_tool.entry(tool).or_default();
        for before in earlier.iter().rev() {
            graph.add(index, *before);
        }
        earlier.push(index);
    }
}

/// Steps, and for each all that it waits for, directly or not, as bits.
struct Graph {
    waits_for: Vec<Vec<usize>>,
    before: Vec<Vec<u64>>,
}

impl Graph {
    fn new(steps: usize) -> Self {
        Self {
            waits_for: vec![Vec::new(); steps],
            before: vec![vec![0; steps.div_ceil(64)]; steps],
        }
    }

    fn is_before(&self, earlier: usize, later: usize) -> bool {
        self.before[later][earlier / 64] & (1 << (earlier % 64)) != 0
    }

    /// Makes `later` wait for `earlier`, unless it does already, or that would be a circle.
    fn add(&mut self, later: usize, earlier: usize) {
        let is_circle = later == earlier || self.is_before(later, earlier);
        if is_circle || self.is_before(earlier, later) {
            return;
        }
        self.waits_for[later].push(earlier);
        let mut gained = self.before[earlier].clone();
        gained[earlier / 64] |= 1 << (earlier % 64);
        for step in 0..self.before.len() {
            if step == later || self.is_before(later, step) {
                for (bits, more) in self.before[step].iter_mut().zip(&gained) {
                    *bits |= more;
                }
            }
        }
    }

    fn ancestors(&self, step: usize) -> Vec<usize> {
        (0..self.before.len())
            .filter(|earlier| self.is_before(*earlier, step))
            .collect()
    }
}
