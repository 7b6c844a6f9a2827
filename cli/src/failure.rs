//! Why a command has no answer, for people: what was tried, what was said, what to do. The one
//! place that reads errors of the API server, and that knows exit codes.

use std::error::Error;

use kube::Error as KubeError;
use langop_dsl::clean;

/// How the program ends; the numbers are in `--help`. 2 is clap's own, for a command line that
/// cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, and what was asked about is well.
    Fine = 0,
    /// There is no answer: the call itself failed.
    Failed = 1,
    /// There is an answer, and it is that something is wrong.
    Wrong = 3,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{message}")]
    Told { message: String, help: String },
    #[error("cannot {act}: {said}")]
    Refused { act: String, said: String },
    #[error("cannot {act}: {said}")]
    Forbidden { act: String, said: String },
    #[error("the API server does not know {0}")]
    NoDefinitions(String),
    #[error("cannot find a cluster: {0}")]
    NoCluster(String),
    #[error("cannot {act}: the API server cannot be reached: {said}")]
    Unreachable { act: String, said: String },
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

impl Failure {
    /// Of a call that was to `act`, for example "list agents in namespace 'demo'".
    pub(crate) fn of_call(act: impl Into<String>, error: &KubeError) -> Self {
        let act = act.into();
        match error {
            KubeError::Api(status) if status.is_forbidden() => Self::Forbidden {
                act,
                said: clean(&status.message),
            },
            KubeError::Api(status) => Self::Refused {
                act,
                said: clean(&status.message),
            },
            KubeError::SerdeError(error) => Self::Refused {
                act,
                said: format!("its answer cannot be read: {}", clean(&error.to_string())),
            },
            other => Self::Unreachable {
                act,
                said: deepest(other),
            },
        }
    }

    /// Something that is not there, or is not as the command needs it, and what to do.
    pub(crate) fn told(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Told {
            message: message.into(),
            help: help.into(),
        }
    }

    /// The text for standard error.
    pub(crate) fn render(&self) -> String {
        let help = match self {
            Self::Told { help, .. } => help.clone(),
            Self::Forbidden { .. } => "ask an administrator for a role in this namespace: `members` of its LanguageCluster gives view, edit or admin".to_owned(),
            Self::NoDefinitions(_) => "install Language Operator's CRDs first: `kubectl apply --server-side -f deploy/crds.yaml`, or its chart".to_owned(),
            Self::NoCluster(_) => "name a kubeconfig by --kubeconfig or KUBECONFIG, and a context of it by --context; `kubectl config get-contexts` lists them".to_owned(),
            Self::Unreachable { .. } => "see whether `kubectl version` reaches it with the same context".to_owned(),
            _ => return format!("error: {self}\n"),
        };
        format!("error: {self}\nhelp: {help}\n")
    }
}

/// The last of the chain of causes: the words of whoever refused.
pub(crate) fn deepest(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    clean(&last.to_string())
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16, reason: &str, message: &str) -> Failure {
        let status = Status::failure(message, reason).with_code(code);
        Failure::of_call(
            "list agents in namespace 'demo'",
            &KubeError::Api(status.boxed()),
        )
    }

    #[test]
    fn no_rights_names_the_server_s_words_and_who_gives_them() {
        let failure = refused(
            403,
            "Forbidden",
            "languageagents.langop.io is forbidden: User \"eve\" cannot list resource \"languageagents\" in API group \"langop.io\" in the namespace \"demo\"",
        );
        insta::assert_snapshot!(failure.render(), @r#"
        error: cannot list agents in namespace 'demo': languageagents.langop.io is forbidden: User "eve" cannot list resource "languageagents" in API group "langop.io" in the namespace "demo"
        help: ask an administrator for a role in this namespace: `members` of its LanguageCluster gives view, edit or admin
        "#);
    }

    #[test]
    fn what_the_server_says_cannot_write_on_the_terminal() {
        let failure = refused(500, "InternalError", "no\u{1b}[31m");
        assert_eq!(
            failure.render(),
            "error: cannot list agents in namespace 'demo': no [31m\n"
        );
    }
}
