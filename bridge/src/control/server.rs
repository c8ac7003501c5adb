//! Serves the router on a listener within bounds: header size, header time, lifetime and number of connections.
//!
//! A client that is slow, silent or talks garbage costs a connection slot for a while; when all slots are taken the
//! oldest connection makes room, so newcomers are always answered.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Lines of a request's head.
    pub head_lines: usize,
    /// From the first look for a request to the end of its head; also the longest a connection stays idle.
    pub head_time: Duration,
    /// After this a connection takes no further request.
    pub lifetime: Duration,
    /// What a last answer may take longer than that.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 64,
            head_bytes: 16 << 10,
            head_lines: 64,
            head_time: Duration::from_secs(5),
            lifetime: Duration::from_mins(1),
            grace: Duration::from_secs(5),
        }
    }
}

/// Serves until dropped; connections end with it.
pub async fn serve<L>(mut listener: L, router: Router, limits: Limits)
where
    L: Listener,
    L::Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, _) = listener.accept().await;
        while tasks.try_join_next().is_some() {}
        open.retain(|connection| !connection.is_finished());
        if open.len() >= limits.connections
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tasks.spawn(connection(stream, router.clone(), limits)));
    }
}

async fn connection<I>(stream: I, router: Router, limits: Limits)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(limits.head_lines)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let result = if let Ok(result) = timeout(limits.lifetime, connection.as_mut()).await {
        result
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(limits.grace, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a control connection ended early");
    }
}
