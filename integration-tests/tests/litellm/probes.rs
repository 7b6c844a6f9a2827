//! What a caller may try: requests that the proxy must refuse, and those it must serve.
//!
//! Paths and fields are those of LiteLLM's public documentation; each asserts our refusal, and none
//! is more than a plain request.

use serde::Serialize;
use serde_json::{Value, json};

/// One request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Probe {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: String,
}

impl Probe {
    /// Its name in a recording.
    pub(crate) fn name(&self) -> String {
        let Self {
            method,
            path,
            headers,
            body,
        } = self;
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, _)| format!("[{name}]"))
            .collect();
        format!("{method} {path} {}{body}", headers.concat())
            .trim_end()
            .to_owned()
    }
}

const CHAT: &str = "/v1/chat/completions";

/// The least that is a chat.
pub(crate) fn chat() -> Value {
    json!({"model": "brain", "messages": [{"role": "user", "content": "hello"}]})
}

/// A chat with these fields beside or instead.
pub(crate) fn chat_with(fields: Value) -> Probe {
    let mut body = chat();
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    post(CHAT, body.to_string())
}

fn post(path: &str, body: String) -> Probe {
    Probe {
        method: "POST",
        path: path.to_owned(),
        headers: vec![],
        body,
    }
}

fn get(path: &str) -> Probe {
    Probe {
        method: "GET",
        ..post(path, String::new())
    }
}

/// Whether a request goes to the model.
pub(crate) fn asks_the_model(probe: &Probe) -> bool {
    probe.method == "POST"
}

/// What agents and the kubelet ask.
pub(crate) fn served() -> Vec<Probe> {
    let mut all = vec![
        get("/v1/models"),
        get("/models"),
        get("/health/liveness"),
        get("/health/readiness"),
        get("/v1/models?team_id=x"),
        post("/chat/completions", chat().to_string()),
    ];
    let fields = [
        json!({}),
        json!({"model": "org/model:7b"}),
        json!({"temperature": 0.1, "top_p": 0.3, "stop": ["x"], "seed": 7, "user": "u"}),
        json!({"n": 1, "max_tokens": 5}),
        json!({"max_tokens": 100_000}),
        json!({"max_completion_tokens": 100_000}),
        json!({"max_tokens": 100_000, "max_completion_tokens": 7}),
        json!({"response_format": {"type": "json_object"}}),
        json!({"metadata": null, "tools": null}),
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]}),
    ];
    all.extend(fields.map(chat_with));
    // What a header says is not heard; a mesh's or an SDK's own must not keep a request out.
    let headers = [
        ("x-litellm-timeout", "0.001"),
        ("x-litellm-num-retries", "3"),
        ("x-litellm-tags", "other"),
        ("anthropic-beta", "other"),
        ("openai-organization", "other"),
        ("authorization", "Bearer whatever"),
        ("x-stainless-lang", "python"),
    ];
    all.extend(headers.map(|header| Probe {
        headers: vec![header],
        ..chat_with(json!({}))
    }));
    all
}

/// What nobody is to get.
pub(crate) fn refused() -> Vec<Probe> {
    [routes(), fields(), values(), garbage()].concat()
}

const POSTS: &[&str] = &[
    "/openai/v1/chat/completions",
    "/openai/chat/completions",
    "/openai_passthrough/v1/chat/completions",
    "/anthropic/v1/messages",
    "/vertex_ai/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
    "/gemini/v1beta/models/m:generateContent",
    "/bedrock/model/m/converse",
    "/azure/openai/deployments/m/chat/completions",
    "/cohere/v2/chat",
    "/mistral/v1/chat/completions",
    "/vllm/v1/chat/completions",
    "/milvus/v2/vectordb/entities/search",
    "/assemblyai/v2/transcript",
    "/langfuse/api/public/ingestion",
    "/cursor/chat/completions",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/responses",
    "/responses",
    "/v1/completions",
    "/completions",
    "/engines/brain/chat/completions",
    "/openai/deployments/brain/chat/completions",
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/moderations",
    "/v1/rerank",
    "/v1/files",
    "/v1/batches",
    "/v1/fine_tuning/jobs",
    "/v1/assistants",
    "/v1/threads",
    "/v1/vector_stores",
    "/v1/videos",
    "/v1beta/models/brain:generateContent",
    "/models/brain:generateContent",
    "/v1/search",
    "/v1/ocr",
    "/mcp",
    "/mcp-rest/tools/call",
    "/a2a/brain",
    "/key/generate",
    "/key/update",
    "/user/new",
    "/team/new",
    "/organization/new",
    "/model/new",
    "/model/delete",
    "/config/update",
    "/config/pass_through_endpoint",
    "/credentials",
    "/budget/new",
    "/customer/new",
    "/guardrails/apply_guardrail",
    "/prompts",
    "/health/test_connection",
    "/health/drain",
    "/utils/token_counter",
    "/utils/transform_request",
    "/cache/flushall",
    "/login",
    "/v2/login",
    "/",
];

const GETS: &[&str] = &[
    "/v1/models/brain",
    "/v1/model/info",
    "/model/info",
    "/model_group/info",
    "/key/info",
    "/key/list",
    "/user/info",
    "/team/list",
    "/spend/logs",
    "/global/spend",
    "/get/config/callbacks",
    "/config/yaml",
    "/settings",
    "/active/callbacks",
    "/credentials",
    "/guardrails/list",
    "/routes",
    "/metrics",
    "/health",
    "/health/services",
    "/health/history",
    "/health/readiness/details",
    "/health/liveliness",
    "/cache/ping",
    "/debug/memory/summary",
    "/",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/ui",
    "/ui/",
    "/sso/key/generate",
    "/public/model_hub",
    "/.well-known/litellm-ui-config",
    "/get_image",
    "/favicon.ico",
    "/v1/chat/completions",
    "/v1/models/",
    "//v1/models",
];

/// Every other route: of vendors, of other APIs, of administrators, of pages.
fn routes() -> Vec<Probe> {
    let methods = ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"].map(|method| Probe {
        method,
        ..post(CHAT, chat().to_string())
    });
    let posts = POSTS.iter().map(|path| post(path, chat().to_string()));
    let aside = post("/v1/models", "{}".to_owned());
    posts
        .chain(GETS.iter().map(|path| get(path)))
        .chain(methods)
        .chain([aside])
        .collect()
}

const NAMES: &[&str] = &[
    "additional_drop_params",
    "allowed_openai_params",
    "api_base",
    "api_key",
    "api_version",
    "audio",
    "aws_region_name",
    "base_url",
    "cache",
    "caching",
    "context_management",
    "custom_llm_provider",
    "drop_params",
    "extra_body",
    "extra_headers",
    "extra_query",
    "fallbacks",
    "functions",
    "guardrails",
    "input_cost_per_token",
    "litellm_metadata",
    "litellm_params",
    "max_retries",
    "mcp_servers",
    "metadata",
    "mock_response",
    "modalities",
    "model_list",
    "num_retries",
    "organization",
    "prompt_id",
    "proxy_server_request",
    "request_timeout",
    "router_settings_override",
    "service_tier",
    "store",
    "success_callback",
    "tags",
    "thinking",
    "timeout",
    "user_config",
    "vertex_project",
    "web_search_options",
    "whatever",
];

/// Fields by which LiteLLM, or a provider, is steered.
fn fields() -> Vec<Probe> {
    NAMES
        .iter()
        .map(|name| chat_with(json!({*name: "x"})))
        .chain([
            chat_with(json!({"api_base": "http://other.example.com", "api_key": "x"})),
            chat_with(json!({"extra_headers": {"x": "y"}})),
        ])
        .collect()
}

/// Known fields that say what they must not.
fn values() -> Vec<Probe> {
    let content = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    [
        json!({"model": "gpt-4o"}),
        json!({"model": "openai/org/model:7b"}),
        json!({"model": "brain,other"}),
        json!({"model": "*"}),
        json!({"model": ""}),
        json!({"model": "Brain"}),
        json!({"model": ["brain"]}),
        json!({"model": null}),
        json!({"messages": null}),
        json!({"messages": "hello"}),
        json!({"messages": ["hello"]}),
        json!({"n": 2}),
        json!({"n": 0}),
        json!({"n": "1"}),
        json!({"n": true}),
        json!({"max_tokens": 0}),
        json!({"max_tokens": -1}),
        json!({"max_tokens": 1.5}),
        json!({"max_tokens": "5"}),
        json!({"max_tokens": true}),
        json!({"max_completion_tokens": 0}),
        json!({"stream": "yes"}),
        json!({"stream_options": {"include_usage": true, "other": 1}}),
        json!({"temperature": "hot"}),
        json!({"response_format": {"type": "other"}}),
        json!({"tools": [{"type": "mcp", "server_label": "x", "server_url": "http://other.example.com"}]}),
        json!({"tools": [{"type": "web_search"}]}),
        json!({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
        json!({"tools": [{"function": {"name": "f"}}]}),
        json!({"tools": [{"type": "function", "function": {"name": "f"}, "other": 1}]}),
        json!({"tool_choice": {"type": "mcp"}}),
        content(json!({"type": "image_url", "image_url": {"url": "http://other.example.com/x.png"}})),
        content(json!({"type": "image_url", "image_url": "https://other.example.com/x.png"})),
        content(json!({"type": "file", "file": {"file_id": "x"}})),
        content(json!({"type": "document", "source": {"type": "url"}})),
        content(json!("text")),
    ]
    .map(chat_with)
    .into()
}

/// What is no chat at all.
fn garbage() -> Vec<Probe> {
    let bodies = [
        "",
        "hello",
        "[]",
        "null",
        "{\"model\": \"brain\"",
        "{\"model\": \"brain\", \"model\": \"brain\", \"messages\": []}",
        "{\"model\": \"brain\", \"messages\": [], \"temperature\": NaN}",
        "model=brain&messages=hello",
    ];
    bodies.map(|body| post(CHAT, body.to_owned())).into()
}
