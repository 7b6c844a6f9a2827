//! The commands: from the process's environment to its exit code. Here files, signals and standard
//! streams meet the rest.

use std::{collections::BTreeSet, env, io, os::fd::AsFd, sync::Arc};

use axum::Router;
use jiff::Timestamp;
use langop_program::admin;
use tokio::{fs::File, io::BufReader, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::Checkpoint,
    code,
    env::{Environment, Served},
    http::{self, Readiness},
    metrics::Metrics,
    outcome::{Failure, Outcome},
    process::{cancel_on_signal, configuration, environment, install_tls},
    resident,
    run::{Agent, conversation},
    serve::{self, Callers},
    telemetry::{self, LogTo},
    termination,
    termination::Report,
};

/// `service.name` unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = "langop-agent";

/// `langop-agent check`: environment and code, without network.
pub fn check() -> u8 {
    let checked = environment().and_then(|environment| {
        let code = code::load(&environment, Timestamp::now())?;
        code::check_offered(&code.definition, &environment)?;
        Ok(code)
    });
    match checked {
        Ok(code) => {
            say(&format!(
                "the code of '{}' is good: {} steps, {} objectives",
                code.definition.name,
                code.definition.steps.len(),
                code.definition.objectives.len()
            ));
            0
        }
        Err(failure) => {
            complain(&failure);
            failure.reason.exit_code()
        }
    }
}

/// `langop-agent run`.
pub async fn run() -> u8 {
    let began = Instant::now();
    let environment = match environment() {
        Ok(environment) => environment,
        Err(failure) => return give_up(&failure, &termination_log()),
    };
    let log = environment.settings.termination_log.clone();
    match run_with(environment, began).await {
        Ok(report) => {
            tell(&log, &report);
            report.exit_code()
        }
        Err(failure) => give_up(&failure, &log),
    }
}

/// `langop-agent chat`: a person at a terminal speaks to the loop.
pub async fn chat() -> u8 {
    let talked = async {
        let environment = environment()?;
        install_tls()?;
        let log = env::var("LANGOP_LOG").unwrap_or_else(|_| "warn".to_owned());
        let _traces = telemetry::init(SERVICE, &log, LogTo::Error)?;
        let stopping = CancellationToken::new();
        cancel_on_signal(stopping.clone())?;
        let resident = agent(environment, Arc::default())?;
        let input = BufReader::new(stream(io::stdin())?);
        conversation::talk(&resident.agent, stopping, input, stream(io::stdout())?).await
    };
    match talked.await {
        Ok(()) => 0,
        Err(failure) => {
            complain(&failure);
            failure.reason.exit_code()
        }
    }
}

/// A standard stream as a file.
fn stream(standard: impl AsFd) -> Result<File, Failure> {
    let owned = standard.as_fd().try_clone_to_owned();
    owned
        .map(|owned| File::from_std(owned.into()))
        .map_err(|error| configuration(format!("there is nobody to talk to: {error}")))
}

async fn run_with(environment: Environment, began: Instant) -> Result<Report, Failure> {
    install_tls()?;
    let _traces = telemetry::init(SERVICE, &environment.settings.log, LogTo::Output)?;
    let due_days = environment.due_days.as_ref();
    if let Some(why) = due_days.and_then(|days| days.not_due(Timestamp::now())) {
        // Before code, port, tools and models: a day without work needs none of them.
        tracing::info!(outcome = Outcome::Skipped.as_str(), "{why}");
        return Ok(Report::not_due(why));
    }
    let stopping = CancellationToken::new();
    cancel_on_signal(stopping.clone())?;
    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::default();
    let listener = http::bind(environment.port).await.map_err(|error| {
        configuration(format!("PORT {} cannot be used: {error}", environment.port))
    })?;
    let router = http::router(readiness.clone(), Arc::clone(&metrics), stopping.clone());
    let end = CancellationToken::new();
    let agent = agent(environment, metrics)?;
    let callers = Callers::of(&agent, stopping.clone());
    let offers = &agent.agent.environment.settings.serve;
    // Runs take longer than an admin server lets an answer take.
    let server = if offers.is_empty() {
        tokio::spawn(admin::serve(listener, router, end.clone()))
    } else {
        let longest = serve::longest(&agent.agent.environment);
        let router = router.merge(serve::bounded(offered(offers, &callers)));
        tokio::spawn(http::serve(listener, router, longest, end.clone()))
    };
    readiness.set();
    // On the worker, where the connections are: from here each call would go from thread to thread
    // and back.
    let working = tokio::spawn(async move {
        let report = resident::run(&agent, began, stopping).await;
        agent.agent.tools.give_notice().await;
        report
    });
    let report = working
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    end.cancel();
    // It ends within a second; what it says then is of no interest.
    let _ = server.await;
    Ok(report)
}

/// What is served to callers.
fn offered(offers: &BTreeSet<Served>, callers: &Callers) -> Router {
    let mut router = Router::new();
    if offers.contains(&Served::Mcp) {
        router = router.merge(serve::mcp::router(callers.clone()));
    }
    if offers.contains(&Served::A2a) {
        router = router.merge(serve::a2a::router(callers.clone()));
    }
    if offers.contains(&Served::Chat) {
        router = router.merge(serve::chat::of_agent(callers.clone()));
    }
    router
}

/// The agent, with all that it was given; and a run to go on with is kept for [`resident`].
fn agent(environment: Environment, metrics: Arc<Metrics>) -> Result<resident::Resident, Failure> {
    let code = code::load(&environment, Timestamp::now())?;
    let (checkpoint, saved) = match &environment.workspace {
        Some(workspace) => Checkpoint::open(
            workspace,
            &environment.name,
            &code.hash,
            Arc::clone(&metrics),
        ),
        None => (Checkpoint::none(Arc::clone(&metrics)), None),
    };
    let agent = Arc::new(Agent::new(environment, code, metrics, checkpoint)?);
    Ok(resident::Resident { agent, saved })
}

fn termination_log() -> std::path::PathBuf {
    env::var_os("LANGOP_TERMINATION_LOG").map_or_else(|| "/dev/termination-log".into(), Into::into)
}

/// Ends before a run began.
fn give_up(failure: &Failure, log: &std::path::Path) -> u8 {
    complain(failure);
    let report = Report::of_failure(failure);
    tell(log, &report);
    report.exit_code()
}

fn tell(log: &std::path::Path, report: &Report) {
    if let Err(error) = termination::write(log, &report.message()) {
        tracing::warn!(%error, "the termination message could not be written");
    }
}

#[expect(clippy::print_stdout, reason = "it is what the command is for")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(
    clippy::print_stderr,
    reason = "the failure may come before there are logs"
)]
fn complain(failure: &Failure) {
    eprintln!("langop-agent: {}: {failure}", failure.reason);
}
