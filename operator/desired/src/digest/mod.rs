//! Is the live object what we want? Answered without keeping live objects: by the hash of the
//! desired one, which the live one carries as an annotation, and by one digest of the values at the
//! paths that our field manager owns.
//!
//! * `canonical`: the normal form in which desired and live values are compared;
//! * `extract`: the owned part of a live object, by its `managedFields`;
//! * `sole`: where only we may write;
//! * `reduce`: what the operator's stores keep of a live object; `pod`: of a pod.
//!
//! Why this finds every drift: a foreign write to a field of ours moves the field's path out of our
//! `managedFields` entry (and adds it to the writer's), so the owned part loses it and the digests
//! differ. A foreign field beside ours is found where only we may write: a digest of those paths is
//! then part of the digest. Elsewhere (labels, annotations, status) it changes nothing.

mod canonical;
mod extract;
mod json;
mod pod;
mod reduce;
mod report;
mod sole;

use langop_api::names::annotations;
use serde::Serialize;
use serde_json::{Value, json};

pub use extract::owned_live;
pub use reduce::{reduce, reduce_object};
pub use sole::{is_beside, reclaimed};

use self::sole::SHARED;
use crate::{hash, observed::Observed};

/// An object as it is to be applied, and what a live one is compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The complete body for server-side apply, which carries [`annotations::DESIRED_HASH`].
    pub body: Value,
    /// SHA-256 of the body without that annotation.
    pub hash: String,
    /// What [`owned_live`] gives for the live object once this is applied and untouched.
    pub owned_digest: String,
}

/// Prepares a Kubernetes object for apply and comparison.
#[expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "Kubernetes objects have text keys only"
)]
pub fn desired(object: &impl Serialize) -> Desired {
    let mut body = serde_json::to_value(object).expect("a Kubernetes object is always JSON");
    let hash = hash::of_json(&body);
    body["metadata"]["annotations"][annotations::DESIRED_HASH] = json!(hash);
    let owned_digest = owned_digest(&body);
    Desired {
        body,
        hash,
        owned_digest,
    }
}

/// The digest of all that an apply of `body` owns.
fn owned_digest(body: &Value) -> String {
    let mut text = Vec::with_capacity(4096);
    canonical::write_body(body, &mut text);
    hash::sha256_hex(&text)
}

/// Whether the live object is as desired, so that an apply would change nothing.
pub fn is_current(observed: &Observed, desired: &Desired) -> bool {
    observed.annotations.get(annotations::DESIRED_HASH) == Some(desired.hash.as_str())
        && observed.owned_digest == desired.owned_digest
}

/// Whether others own fields where only we may write.
pub fn is_shared(observed: &Observed) -> bool {
    observed.owned_digest.contains(SHARED)
}

#[cfg(test)]
mod tests;
