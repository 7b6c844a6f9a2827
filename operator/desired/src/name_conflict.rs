//! One name may be used by one of agent, tool and client in a namespace, because their children
//! would have the same names. Who came later yields.
//!
//! Must not decide anything about children: a child's name taken by somebody else's object is
//! another matter.

use std::fmt;

use k8s_openapi::jiff::Timestamp;

/// The kinds that share names. Of objects made in the same second, the kind that is earlier here
/// came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamedKind {
    /// LanguageAgent.
    Agent,
    /// LanguageClient.
    Client,
    /// LanguageTool.
    Tool,
}

impl NamedKind {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Client, Self::Tool];
}

impl fmt::Display for NamedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "LanguageAgent",
            Self::Client => "LanguageClient",
            Self::Tool => "LanguageTool",
        })
    }
}

/// Another object of the same name in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameCollision {
    /// What it is.
    pub kind: NamedKind,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// What is said to the object of `kind`, made at `created`, if one of its namesakes came first;
/// `None` if the name is its own.
pub fn conflict(
    kind: NamedKind,
    created: Option<Timestamp>,
    same_name: &[NameCollision],
) -> Option<String> {
    let first = same_name
        .iter()
        .filter(|other| other.kind != kind)
        .min_by_key(|other| (other.created, other.kind))?;
    ((first.created, first.kind) < (created, kind)).then(|| {
        format!(
            "the {} '{}' of this namespace came first, and an agent, a tool and a client cannot share a name: give this {kind} another one",
            first.kind, first.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    fn collision(kind: NamedKind, second: i64) -> NameCollision {
        NameCollision {
            kind,
            name: "mail".into(),
            created: at(second),
        }
    }

    #[test]
    fn the_later_yields_and_is_told_to_whom() {
        use NamedKind::{Agent, Client, Tool};
        // (who asks, made at, the other, made at, whether the asker yields)
        for (kind, created, other, other_created, yields) in [
            (Agent, 2, Tool, 1, true),
            (Tool, 1, Agent, 2, false),
            (Client, 1, Agent, 1, true),
            (Agent, 1, Client, 1, false),
            (Tool, 1, Client, 1, true),
            (Client, 1, Tool, 1, false),
        ] {
            let found = conflict(kind, at(created), &[collision(other, other_created)]);
            assert_eq!(found.is_some(), yields, "{kind} {other}");
            if let Some(message) = found {
                assert!(message.contains(&format!("{other} 'mail'")), "{message}");
            }
        }
        assert_eq!(conflict(Agent, at(5), &[]), None);
    }

    #[test]
    fn of_three_only_the_first_keeps_the_name() {
        let others = [
            collision(NamedKind::Tool, 3),
            collision(NamedKind::Client, 1),
        ];
        let message = conflict(NamedKind::Agent, at(2), &others).unwrap();
        assert!(message.contains("LanguageClient"), "{message}");
    }
}
