//! Operations of tools as functions that a model may call. Names are mapped there and back by a
//! table, never by splitting them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use langop_dsl::hash::sha256_hex;
use serde_json::{Value as Json, json};

use crate::model::wire::Function;

/// Longest name that models' servers take.
const MAX_NAME: usize = 64;
/// Digits of the hash that tells names apart.
const HASH_DIGITS: usize = 6;
/// The function by which a model ends.
pub const FINISH: &str = "finish";

/// An operation of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Offered {
    /// The tool's name in the environment.
    pub tool: String,
    /// The operation, as the server calls it.
    pub operation: String,
    /// What it is for.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Json,
    /// By the server's word it changes nothing.
    pub is_read_only: bool,
}

/// Functions by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Functions {
    named: BTreeMap<String, Offered>,
    is_conversation: bool,
}

impl Functions {
    /// Names all that is offered.
    pub fn new(offered: Vec<Offered>) -> Self {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for one in &offered {
            *count.entry(plain(one)).or_default() += 1;
        }
        let mut table = BTreeMap::new();
        for one in offered {
            let plain = plain(&one);
            let is_good = plain.len() <= MAX_NAME && plain != FINISH && count[&plain] == 1;
            let name = if is_good {
                plain
            } else {
                hashed(&plain, &one, &table)
            };
            table.insert(name, one);
        }
        Self {
            named: table,
            is_conversation: false,
        }
    }

    /// Without [`FINISH`]: an answer in words ends a turn of a conversation.
    #[must_use]
    pub fn of_conversation(self) -> Self {
        Self {
            is_conversation: true,
            ..self
        }
    }

    /// What a name means.
    pub fn get(&self, name: &str) -> Option<&Offered> {
        self.named.get(name)
    }

    /// For a model, sorted by name, with [`FINISH`] at the end of those of a run.
    pub fn describe(&self) -> Vec<Function> {
        let function = |(name, offered): (&String, &Offered)| Function {
            name: name.clone(),
            description: offered.description.clone(),
            parameters: offered.parameters.clone(),
        };
        let finish = (!self.is_conversation).then(finish);
        self.named.iter().map(function).chain(finish).collect()
    }

    /// The tools that have functions here.
    pub fn tools(&self) -> BTreeSet<&str> {
        self.named.values().map(|offered| &*offered.tool).collect()
    }
}

fn finish() -> Function {
    Function {
        name: FINISH.to_owned(),
        description: "Ends the run: when the objectives are achieved, when there is nothing to do, or when they cannot be achieved.".to_owned(),
        parameters: json!({
            "type": "object", "required": ["outcome", "summary"],
            "properties": {
                "outcome": {"type": "string", "enum": ["achieved", "nothing_to_do", "impossible"]},
                "summary": {"type": "string", "description": "What was done, in one sentence."},
            },
        }),
    }
}

/// `TOOL__OPERATION`, each run of other characters as one `_`.
fn plain(offered: &Offered) -> String {
    format!("{}__{}", part(&offered.tool), part(&offered.operation))
}

fn part(name: &str) -> String {
    let mut part = String::with_capacity(name.len());
    let mut was_other = false;
    for c in name.chars() {
        let is_other = !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !is_other {
            part.push(c);
        } else if !was_other {
            part.push('_');
        }
        was_other = is_other;
    }
    part
}

fn hashed(plain: &str, offered: &Offered, taken: &BTreeMap<String, Offered>) -> String {
    let hash = sha256_hex(format!("{}\0{}", offered.tool, offered.operation).as_bytes());
    let named = |digits: usize| {
        let end = plain.len().min(MAX_NAME - digits - 1);
        format!("{}_{}", &plain[..end], &hash[..digits])
    };
    (HASH_DIGITS..hash.len() - 2)
        .map(named)
        .find(|name| !taken.contains_key(name))
        .unwrap_or_else(|| named(HASH_DIGITS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offered(tool: &str, operation: &str) -> Offered {
        Offered {
            tool: tool.to_owned(),
            operation: operation.to_owned(),
            description: String::new(),
            parameters: json!({}),
            is_read_only: false,
        }
    }

    #[test]
    fn plain_names_stay_and_others_get_a_hash() {
        let long = "x".repeat(128);
        let functions = Functions::new(vec![
            offered("fs", "list_files"),
            offered("a.b", "c"),
            offered("a b", "c"),
            offered("fs", &long),
        ]);
        let names: Vec<_> = functions
            .describe()
            .into_iter()
            .map(|function| function.name)
            .collect();
        assert!(names.contains(&"fs__list_files".to_owned()), "{names:?}");
        assert_eq!(names.last().map(String::as_str), Some(FINISH));
        assert!(
            !names.contains(&"a_b__c".to_owned()),
            "both of a collision get a hash"
        );
        assert_eq!(
            functions.get("fs__list_files").unwrap().operation,
            "list_files"
        );
        let names = functions.of_conversation().describe();
        let has = |name: &str| names.iter().any(|function| function.name == name);
        assert!(has("fs__list_files") && !has(FINISH), "{names:?}");
    }

    proptest! {
        #[test]
        fn names_are_legal_unique_stable_and_lead_back(
            pairs in prop::collection::btree_set(("[a-c.]{1,3}", "([a-c_.ä]{1,4})|([a-z.]{60,128})"), 0..100),
        ) {
            let all: Vec<_> = pairs.iter().map(|(tool, operation)| offered(tool, operation)).collect();
            let functions = Functions::new(all.clone());
            let described = functions.describe();
            prop_assert_eq!(described.len(), all.len() + 1, "none is lost");
            for function in &described[..all.len()] {
                prop_assert!(function.name.len() <= 64);
                prop_assert!(function.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
                prop_assert!(functions.get(&function.name).is_some());
            }
            prop_assert!(described[..all.len()].is_sorted_by_key(|function| function.name.clone()));
            let mut turned = all;
            turned.reverse();
            prop_assert_eq!(Functions::new(turned).describe(), described);
        }
    }
}
