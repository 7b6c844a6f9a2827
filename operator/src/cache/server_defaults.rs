//! Normal forms that the API server made of what we applied, where they differ from ours (a
//! webhook's defaults, for example). Without them such a child would be applied again in each
//! reconcile.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use langop_desired::{
    digest::{self, Desired},
    observed::Observed,
};

/// Hash of what we wanted and digest of what came of it, by uid.
#[derive(Debug, Default)]
pub(crate) struct ServerDefaults(Mutex<HashMap<String, (String, String)>>);

impl ServerDefaults {
    /// Whether `observed` is what the API server once made of `desired`.
    pub(crate) fn holds(&self, observed: &Observed, desired: &Desired) -> bool {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.get(&observed.uid)
            .is_some_and(|(hash, digest)| *hash == desired.hash && *digest == observed.owned_digest)
    }

    /// `observed` is the answer to an apply of `desired`.
    pub(crate) fn note(&self, observed: &Observed, desired: &Desired) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if digest::is_current(observed, desired) {
            rows.remove(&observed.uid);
            return;
        }
        tracing::warn!(kind = ?observed.kind, name = observed.name, "the API server's form of this object differs from ours");
        rows.insert(
            observed.uid.clone(),
            (desired.hash.clone(), observed.owned_digest.clone()),
        );
    }

    /// That object is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use langop_desired::observed::{ChildKind, CompactMap, ObservedState};
    use serde_json::json;

    use super::*;

    fn live() -> Observed {
        Observed {
            kind: ChildKind::Service,
            name: "x".into(),
            namespace: "n".into(),
            uid: "live".into(),
            controller: None,
            labels: CompactMap::default(),
            annotations: CompactMap::default(),
            created: String::new(),
            deleting: false,
            owned_digest: "digest".into(),
            state: ObservedState::None,
        }
    }

    #[test]
    fn an_accepted_form_holds_until_either_side_changes() {
        let forms = ServerDefaults::default();
        let desired = Desired {
            body: json!({}),
            hash: "h".into(),
            owned_digest: "ours".into(),
        };
        let observed = live();
        assert!(!forms.holds(&observed, &desired));
        forms.note(&observed, &desired);
        assert!(forms.holds(&observed, &desired));
        let drifted = Observed {
            owned_digest: "someone's".into(),
            ..observed.clone()
        };
        assert!(!forms.holds(&drifted, &desired));
        let edited = Desired {
            hash: "other".into(),
            ..desired
        };
        assert!(!forms.holds(&observed, &edited));
        forms.forget("live");
        assert!(forms.0.lock().unwrap().is_empty());
    }
}
