//! Stands before the API server's port and counts what comes back. Passes on the bytes of each
//! connection as they are, TLS and all, so that nobody can tell the difference.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

/// The port that clients are to use in place of the server's. It is closed, with all connections,
/// when this value is dropped.
pub(crate) struct ByteCounter {
    url: String,
    received: Arc<AtomicU64>,
    _listener: JoinSet<()>,
}

impl ByteCounter {
    /// Before the server at `https://ADDRESS:PORT`.
    pub(crate) async fn start(server: &str) -> Result<Self> {
        let address = server.strip_prefix("https://").map(str::to_owned);
        let address = address.with_context(|| format!("{server} is no https URL"))?;
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", socket.local_addr()?);
        let received = Arc::new(AtomicU64::new(0));
        let mut listener = JoinSet::new();
        let count = received.clone();
        listener.spawn(async move {
            // Ends with its connections when it is dropped.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = socket.accept().await {
                let (address, count) = (address.clone(), count.clone());
                connections.spawn(async move {
                    // A connection that breaks is its two ends' affair.
                    let _ = pass_on(client, &address, &count).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            url,
            received,
            _listener: listener,
        })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Bytes that clients have received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

async fn pass_on(client: TcpStream, server: &str, received: &AtomicU64) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let up = async {
        io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    tokio::try_join!(up, down(from_server, to_client, received))?;
    Ok(())
}

async fn down(
    mut from_server: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    received: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from_server.read(&mut buffer).await?;
        if length == 0 {
            return to_client.shutdown().await;
        }
        received.fetch_add(length as u64, Ordering::Relaxed);
        to_client.write_all(&buffer[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::ByteCounter;

    #[tokio::test]
    async fn only_what_comes_back_is_counted() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", server.local_addr().unwrap());
        let counter = ByteCounter::start(&url).await.unwrap();
        let address = counter.url().strip_prefix("https://").unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"a long question").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut asked, _) = server.accept().await.unwrap();
        let mut question = String::new();
        asked.read_to_string(&mut question).await.unwrap();
        asked.write_all(b"answer").await.unwrap();
        drop(asked);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!((&*question, &*answer), ("a long question", "answer"));
        assert_eq!(counter.received(), 6);
    }
}
