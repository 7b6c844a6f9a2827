//! What approvals must be, by the words of an agent and of its LanguageCluster. Whether there is
//! one is [`crate::agent::approval`]'s matter.

use langop_api::{LanguageCluster, approval::ApprovalPolicy};

/// What an agent's approvals must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApprovalRule {
    /// When a change waits.
    pub policy: ApprovalPolicy,
    /// Whether the last author of the instructions may not approve.
    pub is_separate: bool,
}

impl ApprovalRule {
    /// Where nobody knows what was said.
    const STRICTEST: Self = Self {
        policy: ApprovalPolicy::Always,
        is_separate: true,
    };

    /// A LanguageCluster's; `None` of one that cannot be read.
    pub(crate) fn floor(cluster: Option<&LanguageCluster>) -> Self {
        cluster.map_or(Self::STRICTEST, |cluster| Self {
            policy: cluster.spec.approval.unwrap_or_default(),
            is_separate: cluster.spec.separate_approver == Some(true),
        })
    }

    /// With an agent's own word, of which the stricter holds.
    pub(crate) fn with(self, own: Option<ApprovalPolicy>) -> Self {
        Self {
            policy: self.policy.max(own.unwrap_or_default()),
            ..self
        }
    }

    /// Whether changes may wait at all.
    pub fn is_in_use(self) -> bool {
        self.policy != ApprovalPolicy::Never
    }
}
