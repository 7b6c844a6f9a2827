//! What is made of files, made again when they change. A change that cannot be used is logged, and what was there stays.
//!
//! Looks at the bytes and not at times: a Secret's mount is a chain of links, and a file may be replaced within one tick of a clock.

use std::{
    error::Error,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use sha2::{Digest as _, Sha256};

/// Why files cannot be used. Must not hold what they contain.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// One cannot be read.
    #[error("cannot read {}", .file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The tokens file.
    #[error(transparent)]
    Tokens(#[from] super::TokensError),
    /// The files of TLS.
    #[error(transparent)]
    Tls(#[from] super::TlsError),
}

/// The newest usable form of some files.
pub(crate) struct Watched<T>(RwLock<Arc<T>>);

/// What the files hold, in their order.
type Contents = Vec<Vec<u8>>;

impl<T: Send + Sync + 'static> Watched<T> {
    /// Reads `files` now, and again whenever they differ, as long as the result is held; looks for that `every` so often.
    ///
    /// # Errors
    /// If they cannot be used now.
    pub(super) async fn start<M>(
        files: Vec<PathBuf>,
        every: Duration,
        make: M,
    ) -> Result<Arc<Self>, LoadError>
    where
        M: Fn(&[Vec<u8>]) -> Result<T, LoadError> + Send + 'static,
    {
        let contents = read(&files).await?;
        let watched = Arc::new(Self(RwLock::new(Arc::new(make(&contents)?))));
        let follower = Follower {
            watched: Arc::downgrade(&watched),
            files,
            make,
            used: digest(&contents),
            complaint: None,
        };
        tokio::spawn(follower.follow(every));
        Ok(watched)
    }

    /// The newest.
    pub(super) fn get(&self) -> Arc<T> {
        // No code panics while it holds the lock.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
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

impl<T, M> Follower<T, M>
where
    M: Fn(&[Vec<u8>]) -> Result<T, LoadError>,
{
    async fn follow(mut self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let looked = self.look().await;
            let Some(watched) = self.watched.upgrade() else {
                return;
            };
            match looked {
                Ok(None) => self.complaint = None,
                Ok(Some(new)) => {
                    *watched.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                    self.complaint = None;
                    tracing::info!(files = ?self.files, "changed files are in use");
                }
                Err(error) => self.complain(&error),
            }
        }
    }

    /// The new form, if there is one.
    async fn look(&mut self) -> Result<Option<T>, LoadError> {
        let contents = read(&self.files).await?;
        let digest = digest(&contents);
        if digest == self.used {
            return Ok(None);
        }
        let new = (self.make)(&contents)?;
        self.used = digest;
        Ok(Some(new))
    }

    fn complain(&mut self, error: &LoadError) {
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

async fn read(files: &[PathBuf]) -> Result<Contents, LoadError> {
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
