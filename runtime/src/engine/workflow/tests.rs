//! Properties of the workflow engine, over random workflows and random events.

use std::collections::{BTreeMap, BTreeSet};

use langop_dsl::Constraints;
use proptest::prelude::*;

use super::*;

fn step(index: usize, tool: Option<usize>, depends_on: &[usize], only_if: bool) -> Step {
    let result = |step: &usize| Value::Result {
        step: step.to_string(),
    };
    Step {
        name: index.to_string(),
        depends_on: depends_on.iter().map(ToString::to_string).collect(),
        only_if: only_if.then(|| "it is so".to_owned()),
        each: None,
        action: match tool {
            Some(tool) => Action::UseTool {
                tool: format!("tool-{tool}"),
                action: None,
                params: depends_on
                    .first()
                    .map(|first| ("p".to_owned(), result(first)))
                    .into_iter()
                    .collect(),
            },
            None => Action::Ask {
                prompt: Value::String("?".to_owned()),
                model: None,
            },
        },
    }
}

fn definition(steps: Vec<Step>) -> AgentDefinition {
    AgentDefinition {
        name: "a".to_owned(),
        description: None,
        mode: None,
        schedule: None,
        objectives: Vec::new(),
        steps,
        constraints: Constraints::default(),
    }
}

const LIMITS: Limits = Limits {
    parallel: 4,
    iterations: 1000,
};

/// Steps whose dependencies are any earlier ones in a random order of the text, so that they also
/// point down the text.
fn workflows() -> impl Strategy<Value = Vec<Step>> {
    let raw = (
        prop::option::weighted(0.7, 0..3usize),
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::bool::weighted(0.3),
    );
    (
        prop::collection::vec(raw, 1..12),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(raw, turn)| {
            let count = raw.len();
            // A rank for each place in the text; dependencies go from higher to lower rank, so that
            // there is no circle.
            let turn = turn.index(count);
            let rank = |index: usize| (index + turn) % count;
            let by_rank: BTreeMap<usize, usize> =
                (0..count).map(|index| (rank(index), index)).collect();
            let steps = raw.into_iter().enumerate();
            steps
                .map(|(index, (tool, depends, only_if))| {
                    let lower: Vec<usize> =
                        by_rank.range(..rank(index)).map(|(_, at)| *at).collect();
                    let depends: BTreeSet<usize> = depends
                        .iter()
                        .filter(|_| !lower.is_empty())
                        .map(|pick| lower[pick.index(lower.len())])
                        .collect();
                    step(
                        index,
                        tool,
                        &depends.into_iter().collect::<Vec<_>>(),
                        only_if,
                    )
                })
                .collect()
        })
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Good,
    Bad,
    Yes,
    No,
    Shrug,
}

fn event(work: Work, fate: Fate) -> Event {
    match (work, fate) {
        (Work::Judge { .. }, Fate::No) => judged("no"),
        (Work::Judge { .. }, Fate::Shrug) => judged("perhaps"),
        (_, Fate::Bad) => Event::Failed {
            failure: Failure::new(Reason::ToolError, "x"),
            answered: false,
        },
        (Work::Judge { .. }, _) => judged("yes"),
        _ => Event::Done(StepResult::text("r")),
    }
}

fn judged(answer: &str) -> Event {
    Event::Judged {
        answer: answer.to_owned(),
    }
}

/// What is watched from outside, without a look into the engine.
#[derive(Default)]
struct Watch {
    active: Vec<Start>,
    /// Steps in the order in which their action began.
    begun: Vec<usize>,
    settled: BTreeSet<usize>,
    asked: u32,
    has_failed: bool,
}

impl Watch {
    fn starts(&mut self, steps: &[Step], starts: &[Start]) -> Result<(), TestCaseError> {
        for start in starts {
            prop_assert!(!self.has_failed, "nothing starts after a failure");
            for other in &self.active {
                prop_assert_ne!(other.step, start.step);
                if let Some(used) = tool(&steps[start.step]) {
                    prop_assert_ne!(tool(&steps[other.step]), Some(used), "one tool, one call");
                }
            }
            for name in &steps[start.step].depends_on {
                let earlier: usize = name.parse().unwrap();
                prop_assert!(self.settled.contains(&earlier), "dependencies come first");
            }
            if !matches!(start.work, Work::Judge { .. }) {
                prop_assert!(!self.begun.contains(&start.step), "nothing is done twice");
                self.begun.push(start.step);
            }
            self.active.push(*start);
        }
        prop_assert!(self.active.len() <= 4);
        Ok(())
    }
}

fn all_settled(workflow: &Workflow) -> BTreeSet<usize> {
    let states = workflow.states().enumerate();
    states
        .filter(|(_, (_, state))| {
            matches!(state, StepState::Done { .. } | StepState::Skipped { .. })
        })
        .map(|(index, _)| index)
        .collect()
}

fn fates() -> impl Strategy<Value = Vec<(prop::sample::Index, Fate)>> {
    let fate = prop_oneof![
        12 => Just(Fate::Good), 1 => Just(Fate::Bad), 4 => Just(Fate::Yes),
        3 => Just(Fate::No), 2 => Just(Fate::Shrug),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), fate), 60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn order_exclusion_failure_and_bounds(
        steps in workflows(), fates in fates(), iterations in 0..12u32,
    ) {
        let limits = Limits { iterations, ..LIMITS };
        let mut workflow = Workflow::new(&definition(steps.clone()), limits);
        let mut watch = Watch::default();
        let mut fates = fates.into_iter();
        loop {
            let starts = workflow.start_next();
            watch.settled = all_settled(&workflow);
            watch.starts(&steps, &starts)?;
            prop_assert_eq!(workflow.active(), watch.active.len());
            if let Some(end) = workflow.end() {
                let is_failed = matches!(end, End::Failed { .. });
                let all = watch.settled.len() == steps.len();
                prop_assert_eq!(is_failed, !all, "it ends well exactly if every step is settled");
                break;
            }
            prop_assert!(!watch.active.is_empty(), "it never hangs");
            let (which, fate) = fates.next().unwrap();
            let start = watch.active.swap_remove(which.index(watch.active.len()));
            let happened = event(start.work, fate);
            watch.has_failed |= matches!(happened, Event::Failed { .. });
            watch.asked += u32::from(
                start.work.asks_model() && !matches!(happened, Event::Failed { .. }),
            );
            workflow.record(start.step, happened);
            prop_assert_eq!(workflow.iterations(), watch.asked);
            prop_assert!(watch.asked <= iterations);
        }
        // Steps without dependency begin in textual order.
        let free: Vec<_> = watch
            .begun
            .iter()
            .filter(|step| steps[**step].depends_on.is_empty())
            .collect();
        prop_assert!(free.is_sorted(), "{:?}", free);
    }

    #[test]
    fn what_needs_a_skipped_step_is_skipped_and_what_follows_it_runs(
        steps in workflows(), fates in fates(),
    ) {
        let mut workflow = Workflow::new(&definition(steps.clone()), LIMITS);
        let mut fates = fates.into_iter().map(|(_, fate)| match fate {
            Fate::Bad | Fate::Shrug => Fate::No,
            other => other,
        });
        while workflow.end().is_none() {
            for start in workflow.start_next() {
                workflow.record(start.step, event(start.work, fates.next().unwrap_or(Fate::Yes)));
            }
        }
        let states: Vec<_> = workflow.states().map(|(_, state)| state.clone()).collect();
        let is_skipped = |step: usize| matches!(states[step], StepState::Skipped { .. });
        for (index, step) in steps.iter().enumerate() {
            let needs = used(step).iter().any(|name| is_skipped(name.parse().unwrap()));
            match states[index] {
                StepState::Skipped { why: Skip::NeedsSkipped } => prop_assert!(needs),
                StepState::Skipped { why: Skip::Condition } => {
                    prop_assert!(step.only_if.is_some() && !needs);
                }
                StepState::Done { .. } => prop_assert!(!needs),
                ref other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn a_run_goes_on_where_it_was(
        steps in workflows(), fates in fates(), cut in 0..20usize,
    ) {
        let definition = definition(steps.clone());
        let mut workflow = Workflow::new(&definition, LIMITS);
        let mut begun: BTreeMap<usize, u32> = BTreeMap::new();
        let mut fates = fates.into_iter().map(|(_, fate)| match fate {
            Fate::Bad | Fate::Shrug => Fate::Good,
            other => other,
        });
        let mut done = 0;
        let mut is_cut = false;
        while workflow.end().is_none() {
            for start in workflow.start_next() {
                if !matches!(start.work, Work::Judge { .. }) {
                    *begun.entry(start.step).or_default() += 1;
                }
                workflow.record(start.step, event(start.work, fates.next().unwrap_or(Fate::Good)));
                done += 1;
            }
            if done >= cut && !is_cut {
                is_cut = true;
                let json = serde_json::to_string(&workflow.records()).unwrap();
                let iterations = workflow.iterations();
                workflow = Workflow::new(&definition, LIMITS);
                workflow.resume(serde_json::from_str(&json).unwrap(), iterations);
            }
        }
        prop_assert!(begun.values().all(|count| *count == 1));
    }
}

#[test]
fn the_first_failure_ends_the_run_and_what_runs_is_finished() {
    let steps = vec![
        step(0, None, &[], false),
        step(1, None, &[0], false),
        step(2, None, &[0], false),
        step(3, None, &[2], false),
    ];
    let mut workflow = Workflow::new(&definition(steps), LIMITS);
    assert_eq!(workflow.start_next().len(), 1);
    workflow.record(0, Event::Done(StepResult::text("r")));
    assert_eq!(workflow.start_next().len(), 2);
    let failure = Failure::new(Reason::ModelRefused, "x");
    workflow.record(
        1,
        Event::Failed {
            failure: failure.clone(),
            answered: true,
        },
    );
    assert!(workflow.start_next().is_empty());
    assert_eq!(workflow.end(), None, "step 2 is under way");
    workflow.record(2, Event::Done(StepResult::text("r")));
    let step = Some(1);
    assert_eq!(workflow.end(), Some(End::Failed { step, failure }));
    let states: Vec<_> = workflow.states().map(|(_, state)| state).collect();
    assert!(matches!(states[2], StepState::Done { .. }));
    assert_eq!(*states[3], StepState::NotRun);
    assert_eq!(workflow.iterations(), 3);
}

#[test]
fn a_shrug_is_asked_about_once_more_and_then_fails() {
    let mut workflow = Workflow::new(&definition(vec![step(0, None, &[], true)]), LIMITS);
    for strict in [false, true] {
        let work = Work::Judge { strict };
        assert_eq!(workflow.start_next(), [Start { step: 0, work }]);
        workflow.record(0, judged("Maybe"));
    }
    let Some(End::Failed { step, failure }) = workflow.end() else {
        panic!("it decided");
    };
    assert_eq!((step, failure.reason), (Some(0), Reason::Undecided));
}

#[test]
fn the_limit_on_answers_fails_the_run_before_the_next_question() {
    let steps = vec![step(0, None, &[], false), step(1, None, &[], false)];
    let limits = Limits {
        iterations: 1,
        ..LIMITS
    };
    let mut workflow = Workflow::new(&definition(steps), limits);
    assert_eq!(workflow.start_next().len(), 1);
    workflow.record(0, Event::Done(StepResult::text("r")));
    assert!(workflow.start_next().is_empty());
    let Some(End::Failed { step, failure }) = workflow.end() else {
        panic!("it went on");
    };
    assert_eq!((step, failure.reason), (None, Reason::IterationLimit));
}

#[test]
fn context_is_of_ancestors_and_of_all_for_a_condition_without_dependency() {
    let steps = vec![
        step(0, None, &[], false),
        step(1, None, &[], false),
        step(2, None, &[1], false),
        step(3, None, &[], true),
    ];
    let mut workflow = Workflow::new(&definition(steps), LIMITS);
    for _ in 0..2 {
        for start in workflow.start_next() {
            let text = format!("r{}", start.step);
            workflow.record(start.step, Event::Done(StepResult::text(text)));
        }
    }
    let names = |context: Vec<(&str, &StepResult)>| {
        context
            .into_iter()
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(workflow.context(2)), ["1"]);
    assert_eq!(names(workflow.judging_context(3)), ["0", "1"]);
    assert!(names(workflow.context(3)).is_empty());
}

/// A step that gives a list, one that runs for each of its items, and one that uses what came of
/// that.
fn over_a_list(tool: Option<usize>, only_if: bool) -> Vec<Step> {
    let mut each = step(1, tool, &[0], only_if);
    each.each = Some("0".to_owned());
    vec![step(0, None, &[], false), each, step(2, None, &[1], false)]
}

fn list(count: usize) -> StepResult {
    StepResult {
        structured: Some((0..count).collect()),
        text: String::new(),
    }
}

/// Runs the only work under way, as `answers` says by step and item, and notes the items that the
/// step of the list began.
fn drive(
    workflow: &mut Workflow,
    begun: &mut Vec<usize>,
    most: usize,
    answers: impl Fn(usize, usize) -> Event,
) -> usize {
    let mut done = 0;
    while done < most && workflow.end().is_none() {
        let starts = workflow.start_next();
        if starts.is_empty() {
            break;
        }
        for Start { step, work } in starts {
            let number = workflow.item(step).map(|(number, item)| {
                assert_eq!(*item, serde_json::json!(number));
                number
            });
            let event = match work {
                Work::Judge { .. } => judged("yes"),
                _ => answers(step, number.unwrap_or_default()),
            };
            begun.extend(number.filter(|_| step == 1));
            workflow.record(step, event);
            done += 1;
        }
    }
    done
}

proptest! {
    #[test]
    fn a_step_runs_once_for_each_item_in_order_also_across_a_restart(
        count in 0..=100_usize, is_tool in any::<bool>(), only_if in any::<bool>(), cut in 0..110_usize,
    ) {
        let definition = definition(over_a_list(is_tool.then_some(0), only_if));
        let answers = |step: usize, number: usize| Event::Done(match step {
            0 => list(count),
            _ => StepResult::text(format!("r{number}")),
        });
        let mut begun = Vec::new();
        let mut first = Workflow::new(&definition, LIMITS);
        drive(&mut first, &mut begun, cut, answers);
        let json = serde_json::to_string(&first.records()).unwrap();
        let mut second = Workflow::new(&definition, LIMITS);
        second.resume(serde_json::from_str(&json).unwrap(), first.iterations());
        drive(&mut second, &mut begun, usize::MAX, answers);
        prop_assert_eq!(second.end(), Some(End::Succeeded));
        prop_assert_eq!(begun, (0..count).collect::<Vec<_>>());
        let expected: Vec<String> = (0..count).map(|number| format!("r{number}")).collect();
        let result = second.result("1").unwrap();
        prop_assert_eq!(&result.structured, &Some(serde_json::json!(expected)));
        prop_assert_eq!(&result.text, &expected.join("\n\n"));
        let by_items = if is_tool { 0 } else { count };
        let asked = u32::try_from(2 + by_items + usize::from(only_if)).unwrap();
        prop_assert_eq!(second.iterations(), asked);
    }

    #[test]
    fn an_item_that_fails_is_the_last(count in 1..=100_usize, at in any::<prop::sample::Index>()) {
        let at = at.index(count);
        let mut workflow = Workflow::new(&definition(over_a_list(Some(0), false)), LIMITS);
        let mut begun = Vec::new();
        let failure = Failure::new(Reason::ToolError, "x");
        drive(&mut workflow, &mut begun, usize::MAX, |step, number| match (step, number) {
            (0, _) => Event::Done(list(count)),
            (_, number) if number == at => Event::Failed { failure: failure.clone(), answered: false },
            _ => Event::Done(StepResult::text("r")),
        });
        prop_assert_eq!(begun, (0..=at).collect::<Vec<_>>());
        prop_assert_eq!(workflow.end(), Some(End::Failed { step: Some(1), failure }));
    }
}

#[test]
fn what_is_no_list_or_too_long_fails_the_step_before_its_first_item() {
    let limits = Limits {
        iterations: 7,
        ..LIMITS
    };
    for (result, limits, reason) in [
        (list(101), LIMITS, Reason::ItemLimit),
        (list(8), limits, Reason::ItemLimit),
        (
            StepResult {
                structured: Some(serde_json::json!(3)),
                text: "3".to_owned(),
            },
            LIMITS,
            Reason::NotAList,
        ),
    ] {
        let mut workflow = Workflow::new(&definition(over_a_list(Some(0), false)), limits);
        let mut begun = Vec::new();
        let answers = |_: usize, _: usize| Event::Done(result.clone());
        drive(&mut workflow, &mut begun, usize::MAX, answers);
        let Some(End::Failed { step, failure }) = workflow.end() else {
            panic!("it went on");
        };
        assert_eq!((step, failure.reason), (Some(1), reason));
        assert!(begun.is_empty());
    }
}

#[test]
fn a_step_without_items_is_done_and_those_after_it_run() {
    // The step that waits stands before the one that it waits for.
    let mut steps = over_a_list(Some(0), false);
    steps.swap(1, 2);
    let mut workflow = Workflow::new(&definition(steps), LIMITS);
    workflow.start_next();
    workflow.record(0, Event::Done(list(0)));
    let work = Work::Ask;
    assert_eq!(workflow.start_next(), [Start { step: 1, work }]);
    workflow.record(1, Event::Done(StepResult::text("r")));
    assert_eq!(workflow.end(), Some(End::Succeeded));
}

#[test]
fn a_step_over_the_list_of_a_skipped_step_is_skipped() {
    let mut steps = over_a_list(Some(0), false);
    steps[0].only_if = Some("it is so".to_owned());
    let mut workflow = Workflow::new(&definition(steps), LIMITS);
    workflow.start_next();
    workflow.record(0, judged("no"));
    workflow.start_next();
    let states: Vec<_> = workflow.states().map(|(_, state)| state.clone()).collect();
    let why = Skip::NeedsSkipped;
    assert_eq!(states[1], StepState::Skipped { why });
}

#[test]
fn what_waits_for_a_skipped_step_waits_for_all_that_it_would_have_waited_for() {
    // The third calls a tool with the result of the first; the last waits for it, and only so for
    // the second.
    let steps = vec![
        step(0, None, &[], true),
        step(1, None, &[], false),
        step(2, Some(0), &[0, 1], false),
        step(3, None, &[2], false),
    ];
    let mut workflow = Workflow::new(&definition(steps), LIMITS);
    workflow.start_next();
    workflow.record(0, judged("no"));
    let work = Work::Ask;
    assert_eq!(workflow.start_next(), [Start { step: 1, work }]);
    workflow.record(1, Event::Done(StepResult::text("r")));
    assert_eq!(workflow.start_next(), [Start { step: 3, work }]);
    let seen = workflow.context(3);
    assert!(seen.iter().any(|(name, _)| *name == "1"), "{seen:?}");
}
