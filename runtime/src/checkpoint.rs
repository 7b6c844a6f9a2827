//! What survives the process: the state of the run under way, in the workspace. Written whole to
//! another file, synced, renamed, synced; a lock held for the life of the process keeps a second
//! replica away. Whatever is wrong with it is a warning: no run ends for want of a checkpoint.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{engine::workflow::StepRecord, metrics::Metrics, model::wire::Message, tokens::Tokens};

/// Of what is written. A newer one is not read.
const VERSION: u32 = 1;
/// Most files that could not be used and are kept for people.
const MAX_BAD: u32 = 3;
/// Largest state that is read.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The state of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Saved {
    /// Of this format.
    pub version: u32,
    /// The run's identity.
    pub run: String,
    /// Of the code that it runs.
    pub code_hash: String,
    /// When it began.
    pub started: Timestamp,
    /// Until when it may work.
    pub deadline: Option<Timestamp>,
    /// Answers of models.
    pub iterations: u32,
    /// Calls of tools.
    pub tool_calls: u32,
    /// What models used.
    pub tokens: Tokens,
    /// How far each step is.
    pub steps: Vec<StepRecord>,
    /// The messages of a loop.
    pub messages: Vec<Message>,
    /// Calls that were about to be made, by step or call, and have no result. None of them may be
    /// made again.
    pub intents: BTreeMap<String, Intent>,
    /// In which words it ended; none while it is under way.
    pub ended: Option<String>,
}

/// A call that was about to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its idempotency key.
    pub key: String,
    /// The tool.
    pub tool: String,
    /// The operation.
    pub operation: String,
}

/// Where the state is kept, if anywhere.
#[derive(Debug)]
pub struct Checkpoint {
    store: Option<Store>,
    saved: Mutex<Saved>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Store {
    folder: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl Checkpoint {
    /// None: nothing survives.
    pub fn none(metrics: Arc<Metrics>) -> Self {
        Self {
            store: None,
            saved: Mutex::default(),
            metrics,
        }
    }

    /// The checkpoint of `agent` in `workspace`, and what was saved there by code of `code_hash`.
    pub fn open(
        workspace: &Path,
        agent: &str,
        code_hash: &str,
        metrics: Arc<Metrics>,
    ) -> (Self, Option<Saved>) {
        let store = match Store::open(workspace, agent) {
            Ok(Some(store)) => store,
            Ok(None) => {
                tracing::warn!("another replica holds the checkpoint; this one runs without");
                return (Self::none(metrics), None);
            }
            Err(error) => {
                tracing::warn!(%error, "there is no checkpoint; runs do not survive a restart");
                metrics.checkpoint_error();
                return (Self::none(metrics), None);
            }
        };
        let saved = store.load(code_hash);
        let checkpoint = Self {
            store: Some(store),
            saved: Mutex::new(saved.clone().unwrap_or_default()),
            metrics,
        };
        (checkpoint, saved)
    }

    /// Begins a new run, or goes on with one that was saved.
    pub fn begin(&self, mut saved: Saved) {
        saved.version = VERSION;
        self.update(|current| *current = saved);
    }

    /// Changes the state and writes it. When this returns it is on the disk, or a warning was
    /// logged. Where nothing survives, nothing is gathered: that takes as long as there are steps.
    pub fn update(&self, change: impl FnOnce(&mut Saved)) {
        let Some(store) = &self.store else { return };
        let mut saved = self.saved();
        change(&mut saved);
        if let Err(error) = store.save(&saved) {
            self.metrics.checkpoint_error();
            tracing::warn!(%error, "the checkpoint could not be written; going on without");
        }
    }

    fn saved(&self) -> MutexGuard<'_, Saved> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// None if another process holds it.
    fn open(workspace: &Path, agent: &str) -> io::Result<Option<Self>> {
        let folder = workspace.join(".langop").join(file_name(agent));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self {
                folder,
                _lock: lock,
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// What was saved, if it is of this code and format. Anything else is set aside.
    fn load(&self, code_hash: &str) -> Option<Saved> {
        let path = self.state();
        let read = fs::metadata(&path).and_then(|found| {
            if found.len() > MAX_BYTES {
                return Err(io::Error::other("it is too large"));
            }
            fs::read(&path)
        });
        let problem = match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
            Ok(bytes) => match serde_json::from_slice::<Saved>(&bytes) {
                Err(error) => format!("it cannot be read: {error}"),
                Ok(saved) if saved.version != VERSION => {
                    format!("it is of format {}", saved.version)
                }
                Ok(saved) if saved.code_hash != code_hash => "it is of other code".to_owned(),
                Ok(saved) => return Some(saved),
            },
        };
        tracing::warn!("the checkpoint is set aside: {problem}");
        self.set_aside();
        None
    }

    fn set_aside(&self) {
        let bad = |number: u32| self.folder.join(format!("state.bad-{number}"));
        for number in (1..MAX_BAD).rev() {
            // What is not there need not move.
            let _ = fs::rename(bad(number), bad(number + 1));
        }
        if let Err(error) = fs::rename(self.state(), bad(1)) {
            tracing::warn!(%error, "it could not be set aside and will be overwritten");
        }
    }

    fn save(&self, saved: &Saved) -> io::Result<()> {
        let temporary = self.folder.join("state.json.new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&serde_json::to_vec(saved)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.state())?;
        File::open(&self.folder)?.sync_all()
    }
}

/// The agent's name as the name of a folder; Kubernetes' names are so already.
fn file_name(agent: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    agent
        .chars()
        .map(|c| if legal(c) { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::engine::{results::StepResult, workflow::StepState};

    fn open(workspace: &Path, hash: &str) -> (Checkpoint, Option<Saved>) {
        Checkpoint::open(workspace, "a", hash, Arc::default())
    }

    fn saved() -> Saved {
        Saved {
            run: "r".to_owned(),
            code_hash: "h".to_owned(),
            steps: vec![StepRecord {
                name: "s".to_owned(),
                state: StepState::Done {
                    result: StepResult::text("x"),
                },
                verdict: Some(true),
                items: Vec::new(),
            }],
            ..Saved::default()
        }
    }

    #[test]
    fn what_was_saved_is_found_again_and_is_nobody_elses_to_read() {
        let workspace = tempfile::tempdir().unwrap();
        let (checkpoint, none) = open(workspace.path(), "h");
        assert_eq!(none, None);
        checkpoint.begin(saved());
        drop(checkpoint);
        let (_, found) = open(workspace.path(), "h");
        assert_eq!(found.map(|found| found.steps), Some(saved().steps));
        let state = workspace.path().join(".langop/a/state.json");
        let mode = fs::metadata(state).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_second_process_runs_without() {
        let workspace = tempfile::tempdir().unwrap();
        let (first, _) = open(workspace.path(), "h");
        let (second, _) = open(workspace.path(), "h");
        assert!(first.store.is_some() && second.store.is_none());
        second.begin(saved());
        assert!(!workspace.path().join(".langop/a/state.json").exists());
        drop(first);
        let (third, _) = open(workspace.path(), "h");
        assert!(third.store.is_some());
    }

    #[test]
    fn what_cannot_be_used_is_set_aside_and_never_more_than_three_of_it() {
        let workspace = tempfile::tempdir().unwrap();
        let folder = workspace.path().join(".langop/a");
        for bad in [
            "{",
            r#"{"version":2}"#,
            r#"{"version":1,"codeHash":"other"}"#,
            "x",
            "y",
        ] {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("state.json"), bad).unwrap();
            let (_, found) = open(workspace.path(), "h");
            assert_eq!(found, None, "{bad}");
        }
        let text = |n: u32| fs::read_to_string(folder.join(format!("state.bad-{n}"))).unwrap();
        assert_eq!(text(1), "y");
        assert_eq!(text(2), "x");
        assert!(text(3).contains("other"));
        assert!(!folder.join("state.bad-4").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_is_a_warning() {
        let workspace = tempfile::tempdir().unwrap();
        fs::write(workspace.path().join(".langop"), "a file").unwrap();
        let metrics = Arc::new(Metrics::default());
        let (checkpoint, _) = Checkpoint::open(workspace.path(), "a", "h", Arc::clone(&metrics));
        checkpoint.begin(saved());
        assert!(
            metrics
                .encode()
                .unwrap()
                .contains("checkpoint_errors_total 1")
        );
    }
}
