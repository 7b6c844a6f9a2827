//! Whether the budgets of an agent and of its namespace have tokens for its next question. Reads
//! only: the namespace's part is reserved by the call itself, when its turn comes.

use langop_api::agent::SynthesisInfo;
use langop_desired::{
    agent::{decide, validate::ValidatedAgent},
    ledger::{self, Bound, Exhausted, Grant},
};

use crate::{
    context::{Context, now},
    controllers::budget,
};

/// Names the one call that an agent may have under way.
const OWN_CALL: &str = "call";

/// What a call may cost as far as the agent itself says; `None`: it says nothing. Its own ledger in
/// `info` then has the reservation, which is stored with the attempt.
///
/// # Errors
/// If there is too little for it today.
pub(super) fn afford(
    ctx: &Context,
    agent: &ValidatedAgent,
    info: &mut SynthesisInfo,
) -> Result<Option<i64>, Exhausted> {
    let asked = ctx.settings.synthesis_max_tokens;
    let of_namespace = budget::prospect(ctx, &agent.namespace, asked)?;
    let own = own(agent, info, asked)?;
    let smallest = [of_namespace, own.clone()]
        .into_iter()
        .flatten()
        .min_by_key(|(tokens, _)| *tokens);
    // With no more than that it could not be asked.
    let too_few = info
        .too_few_tokens
        .filter(|_| decide::is_same_question(info, agent));
    match (smallest, too_few) {
        (Some((tokens, bound)), Some(too_few)) if tokens <= too_few => {
            settle(info, Some(0));
            Err(budget::too_little(&bound, too_few, asked, QUESTION))
        }
        _ => Ok(own.map(|(tokens, _)| tokens)),
    }
}

/// What costs too much, for people.
const QUESTION: &str = "the text of the instructions and of what the tools say of themselves";

/// Reserves in the agent's own ledger. Nothing else of it can be under way: what was, is spent.
fn own(
    agent: &ValidatedAgent,
    info: &mut SynthesisInfo,
    asked: i64,
) -> Result<Option<(i64, Bound)>, Exhausted> {
    let Some(tokens) = agent.tokens_per_day else {
        return Ok(None);
    };
    let bound = Bound {
        owner: "spec.synthesis.tokensPerDay".to_owned(),
        tokens,
    };
    lose(info);
    let before = info.budget.as_ref();
    match ledger::reserve(before, &bound, asked, OWN_CALL, |_| false, now()) {
        Grant::Tokens { tokens, ledger } => {
            info.budget = Some(ledger);
            Ok(Some((tokens, bound)))
        }
        Grant::Exhausted { exhausted, ledger } => {
            info.budget = Some(ledger);
            Err(exhausted)
        }
        Grant::Busy => Err(ledger::exhausted(&bound, &ledger::today(before, now()))),
    }
}

/// What is left of a call whose operator died counts as spent.
fn lose(info: &mut SynthesisInfo) {
    settle(info, None);
}

/// The agent's own call has ended; `None`: at a cost that nobody knows.
pub(super) fn settle(info: &mut SynthesisInfo, cost: Option<i64>) {
    let settled = info
        .budget
        .as_ref()
        .and_then(|ledger| ledger::settle(ledger, OWN_CALL, cost));
    info.budget = settled.or(info.budget.take());
}
