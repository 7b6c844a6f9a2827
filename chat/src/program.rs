//! The process: from its environment to its exit code.

use std::{env, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        StatusCode,
        header::{HOST, ORIGIN},
    },
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use langop_program::connections::{self, Bounds};
use langop_runtime::{
    checkpoint::Checkpoint,
    code,
    env::Environment,
    http::{self, Readiness},
    metrics::Metrics,
    outcome::Failure,
    process::{self, configuration},
    run::{Agent, GRACE},
    serve::{
        self, Callers,
        chat::{self, Offer},
        completion::Refusal,
    },
    telemetry::{self, LogTo},
};
use tokio::{sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    door::{Door, TurnedAway},
    page,
    settings::Settings,
};

/// Most answers at once.
const ANSWERS: usize = 16;
/// What connections may take: a request longer than an answer does.
const BOUNDS: Bounds = Bounds {
    most: http::CONNECTIONS,
    idle: http::IDLE,
    longest: Duration::from_mins(15),
};
/// How long the last words of an answer may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Serves until a signal.
pub async fn run() -> u8 {
    match serve().await {
        Ok(()) => 0,
        Err(failure) => {
            complain(&failure);
            failure.reason.exit_code()
        }
    }
}

async fn serve() -> Result<(), Failure> {
    let environment = process::environment()?;
    let settings = Settings::read(&|name| env::var(name).ok())?;
    process::install_tls()?;
    let _traces = telemetry::init("langop-chat", &environment.settings.log, LogTo::Output)?;
    let stopping = CancellationToken::new();
    process::cancel_on_signal(stopping.clone())?;
    let port = environment.port;
    let listener = http::bind(port)
        .await
        .map_err(|error| configuration(format!("PORT {port} cannot be used: {error}")))?;
    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::default();
    readiness.set();
    let health = http::router(readiness, Arc::clone(&metrics), stopping.clone());
    let door = Door::new(&environment, &settings.origins);
    let agent = agent(environment, &settings, metrics)?;
    let callers = Callers {
        agent: Arc::clone(&agent),
        places: Arc::new(Semaphore::new(ANSWERS)),
        stopping: stopping.clone(),
    };
    let router = serve::bounded(front(callers, door))
        .merge(health)
        .layer(middleware::from_fn(page::guard));
    tracing::info!(port, "serving");
    let server = connections::serve(listener, BOUNDS, router)
        .with_graceful_shutdown(stopping.clone().cancelled_owned());
    let over = async {
        stopping.cancelled().await;
        sleep(GRACE + LAST_WORDS).await;
    };
    tokio::select! {
        ended = server => ended.map_err(|error| configuration(format!("cannot serve: {error}")))?,
        () = over => tracing::info!("an answer did not end in time"),
    }
    agent.tools.give_notice().await;
    Ok(())
}

fn agent(
    environment: Environment,
    settings: &Settings,
    metrics: Arc<Metrics>,
) -> Result<Arc<Agent>, Failure> {
    if environment.models.is_empty() {
        tracing::warn!("no model is offered: name one in MODEL_ENDPOINTS (modelRefs)");
    }
    let code = code::of_conversation(&environment, settings.instructions.as_deref());
    let checkpoint = Checkpoint::none(Arc::clone(&metrics));
    Agent::new(environment, code, metrics, checkpoint).map(Arc::new)
}

/// Page and API.
fn front(callers: Callers, door: Door) -> Router {
    let door = middleware::from_fn_with_state(Arc::new(door), admit);
    chat::router(callers, Offer::Models)
        .layer(door)
        .merge(page::router())
}

async fn admit(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let admitted = {
        let header = |name| {
            let value = request.headers().get(name);
            value.map(|value| value.to_str().unwrap_or_default())
        };
        door.admit(header(HOST), header(ORIGIN))
    };
    match admitted {
        Ok(()) => next.run(request).await,
        Err(TurnedAway(why)) => {
            Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", why).into_response()
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the failure may come before there are logs"
)]
fn complain(failure: &Failure) {
    eprintln!("langop-chat: {}: {failure}", failure.reason);
}
