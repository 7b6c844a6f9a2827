//! Checks parameters against the JSON Schema of an operation: the keywords that say which
//! parameters there are and what they may be. Pure and bounded; knows no code.
//!
//! Own code because no validator knows a value that is not there yet: the result of a step fits
//! every schema. Schemas are tenants' text, so nothing is fetched, no pattern is run (regular
//! expressions of others cost what they like), and a schema that cannot be understood, or costs too
//! much, refuses nothing: the tool itself has the last word. Of `oneOf` one must fit, as of
//! `anyOf`; `not`, conditions, `format` and `pattern` are left to the tool.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};

use super::words;
use crate::definition::Value;

/// Deepest nesting of schemas that is followed, references included.
const DEEPEST: usize = 64;

/// Most findings of one call.
const MOST: usize = 10;

/// What may be spent on all calls of one agent, in looks at a schema or at a value it names.
pub(super) struct Effort(u32);

impl Default for Effort {
    fn default() -> Self {
        Self(50_000)
    }
}

impl Effort {
    fn spend(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Unknown,
    Missing,
    Bad,
}

/// Something that the schema does not allow.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) rule: Rule,
    /// The parameter in which it is; none where one is missing.
    pub(super) parameter: Option<String>,
    /// Whether it is about that parameter and not about something in its value.
    pub(super) is_of_the_parameter: bool,
    /// Without the operation's name.
    pub(super) message: String,
    pub(super) hint: String,
    /// Where it is; empty for the whole.
    place: String,
    problem: String,
}

/// What in `value` does not fit `schema`: the first thing, in words. None where nothing is wrong, or
/// nothing can be told. Names that the schema does not have are no matter: who reads a value
/// overlooks them.
pub fn misfit(schema: &Json, value: &Json) -> Option<String> {
    let value = Value::try_from(value.clone()).ok()?;
    let mut check = Check {
        root: schema,
        effort: &mut Effort::default(),
        path: Vec::new(),
        depth: 0,
        found: Vec::new(),
    };
    check.value(schema, &value);
    let mut found = check.found.into_iter();
    let first = found.find(|misfit| misfit.rule != Rule::Unknown)?;
    Some(match first.place.as_str() {
        "" => format!("it {}", first.problem),
        place => format!("{} {}", words::code(place), first.problem),
    })
}

/// What in `params` does not fit `schema`, the first few.
pub(super) fn check(
    schema: &Json,
    params: &BTreeMap<String, Value>,
    effort: &mut Effort,
) -> Vec<Misfit> {
    let mut check = Check {
        root: schema,
        effort,
        path: Vec::new(),
        depth: 0,
        found: Vec::new(),
    };
    if let Some(schema) = schema.as_object() {
        check.object(schema, params);
        check.combined(schema, &Value::Object(params.clone()));
    }
    check.found
}

struct Check<'a> {
    root: &'a Json,
    effort: &'a mut Effort,
    path: Vec<String>,
    depth: usize,
    found: Vec<Misfit>,
}

impl Check<'_> {
    fn value(&mut self, schema: &Json, value: &Value) {
        let Some(schema) = schema.as_object() else {
            return;
        };
        // what a step gives is not known yet
        if matches!(value, Value::Result { .. } | Value::Item)
            || self.depth >= DEEPEST
            || self.found.len() >= MOST
            || !self.effort.spend()
        {
            return;
        }
        if let Some(expected) = wrong_type(schema, value) {
            let message = format!("must be {expected}, not {}", kind(value));
            return self.bad(&message, format!("write {expected}"));
        }
        self.choices(schema, value);
        match value {
            Value::String(text) => self.length(schema, text),
            Value::Number(number) => self.range(schema, number),
            Value::Array(items) => self.array(schema, items),
            Value::Object(entries) => self.object(schema, entries),
            Value::Null | Value::Bool(_) | Value::Result { .. } | Value::Item => {}
        }
        self.combined(schema, value);
    }

    /// `$ref`, `allOf`, `anyOf` and `oneOf`.
    fn combined(&mut self, schema: &Map<String, Json>, value: &Value) {
        self.depth += 1;
        let list = |keyword: &str| schema.get(keyword).and_then(Json::as_array);
        let reference = schema.get("$ref").and_then(Json::as_str);
        let root = self.root;
        let referred = reference
            .and_then(|reference| reference.strip_prefix('#'))
            .and_then(|pointer| root.pointer(pointer));
        for all in referred
            .into_iter()
            .chain(list("allOf").into_iter().flatten())
        {
            self.value(all, value);
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(alternatives) = list(keyword) {
                self.any(alternatives, value);
            }
        }
        self.depth -= 1;
    }

    /// Tells of the alternative that is nearest, if none fits.
    fn any(&mut self, alternatives: &[Json], value: &Value) {
        let before = std::mem::take(&mut self.found);
        let mut nearest: Option<Vec<Misfit>> = None;
        for alternative in alternatives {
            self.value(alternative, value);
            let found = std::mem::take(&mut self.found);
            if nearest
                .as_ref()
                .is_none_or(|nearest| found.len() < nearest.len())
            {
                nearest = Some(found);
            }
        }
        self.found = before;
        self.found.extend(nearest.unwrap_or_default());
    }

    /// `enum` and `const`.
    fn choices(&mut self, schema: &Map<String, Json>, value: &Value) {
        let constant = schema.get("const").map(std::slice::from_ref);
        let list = schema.get("enum").and_then(Json::as_array);
        let Some(choices) = constant.or(list.map(Vec::as_slice)) else {
            return;
        };
        let fits = |choice: &Json| !self.effort.spend() || same(value, choice);
        if choices.is_empty() || choices.iter().any(fits) {
            return;
        }
        let spelled: Vec<String> = choices
            .iter()
            .take(words::MOST_NAMES + 1)
            .map(ToString::to_string)
            .collect();
        let meant = match value {
            Value::String(text) => words::nearest(text, choices.iter().filter_map(Json::as_str)),
            _ => None,
        };
        let all = words::names(spelled.iter().map(String::as_str));
        let hint = meant.map_or_else(
            || format!("write one of {all}"),
            |meant| format!("did you mean {}? It takes {all}", words::code(meant)),
        );
        self.bad("is none of the values it takes", hint);
    }

    fn length(&mut self, schema: &Map<String, Json>, text: &str) {
        let length = || text.chars().count() as u64;
        if bound(schema, "minLength").is_some_and(|least| length() < least) {
            self.bad("is too short", "write a longer text".to_owned());
        } else if let Some(most) = bound(schema, "maxLength").filter(|most| length() > *most) {
            let hint = format!("write at most {most} characters");
            self.bad("is too long", hint);
        }
    }

    fn range(&mut self, schema: &Map<String, Json>, number: &Number) {
        let limit = |keyword: &str| schema.get(keyword).and_then(Json::as_f64);
        let Some(number) = number.as_f64() else {
            return;
        };
        let least = limit("minimum").filter(|least| number < *least);
        let above = limit("exclusiveMinimum").filter(|above| number <= *above);
        let most = limit("maximum").filter(|most| number > *most);
        let below = limit("exclusiveMaximum").filter(|below| number >= *below);
        let hints = [
            least.map(|least| format!("write at least {least}")),
            above.map(|above| format!("write more than {above}")),
            most.map(|most| format!("write at most {most}")),
            below.map(|below| format!("write less than {below}")),
        ];
        if let Some(hint) = hints.into_iter().flatten().next() {
            self.bad("is out of its range", hint);
        }
    }

    fn array(&mut self, schema: &Map<String, Json>, items: &[Value]) {
        let length = items.len() as u64;
        if let Some(least) = bound(schema, "minItems").filter(|least| length < *least) {
            self.bad("has too few items", format!("write at least {least}"));
        } else if let Some(most) = bound(schema, "maxItems").filter(|most| length > *most) {
            self.bad("has too many items", format!("write at most {most}"));
        }
        let each = schema.get("items");
        // a list of schemas is how older drafts say `prefixItems`
        let first = schema.get("prefixItems").or(each).and_then(Json::as_array);
        for (index, item) in items.iter().enumerate() {
            let own = first.and_then(|first| first.get(index)).or(each);
            if let Some(own) = own {
                self.inside(format!("[{index}]"), |check| check.value(own, item));
            }
        }
    }

    fn object(&mut self, schema: &Map<String, Json>, entries: &BTreeMap<String, Value>) {
        let nothing = Map::new();
        let properties = schema
            .get("properties")
            .and_then(Json::as_object)
            .unwrap_or(&nothing);
        self.required(schema, entries);
        for (name, value) in entries {
            if self.found.len() >= MOST || !self.effort.spend() {
                return;
            }
            let known = properties
                .get(name)
                .filter(|known| **known != Json::Bool(false));
            let others = schema.get("additionalProperties");
            self.inside(name.clone(), |check| match (known, others) {
                (Some(known), _) => check.value(known, value),
                // names by pattern: the tool knows them
                (None, _) if schema.contains_key("patternProperties") => {}
                (None, Some(Json::Bool(true))) => {}
                (None, Some(others @ Json::Object(_))) => check.value(others, value),
                (None, others) => {
                    let is_closed = others == Some(&Json::Bool(false));
                    check.unknown(name, properties, entries, is_closed);
                }
            });
        }
    }

    fn required(&mut self, schema: &Map<String, Json>, entries: &BTreeMap<String, Value>) {
        let required = schema.get("required").and_then(Json::as_array);
        let names = required.into_iter().flatten().filter_map(Json::as_str);
        for name in names.filter(|name| !entries.contains_key(*name)) {
            if self.found.len() >= MOST || !self.effort.spend() {
                return;
            }
            let hint = format!("write a value for {}", words::code(name));
            self.inside(name.to_owned(), |check| {
                check.add(Rule::Missing, "is missing: it is required", hint);
            });
        }
    }

    /// A name that the schema does not have. Where it leaves others open, one that is nearly a
    /// known one, which is not given, is that one misspelled.
    fn unknown(
        &mut self,
        name: &str,
        properties: &Map<String, Json>,
        entries: &BTreeMap<String, Value>,
        is_closed: bool,
    ) {
        let names = || properties.keys().map(String::as_str);
        let free = names().filter(|known| !entries.contains_key(*known));
        let meant = words::nearest(name, free);
        let hint = match meant {
            Some(meant) => format!("did you mean {}?", words::code(meant)),
            None if !is_closed => return,
            None if properties.is_empty() => "remove it: there are none".to_owned(),
            None => format!("remove it: there are {}", words::names(names())),
        };
        self.add(Rule::Unknown, "does not exist: it is no parameter", hint);
    }

    fn inside(&mut self, step: String, look: impl FnOnce(&mut Self)) {
        self.path.push(step);
        self.depth += 1;
        look(self);
        self.depth -= 1;
        self.path.pop();
    }

    fn bad(&mut self, problem: &str, hint: String) {
        self.add(Rule::Bad, problem, hint);
    }

    fn add(&mut self, rule: Rule, problem: &str, hint: String) {
        let is_missing_itself = rule == Rule::Missing && self.path.len() == 1;
        let place = spelled(&self.path);
        let message = format!("the parameter {} {problem}", words::code(&place));
        self.found.push(Misfit {
            rule,
            parameter: self.path.first().filter(|_| !is_missing_itself).cloned(),
            is_of_the_parameter: self.path.len() == 1,
            message,
            hint,
            place,
            problem: problem.to_owned(),
        });
    }
}

/// `message.to[0]`.
fn spelled(path: &[String]) -> String {
    let mut spelled = String::new();
    for step in path {
        if !spelled.is_empty() && !step.starts_with('[') {
            spelled.push('.');
        }
        spelled.push_str(step);
    }
    spelled
}

fn bound(schema: &Map<String, Json>, keyword: &str) -> Option<u64> {
    schema.get(keyword).and_then(Json::as_u64)
}

/// What the schema takes, if that is another type.
fn wrong_type(schema: &Map<String, Json>, value: &Value) -> Option<String> {
    let types: Vec<&str> = match schema.get("type")? {
        Json::String(one) => vec![one],
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
        _ => return None,
    };
    let named: Vec<&str> = types.iter().filter_map(|word| named(word)).collect();
    // a word that is no type says nothing that could be checked
    let is_understood = !types.is_empty() && named.len() == types.len();
    let fits = types.iter().any(|word| is_of(word, value));
    (is_understood && !fits).then(|| named.join(" or "))
}

fn named(word: &str) -> Option<&'static str> {
    Some(match word {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "null" => "`nil`",
        "array" => "an array",
        "object" => "a hash",
        _ => return None,
    })
}

fn is_of(word: &str, value: &Value) -> bool {
    match value {
        Value::Null => word == "null",
        Value::Bool(_) => word == "boolean",
        Value::Number(number) => {
            let is_whole = || number.as_f64().is_some_and(|number| number.fract() == 0.0);
            word == "number" || (word == "integer" && is_whole())
        }
        Value::String(_) => word == "string",
        Value::Array(_) => word == "array",
        Value::Object(_) => word == "object",
        Value::Result { .. } | Value::Item => true,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "`nil`",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a float",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a hash",
        Value::Result { .. } => "the result of a step",
        Value::Item => "the item",
    }
}

/// Whether they are the same JSON, as far as is known by now. Costs no more than the smaller of the
/// two.
fn same(value: &Value, json: &Json) -> bool {
    match (value, json) {
        (Value::Result { .. } | Value::Item, _) | (Value::Null, Json::Null) => true,
        (Value::Bool(a), Json::Bool(b)) => a == b,
        (Value::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::String(a), Json::String(b)) => a == b,
        (Value::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(schema: &Json, params: Json) -> Vec<String> {
        let Ok(Value::Object(params)) = Value::try_from(params) else {
            panic!("no parameters")
        };
        check(schema, &params, &mut Effort::default())
            .into_iter()
            .map(|misfit| format!("{:?} {}; {}", misfit.rule, misfit.message, misfit.hint))
            .collect()
    }

    #[test]
    fn what_a_value_is_may_be_asked_too() {
        let schema = json!({
            "type": "object", "required": ["content"],
            "properties": {"content": {"type": "string"}, "lines": {"type": "array", "items": {"type": "integer"}}},
        });
        for fine in [
            json!({"content": "a"}),
            json!({"content": "a", "contents": 1, "$result": 2}),
            json!({"content": "a", "lines": [1, 2.0]}),
        ] {
            assert_eq!(misfit(&schema, &fine), None, "{fine}");
        }
        for (value, expected) in [
            (json!({}), "`content` is missing: it is required"),
            (
                json!({"content": "a", "lines": [1, "b"]}),
                "`lines[1]` must be an integer, not a string",
            ),
            (json!("a"), "it must be a hash, not a string"),
            (json!(null), "it must be a hash, not `nil`"),
        ] {
            assert_eq!(
                misfit(&schema, &value).as_deref(),
                Some(expected),
                "{value}"
            );
        }
        assert_eq!(misfit(&json!({"type": "nonsense"}), &json!(1)), None);
    }

    #[test]
    fn what_fits_and_what_does_not() {
        let mail = json!({
            "type": "object", "additionalProperties": false, "required": ["to", "body"],
            "properties": {
                "to": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
                "body": {"type": "string", "maxLength": 5},
                "priority": {"enum": ["low", "high", 3]},
                "copies": {"type": ["integer", "null"], "minimum": 1, "exclusiveMaximum": 10},
                "options": {"$ref": "#/$defs/options"},
                "gone": false,
            },
            "$defs": {"options": {"type": "object", "properties": {"html": {"type": "boolean"}, "next": {"$ref": "#/$defs/options"}}}},
        });
        let with = |more: Json| {
            let mut params = json!({"to": "a", "body": "b"});
            let (Json::Object(all), Json::Object(more)) = (&mut params, more) else {
                panic!("no objects")
            };
            all.extend(more);
            params
        };
        for fine in [
            json!({}),
            json!({"to": ["a", {"$result": "S"}], "body": {"$result": "S"}}),
            json!({"to": {"$result": "S"}}),
            json!({"priority": "high"}),
            json!({"priority": 3.0}),
            json!({"copies": null}),
            json!({"copies": 9.0}),
            json!({"options": {"html": true, "more": 1, "next": {"next": {"html": {"$result": "S"}}}}}),
        ] {
            assert_eq!(found(&mail, with(fine.clone())), [""; 0], "{fine}");
        }
        for (params, expected) in [
            (
                json!({"to": 5}),
                "Bad the parameter `to` must be a string, not an integer; write a string",
            ),
            (
                json!({"to": []}),
                "Bad the parameter `to` must be a string, not an array; write a string",
            ),
            (json!({"to": ["a", 1]}), "Bad the parameter `to`"),
            (
                json!({"body": "longer"}),
                "Bad the parameter `body` is too long; write at most 5 characters",
            ),
            (
                json!({"priority": "hig"}),
                "Bad the parameter `priority` is none of the values it takes; did you mean `high`?",
            ),
            (
                json!({"priority": "x"}),
                "write one of `\"low\"`, `\"high\"`, `3`",
            ),
            (
                json!({"copies": 1.5}),
                "Bad the parameter `copies` must be an integer or `nil`, not a float",
            ),
            (
                json!({"copies": 0}),
                "Bad the parameter `copies` is out of its range; write at least 1",
            ),
            (json!({"copies": 10}), "write less than 10"),
            (
                json!({"options": {"html": "yes"}}),
                "Bad the parameter `options.html` must be `true` or `false`, not a string",
            ),
            (
                json!({"options": {"next": {"htm": true}}}),
                "Unknown the parameter `options.next.htm` does not exist: it is no parameter; did you mean `html`?",
            ),
            (
                json!({"bcc": "x"}),
                "Unknown the parameter `bcc` does not exist: it is no parameter; remove it: there are",
            ),
            (json!({"gone": "x"}), "Unknown the parameter `gone`"),
        ] {
            let found = found(&mail, with(params.clone()));
            assert_eq!(found.len(), 1, "{params}: {found:?}");
            assert!(found[0].contains(expected), "{params}: {found:?}");
        }
        let missing = found(&mail, json!({"too": "a"}));
        assert_eq!(missing.len(), 3, "{missing:?}");
        assert!(
            missing[0].starts_with("Missing the parameter `to` is missing"),
            "{missing:?}"
        );
    }

    #[test]
    fn where_others_are_open_only_misspellings_are_refused() {
        let open = json!({"properties": {"path": {}, "recursive": {}}});
        assert_eq!(found(&open, json!({"pathh": "x"})).len(), 1);
        assert_eq!(
            found(&open, json!({"path": "x", "pathh": "x", "depth": 3})),
            [""; 0]
        );
        let said = json!({"properties": {"path": {}}, "additionalProperties": true});
        assert_eq!(found(&said, json!({"pathh": "x"})), [""; 0]);
        let typed = json!({"properties": {"path": {}}, "additionalProperties": {"type": "string"}});
        assert_eq!(found(&typed, json!({"pathh": "x", "y": 1})).len(), 1);
        let pattern = json!({"properties": {"path": {}}, "patternProperties": {"^x": {}}, "additionalProperties": false});
        assert_eq!(found(&pattern, json!({"pathh": "x"})), [""; 0]);
    }

    #[test]
    fn what_is_no_schema_refuses_nothing() {
        let params = json!({"a": [1, {"b": "c"}], "d": null});
        for schema in [
            json!(null),
            json!(true),
            json!(false),
            json!("object"),
            json!({"type": 5, "properties": [], "required": "a", "enum": {}}),
            json!({"properties": {"a": {"type": "list"}, "d": {"type": ["string", "nothing"]}}}),
            json!({"properties": {"a": 5, "d": {"enum": []}}, "required": [5]}),
            json!({"$ref": "#"}),
            json!({"$ref": "http://127.0.0.1/schema", "allOf": [{"$ref": "#/nowhere"}]}),
            json!({"properties": {"a": {"$ref": "#/properties/a"}}}),
            json!({"anyOf": []}),
        ] {
            assert_eq!(found(&schema, params.clone()), [""; 0], "{schema}");
        }
    }

    #[test]
    fn hostile_schemas_cost_little() {
        let doubling = json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]});
        let wide = json!({"properties": {"a": {"enum": (0..20_000).collect::<Vec<_>>()}}});
        let mut effort = Effort::default();
        for schema in [&doubling, &wide] {
            for _ in 0..1_000 {
                let params = [("a".to_owned(), Value::Bool(true))].into();
                check(schema, &params, &mut effort);
            }
        }
        assert!(!effort.spend(), "it was bounded by what it may cost");
    }
}
