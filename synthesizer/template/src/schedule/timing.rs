//! What comes of reading: the one schedule that all say, or why there is none.

use langop_dsl::Schedule;

/// What the instructions say about when to run, if they do; else why it gives no schedule.
pub(crate) type Timing = Result<Option<Schedule>, Unclear>;

/// Why a text that speaks of times gives no schedule: what is missing and what to write. Never
/// text of the user's.
pub(crate) type Unclear = &'static str;

pub(super) const BAD_CRON: Unclear = "the cron expression in the text is not valid";
pub(super) const BARE_HOUR: Unclear = "an hour is not clear; write it with am or pm, or as 17:00";
pub(super) const CONFLICT: Unclear = "the text names more than one schedule";
pub(super) const EXCEPTION: Unclear = "the exception cannot be said by a schedule";
pub(super) const INEXPRESSIBLE: Unclear = "one schedule cannot say all of it";
pub(super) const LAST_DAYS: Unclear = "it is not clear which last day of a month or week is meant";
pub(super) const NEVER_FIRES: Unclear = "its days do not exist";
pub(super) const TIME_ZONE: Unclear =
    "the time zone is not clear; write a name such as Europe/Berlin";
pub(super) const VAGUE: Unclear = "the text does not say exactly how often or when";
pub(super) const WHICH_DAY: Unclear =
    "the text does not say from which day on every other one counts";
pub(super) const WHICH_DAYS: Unclear = "the text does not say on which days";
pub(super) const WHICH_TIME: Unclear = "it is not clear whether a time in the text is when to run";
pub(super) const WHICH_WEEKDAYS: Unclear = "it is not clear which weekdays of a month are meant";

/// The one thing that all say; different things conflict.
pub(crate) fn agreed<T: PartialEq>(
    said: impl Iterator<Item = Result<T, Unclear>>,
) -> Result<Option<T>, Unclear> {
    let mut agreed = None;
    for next in said {
        let next = Some(next?);
        if agreed.is_some() && agreed != next {
            return Err(CONFLICT);
        }
        agreed = next;
    }
    Ok(agreed)
}
