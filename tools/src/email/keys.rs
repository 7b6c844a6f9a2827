//! Remembers for a day which messages were sent, by their idempotency keys, in files of a folder. A
//! key is on disk before its message is sent: whoever finds it there without an end knows that
//! nobody knows.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use sha2::{Digest as _, Sha256};

/// How long a key is remembered.
const DAY: Duration = Duration::from_hours(24);
/// What a file holds once its message is sent.
const DONE: &str = "done";

#[derive(Debug)]
pub(super) struct Keys {
    folder: PathBuf,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: from now on it is under way.
    New,
    /// Its message was sent.
    Done,
    /// Its message is being sent, or was when a process ended.
    UnderWay,
    /// The folder cannot be used.
    Unknowable,
}

impl Keys {
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn begin(&self, key: &str) -> Known {
        let begun = fs::create_dir_all(&self.folder).and_then(|()| {
            self.prune()?;
            let mut file = OpenOptions::new()
                .create_new(true)
                .write(true)
                .open(self.file(key))?;
            file.write_all(b"under way")?;
            file.sync_all()
        });
        match begun {
            Ok(()) => Known::New,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match fs::read_to_string(self.file(key)) {
                    Ok(text) if text == DONE => Known::Done,
                    Ok(_) => Known::UnderWay,
                    Err(_) => Known::Unknowable,
                }
            }
            Err(error) => {
                tracing::error!(%error, "the keys of sent messages cannot be kept");
                Known::Unknowable
            }
        }
    }

    pub(super) fn done(&self, key: &str) {
        let written = fs::write(self.file(key), DONE);
        if let Err(error) = written {
            tracing::warn!(%error, "a sent message may be called unknown later");
        }
    }

    pub(super) fn forget(&self, key: &str) {
        if let Err(error) = fs::remove_file(self.file(key)) {
            tracing::warn!(%error, "a message that was not sent may be called unknown later");
        }
    }

    fn file(&self, key: &str) -> PathBuf {
        let digest = Sha256::digest(key.as_bytes());
        let name = digest.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        self.folder.join(name)
    }

    fn prune(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let age = entry
                .metadata()
                .and_then(|found| found.modified())
                .map(|time| time.elapsed().unwrap_or_default());
            if age.is_ok_and(|age| age > DAY) {
                // Another process may have been faster.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_key_is_new_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::in_folder(folder.path().join("keys"));
        assert_eq!(keys.begin("a"), Known::New);
        assert_eq!(keys.begin("a"), Known::UnderWay);
        keys.done("a");
        assert_eq!(keys.begin("a"), Known::Done);
        assert_eq!(keys.begin("b"), Known::New);
        keys.forget("b");
        assert_eq!(keys.begin("b"), Known::New);
        let file = fs::File::open(keys.file("a")).unwrap();
        file.set_modified(SystemTime::now() - 2 * DAY).unwrap();
        assert_eq!(keys.begin("a"), Known::New);
    }
}
