//! What a message says, whole or in pieces. Pure.

use serde_json::Value;

/// The text of a message's content: a string, or a list of pieces of which some are text. What a
/// model thought is none.
pub(super) fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(pieces) => pieces.iter().map(text).collect(),
        Value::Object(piece) => {
            let kind = piece.get("type").and_then(Value::as_str);
            let is_text = matches!(kind, None | Some("text" | "output_text" | "text_delta"));
            let said = piece.get("text").filter(|_| is_text);
            said.and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pieces_of_text_are_joined_and_others_passed_over() {
        for (content, expected) in [
            (json!("plain"), "plain"),
            (json!(null), ""),
            (json!([]), ""),
            (
                json!([
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "a"},
                    {"type": "output_text", "text": "b"},
                    {"text": "c"},
                    "d",
                ]),
                "abcd",
            ),
            (json!({"type": "thinking_delta", "thinking": "hm"}), ""),
            (json!({"type": "reasoning", "text": "hm"}), ""),
        ] {
            assert_eq!(text(&content), expected, "{content}");
        }
    }
}
