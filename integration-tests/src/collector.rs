//! A real OpenTelemetry Collector on loopback with the configuration of docs/observability.md:
//! spans that come in become metrics and go on. It must not know whose spans they are.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::control_plane::extra::{self, Extra};
use crate::control_plane::ports;
use crate::pages::Page;
use crate::{peers, run_dir, wait};

/// Whether one is wanted: it is built from source.
const WANTED: &str = "LANGOP_COLLECTOR";
/// Where people read how to configure one, and how that begins.
const PAGE: (&str, &str) = ("docs/observability.md", "receivers:");
/// Until it is up.
const SOON: Duration = Duration::from_mins(1);

/// The collector. It ends when this value is dropped, or this process ends in whatever way.
pub struct Collector {
    receives: u16,
    exports: u16,
    _folder: TempDir,
    _process: Child,
}

impl Collector {
    /// Starts one that passes spans on to this endpoint; `None`, said on stderr, unless
    /// `LANGOP_COLLECTOR=1` asks for it.
    ///
    /// # Errors
    /// If it cannot be built, or does not come up.
    pub async fn if_wanted(passes_on_to: &str) -> Result<Option<Self>> {
        if !extra::is_wanted(WANTED, "the collector's metrics", "guarantees boards") {
            return Ok(None);
        }
        Self::start(passes_on_to).await.map(Some)
    }

    async fn start(passes_on_to: &str) -> Result<Self> {
        let program = extra::locate(Extra::Collector).await?;
        let [receives, exports] = ports::free()?;
        let folder = tempfile::tempdir()?;
        let told = folder.path().join("told.yaml");
        fs::write(&told, configuration()?)?;
        let here = folder.path().join("here.json");
        // JSON is YAML.
        let content = places(receives, exports, passes_on_to);
        fs::write(&here, content.to_string())?;
        let log = run_dir()?.join(format!("collector-{receives}.log"));
        let process = peers::guarded(&program)?
            .arg(format!("--config={}", told.display()))
            // What it says goes over what the page says.
            .arg(format!("--config={}", here.display()))
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot run control-plane")?;
        let what = format!("the collector, which logs to {}", log.display());
        wait::until(&what, SOON, async || {
            TcpStream::connect(("127.0.0.1", receives)).await?;
            TcpStream::connect(("127.0.0.1", exports)).await
        })
        .await?;
        Ok(Self {
            receives,
            exports,
            _folder: folder,
            _process: process,
        })
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.receives)
    }

    /// Where a Prometheus gets the metrics.
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.exports)
    }
}

/// What the page says, word for word.
fn configuration() -> Result<String> {
    let (path, beginning) = PAGE;
    let page = Page::read(path)?;
    let mut blocks = page.blocks.into_iter();
    let block = blocks.find(|block| block.text.starts_with(beginning));
    let block = block.with_context(|| format!("{path}: no block begins with {beginning:?}"))?;
    Ok(block.text)
}

/// What differs here: ports of loopback, and no minute between two looks at the metrics.
fn places(receives: u16, exports: u16, passes_on_to: &str) -> Value {
    json!({
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": format!("127.0.0.1:{receives}")}}}},
        "connectors": {"span_metrics": {"metrics_flush_interval": "1s"}},
        "exporters": {
            "otlp_grpc": {"endpoint": passes_on_to},
            "prometheus": {"endpoint": format!("127.0.0.1:{exports}")},
        },
        "service": {"telemetry": {"metrics": {"level": "none"}}},
    })
}
