//! Real mail servers: one that takes messages (aiosmtpd), and one with a mailbox to read (pymap).

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::control_plane::ports;
use crate::{peers, run_dir, wait};

/// A Python interpreter that starts, on a machine that does other things.
const START: Duration = Duration::from_mins(1);

/// Takes messages over SMTP, into a Maildir. It ends when this is dropped, or this process ends in whatever
/// way.
pub struct SmtpServer {
    /// Where it listens.
    pub port: u16,
    folder: TempDir,
    _process: Child,
}

impl SmtpServer {
    /// Starts it at a free port of the address.
    ///
    /// # Errors
    /// If it cannot be installed or started.
    pub async fn start(address: IpAddr) -> Result<Self> {
        let python = peers::python("mail").await?.join("bin/python");
        let folder = tempfile::tempdir()?;
        let [port] = ports::free_at(address)?;
        let log = run_dir()?.join(format!("smtp-{port}.log"));
        let process = peers::guarded(&python)?
            .args(["-m", "aiosmtpd", "--nosetuid", "--listen"])
            .arg(format!("{address}:{port}"))
            .args(["--class", "aiosmtpd.handlers.Mailbox"])
            .arg(folder.path().join("mail"))
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot run control-plane")?;
        listening("SMTP", address, port, &log).await?;
        Ok(Self {
            port,
            folder,
            _process: process,
        })
    }

    /// The messages so far, as they came in, in no order.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn messages(&self) -> Result<Vec<String>> {
        let new = self.folder.path().join("mail/new");
        if !new.is_dir() {
            return Ok(Vec::new());
        }
        let mut messages = Vec::new();
        for entry in fs::read_dir(new)? {
            messages.push(fs::read_to_string(entry?.path())?);
        }
        Ok(messages)
    }
}

/// Gives messages over IMAP: the four of pymap's demonstration, in the clear. It ends as
/// [`SmtpServer`] does.
pub struct ImapServer {
    /// Where it listens.
    pub port: u16,
    _process: Child,
}

impl ImapServer {
    /// Whose mailbox it is.
    pub const USER: &str = "demouser";
    /// The account's password.
    pub const PASSWORD: &str = "demopass";

    /// Starts it at a free port of the address.
    ///
    /// # Errors
    /// If it cannot be installed or started.
    pub async fn start(address: IpAddr) -> Result<Self> {
        let pymap = peers::python("mail").await?.join("bin/pymap");
        let [port] = ports::free_at(address)?;
        let log = run_dir()?.join(format!("imap-{port}.log"));
        let process = peers::guarded(&pymap)?
            .arg("--host")
            .arg(address.to_string())
            .arg("--port")
            .arg(port.to_string())
            .args(["--no-tls", "dict", "--demo-data"])
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot run control-plane")?;
        listening("IMAP", address, port, &log).await?;
        Ok(Self {
            port,
            _process: process,
        })
    }
}

async fn listening(what: &str, address: IpAddr, port: u16, log: &Path) -> Result<()> {
    let what = format!("the {what} server (see {})", log.display());
    let connect = async || TcpStream::connect((address, port)).await;
    wait::until(&what, START, connect).await?;
    Ok(())
}
