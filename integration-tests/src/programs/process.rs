//! One program of this workspace as a child process: its start, its log, its metrics, its end. What
//! is special to one of them is not known here.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::Signal;

use super::locate::locate;
use crate::metrics::metric_value;
use crate::{cluster, processes, run_dir, wait};

/// Until a program is Ready after its start, unless told otherwise.
pub(crate) const READY: Duration = Duration::from_mins(1);
/// Until a program has ended after a signal.
const END: Duration = Duration::from_secs(20);
/// Settings of whoever runs the tests must not reach the programs under test.
const OURS: [&str; 6] = [
    "LANGOP_",
    "SYNTHESIS_",
    "OTEL_",
    "KUBE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
];

/// How to start a program.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// For messages and the log file.
    pub name: &'static str,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(String, OsString)>,
    pub log: PathBuf,
    /// Until it is Ready after its start.
    pub ready_within: Duration,
    /// Base URL of its health and metrics.
    pub admin: String,
}

/// A log file of its own for each program this process starts.
pub(crate) fn log_file(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nth = COUNT.fetch_add(1, Ordering::Relaxed);
    let logs = run_dir::run_dir()?.join("programs");
    fs::create_dir_all(&logs)?;
    let log = logs.join(format!("{name}-{nth}.log"));
    File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    Ok(log)
}

/// A running program. It ends when this value is dropped, or this process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Program {
    launch: Launch,
    /// `control-plane guard`, which runs it.
    guard: Child,
    /// Open as long as the program may live.
    stdin: Option<ChildStdin>,
    pid: u32,
}

impl Program {
    /// Starts it and waits until its `/readyz` says so.
    pub(crate) async fn start(launch: Launch) -> Result<Self> {
        let mut this = tokio::task::spawn_blocking(move || Self::spawn(launch)).await??;
        let url = format!("{}/readyz", this.launch.admin);
        let within = this.launch.ready_within;
        let ready = wait::until("it to become ready", within, async || {
            match this.guard.try_wait() {
                Ok(None) => get(&url)
                    .await
                    .map(|_| Ok(()))
                    .map_err(|error| format!("{error:#}")),
                Ok(Some(status)) => Ok(Err(anyhow!("it ended with {status}"))),
                Err(error) => Ok(Err(error.into())),
            }
        });
        match ready.await.and_then(|ended| ended) {
            Ok(()) => Ok(this),
            Err(error) => Err(this.with_log(&error)),
        }
    }

    fn spawn(launch: Launch) -> Result<Self> {
        let log = File::options()
            .append(true)
            .create(true)
            .open(&launch.log)?;
        let mut command = Command::new(locate("control-plane")?);
        command
            .arg("guard")
            .arg("--")
            .arg(&launch.program)
            .args(&launch.args);
        let foreign = std::env::vars_os().map(|(name, _)| name);
        for name in foreign.filter(|name| {
            OURS.iter()
                .any(|prefix| name.to_string_lossy().to_uppercase().starts_with(prefix))
        }) {
            command.env_remove(name);
        }
        command.envs(launch.env.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0);
        let mut guard = command.spawn().context("cannot run control-plane")?;
        let stdin = guard.stdin.take();
        let mut line = String::new();
        BufReader::new(guard.stdout.take().context("no pipe from the guard")?)
            .read_line(&mut line)?;
        let pid = line.trim().parse().with_context(|| {
            format!(
                "{} did not start; see {}",
                launch.name,
                launch.log.display()
            )
        })?;
        Ok(Self {
            launch,
            guard,
            stdin,
            pid,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn log(&self) -> &Path {
        &self.launch.log
    }

    /// Text of `/metrics`.
    pub(crate) async fn metrics(&self) -> Result<String> {
        get(&format!("{}/metrics", self.launch.admin)).await
    }

    /// Sends the signal and waits for the end, which is that signal's or an exit code.
    pub(crate) async fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        if let Some(status) = self.guard.try_wait()? {
            return Ok(status);
        }
        processes::signal(self.pid, signal)?;
        let what = format!("the end of {} after {signal:?}", self.launch.name);
        let ended = wait::until(&what, END, async || self.guard.try_wait().ok().flatten()).await;
        ended.map_err(|error| self.with_log(&error))
    }

    /// Starts it anew, in the same way.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        *self = Self::start(self.launch.clone()).await?;
        Ok(())
    }

    /// The error, and what the program itself said of it.
    fn with_log(&self, error: &anyhow::Error) -> anyhow::Error {
        let Launch { name, log, .. } = &self.launch;
        anyhow!(
            "{name}: {error:#}\n{} ends so:\n{}",
            log.display(),
            self.log_tail()
        )
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.launch.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show(&format!(
                "{} (pid {}) logged to {}, at last:\n{}",
                self.launch.name,
                self.pid,
                self.launch.log.display(),
                self.log_tail()
            ));
        }
        // Its EOF is the guard's order to end the program.
        drop(self.stdin.take());
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the test harness shows it with the failed test"
)]
fn show(text: &str) {
    eprintln!("{text}");
}

/// GET over plain HTTP; anything but a 2xx is an error with the body.
pub(crate) async fn get(url: &str) -> Result<String> {
    cluster::install_crypto_provider();
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()?;
    let response = client.get(url).send().await?;
    let status = response.status();
    let body = response.text().await?;
    if !status.is_success() {
        bail!("{url}: {status} {body}");
    }
    Ok(body)
}

/// A sample of `/metrics`, or 0 if it was never observed.
pub(crate) fn sample(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    metric_value(text, name, labels).unwrap_or(0.0)
}
