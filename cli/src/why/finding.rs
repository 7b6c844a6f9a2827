//! What a walk finds: a check for each stage, the deepest cause, and what to do about it.

use serde::Serialize;

use crate::kind::Kind;

/// Where in the chain something can fail. One stage needs those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// The object itself: read, valid, not suspended.
    Object,
    /// What it refers to.
    References,
    /// That its words became code.
    Synthesis,
    /// The code.
    Code,
    /// Its Deployment or CronJob.
    Workload,
    /// Its pods, and how they ended.
    Pod,
    /// What is said of any of it, where nothing else explains.
    Event,
}

impl Stage {
    /// As people see it.
    pub(crate) const fn as_str(self, kind: Kind) -> &'static str {
        match self {
            Self::Object => kind.word(),
            Self::References => "references",
            Self::Synthesis => "synthesis",
            Self::Code => "code",
            Self::Workload => "workload",
            Self::Pod => "pod",
            Self::Event => "event",
        }
    }
}

/// How a stage, or the object as a whole, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As the spec says.
    Fine,
    /// Stopped by its spec, which is as it says, too.
    Suspended,
    /// On the way: nobody has to do anything.
    Waiting,
    /// Somebody has to do something.
    Failing,
    /// This user may not read it.
    Unknown,
    /// Not looked at, because something before it fails.
    Skipped,
}

/// One stage, looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Check {
    pub(crate) stage: Stage,
    pub(crate) state: State,
    pub(crate) says: String,
}

/// What is wrong, and with which object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Cause {
    /// `LanguageTool demo/mail`, `Pod demo/mail-5d9`.
    pub(crate) object: String,
    pub(crate) message: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Advice {
    pub(crate) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
}

impl Advice {
    pub(crate) fn say(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            command: None,
        }
    }

    pub(crate) fn run(text: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            command: Some(command.into()),
        }
    }
}

/// Why a walk ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) state: State,
    pub(crate) cause: Cause,
    /// What else is wrong at the same stage.
    pub(crate) also: Vec<String>,
    pub(crate) advice: Vec<Advice>,
}

impl Finding {
    pub(crate) fn new(
        state: State,
        object: impl Into<String>,
        message: impl Into<String>,
        advice: Vec<Advice>,
    ) -> Self {
        Self {
            state,
            cause: Cause {
                object: object.into(),
                message: message.into(),
            },
            also: Vec::new(),
            advice,
        }
    }
}

/// What a check gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Nothing stands in the way here, or nobody can tell.
    Passed(State, String),
    /// The walk ends here.
    Stopped(Finding),
}

impl Outcome {
    pub(crate) fn fine(says: impl Into<String>) -> Self {
        Self::Passed(State::Fine, says.into())
    }

    pub(crate) fn unknown(said: &str) -> Self {
        Self::Passed(State::Unknown, format!("you may not read it: {said}"))
    }
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Diagnosis {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phase: Option<String>,
    pub(crate) checks: Vec<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<Cause>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) advice: Vec<Advice>,
}

/// A check of facts `F`.
pub(crate) type CheckFn<F> = fn(&F) -> Outcome;

/// Walks to the first check that fails.
pub(crate) fn walk<F>(facts: &F, checks: &[(Stage, CheckFn<F>)]) -> (Vec<Check>, Option<Finding>) {
    let mut walked = Vec::new();
    let mut end = None;
    for (stage, check) in checks {
        let (state, says) = if end.is_some() {
            (State::Skipped, String::new())
        } else {
            match check(facts) {
                Outcome::Passed(state, says) => (state, says),
                Outcome::Stopped(finding) => {
                    let said = (finding.state, finding.cause.message.clone());
                    end = Some(finding);
                    said
                }
            }
        };
        walked.push(Check {
            stage: *stage,
            state,
            says,
        });
    }
    (walked, end)
}
