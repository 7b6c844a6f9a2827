//! Stops workloads of a suspended namespace, and puts them back as they were.

use langop_api::condition::Reason;
use langop_desired::{agent::suspension::Change, conditions::Summary};

use crate::{
    cache::child,
    error::Stopped,
    write::{
        Writer,
        effects::Effects,
        item::{AppliedChild, Verb},
        merge::Merged,
    },
};

impl Writer {
    /// Makes these changes, each of exactly that object; `verb` is for messages.
    pub(crate) async fn change_workloads(
        &self,
        changes: &[Change],
        verb: &str,
        effects: &mut Effects,
    ) -> Result<(), Stopped> {
        for Change { live, patch } in changes {
            match self.merge(live, patch, verb).await? {
                Merged::Written => effects.applied(AppliedChild {
                    kind: live.kind,
                    name: live.name.clone(),
                    verb: Verb::Updated,
                }),
                Merged::Gone => {}
                Merged::Refused(why) => {
                    let kind = child::name(live.kind);
                    let message = format!(
                        "the API server refuses to {verb} {kind} {}: {why}",
                        live.name
                    );
                    return Err(Summary::Failed(Reason::ApplyFailed, message).into());
                }
            }
        }
        Ok(())
    }
}
