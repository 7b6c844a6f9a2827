//! The ledger of a budget of synthesis. Pure: from a ledger and the time to the next one, or to why
//! no call may begin.
//!
//! The rule that keeps it: what is used and what is reserved are together never more than the budget
//! of the day, and a call costs at most what is reserved for it. A reservation of a call whose end
//! nobody will tell (its operator is gone) counts as spent. A day that is over settles nothing any
//! more: a call counts on the day on which it began.

use k8s_openapi::jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use langop_api::budget::{MAX_RESERVATIONS, Reservation, SynthesisDay};

/// Who gives a budget, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// For people, with the field that says so.
    pub owner: String,
    /// Tokens in a day.
    pub tokens: i64,
}

/// No call may begin before then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Why, with the time.
    pub message: String,
    /// When the next day begins.
    pub opens: Timestamp,
}

/// What a call gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// So many tokens, once this ledger is stored.
    Tokens {
        /// The most that the call may cost.
        tokens: i64,
        /// To be stored before it begins.
        ledger: SynthesisDay,
    },
    /// Others hold what it needs; when they are settled, there may be enough.
    Busy,
    /// Nothing today. The ledger is to be stored if it differs.
    Exhausted {
        /// What is said of it.
        exhausted: Exhausted,
        /// With what nobody will settle any more as spent.
        ledger: SynthesisDay,
    },
}

/// Reserves up to `asked` tokens for the call `id`; `is_open` says of an earlier call whether it
/// will still be settled. Asked again with the same id, it gives the same.
pub fn reserve(
    before: Option<&SynthesisDay>,
    bound: &Bound,
    asked: i64,
    id: &str,
    is_open: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Grant {
    let mut ledger = today(before, now);
    if let Some(own) = ledger.reserved.iter().find(|own| own.id == id) {
        let tokens = own.tokens;
        return Grant::Tokens { tokens, ledger };
    }
    let (open, lost): (Vec<_>, Vec<_>) = (ledger.reserved)
        .into_iter()
        .partition(|call| is_open(&call.id));
    ledger.reserved = open;
    ledger.used = ledger.used.saturating_add(total(&lost));
    let unspent = bound.tokens.saturating_sub(ledger.used);
    if unspent <= 0 {
        let exhausted = exhausted(bound, &ledger);
        return Grant::Exhausted { exhausted, ledger };
    }
    // Not less than there would be without the others: half a call helps nobody.
    let tokens = asked.min(unspent);
    let is_free = unspent.saturating_sub(total(&ledger.reserved)) >= tokens;
    if !is_free || ledger.reserved.len() >= MAX_RESERVATIONS {
        return Grant::Busy;
    }
    ledger.reserved.push(Reservation {
        id: id.to_owned(),
        tokens,
    });
    Grant::Tokens { tokens, ledger }
}

/// The ledger after a call that cost `cost`; `None`: nobody knows, so all that was reserved for it.
/// No ledger if it has no such call (any more).
pub fn settle(before: &SynthesisDay, id: &str, cost: Option<i64>) -> Option<SynthesisDay> {
    let at = before.reserved.iter().position(|call| call.id == id)?;
    let mut next = before.clone();
    let call = next.reserved.remove(at);
    let cost = cost.unwrap_or(call.tokens).max(0);
    next.used = next.used.saturating_add(cost);
    Some(next)
}

/// The most that a call asking for `asked` tokens could get now, if those under way cost nothing.
///
/// # Errors
/// If it is nothing, whatever becomes of them.
pub fn prospect(
    ledger: Option<&SynthesisDay>,
    bound: &Bound,
    asked: i64,
    now: Timestamp,
) -> Result<i64, Exhausted> {
    let ledger = today(ledger, now);
    let unspent = bound.tokens.saturating_sub(ledger.used);
    if unspent <= 0 {
        return Err(exhausted(bound, &ledger));
    }
    Ok(asked.min(unspent))
}

/// Why a budget gives no more on the day of a ledger.
pub fn exhausted(bound: &Bound, ledger: &SynthesisDay) -> Exhausted {
    let opens = end_of(&ledger.date);
    Exhausted {
        message: format!(
            "the {} tokens that {} allows for synthesis in a day are used up, or too few are left for this call: it opens again at {opens}, or when that is raised",
            bound.tokens, bound.owner
        ),
        opens,
    }
}

/// The ledger of the day of `now`. One of a day that has not come is another clock's, which was
/// ahead: it stays until its day is over, so that no day is spent twice.
pub fn today(before: Option<&SynthesisDay>, now: Timestamp) -> SynthesisDay {
    let date = now.to_zoned(TimeZone::UTC).date().to_string();
    match before {
        Some(before) if before.date >= date => before.clone(),
        _ => SynthesisDay {
            date,
            ..SynthesisDay::default()
        },
    }
}

fn total(calls: &[Reservation]) -> i64 {
    let tokens = calls.iter().map(|call| call.tokens.max(0));
    tokens.fold(0, i64::saturating_add)
}

/// Midnight after a day. A date that cannot be read is none of ours, and is over.
fn end_of(date: &str) -> Timestamp {
    let end = date.parse::<Date>().ok();
    let end = end.and_then(|date| date.checked_add(1.day()).ok());
    let end = end.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    end.map_or(Timestamp::UNIX_EPOCH, |end| end.timestamp())
}

#[cfg(test)]
mod tests;
