//! The list that a step gave, as items for a step that runs once for each, and what came of them as
//! one result again. Pure.

use langop_dsl::MAX_ITEMS;
use serde_json::Value as Json;

use super::results::{MAX_TEXT_BYTES, StepResult, cut};
use crate::outcome::{Failure, Reason};

/// The items of the list that the step `name` gave, at most as many as `limit` and [`MAX_ITEMS`].
///
/// A list is an array; an object whose only entry is one, as servers wrap them; or a text that is
/// such JSON, or has an item on each line.
///
/// # Errors
/// If it is no list, or too long. Nothing of a list that is too long is done: nobody could tell
/// which items were.
pub fn of(name: &str, result: &StepResult, limit: usize) -> Result<Vec<Json>, Failure> {
    let items = match &result.structured {
        Some(structured) => of_json(structured),
        None => of_text(&result.text),
    };
    let Some(items) = items else {
        let message = format!(
            "the result of the step '{name}' is no list: it must be an array, or a text with an item on each line"
        );
        return Err(Failure::new(Reason::NotAList, message));
    };
    let limit = limit.min(MAX_ITEMS);
    if items.len() > limit {
        let message = format!(
            "the list of the step '{name}' has {} items, and at most {limit} are done: narrow the list, or raise max_iterations up to {MAX_ITEMS}",
            items.len()
        );
        return Err(Failure::new(Reason::ItemLimit, message));
    }
    Ok(items)
}

fn of_json(json: &Json) -> Option<Vec<Json>> {
    match json {
        Json::Null => Some(Vec::new()),
        Json::Array(items) => Some(items.clone()),
        Json::String(text) => of_text(text),
        Json::Object(entries) => match entries.values().next() {
            Some(only @ (Json::Array(_) | Json::String(_))) if entries.len() == 1 => of_json(only),
            _ => None,
        },
        Json::Bool(_) | Json::Number(_) => None,
    }
}

fn of_text(text: &str) -> Option<Vec<Json>> {
    let text = without_fence(text.trim());
    if text.starts_with(['[', '{'])
        && let Ok(json) = serde_json::from_str::<Json>(text)
    {
        return of_json(&json);
    }
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let are_marked = lines().all(|line| unmarked(line).is_some());
    let item = |line| match unmarked(line) {
        Some(item) if are_marked => item,
        _ => line,
    };
    Some(
        lines()
            .map(|line| Json::String(item(line).to_owned()))
            .collect(),
    )
}

/// Models like to put what they are asked for into a fence.
fn without_fence(text: &str) -> &str {
    let inside = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"))
        .and_then(|rest| rest.split_once('\n'));
    inside.map_or(text, |(_, inside)| inside.trim())
}

/// The line of a list without its mark, if it has one: `- one`, `* one`, `1. one`.
fn unmarked(line: &str) -> Option<&str> {
    let bullet = line.strip_prefix(['-', '*', '•']);
    let rest = bullet.or_else(|| {
        let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let has_number = number.len() < line.len();
        number.strip_prefix(['.', ')']).filter(|_| has_number)
    })?;
    let item = rest.strip_prefix(' ')?.trim_start();
    (!item.is_empty()).then_some(item)
}

/// What a step gave for all its items: an array of what it gave for each, and the texts with a
/// blank line between them.
pub fn joined(results: &[StepResult]) -> StepResult {
    let texts: Vec<&str> = results.iter().map(|result| &*result.text).collect();
    StepResult {
        structured: Some(results.iter().map(StepResult::value).collect()),
        text: cut(&texts.join("\n\n"), MAX_TEXT_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn structured(structured: Json) -> StepResult {
        StepResult {
            text: structured.to_string(),
            structured: Some(structured),
        }
    }

    fn items(result: &StepResult) -> Json {
        of("L", result, 100).unwrap().into_iter().collect()
    }

    #[test]
    fn lists_of_tools_are_read_in_the_forms_that_servers_give_them() {
        for (result, expected) in [
            (
                structured(json!(["a", 1, {"n": "b"}])),
                json!(["a", 1, {"n": "b"}]),
            ),
            (structured(json!({"result": ["a"]})), json!(["a"])),
            (structured(json!({"content": "a\nb\n"})), json!(["a", "b"])),
            (structured(json!({"content": "[1,2]"})), json!([1, 2])),
            (structured(json!({"files": []})), json!([])),
            (structured(Json::Null), json!([])),
            (
                StepResult::text("a.txt\n\n  b c.txt \n"),
                json!(["a.txt", "b c.txt"]),
            ),
            (StepResult::text(" \n"), json!([])),
            (
                StepResult::text("[\"a\", {\"b\": 2}]"),
                json!(["a", {"b": 2}]),
            ),
            (StepResult::text("{\"files\": [\"a\"]}"), json!(["a"])),
            (StepResult::text("```json\n[\"a\"]\n```"), json!(["a"])),
            (StepResult::text("- a\n- b"), json!(["a", "b"])),
            (StepResult::text("1. a\n2) b"), json!(["a", "b"])),
            // not all lines are marked, so that the marks belong to the items
            (StepResult::text("- a\nb"), json!(["- a", "b"])),
            (
                StepResult::text("[FILE] a\n[FILE] b"),
                json!(["[FILE] a", "[FILE] b"]),
            ),
        ] {
            assert_eq!(items(&result), expected, "{result:?}");
        }
    }

    #[test]
    fn what_is_no_list_or_too_long_fails_before_anything_is_done() {
        for other in [
            json!(3),
            json!(true),
            json!({"a": [1], "b": [2]}),
            json!({"a": 1}),
        ] {
            let failure = of("L", &structured(other), 100).unwrap_err();
            assert_eq!(failure.reason, Reason::NotAList);
            assert!(failure.message.contains("'L'"), "{failure}");
        }
        let long = structured((0..101).collect());
        let failure = of("L", &long, 1000).unwrap_err();
        assert_eq!(failure.reason, Reason::ItemLimit);
        assert!(
            failure.message.contains("101 items, and at most 100"),
            "{failure}"
        );
        let short = structured((0..4).collect());
        assert_eq!(of("L", &short, 3).unwrap_err().reason, Reason::ItemLimit);
        assert_eq!(of("L", &short, 4).unwrap().len(), 4);
    }

    #[test]
    fn what_came_of_items_is_a_list_again() {
        let results = [structured(json!({"n": 1})), StepResult::text("two")];
        let joined = joined(&results);
        assert_eq!(joined.structured, Some(json!([{"n": 1}, "two"])));
        assert_eq!(joined.text, "{\"n\":1}\n\ntwo");
        assert_eq!(items(&joined), json!([{"n": 1}, "two"]));
        assert_eq!(items(&super::joined(&[])), json!([]));
    }

    proptest! {
        #[test]
        fn an_array_is_its_items_however_it_is_wrapped(
            list in prop::collection::vec("\\PC{0,20}", 0..30),
        ) {
            let array = json!(list);
            for result in [
                structured(array.clone()),
                structured(json!({"result": array})),
                StepResult::text(array.to_string()),
                StepResult::text(format!("```json\n{array}\n```")),
            ] {
                prop_assert_eq!(items(&result), array.clone());
            }
        }

        #[test]
        fn any_text_is_a_list_or_is_told_to_be_none(text in "(\\PC|\n){0,200}") {
            match of("L", &StepResult::text(text), 100) {
                Ok(items) => prop_assert!(items.len() <= 100),
                Err(failure) => prop_assert!(
                    matches!(failure.reason, Reason::NotAList | Reason::ItemLimit)
                ),
            }
        }
    }
}
