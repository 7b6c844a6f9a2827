//! docs/troubleshooting.md: what each reason of a condition and of a failed run means, and what to
//! do about it. The words are those of the code, which has them beside the reasons.

use std::fmt::Write as _;

use langop_api::condition::{Case, Reason, Remedy, types};
use langop_runtime::outcome;

use crate::{WRITTEN, cell, hold};

const HEAD: &str = "# Troubleshooting by reason

Every object says in its conditions how it stands, with a reason for programs and a message for people, which has the deepest cause that is
known. `kubectl langop why KIND/NAME` looks further, stops at the first thing that is wrong, and says what is here with the names filled in. In
the commands below KIND is `lagent`, `ltool`, `lmodel`, `lpersona` or `lclient`, and POD the pod that the message is about. Events have the
same reasons.
";

const OF_RUNS: &str = "## Why a run failed

A run of the reference runtime ends with an exit code and a reason, which is in `status.lastExecutionResult`, in the last log line of its pod and in
the metric `langop_agent_runs_total`. `kubectl langop logs NAME` has the steps. Other runtimes may have reasons of their own.

| reason | exit code | means | what to do |
|---|---|---|---|
";

fn page() -> String {
    let mut text = format!("{HEAD}{WRITTEN}\n{}", conditions());
    for (title, reasons) in Reason::GROUPS {
        write!(text, "\n## {title}\n{}", group(reasons)).unwrap();
    }
    write!(text, "\n{OF_RUNS}").unwrap();
    for reason in outcome::Reason::ALL {
        writeln!(
            text,
            "| `{reason}` | {} | {} | {} |",
            reason.exit_code(),
            cell(reason.meaning()),
            cell(reason.advice())
        )
        .unwrap();
    }
    text
}

fn conditions() -> String {
    let mut text = "| condition | says |\n|---|---|\n".to_owned();
    for (name, says) in types::ALL {
        writeln!(text, "| `{name}` | {} |", cell(says)).unwrap();
    }
    text
}

/// Those with something to do, each with a heading; then the others.
fn group(reasons: &[Reason]) -> String {
    let (fine, faults): (Vec<Reason>, Vec<Reason>) = reasons
        .iter()
        .copied()
        .partition(|reason| reason.cases().is_empty());
    let mut text = String::new();
    for reason in faults {
        write!(text, "\n### {reason}\n\n{}\n", cell(reason.meaning())).unwrap();
        let cases = reason.cases();
        match told_before(reason) {
            Some(other) => {
                let anchor = other.as_str().to_lowercase();
                writeln!(text, "\nWhat to do is what [{other}](#{anchor}) says.").unwrap();
            }
            None => {
                for case in cases {
                    write!(text, "\n{}{}", when(case, cases.len()), remedies(case)).unwrap();
                }
            }
        }
    }
    if !fine.is_empty() {
        text += "\n| nothing to do | means |\n|---|---|\n";
        for reason in fine {
            writeln!(text, "| `{reason}` | {} |", cell(reason.meaning())).unwrap();
        }
    }
    text
}

/// Of a long list that the page has already, the reason that has it.
fn told_before(reason: Reason) -> Option<Reason> {
    let cases = reason.cases();
    let mut before = Reason::ALL.iter().take_while(|other| **other != reason);
    before
        .find(|other| cases.len() > 1 && other.cases() == cases)
        .copied()
}

fn when(case: &Case, cases: usize) -> String {
    if cases == 1 {
        return String::new();
    }
    if case.words.is_empty() {
        return "Otherwise:\n\n".to_owned();
    }
    let words = case.words.iter().map(|word| format!("`{word}`"));
    let words = words.collect::<Vec<_>>().join(" or ");
    format!("Where the message says {words}:\n\n")
}

fn remedies(case: &Case) -> String {
    let item = |remedy: &Remedy| match remedy.command {
        Some(command) => format!("- {}: `{command}`\n", cell(remedy.text)),
        None => format!("- {}\n", cell(remedy.text)),
    };
    case.remedies.iter().map(item).collect()
}

#[test]
fn the_page_of_reasons_is_what_the_code_says() {
    hold("docs/troubleshooting.md", &page());
}

/// Whoever sees no message sees at least what is meant.
#[test]
fn every_reason_has_a_meaning_of_its_own() {
    let mut meanings: Vec<_> = Reason::ALL.iter().map(|reason| reason.meaning()).collect();
    meanings.sort_unstable();
    meanings.dedup();
    assert_eq!(meanings.len(), Reason::ALL.len());
    assert!(meanings.iter().all(|meaning| meaning.ends_with('.')));
}
