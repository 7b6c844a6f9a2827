//! Which of our parameters a server refuses. Pure.

use serde_json::Value;

/// A parameter that a request can do without, and the word by which errors may also call it.
pub(super) type Optional = (&'static str, &'static str);

/// Those that a body has.
pub(super) fn sent(body: &Value, optional: &[Optional]) -> Vec<Optional> {
    let is_sent = |(name, _): &&Optional| body.get(name).is_some();
    optional.iter().filter(is_sent).copied().collect()
}

/// The one parameter of those that were sent that an error names, if it names exactly one.
pub(super) fn refused(error: &Value, sent: &[Optional]) -> Option<&'static str> {
    if let Some(named) = error.pointer("/error/param").and_then(Value::as_str) {
        // `stream_options.include_usage` is of `stream_options`.
        let named = named.split('.').next().unwrap_or(named);
        let is_named = |(name, spoken): &&Optional| *name == named || *spoken == named;
        return sent.iter().find(is_named).map(|(name, _)| *name);
    }
    let is_named = |(name, spoken): &&Optional| says(error, name) || says(error, spoken);
    let mut named = sent.iter().filter(is_named);
    let (name, _) = named.next()?;
    named.next().is_none().then_some(*name)
}

/// Whether `word` is a word of any text in `error`.
fn says(error: &Value, word: &str) -> bool {
    match error {
        Value::String(text) => text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|said| said == word),
        Value::Array(items) => items.iter().any(|item| says(item, word)),
        Value::Object(fields) => fields.values().any(|field| says(field, word)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OPTIONAL: [Optional; 3] = [
        ("max_tokens", "max_tokens"),
        ("stream_options", "stream_options"),
        ("output_config", "effort"),
    ];

    #[test]
    fn the_one_parameter_that_an_error_names() {
        let body =
            json!({"model": "m", "max_tokens": 1, "stream_options": {}, "output_config": {}});
        for (error, expected) in [
            (
                json!({"error": {"param": "max_tokens", "message": "Use 'max_completion_tokens' instead of stream_options"}}),
                Some("max_tokens"),
            ),
            (
                json!({"error": {"param": "stream_options.include_usage"}}),
                Some("stream_options"),
            ),
            (
                json!({"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}),
                Some("max_tokens"),
            ),
            (
                json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"]}]}),
                Some("stream_options"),
            ),
            (
                json!({"error": {"message": "this model does not support the effort parameter"}}),
                Some("output_config"),
            ),
            (
                json!({"error": {"param": "messages", "message": "max_tokens"}}),
                None,
            ),
            (json!({"error": "max_tokens and stream_options"}), None),
            (json!({"error": "max_tokens_to_sample"}), None),
            (json!(null), None),
        ] {
            assert_eq!(
                refused(&error, &sent(&body, &OPTIONAL)),
                expected,
                "{error}"
            );
        }
        let bare = json!({"model": "m"});
        assert!(sent(&bare, &OPTIONAL).is_empty());
    }
}
