//! Something made of files, and made again when they change. A change that cannot be used is
//! logged, and what was in use stays. Knows nothing of what the files hold.
//!
//! Compares bytes and not times: a mounted Secret is a chain of links, and a file may be replaced
//! within one tick of a clock.

use std::{
    error::Error,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

/// Why files cannot be used. Must not hold what they contain, and neither may `E`.
#[derive(Debug, thiserror::Error)]
pub enum LoadError<E: Error + 'static> {
    /// One cannot be read.
    #[error("cannot read {}", .file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// They hold something else.
    #[error(transparent)]
    Unusable(E),
}

/// The newest usable form of some files.
pub struct Watched<T>(watch::Sender<Arc<T>>);

/// What the files hold, in their order.
type Contents = Vec<Vec<u8>>;

impl<T: Send + Sync + 'static> Watched<T> {
    /// Reads `files` now, and every `interval` again as long as the result is held; makes a new one
    /// of their contents, which are in the order of `files`, whenever those differ.
    ///
    /// # Errors
    /// If they cannot be used now.
    pub async fn start<E, M>(
        files: Vec<PathBuf>,
        interval: Duration,
        make: M,
    ) -> Result<Arc<Self>, LoadError<E>>
    where
        E: Error + Send + 'static,
        M: Fn(&[Vec<u8>]) -> Result<T, E> + Send + 'static,
    {
        let contents = read(&files).await?;
        let newest = make(&contents).map_err(LoadError::Unusable)?;
        let watched = Arc::new(Self(watch::Sender::new(Arc::new(newest))));
        let follower = Follower {
            watched: Arc::downgrade(&watched),
            files,
            make,
            used: digest(&contents),
            complaint: None,
        };
        tokio::spawn(follower.follow(interval));
        Ok(watched)
    }

    /// The newest.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.borrow())
    }

    /// The newest, and each one that follows it.
    pub fn follow(&self) -> watch::Receiver<Arc<T>> {
        self.0.subscribe()
    }
}

struct Follower<T, M> {
    watched: Weak<Watched<T>>,
    files: Vec<PathBuf>,
    make: M,
    /// Of the contents in use. Not the contents: they may be a private key.
    used: [u8; 32],
    /// What was logged last, so that it is not said again and again.
    complaint: Option<String>,
}

impl<T, M> Follower<T, M> {
    async fn follow<E>(mut self, interval: Duration)
    where
        E: Error + 'static,
        M: Fn(&[Vec<u8>]) -> Result<T, E>,
    {
        loop {
            tokio::time::sleep(interval).await;
            let looked = self.look().await;
            let Some(watched) = self.watched.upgrade() else {
                return;
            };
            match looked {
                Ok(None) => self.complaint = None,
                Ok(Some(new)) => {
                    watched.0.send_replace(Arc::new(new));
                    self.complaint = None;
                    tracing::info!(files = ?self.files, "changed files are in use");
                }
                Err(error) => self.complain(&error),
            }
        }
    }

    /// The new form, if there is one.
    async fn look<E>(&mut self) -> Result<Option<T>, LoadError<E>>
    where
        E: Error + 'static,
        M: Fn(&[Vec<u8>]) -> Result<T, E>,
    {
        let contents = read(&self.files).await?;
        let digest = digest(&contents);
        if digest == self.used {
            return Ok(None);
        }
        let new = (self.make)(&contents).map_err(LoadError::Unusable)?;
        self.used = digest;
        Ok(Some(new))
    }

    fn complain(&mut self, error: &dyn Error) {
        let mut complaint = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            complaint = format!("{complaint}: {error}");
            cause = error.source();
        }
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!(files = ?self.files, error = complaint, "changed files cannot be used; the former ones stay in use");
            self.complaint = Some(complaint);
        }
    }
}

async fn read<E: Error + 'static>(files: &[PathBuf]) -> Result<Contents, LoadError<E>> {
    let mut contents = Vec::with_capacity(files.len());
    for file in files {
        let read = tokio::fs::read(file).await;
        contents.push(read.map_err(|source| LoadError::Read {
            file: file.clone(),
            source,
        })?);
    }
    Ok(contents)
}

fn digest(contents: &[Vec<u8>]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for file in contents {
        digest.update(file.len().to_be_bytes());
        digest.update(file);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("empty")]
    struct Empty;

    #[tokio::test]
    async fn follows_changes_and_keeps_what_was_usable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        let make = |contents: &[Vec<u8>]| match contents[0].as_slice() {
            b"" => Err(Empty),
            content => Ok(content.to_vec()),
        };
        let interval = Duration::from_millis(5);
        let missing = Watched::start(vec![file.clone()], interval, make).await;
        assert!(matches!(missing, Err(LoadError::Read { .. })));
        std::fs::write(&file, "").unwrap();
        let empty = Watched::start(vec![file.clone()], interval, make).await;
        assert!(matches!(empty, Err(LoadError::Unusable(Empty))));
        std::fs::write(&file, "one").unwrap();
        let watched = Watched::start(vec![file.clone()], interval, make)
            .await
            .unwrap();
        for (content, expected) in [("two", "two"), ("", "two"), ("three", "three")] {
            std::fs::write(&file, content).unwrap();
            let follows = async {
                while *watched.get() != expected.as_bytes() {
                    tokio::time::sleep(interval).await;
                }
            };
            let minute = Duration::from_mins(1);
            tokio::time::timeout(minute, follows).await.expect(expected);
        }
    }
}
