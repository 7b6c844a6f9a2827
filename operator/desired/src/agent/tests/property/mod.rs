//! Agents: any spec that is admitted is built with legal names or diagnosed in words, and code is
//! named by its content. What agents may reach is in `reach`. How to run many cases: see
//! `crate::property`.

mod reach;
mod transitive;

use std::cell::Cell;

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::*;
use crate::property::{admission::Admission, enough, for_all, generate, names};

/// A tool of this name, out of a generated one.
fn named(mut tool: Value, name: &str) -> Value {
    tool["metadata"]["name"] = json!(name);
    tool
}

/// Whether a workload was built.
fn try_one(agent: Value, tools: Vec<Value>, code_seconds: Option<u64>) -> bool {
    let mut world = World::of_spec(&json!({}));
    world.agent = serde_json::from_value(agent).expect("what is admitted can be read");
    let read = |tool| serde_json::from_value(tool).expect("what is admitted can be read");
    world.tools = tools.into_iter().map(read).collect();
    let validated = match world.try_validated() {
        Ok(validated) => validated,
        Err(invalid) => {
            assert!(!invalid.message.is_empty());
            return false;
        }
    };
    if let (Some(seconds), Ok(_)) = (code_seconds, &validated.run) {
        world.store(&json!({"schedule": {"every": {"seconds": seconds}}}));
    }
    let built = world.build();
    let children = &built.children;
    names::check(children);
    assert_eq!(children.network_policies.len(), 1, "never without a policy");
    let workloads = children.deployments.len() + children.cron_jobs.len();
    assert!(workloads <= 1);
    if let Some(fault) = &built.report.fault {
        assert!(!fault.message.is_empty() && workloads == 0);
    }
    let status = world.status();
    assert!(!status.conditions.is_empty() && status.phase.is_some());
    workloads == 1
}

#[test]
fn an_admitted_agent_is_built_or_diagnosed() {
    let (agents, tools) = (
        Admission::of("LanguageAgent"),
        Admission::of("LanguageTool"),
    );
    let (admitted, built) = (Cell::new(0), Cell::new(0));
    let inputs = (
        generate::object("LanguageAgent"),
        [
            generate::object("LanguageTool"),
            generate::object("LanguageTool"),
        ],
        prop::option::of(1_u64..100_000),
    );
    for_all(&inputs, |(agent, [one, other], seconds)| {
        let Some(agent) = agents.admit(&agent) else {
            return;
        };
        admitted.set(admitted.get() + 1);
        let around = [named(one, "t1"), named(other, "t2")];
        let around = around.iter().filter_map(|tool| tools.admit(tool)).collect();
        built.set(built.get() + u32::from(try_one(agent, around, seconds)));
    });
    enough("admitted", admitted.get(), 8);
    enough("built", built.get(), 20);
}

#[test]
fn code_is_named_by_its_content_and_by_nothing_else() {
    let text = || select(vec!["one", "two\n", "two\r\n", "three"]);
    let content = || (text(), text(), 1_u64..3);
    let world = World::of_spec(&json!({"instructions": "one"}));
    for_all(
        &(content(), content(), "[a-z]{0,4}", 1_i64..100),
        |(one, other, model, revision)| {
            let make = |(code, instructions, seconds): (&str, &str, u64)| NewCode {
                code: code.into(),
                instructions: instructions.into(),
                ..world.new_code(&json!({"constraints": {"timeoutSeconds": seconds}}))
            };
            let name = |new: &NewCode, revision| {
                build_code_config_map(&world.validated(), new, revision)
                    .metadata
                    .name
                    .unwrap()
            };
            let first = make(one);
            let circumstances = NewCode {
                code_hash: format!("hash of {model}"),
                traceparent: String::new(),
                model,
                ..first.clone()
            };
            assert_eq!(name(&first, 1), name(&circumstances, revision));
            // Line ends are no content of instructions.
            let content = |(code, instructions, seconds): (&str, &str, u64)| {
                (code.to_owned(), instructions.replace("\r\n", "\n"), seconds)
            };
            let second = make(other);
            assert_eq!(
                content(one) == content(other),
                name(&first, 1) == name(&second, 1),
                "{first:?} {second:?}"
            );
        },
    );
}
