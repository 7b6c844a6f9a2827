//! Approval: whether what an agent would do now may begin, or waits for a person. What waits, waits
//! as a whole: the workload stays as it is, and the network policy opens nothing new; what is
//! closed, is closed at once.
//!
//! Compared is what is asked for with what is in force, which the status keeps: only the operator
//! writes that, it survives restarts and changes of leaders, and it is written after what it tells
//! of. An operator that dies in between leaves an older record, beside which what was just approved
//! is new once more: the approval still counts, and nothing else gets through.
//!
//! Does not know who wrote an approval: that only an approver could is admission's matter.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use langop_api::{
    approval::{ApprovalPolicy, ApprovalStatus, MAX_EGRESS, PowersInForce, PowersRequested},
    condition::Reason,
    names::annotations,
};

use super::{build::Workload, code, validate::ValidatedAgent};
use crate::{
    conditions::Invalid,
    observed::Observed,
    policy,
    powers::{Powers, Widening, as_annotations, in_words, narrowed},
    settings::Settings,
};

/// Whether an API server of this version can see to it that only approvers approve: by
/// ValidatingAdmissionPolicies, which are there from 1.30 on. Some add a `+` to the number.
pub fn is_supported(major: &str, minor: &str) -> bool {
    let number = |text: &str| {
        text.trim_end_matches('+')
            .parse::<u32>()
            .unwrap_or_default()
    };
    (number(major), number(minor)) >= (1, 30)
}

/// Who changed an agent's instructions last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Author {
    /// Nobody has to know.
    #[default]
    NotAsked,
    /// The field manager of that name.
    Manager(String),
    /// No field manager is named.
    Unknown,
}

/// What approval is decided from.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The agent.
    pub agent: &'a ValidatedAgent,
    /// Whether the API server sees to it that only approvers approve.
    pub is_supported: bool,
    /// The stored code that would run; `None`: the agent's own image alone.
    pub code: Option<&'a Observed>,
    /// What it could do then; `None`: nothing is to run.
    pub asked: Option<Result<Powers, Invalid>>,
    /// What is in force, and what was asked for last.
    pub record: &'a ApprovalStatus,
    /// Whether approval begins now: what is in force is then what was found to run.
    pub begins: bool,
    /// Who changed its instructions last.
    pub author: Author,
    /// The operator's.
    pub settings: &'a Settings,
}

/// What is decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Verdict {
    /// Approval is not in use.
    #[default]
    NotInUse,
    /// Nothing is to run that could be judged: what is in force stays.
    Nothing,
    /// It cannot run as its spec says: what is in force stays.
    Faulty(Invalid),
    /// The API server cannot see to it that only approvers approve: what is in force stays.
    Unsupported,
    /// It may do no more than before.
    Free,
    /// This person agreed.
    Approved {
        /// By name.
        by: String,
        /// Whether it cannot be told that somebody else is the author.
        is_doubtful: bool,
    },
    /// It waits.
    Waits {
        /// What is new, in words, and what to do.
        words: String,
    },
    /// This person refused.
    Rejected {
        /// By name.
        by: String,
        /// What would be new, in words.
        words: String,
    },
}

/// What is decided, and what follows from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Approval {
    /// What is decided.
    pub verdict: Verdict,
    /// What the status keeps once that is carried out.
    pub record: Option<ApprovalStatus>,
    /// What stored code that waits says of itself, for whoever decides on it.
    pub annotations: BTreeMap<String, String>,
    /// What the pods may reach while it waits.
    egress: Vec<NetworkPolicyEgressRule>,
}

impl Approval {
    /// Whether what is in force stays.
    pub fn is_held(&self) -> bool {
        !matches!(
            self.verdict,
            Verdict::NotInUse | Verdict::Free | Verdict::Approved { .. }
        )
    }

    /// What becomes of the workload.
    pub fn workload(&self, decided: Workload) -> Workload {
        if !self.is_held() {
            return decided;
        }
        let fault = match &self.verdict {
            Verdict::Faulty(fault) => Some(fault.clone()),
            _ => None,
        };
        Workload::Held {
            egress: self.egress.clone(),
            fault,
        }
    }

    /// The code that runs: of an agent that is held back that which is in force.
    pub fn running<'a>(
        &self,
        decided: Option<&'a Arc<Observed>>,
        revisions: &'a [Arc<Observed>],
    ) -> Option<&'a Arc<Observed>> {
        if !self.is_held() {
            return decided;
        }
        let in_force = self.record.as_ref()?.in_force.as_ref()?;
        let name = in_force.config_map.as_ref()?;
        revisions.iter().find(|code| code.name == *name)
    }
}

/// Decides.
pub fn judge(question: &Question<'_>) -> Approval {
    let rule = question.agent.approval;
    if !rule.is_in_use() {
        return Approval::default();
    }
    let asked = match &question.asked {
        _ if !question.is_supported => return held(question, Verdict::Unsupported, None),
        None => return held(question, Verdict::Nothing, None),
        Some(Err(fault)) => return held(question, Verdict::Faulty(fault.clone()), None),
        Some(Ok(asked)) => asked,
    };
    let next = in_force(question.code, asked, &question.agent.egress);
    if next.egress.len() > MAX_EGRESS {
        let fault = Invalid {
            reason: Reason::TooLarge,
            message: format!(
                "the rules of the agent's network policy are longer than the {MAX_EGRESS} bytes that approval can keep: refer to fewer tools, or write fewer egress rules"
            ),
        };
        return held(question, Verdict::Faulty(fault), None);
    }
    let change = Change::between(question.record.in_force.as_ref(), &next, asked);
    let verdict = decide(question, &change, &asked.hash());
    match verdict {
        Verdict::Free | Verdict::Approved { .. } => Approval {
            verdict,
            record: Some(ApprovalStatus {
                in_force: Some(next),
                ..ApprovalStatus::default()
            }),
            ..Approval::default()
        },
        waits => Approval {
            annotations: as_annotations(asked).into(),
            ..held(question, waits, Some(asked))
        },
    }
}

fn decide(question: &Question<'_>, change: &Change, hash: &str) -> Verdict {
    let is_due = change.is_due(question.agent.approval.policy, question.begins);
    let words = || words(question, change);
    match Decided::of(question.code, hash) {
        Some(Decided::Rejected(by)) if is_due => Verdict::Rejected { by, words: words() },
        Some(Decided::Approved(by)) => match &question.author {
            Author::Manager(author) if is_due && *author == by => Verdict::Waits {
                words: format!(
                    "'{by}' approved what '{by}' wrote, which does not count: {}",
                    words()
                ),
            },
            author => Verdict::Approved {
                by,
                is_doubtful: is_due && *author != Author::NotAsked,
            },
        },
        _ if is_due => Verdict::Waits { words: words() },
        _ => Verdict::Free,
    }
}

/// What a person wrote to stored code.
enum Decided {
    Approved(String),
    Rejected(String),
}

impl Decided {
    /// Of exactly these powers; one who rejected them wins.
    fn of(code: Option<&Observed>, hash: &str) -> Option<Self> {
        let code = code?;
        let by = |powers: &str, by: &str| {
            let is_of_these = code.annotations.get(powers) == Some(hash);
            let name = code.annotations.get(by).filter(|name| !name.is_empty());
            name.filter(|_| is_of_these).map(langop_dsl::clean)
        };
        let rejected = by(annotations::REJECTED_POWERS, annotations::REJECTED_BY);
        let approved = || by(annotations::APPROVED_POWERS, annotations::APPROVED_BY);
        rejected
            .map(Self::Rejected)
            .or_else(|| approved().map(Self::Approved))
    }
}

/// The difference between what is in force and what is asked for.
struct Change {
    /// Nothing is in force yet.
    is_first: bool,
    /// It is other code.
    is_other_code: bool,
    /// The powers are not the same.
    is_other_powers: bool,
    wider: Vec<Widening>,
}

impl Change {
    fn between(before: Option<&PowersInForce>, next: &PowersInForce, asked: &Powers) -> Self {
        let Some(before) = before else {
            return Self {
                is_first: true,
                is_other_code: true,
                is_other_powers: true,
                wider: asked.wider_than(&Powers::none()),
            };
        };
        let is_other_powers = before.powers != next.powers;
        let wider = match Powers::parse(Some(&before.powers)) {
            _ if !is_other_powers => Vec::new(),
            Ok(before) => asked.wider_than(&before),
            Err(unknown) => vec![Widening::of_unknown(&unknown)],
        };
        Self {
            is_first: false,
            is_other_code: before.config_map != next.config_map,
            is_other_powers,
            wider,
        }
    }

    /// What was found to run is not told in the very words of the spec, so that at the beginning
    /// less than that is no change.
    fn is_due(&self, policy: ApprovalPolicy, begins: bool) -> bool {
        let is_more = self.is_first || !self.wider.is_empty();
        match policy {
            ApprovalPolicy::Never => false,
            ApprovalPolicy::OnNewPowers => is_more,
            ApprovalPolicy::Always => {
                is_more || self.is_other_code || (self.is_other_powers && !begins)
            }
        }
    }
}

/// What waits, and what would let it go on.
fn words(question: &Question<'_>, change: &Change) -> String {
    let new = match (&change.wider[..], change.is_other_code) {
        ([], true) if !change.is_first => "other code, which may do no more than before".to_owned(),
        ([], _) => "it may do no more than before".to_owned(),
        (wider, _) => in_words(wider),
    };
    match question.code {
        Some(code) => format!("revision {} waits: {new}", code::revision(code)),
        None => format!(
            "{new}; an agent without code has no revision that could be approved: set spec.instructions, or take back what is new"
        ),
    }
}

fn requested(
    code: Option<&Observed>,
    asked: &Powers,
    verdict: &Verdict,
) -> Option<PowersRequested> {
    Some(PowersRequested {
        config_map: code?.name.clone(),
        powers_hash: asked.hash(),
        rejected_by: match verdict {
            Verdict::Rejected { by, .. } => Some(by.clone()),
            _ => None,
        },
    })
}

/// What is in force once it is carried out.
fn in_force(
    code: Option<&Observed>,
    powers: &Powers,
    egress: &[NetworkPolicyEgressRule],
) -> PowersInForce {
    PowersInForce {
        config_map: code.map(|code| code.name.clone()),
        powers: powers.canonical_json(),
        egress: rules_as_text(egress),
    }
}

/// As the record keeps rules.
pub fn rules_as_text(rules: &[NetworkPolicyEgressRule]) -> String {
    serde_json::json!(rules).to_string()
}

fn held(question: &Question<'_>, verdict: Verdict, asked: Option<&Powers>) -> Approval {
    let record = question.record;
    let requested = match (asked, &verdict) {
        (Some(asked), verdict) => requested(question.code, asked, verdict),
        (None, Verdict::Unsupported) => None,
        (None, _) => record.requested.clone(),
    };
    Approval {
        egress: reach(question.agent, record.in_force.as_ref(), question.settings),
        record: Some(ApprovalStatus {
            in_force: record.in_force.clone(),
            requested,
            // To stop is to do less.
            halted: match &question.agent.run {
                Ok(run) => run.requested.suspended,
                Err(_) => record.halted,
            },
        }),
        annotations: BTreeMap::new(),
        verdict,
    }
}

/// What pods may reach while something waits: what was open and is still asked for, and what an
/// administrator opens to all.
pub fn reach(
    agent: &ValidatedAgent,
    in_force: Option<&PowersInForce>,
    settings: &Settings,
) -> Vec<NetworkPolicyEgressRule> {
    let open = in_force.and_then(|in_force| serde_json::from_str(&in_force.egress).ok());
    let open: Vec<NetworkPolicyEgressRule> = open.unwrap_or_default();
    let mut open = narrowed(open, &agent.egress);
    let to_all = [policy::dns_rule(settings), policy::telemetry_rule(settings)];
    for rule in to_all.into_iter().flatten() {
        if !open.contains(&rule) {
            open.push(rule);
        }
    }
    open
}
