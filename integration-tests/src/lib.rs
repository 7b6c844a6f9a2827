//! The integration-test harness: a real control plane, the real programs as child processes, and
//! fakes for what lies outside the product (an LLM provider, an OTLP collector).
//!
//! It owns processes and their life times, and nothing of the product: no test here may reach into
//! the operator or the synthesizer except through the interfaces their users have (the API server,
//! gRPC, HTTP, environment variables). Nothing it starts outlives the process that asked for it.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use langop_integration_tests::{ControlPlane, Operator, Synthesizer, TestNamespace};
//!
//! let cp = ControlPlane::shared().await;
//! cp.install_crds().await?;
//! let ns = TestNamespace::create(cp, "agents").await?;
//! let synthesizer = Synthesizer::template().start().await?;
//! let operator = Operator::builder(cp)
//!     .namespaces(&[ns.name()])
//!     .synthesizer(synthesizer.grpc_url())
//!     .start()
//!     .await?;
//! let mark = cp.audit()?.mark()?;
//! // ... apply, await a condition ...
//! let writes = cp.audit()?.settle(mark, &operator.writes(), std::time::Duration::from_millis(500)).await?;
//! # Ok(()) }
//! ```

pub mod agent;
pub mod alias;
pub mod audit;
pub mod cert_manager;
pub mod cluster;
pub mod collector;
pub mod control_plane;
pub mod crds;
pub mod custom_metrics;
pub mod env;
pub mod fake_llm;
pub mod fault_proxy;
pub mod helm;
pub mod image_root;
mod kubeconfig;
pub mod machine_image;
pub mod mail;
pub mod manifests;
pub mod metrics;
mod namespace;

pub mod otlp;
pub mod pages;
pub mod peers;
pub mod pods;
pub mod processes;
pub mod programs;
pub mod prometheus;
pub mod registry;
mod run_dir;
pub mod signing;
pub mod telemetry_page;
pub mod terminal;
pub mod touch;
pub mod wait;

pub use agent::Agent;
pub use audit::{AuditEvent, AuditLog, Filter, Mark};
pub use cluster::{Cluster, ClusterArgs, Nodes};
pub use collector::Collector;
pub use control_plane::ControlPlane;
pub use env::TestEnv;
pub use fake_llm::{FakeLlm, Reply};
pub use fault_proxy::{FaultMode, FaultProxy};
pub use helm::Helm;
pub use image_root::ImageRoot;
pub use kubeconfig::USER_AGENT;
pub use mail::{ImapServer, SmtpServer};
pub use namespace::TestNamespace;
pub use otlp::OtlpReceiver;
pub use pages::Page;
pub use programs::{Operator, Synthesizer};
pub use registry::Registry;
pub use run_dir::{run_dir, workspace_root};
pub use terminal::Terminal;
