//! What to do about a reason, in words that `kubectl langop why` and docs/troubleshooting.md share.
//! Must know of no object: its names are placeholders here.

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// In the imperative, or what is to be known for it.
    pub text: &'static str,
    /// The command that does it, with placeholders.
    pub command: Option<&'static str>,
}

impl Remedy {
    /// The command about this object; `kind` is its short name. Without a pod, POD stays.
    pub fn command_about(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        pod: Option<&str>,
    ) -> Option<String> {
        // Names have no capitals, so none of them holds a placeholder.
        let command = self.command?.replace("NAMESPACE", namespace);
        let command = command.replace("KIND", kind).replace("NAME", name);
        Some(match pod {
            Some(pod) => command.replace("POD", pod),
            None => command,
        })
    }
}

/// What to do where a message has certain words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The message has one of these; none: whatever it says.
    pub words: &'static [&'static str],
    /// In this order.
    pub remedies: &'static [Remedy],
}

impl Case {
    /// Whether it is the case of this message.
    pub(super) fn fits(&self, message: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| message.contains(word))
    }
}

/// A list of remedies: texts, each with `=> command` where there is one.
macro_rules! remedies {
    (@command) => { None };
    (@command $command:expr) => { Some($command) };
    ($($text:literal $(=> $command:expr)?),+ $(,)?) => {
        &[$($crate::condition::remedy::Remedy {
            text: $text,
            command: remedies!(@command $($command)?),
        }),+]
    };
}
pub(super) use remedies;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_names() {
        for (command, pod, expected) in [
            (
                "kubectl -n NAMESPACE edit KIND NAME",
                None,
                "kubectl -n demo edit lagent a",
            ),
            (
                "kubectl -n NAMESPACE describe pvc NAME-workspace",
                None,
                "kubectl -n demo describe pvc a-workspace",
            ),
            ("kubectl logs POD", Some("a-1"), "kubectl logs a-1"),
            ("kubectl logs POD", None, "kubectl logs POD"),
        ] {
            let remedy = Remedy {
                text: "",
                command: Some(command),
            };
            let filled = remedy.command_about("demo", "lagent", "a", pod);
            assert_eq!(filled.as_deref(), Some(expected));
        }
    }
}
