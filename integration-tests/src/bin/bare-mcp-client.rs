//! The least that calls a tool: rmcp's own client, one list, then so many calls, one after the other. The
//! baseline of `cargo bench-runtime`, in a program of its own so that nothing else is in its memory.

use std::{env, error::Error};

use rmcp::{
    model::{CallToolRequestParams, JsonObject, ProtocolVersion},
    service::{ClientLifecycleMode, serve_client_with_lifecycle},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};

const USAGE: &str = "usage: bare-mcp-client URL OPERATION ARGUMENTS COUNT";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = env::args().skip(1).collect();
    let [url, operation, parameters, count] = &given[..] else {
        return Err(USAGE.into());
    };
    let parameters: JsonObject = serde_json::from_str(parameters)?;
    let count: u32 = count.parse()?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider is already installed")?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
    let transport = StreamableHttpClientTransport::with_client(http, config);
    let auto = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
    };
    let client = serve_client_with_lifecycle((), transport, auto).await?;
    client.list_all_tools().await?;
    for _ in 0..count {
        let mut call = CallToolRequestParams::new(operation.clone());
        call.arguments = Some(parameters.clone());
        client.call_tool(call).await?;
    }
    client.cancel().await?;
    Ok(())
}
