//! Reads single values from the JSON of a live object. A value of an unexpected type counts as
//! absent.

use serde_json::Value;

pub(super) fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field)?.as_str()
}

pub(super) fn pointed_text(live: &Value, pointer: &str) -> Option<String> {
    live.pointer(pointer)?.as_str().map(str::to_owned)
}

pub(super) fn owned_text(object: &Value, field: &str) -> Option<String> {
    text(object, field).map(str::to_owned)
}

pub(super) fn integer(value: Option<&Value>) -> i32 {
    value
        .and_then(Value::as_i64)
        .and_then(|number| i32::try_from(number).ok())
        .unwrap_or_default()
}

pub(super) fn is_true(live: &Value, pointer: &str) -> bool {
    live.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

pub(super) fn count(list: Option<&Value>) -> i32 {
    list.and_then(Value::as_array)
        .map_or(0, |items| i32::try_from(items.len()).unwrap_or(i32::MAX))
}

pub(super) fn condition<'a>(live: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = live.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| text(condition, "type") == Some(type_))
}
