//! Reads the result of a tool into the two forms that steps keep. Pure.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

use crate::engine::results::StepResult;

/// In place of what only later versions have.
const UNKNOWN: &str = "[something unknown]";

/// What a tool answered.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutput {
    /// Both forms, the text uncut.
    pub result: StepResult,
    /// Whether it says that it failed.
    pub is_error: bool,
}

/// Texts joined by line ends; a link as its URI; of anything else its type and size. A result of
/// structure alone is its JSON.
pub fn read(result: CallToolResult) -> ToolOutput {
    let blocks: Vec<String> = result.content.iter().map(block).collect();
    let text = match &result.structured_content {
        Some(structured) if blocks.is_empty() => structured.to_string(),
        _ => blocks.join("\n"),
    };
    ToolOutput {
        result: StepResult {
            structured: result.structured_content,
            text,
        },
        is_error: result.is_error.unwrap_or(false),
    }
}

fn block(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::ResourceLink(link) => link.uri.clone(),
        ContentBlock::Image(image) => opaque(&image.mime_type, &image.data),
        ContentBlock::Audio(audio) => opaque(&audio.mime_type, &audio.data),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            ResourceContents::BlobResourceContents {
                mime_type, blob, ..
            } => opaque(mime_type.as_deref().unwrap_or("bytes"), blob),
            _ => UNKNOWN.to_owned(),
        },
        _ => UNKNOWN.to_owned(),
    }
}

/// `[image/png, 12 KiB]`.
fn opaque(mime_type: &str, base64: &str) -> String {
    let bytes = base64.len() / 4 * 3;
    if bytes < 1024 {
        format!("[{mime_type}, {bytes} bytes]")
    } else {
        format!("[{mime_type}, {} KiB]", bytes.div_ceil(1024))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn read_json(json: Json) -> ToolOutput {
        read(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn both_forms_are_kept() {
        let output = read_json(json!({
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image", "mimeType": "image/png", "data": "A".repeat(16_384)},
                {"type": "resource_link", "uri": "file:///x", "name": "x"},
                {"type": "resource", "resource": {"uri": "file:///y", "text": "b"}},
            ],
            "structuredContent": {"content": "a"},
        }));
        assert_eq!(output.result.text, "a\n[image/png, 12 KiB]\nfile:///x\nb");
        assert_eq!(output.result.structured, Some(json!({"content": "a"})));
        assert!(!output.is_error);
    }

    #[test]
    fn structure_alone_is_also_text_and_a_null_is_present() {
        let output = read_json(json!({"structuredContent": 3}));
        assert_eq!(output.result.text, "3");
        let output = read_json(json!({"structuredContent": null, "content": []}));
        assert_eq!(output.result.structured, Some(Json::Null));
        let output = read_json(json!({"content": [], "isError": true}));
        assert!(output.is_error);
        assert_eq!(output.result.structured, None);
    }
}
