//! The questions of `new`, in order. What flags have said is not asked, and an answer that `lint`
//! would refuse is asked for again.

use jiff::Timestamp;

use super::draft::Draft;
use crate::failure::Failure;

/// One question.
struct Question {
    text: &'static str,
    /// Whether several lines are taken, until an empty one.
    is_long: bool,
    /// Whether it is to be asked, of what is known by then.
    is_open: fn(&Draft) -> bool,
    /// Takes an answer; the empty one is none.
    set: fn(&mut Draft, &str),
}

const QUESTIONS: [Question; 7] = [
    Question {
        text: "Name of the agent, such as daily-report:",
        is_long: false,
        is_open: |draft| draft.name.is_none(),
        set: |draft, answer| draft.name = some(answer),
    },
    Question {
        text: "What should it do, and when? An empty line ends it.\n>",
        is_long: true,
        is_open: |draft| draft.instructions.is_none(),
        set: |draft, answer| draft.instructions = some(answer),
    },
    Question {
        text: "Schedule as five cron fields, such as 0 9 * * 1-5 (empty: as the instructions say):",
        is_long: false,
        is_open: |draft| draft.schedule.is_none(),
        set: |draft, answer| draft.schedule = some(answer),
    },
    Question {
        text: "Its time zone, such as Europe/Berlin (empty: the namespace's):",
        is_long: false,
        is_open: |draft| draft.schedule.is_some() && draft.time_zone.is_none(),
        set: |draft, answer| draft.time_zone = some(answer),
    },
    Question {
        text: "Models it may ask, of `kubectl get lmodel` (empty: none):",
        is_long: false,
        is_open: |draft| draft.models.is_empty(),
        set: |draft, answer| draft.models = names(answer),
    },
    Question {
        text: "Tools it may call, of `kubectl get ltool` (empty: none):",
        is_long: false,
        is_open: |draft| draft.tools.is_empty(),
        set: |draft, answer| draft.tools = names(answer),
    },
    Question {
        text: "Who it is, of `kubectl get lpersona` (empty: nobody in particular):",
        is_long: false,
        is_open: |draft| draft.persona.is_none(),
        set: |draft, answer| draft.persona = some(answer),
    },
];

/// What a draft must have, and how a command line says it.
const REQUIRED: [(&str, fn(&Draft) -> bool); 2] = [
    ("NAME", |draft| draft.name.is_some()),
    ("--instructions TEXT", |draft| draft.instructions.is_some()),
];

/// What the command line does not say and must, as it would.
pub(crate) fn missing(draft: &Draft) -> Vec<&'static str> {
    let missing = REQUIRED.iter().filter(|(_, is_there)| !is_there(draft));
    missing.map(|(flag, _)| *flag).collect()
}

/// Asks for all that is not known. `ask` shows a text and returns a line, or nothing at the end of
/// all input; what is wrong with an answer is told with the next question. `refused` says what is
/// wrong with a name that `lint` accepts.
///
/// # Errors
/// If what is known is wrong already, or somebody leaves.
pub(crate) fn answered(
    mut draft: Draft,
    mut ask: impl FnMut(&str) -> Result<Option<String>, Failure>,
    refused: impl Fn(&Draft) -> Option<String>,
    now: Timestamp,
) -> Result<Draft, Failure> {
    whole(&draft).accepted(now)?;
    for question in &QUESTIONS {
        if !(question.is_open)(&draft) {
            continue;
        }
        let mut text = question.text.to_owned();
        loop {
            let mut tried = draft.clone();
            (question.set)(&mut tried, &answer(question, &text, &mut ask)?);
            let mut wrong = wrong(&tried, &draft, now)?;
            if wrong.is_none() && tried.name != draft.name {
                wrong = refused(&tried);
            }
            let Some(wrong) = wrong else {
                draft = tried;
                break;
            };
            text = format!("{wrong}\n{}", question.text);
        }
    }
    Ok(draft)
}

fn answer(
    question: &Question,
    text: &str,
    ask: &mut impl FnMut(&str) -> Result<Option<String>, Failure>,
) -> Result<String, Failure> {
    let over = || {
        Failure::told(
            "not all questions were answered, so nothing was written",
            "`kubectl langop new --help` lists the flags that answer them",
        )
    };
    let first = ask(text)?.ok_or_else(over)?;
    let mut lines = vec![first];
    while question.is_long && lines.last().is_some_and(|line| !line.trim().is_empty()) {
        // The end of all input ends a text, too.
        lines.push(ask(">")?.unwrap_or_default());
    }
    Ok(lines.join("\n").trim().to_owned())
}

/// What is wrong with the last answer.
fn wrong(tried: &Draft, before: &Draft, now: Timestamp) -> Result<Option<String>, Failure> {
    if tried == before && !missing(tried).is_empty() {
        return Ok(Some("This one needs an answer.".to_owned()));
    }
    let errors = whole(tried).judged(now)?.errors;
    Ok((!errors.is_empty()).then(|| errors.join("\n")))
}

/// What is not known yet is taken to be right.
fn whole(draft: &Draft) -> Draft {
    let or = |known: &Option<String>, example: &str| {
        Some(known.clone().unwrap_or_else(|| example.to_owned()))
    };
    Draft {
        name: or(&draft.name, "name"),
        instructions: or(&draft.instructions, "instructions"),
        ..draft.clone()
    }
}

fn some(answer: &str) -> Option<String> {
    Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty())
}

/// Names are written with commas or spaces between them.
fn names(answer: &str) -> Vec<String> {
    let names = answer.split([',', ' ']).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}
