//! The stdio server as a process: started, spoken to, started again when it dies, and given up when
//! it dies at once again and again. Its standard error is this process's log; signals are passed on
//! to it.

use std::{
    collections::HashMap,
    ffi::OsString,
    io,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use rmcp::{
    ClientHandler, Peer, RoleClient, RoleServer,
    model::{
        ClientCapabilities, ClientConfig, Implementation, ProgressNotificationParam, ProgressToken,
        ProtocolVersion,
    },
    service::{
        ClientLifecycleMode, NotificationContext, RunningService, serve_client_with_lifecycle,
    },
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{ChildStdin, ChildStdout, Command},
    sync::{Mutex, watch},
    time::{Instant, sleep, timeout},
};

/// How long the server may take until it speaks.
const START: Duration = Duration::from_mins(1);
/// How long it may take to end after a signal.
const END: Duration = Duration::from_secs(10);
/// A server that lived so long did not die at once.
const LIVED: Duration = Duration::from_secs(30);
/// So many deaths at once in a row are enough.
const MOST_DEATHS: u32 = 5;
/// Longest pause before it is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why there is nobody to speak to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// It does not speak.
    #[error("the server does not speak MCP on its standard streams: {0}")]
    Silent(String),
    /// It ended and is not started again.
    #[error("the server ended")]
    Ended,
}

/// Where progress of the server goes.
type Relays = Arc<StdMutex<HashMap<ProgressToken, (ProgressToken, Peer<RoleServer>)>>>;
type Service = RunningService<RoleClient, Caller>;

/// What is told of the server.
#[derive(Debug, Clone)]
enum State {
    Starting,
    Speaking(Peer<RoleClient>, Pid),
    Silent(String, Option<Pid>),
    Ended,
}

/// A stdio server that is kept alive.
#[derive(Debug)]
pub struct Child {
    command: Vec<OsString>,
    state: watch::Sender<State>,
    relays: Relays,
    /// Held by whoever passes a signal, so that there is one end.
    ending: Mutex<bool>,
}

#[derive(Debug, Clone)]
struct Caller {
    relays: Relays,
}

impl ClientHandler for Caller {
    fn get_info(&self) -> ClientConfig {
        let implementation = Implementation::new("langop-tool", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), implementation)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn on_progress(
        &self,
        mut progress: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let relay = {
            let relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
            relays.get(&progress.progress_token).cloned()
        };
        if let Some((token, peer)) = relay {
            progress.progress_token = token;
            // A caller that has gone needs no progress.
            let _ = peer.notify_progress(progress).await;
        }
    }
}

impl Child {
    /// Not started yet. `command` has at least a program.
    pub fn new(command: Vec<OsString>) -> Arc<Self> {
        Arc::new(Self {
            command,
            state: watch::Sender::new(State::Starting),
            relays: Relays::default(),
            ending: Mutex::new(false),
        })
    }

    /// By which requests are sent; waits for a server that starts.
    pub async fn peer(&self) -> Result<Peer<RoleClient>, ChildError> {
        let mut state = self.state.subscribe();
        let waited = timeout(START, async {
            loop {
                match &*state.borrow_and_update() {
                    State::Speaking(peer, _) if !peer.is_transport_closed() => {
                        return Ok(peer.clone());
                    }
                    State::Ended => return Err(ChildError::Ended),
                    State::Silent(why, _) => return Err(ChildError::Silent(why.clone())),
                    State::Starting | State::Speaking(..) => {}
                }
                if state.changed().await.is_err() {
                    return Err(ChildError::Ended);
                }
            }
        });
        waited
            .await
            .unwrap_or_else(|_| Err(ChildError::Silent("it takes too long".to_owned())))
    }

    /// Whether it speaks.
    pub fn is_speaking(&self) -> bool {
        matches!(&*self.state.borrow(), State::Speaking(peer, _) if !peer.is_transport_closed())
    }

    /// Passes the server's progress for `token` on to `peer` as `asked`.
    pub(super) fn relay(&self, token: ProgressToken, asked: ProgressToken, peer: Peer<RoleServer>) {
        self.relays().insert(token, (asked, peer));
    }

    pub(super) fn end_relay(&self, token: &ProgressToken) {
        self.relays().remove(token);
    }

    fn relays(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<ProgressToken, (ProgressToken, Peer<RoleServer>)>> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the server alive until [`Child::end`], or until it has died at once too often; then
    /// the last exit status.
    ///
    /// # Errors
    /// If there is no such program.
    pub async fn keep_alive(&self) -> io::Result<Option<ExitStatus>> {
        let mut deaths = 0;
        loop {
            let began = Instant::now();
            let status = self.live().await?;
            if *self.ending.lock().await {
                self.state.send_replace(State::Ended);
                return Ok(None);
            }
            deaths = if began.elapsed() >= LIVED {
                1
            } else {
                deaths + 1
            };
            tracing::warn!(%status, deaths, "the server ended");
            if deaths >= MOST_DEATHS {
                self.state.send_replace(State::Ended);
                return Ok(Some(status));
            }
            self.state.send_replace(State::Starting);
            sleep((Duration::from_millis(250) * 2_u32.pow(deaths)).min(LONGEST_PAUSE)).await;
        }
    }

    /// One life.
    async fn live(&self) -> io::Result<ExitStatus> {
        let [program, arguments @ ..] = &self.command[..] else {
            return Err(io::Error::other("there is no command"));
        };
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let pid = process
            .id()
            .and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let (Some(stdin), Some(stdout), Some(pid)) =
            (process.stdin.take(), process.stdout.take(), pid)
        else {
            return Err(io::Error::other("the server has no standard streams"));
        };
        let spoken = tokio::select! {
            status = process.wait() => return status,
            spoken = self.speak(stdin, stdout) => spoken,
        };
        let _service = match spoken {
            Ok(service) => {
                tracing::info!("the server speaks");
                let speaking = State::Speaking(service.peer().clone(), pid);
                self.state.send_replace(speaking);
                Some(service)
            }
            Err(why) => {
                tracing::warn!("the server does not speak MCP: {why}");
                self.state.send_replace(State::Silent(why, Some(pid)));
                // A server that cannot be spoken to is of no use.
                process.start_kill()?;
                None
            }
        };
        process.wait().await
    }

    /// Negotiates, or says why that failed.
    async fn speak(&self, stdin: ChildStdin, stdout: ChildStdout) -> Result<Service, String> {
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
        };
        let caller = Caller {
            relays: Arc::clone(&self.relays),
        };
        let speaking = serve_client_with_lifecycle(caller, (stdout, stdin), lifecycle);
        match timeout(START, speaking).await {
            Ok(Ok(service)) => Ok(service),
            Ok(Err(error)) => {
                tracing::debug!(%error, "negotiating failed");
                Err("it answers wrongly".to_owned())
            }
            Err(_) => Err("it does not answer".to_owned()),
        }
    }

    /// Passes `signal` on and waits for the end; what does not end is killed.
    pub async fn end(&self, signal: Signal) {
        *self.ending.lock().await = true;
        let pid = match &*self.state.borrow() {
            State::Speaking(_, pid) => Some(*pid),
            State::Silent(_, pid) => *pid,
            State::Starting | State::Ended => None,
        };
        let Some(pid) = pid else { return };
        // Whoever is gone gets no signal.
        let _ = kill_process(pid, signal);
        let mut state = self.state.subscribe();
        let ended = state.wait_for(|state| matches!(state, State::Ended));
        if timeout(END, ended).await.is_err() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
