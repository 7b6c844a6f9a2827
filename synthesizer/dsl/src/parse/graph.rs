//! Checks the dependencies of steps: names, cycles, and that results come from steps that ran
//! before. Bounded in time and stack however many steps there are.

use std::collections::{BTreeSet, HashMap};

use super::findings::Findings;
use super::parsed::MAX_DIAGNOSTICS;
use super::steps::StepDraft;
use super::words;
use crate::diagnostic::DiagnosticCode;

/// Most names compared with one that is unknown; beyond that a guess costs more than it helps.
const MOST_COMPARED: usize = 100;

/// Most steps named in the message on a cycle.
const MOST_IN_CYCLE: usize = 8;

pub(super) fn check(steps: &[StepDraft], findings: &mut Findings) {
    let by_name = index(steps, findings);
    let edges: Vec<Vec<usize>> = steps
        .iter()
        .map(|step| dependencies(step, &by_name, findings))
        .collect();
    // in a cycle every step comes before itself, so that nothing can be said of results
    if let Some(order) = order(steps, &edges, findings) {
        results(steps, &by_name, &Ancestors::new(&order, &edges), findings);
    }
}

fn index<'s>(steps: &'s [StepDraft], findings: &mut Findings) -> HashMap<&'s str, usize> {
    let mut by_name = HashMap::new();
    for (number, step) in steps.iter().enumerate() {
        if by_name.contains_key(step.name.as_str()) {
            let message = format!("there are two steps {}", words::code(&step.name));
            findings.error(
                step.name_span,
                DiagnosticCode::DuplicateStep,
                message,
                "give each step its own name".to_owned(),
            );
        } else {
            by_name.insert(step.name.as_str(), number);
        }
    }
    by_name
}

fn dependencies(
    step: &StepDraft,
    by_name: &HashMap<&str, usize>,
    findings: &mut Findings,
) -> Vec<usize> {
    let mut edges = BTreeSet::new();
    for reference in &step.depends_on {
        match by_name.get(reference.step.as_str()) {
            Some(number) if edges.insert(*number) => {}
            Some(_) => {
                let message = format!(
                    "the dependency on {} is given twice",
                    words::code(&reference.step)
                );
                findings.warning(
                    reference.span,
                    DiagnosticCode::Duplicate,
                    message,
                    "keep one of them".to_owned(),
                );
            }
            None => {
                let message = format!("there is no step {}", words::code(&reference.step));
                let hint = known(&reference.step, by_name, findings);
                findings.error(reference.span, DiagnosticCode::UnknownStep, message, hint);
            }
        }
    }
    edges.into_iter().collect()
}

fn known(name: &str, by_name: &HashMap<&str, usize>, findings: &Findings) -> String {
    if findings.are_many() {
        return "name a step of this workflow".to_owned();
    }
    let mut names: Vec<(usize, &str)> = by_name
        .iter()
        .map(|(name, number)| (*number, *name))
        .collect();
    names.sort_unstable();
    let names = || names.iter().map(|(_, name)| *name).take(MOST_COMPARED);
    match words::nearest(name, names()) {
        Some(meant) => format!("did you mean {}?", words::code(meant)),
        None => format!("name one of {}", words::names(names())),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    Open,
    Done,
}

/// The steps in an order in which each comes after those it depends on; none if there are cycles.
/// Depth-first search without recursion; each edge back to an open step closes one cycle.
fn order(steps: &[StepDraft], edges: &[Vec<usize>], findings: &mut Findings) -> Option<Vec<usize>> {
    let mut visits = vec![Visit::New; steps.len()];
    let mut order = Vec::with_capacity(steps.len());
    let mut reported = 0;
    for root in 0..steps.len() {
        // the path from the root, each with how many of its edges are taken
        let mut path: Vec<(usize, usize)> = Vec::new();
        if visits[root] == Visit::New {
            visits[root] = Visit::Open;
            path.push((root, 0));
        }
        while let Some((step, taken)) = path.last_mut() {
            let Some(next) = edges[*step].get(*taken).copied() else {
                visits[*step] = Visit::Done;
                order.push(*step);
                path.pop();
                continue;
            };
            *taken += 1;
            match visits[next] {
                Visit::Done => {}
                Visit::Open if reported == MAX_DIAGNOSTICS => return None,
                Visit::Open => {
                    report_cycle(steps, &path, next, findings);
                    reported += 1;
                }
                Visit::New => {
                    visits[next] = Visit::Open;
                    path.push((next, 0));
                }
            }
        }
    }
    (reported == 0).then_some(order)
}

fn report_cycle(
    steps: &[StepDraft],
    path: &[(usize, usize)],
    back_to: usize,
    findings: &mut Findings,
) {
    let cycle = path
        .iter()
        .map(|(step, _)| *step)
        .skip_while(|step| *step != back_to);
    let mut names: Vec<String> = cycle
        .clone()
        .take(MOST_IN_CYCLE)
        .map(|step| words::code(&steps[step].name))
        .collect();
    if cycle.count() > MOST_IN_CYCLE {
        names.push("…".to_owned());
    }
    names.push(words::code(&steps[back_to].name));
    let last = path.last().map_or(back_to, |(step, _)| *step);
    let closing = steps[last]
        .depends_on
        .iter()
        .find(|reference| reference.step == steps[back_to].name);
    let span = closing.map_or(steps[last].name_span, |reference| reference.span);
    let message = format!("these steps wait for each other: {}", names.join(" → "));
    findings.error(
        span,
        DiagnosticCode::DependencyCycle,
        message,
        "remove one of these dependencies".to_owned(),
    );
}

fn results(
    steps: &[StepDraft],
    by_name: &HashMap<&str, usize>,
    ancestors: &Ancestors,
    findings: &mut Findings,
) {
    for (number, step) in steps.iter().enumerate() {
        for reference in &step.results {
            let name = words::code(&reference.step);
            let (code, message, hint) = match by_name.get(reference.step.as_str()) {
                Some(source) if ancestors.has(number, *source) => continue,
                Some(_) => (
                    DiagnosticCode::ResultNotAncestor,
                    format!("the step does not depend on {name}, whose result it uses"),
                    format!("add {name} to `depends_on`"),
                ),
                None => (
                    DiagnosticCode::UnknownStep,
                    format!("there is no step {name}"),
                    known(&reference.step, by_name, findings),
                ),
            };
            findings.error(reference.span, code, message, hint);
        }
    }
}

/// Which steps each depends on, directly or not: one row of bits per step.
struct Ancestors {
    rows: Vec<Vec<u64>>,
}

impl Ancestors {
    fn new(order: &[usize], edges: &[Vec<usize>]) -> Self {
        let mut rows: Vec<Vec<u64>> = vec![Vec::new(); edges.len()];
        for step in order {
            let mut row = vec![0; edges.len().div_ceil(64)];
            for dependency in &edges[*step] {
                row[dependency / 64] |= 1 << (dependency % 64);
                for (word, theirs) in row.iter_mut().zip(&rows[*dependency]) {
                    *word |= theirs;
                }
            }
            rows[*step] = row;
        }
        Self { rows }
    }

    fn has(&self, step: usize, other: usize) -> bool {
        self.rows[step][other / 64] & (1 << (other % 64)) != 0
    }
}
