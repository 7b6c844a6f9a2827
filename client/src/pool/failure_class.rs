//! What a failed attempt says of the replica that was asked. Pure.

use std::{error::Error, time::Duration};

use langop_proto::{DRAINING, ERROR_DOMAIN};
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

/// How soon after an attempt began its connection breaks where a healthy server is closing it. What
/// breaks later had been taken on, so the replica is gone, or so stuck that keepalive gave it up.
const SOON: Duration = Duration::from_secs(5);
/// How long an attempt must have waited in vain for that to say something of the replica: a shorter
/// one may have missed an answer that was on its way.
const PATIENCE: Duration = Duration::from_secs(1);

/// What to make of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureClass {
    /// The replica answered, and so would any other.
    Answered,
    /// The caller's time is over, which says nothing of the replica.
    Late,
    /// The connection broke, as it also does when a healthy server closes an old one: asked again,
    /// the replica may well answer.
    Broken,
    /// The replica cannot be reached, or sends its calls elsewhere.
    Away,
    /// The caller's time is over, and the replica, which knew of it, has said nothing: as one does
    /// whose process is stopped.
    Silent,
}

/// What `status` says after an attempt that `took` so long. What the service itself answered, its
/// provider being down included, is final.
pub(super) fn of(status: &Status, took: Duration) -> FailureClass {
    // Only what this side made up itself has a source; what came over the wire has none.
    let class = if status.source().is_some() {
        of_transport(status)
    } else {
        of_answer(status)
    };
    match class {
        FailureClass::Broken if took > SOON => FailureClass::Away,
        FailureClass::Silent if took < PATIENCE => FailureClass::Late,
        class => class,
    }
}

fn of_answer(status: &Status) -> FailureClass {
    match status.get_details_error_info() {
        Some(info) if info.domain == ERROR_DOMAIN => match info.reason.as_str() {
            DRAINING => FailureClass::Away,
            _ => FailureClass::Answered,
        },
        // A proxy between us, a server that is not ours yet, or this side's own library.
        _ => match status.code() {
            Code::Unavailable => FailureClass::Away,
            // Among others a stream that ended without a status.
            Code::Unknown => FailureClass::Broken,
            Code::DeadlineExceeded | Code::Cancelled => FailureClass::Late,
            _ => FailureClass::Answered,
        },
    }
}

fn of_transport(status: &Status) -> FailureClass {
    // The library calls its own time-out CANCELLED.
    if status.code() == Code::DeadlineExceeded || is_caused_by::<TimeoutExpired>(status) {
        FailureClass::Silent
    } else if is_caused_by::<ConnectError>(status) {
        FailureClass::Away
    } else {
        FailureClass::Broken
    }
}

fn is_caused_by<E: Error + 'static>(status: &Status) -> bool {
    std::iter::successors(status.source(), |error| (*error).source()).any(<dyn Error>::is::<E>)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, io};

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn every_failure_has_one_meaning() {
        let ours = |reason| {
            let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
            Status::with_error_details(Code::Unavailable, "", details)
        };
        let reset = || io::Error::other("connection reset");
        let timeout = || Status::from_error(Box::new(TimeoutExpired(())));
        let (soon, late) = (Duration::ZERO, Duration::from_mins(1));
        for (status, took, expected) in [
            (ours("PROVIDER_ERROR"), soon, FailureClass::Answered),
            (ours(DRAINING), soon, FailureClass::Away),
            (Status::unavailable("a proxy's"), soon, FailureClass::Away),
            (Status::invalid_argument("no"), soon, FailureClass::Answered),
            (Status::unknown("no trailers"), soon, FailureClass::Broken),
            (Status::unknown("no trailers"), late, FailureClass::Away),
            (
                Status::deadline_exceeded("the server's"),
                late,
                FailureClass::Late,
            ),
            (
                Status::from_error(Box::new(reset())),
                soon,
                FailureClass::Broken,
            ),
            (
                Status::from_error(Box::new(reset())),
                late,
                FailureClass::Away,
            ),
            (
                Status::from_error(Box::new(ConnectError(Box::new(reset())))),
                soon,
                FailureClass::Away,
            ),
            (timeout(), soon, FailureClass::Late),
            (timeout(), late, FailureClass::Silent),
            (super::super::no_answer(), late, FailureClass::Silent),
        ] {
            assert_eq!(of(&status, took), expected, "{status:?} after {took:?}");
        }
    }
}
