//! What the steps of a workflow may call: tools and their operations, and for each place in the
//! parameters the addresses that are written there, or that whatever a run computes may stand
//! there. Any other literal is not listed.

use std::collections::{BTreeMap, BTreeSet};

use langop_dsl::{Action, AgentDefinition, Value};
use serde::{Deserialize, Serialize};

use super::{
    address::{addresses, kept},
    widening::{Widening, listed, shown},
};

/// By tool and operation. The operation is empty where code leaves it out: then it is the only one
/// that the tool has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Calls(BTreeMap<String, BTreeMap<String, Params>>);

/// What may stand in the parameters of one operation, by JSON pointer (RFC 6901). Nothing is listed
/// below what is computed: that may be anything already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Params(BTreeMap<String, Target>);

/// What may stand at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Target {
    /// One of these addresses.
    Addresses(BTreeSet<String>),
    /// Whatever an earlier step gave.
    Computed,
}

impl Calls {
    /// Of all steps.
    pub(super) fn of(definition: &AgentDefinition) -> Self {
        let mut calls = Self::default();
        for step in &definition.steps {
            if let Action::UseTool {
                tool,
                action,
                params,
            } = &step.action
            {
                let action = kept(action.as_deref().unwrap_or_default());
                let operations = calls.0.entry(kept(tool)).or_default();
                let all = operations.entry(action).or_default();
                for (name, value) in params {
                    all.add(&below("", name), value);
                }
            }
        }
        calls
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they are listed as [`Self::of`] lists them.
    pub(super) fn is_canonical(&self) -> bool {
        let is_listed = |params: &Params| {
            params.0.iter().all(|(at, target)| {
                !params.is_computed_above(at)
                    && !matches!(target, Target::Addresses(addresses) if addresses.is_empty())
            })
        };
        let mut tools = self.0.values();
        tools.all(|operations| !operations.is_empty() && operations.values().all(is_listed))
    }

    /// What is called and was not; whatever the tools of `free` offer was.
    pub(super) fn wider_than(
        &self,
        before: &Self,
        free: Option<&BTreeSet<String>>,
    ) -> Vec<Widening> {
        let mut wider = Vec::new();
        for (tool, operations) in &self.0 {
            if free.is_some_and(|free| free.contains(tool)) {
                continue;
            }
            for (operation, params) in operations {
                let name = named(tool, operation);
                match before.0.get(tool).and_then(|before| before.get(operation)) {
                    None => wider.push(Widening::new(params.of_call(&name))),
                    Some(before) => wider.extend(params.wider_than(before, &name)),
                }
            }
        }
        wider
    }

    /// One sentence for each operation.
    pub(super) fn told(&self) -> impl Iterator<Item = String> {
        let operations = |(tool, operations): (&'_ String, &'_ BTreeMap<String, Params>)| {
            let told = operations
                .iter()
                .map(|(operation, params)| params.of_call(&named(tool, operation)));
            told.collect::<Vec<_>>()
        };
        self.0.iter().flat_map(operations)
    }
}

impl Params {
    fn add(&mut self, at: &str, value: &Value) {
        match value {
            Value::Result { .. } | Value::Item => self.compute(at),
            Value::String(text) => self.address(at, addresses(text)),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.add(&below(at, &index.to_string()), item);
                }
            }
            Value::Object(entries) => {
                for (name, value) in entries {
                    self.add(&below(at, name), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn compute(&mut self, at: &str) {
        if self.is_computed_above(at) {
            return;
        }
        let inside = format!("{at}/");
        self.0.retain(|other, _| !other.starts_with(&inside));
        self.0.insert(at.to_owned(), Target::Computed);
    }

    fn address(&mut self, at: &str, found: BTreeSet<String>) {
        if found.is_empty() || self.is_computed_above(at) {
            return;
        }
        let none = || Target::Addresses(BTreeSet::new());
        match self.0.entry(at.to_owned()).or_insert_with(none) {
            Target::Computed => {}
            Target::Addresses(all) => all.extend(found),
        }
    }

    /// Whether the place is within one that is computed as a whole.
    fn is_computed_above(&self, at: &str) -> bool {
        let slashes = at.match_indices('/').map(|(end, _)| &at[..end]);
        let mut above = slashes.filter(|above| !above.is_empty());
        above.any(|above| self.0.get(above) == Some(&Target::Computed))
    }

    fn wider_than(&self, before: &Self, name: &str) -> Vec<Widening> {
        let mut wider = Vec::new();
        for (at, target) in &self.0 {
            if before.is_computed_above(at) {
                continue;
            }
            match (target, before.0.get(at)) {
                (_, Some(Target::Computed)) => {}
                (Target::Computed, Some(Target::Addresses(addresses))) => {
                    wider.push(Widening::More {
                        what: format!("{name} {} ", place(at)),
                        now: "a computed value".to_owned(),
                        before: listed(addresses),
                    });
                }
                (Target::Addresses(now), Some(Target::Addresses(before))) => {
                    let more: Vec<_> = now.difference(before).collect();
                    if !more.is_empty() {
                        wider.push(Widening::new(format!(
                            "{name} {} {}",
                            place(at),
                            listed(more)
                        )));
                    }
                }
                (target, None) => {
                    let only = Self([(at.clone(), target.clone())].into());
                    wider.push(Widening::new(only.of_call(name)));
                }
            }
        }
        wider
    }

    /// `email-tool.send to ops@example.com with computed body, subject`.
    fn of_call(&self, name: &str) -> String {
        let addresses = self.0.iter().filter_map(|(at, target)| match target {
            Target::Addresses(addresses) => Some(format!("{} {}", place(at), listed(addresses))),
            Target::Computed => None,
        });
        let computed = self
            .0
            .iter()
            .filter(|(_, target)| **target == Target::Computed);
        let computed: Vec<_> = computed.map(|(at, _)| place(at)).collect();
        let mut words = name.to_owned();
        for (index, address) in addresses.take(MOST_PLACES).enumerate() {
            words.push_str(if index == 0 { " " } else { ", " });
            words.push_str(&address);
        }
        if !computed.is_empty() {
            words.push_str(" with computed ");
            words.push_str(&listed(computed));
        }
        words
    }
}

/// Most places whose addresses are told of one call.
const MOST_PLACES: usize = 4;

/// The pointer to an entry of what `at` points to.
fn below(at: &str, name: &str) -> String {
    let name = kept(name).replace('~', "~0").replace('/', "~1");
    format!("{at}/{name}")
}

/// A pointer for people: `to`, `headers/from`.
fn place(at: &str) -> String {
    shown(&at[at.len().min(1)..].replace("~1", "/").replace("~0", "~"))
}

fn named(tool: &str, operation: &str) -> String {
    match operation {
        "" => format!("the only operation of {}", shown(tool)),
        operation => format!("{}.{}", shown(tool), shown(operation)),
    }
}
