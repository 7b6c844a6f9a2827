//! The tools that run in an agent's own pods: what each is made of, and what it is lent. It runs
//! beside the agent's code, with its network and its workspace, so that another image there is as
//! much as another image of the agent.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Container;
use langop_api::LanguageToolSpec;
use serde::{Deserialize, Serialize};

use super::{
    variables::{secret, users},
    widening::{Widening, listed, shown},
};
use crate::{
    agent::{validate::RunSpec, workload::sidecar_of},
    stdio,
};

/// By the tool's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sidecars(BTreeMap<String, Sidecar>);

/// What one is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sidecar {
    image: String,
    /// Empty: the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    /// Apart from the command, since words after the image's own are not words in its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
    /// Names of its variables.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    env: BTreeSet<String>,
    /// `NAME/KEY` of the Secrets in them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    secrets: BTreeSet<String>,
}

impl Sidecars {
    /// As the tools' specs have them.
    pub(super) fn of_run(run: &RunSpec) -> Self {
        let all = run.sidecars.iter();
        Self(
            all.map(|sidecar| (sidecar.tool.clone(), Sidecar::of_spec(&sidecar.spec)))
                .collect(),
        )
    }

    /// As the containers of a pod have them.
    pub(super) fn of_pod<'a>(containers: impl IntoIterator<Item = &'a Container>) -> Self {
        let all = containers.into_iter().filter_map(|container| {
            let tool = sidecar_of(&container.name)?;
            Some((tool.to_owned(), Sidecar::of_container(container)))
        });
        Self(all.collect())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What runs there and did not, or is lent more.
    pub(super) fn wider_than(&self, before: &Self) -> Vec<Widening> {
        let all = self.0.iter();
        all.flat_map(|(tool, now)| now.wider_than(before.0.get(tool), &shown(tool)))
            .collect()
    }
}

impl Sidecar {
    fn of_spec(spec: &LanguageToolSpec) -> Self {
        let secrets = spec.env.iter().filter_map(|variable| {
            let key = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
            Some(format!("{}/{}", key.name, key.key))
        });
        Self {
            image: spec.image.clone(),
            command: spec.command.to_vec(),
            args: spec.args.to_vec(),
            env: spec
                .env
                .iter()
                .map(|variable| variable.name.clone())
                .collect(),
            secrets: secrets.collect(),
        }
    }

    fn of_container(container: &Container) -> Self {
        let (command, args) = (
            container.command.as_deref().unwrap_or_default(),
            container.args.as_deref().unwrap_or_default(),
        );
        Self {
            image: container.image.clone().unwrap_or_default(),
            command: stdio::own_command(command).to_vec(),
            args: args.to_vec(),
            env: users(container)
                .map(|variable| variable.name.clone())
                .collect(),
            secrets: users(container).filter_map(secret).collect(),
        }
    }

    fn wider_than(&self, before: Option<&Self>, tool: &str) -> Vec<Widening> {
        let Some(before) = before else {
            return vec![Widening::new(self.told(tool))];
        };
        let other = |what: &str, now: &str, before: &str| Widening::More {
            what: format!("sidecar {tool} {what} "),
            now: shown(now),
            before: shown(before),
        };
        let image =
            (self.image != before.image).then(|| other("of image", &self.image, &before.image));
        let runs = |one: &Self| (one.command.clone(), one.args.clone());
        let command = (runs(self) != runs(before)).then(|| {
            let [now, before] = [self, before].map(Self::command_line);
            other("running", &now, &before)
        });
        let more = |what: &str, now: &BTreeSet<String>, before: &BTreeSet<String>| {
            let new: Vec<_> = now.difference(before).collect();
            (!new.is_empty())
                .then(|| Widening::new(format!("sidecar {tool} with {what} {}", listed(new))))
        };
        let env = more("variable", &self.env, &before.env);
        let secrets = more("Secret", &self.secrets, &before.secrets);
        [image, command, env, secrets]
            .into_iter()
            .flatten()
            .collect()
    }

    /// `sidecar files of image registry.example/files:1 with Secret key/token`.
    fn told(&self, tool: &str) -> String {
        let running = match (&self.command[..], &self.args[..]) {
            ([], []) => String::new(),
            _ => format!(" running {}", shown(&self.command_line())),
        };
        let with = match self.secrets.len() {
            0 => String::new(),
            _ => format!(" with Secret {}", listed(&self.secrets)),
        };
        format!(
            "sidecar {tool} of image {}{running}{with}",
            shown(&self.image)
        )
    }

    fn command_line(&self) -> String {
        let command = match &self.command[..] {
            [] => "its own command".to_owned(),
            command => command.join(" "),
        };
        [&[command], &self.args[..]].concat().join(" ")
    }
}
