//! The client of the control socket: what `dcbridge show` and other programs of this crate ask a switch with.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::view::{ClassRow, DropRow, Fdb, Version};
use crate::state::Snapshot;

/// A switch answers from memory: one that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any switch says of itself.
const MAX_ANSWER: usize = 256 << 20;

/// Why a switch gave no answer.
#[derive(Debug)]
pub enum Error {
    /// Nobody listens at the socket.
    NoSwitch(PathBuf),
    /// The socket is not ours to use.
    Denied(PathBuf),
    /// Something else went wrong on the way.
    Broken(PathBuf, String),
    /// It answered with an error.
    Refused(StatusCode, String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSwitch(path) => {
                write!(f, "no switch answers at {}; start one with `dcbridge run FILE`", path.display())
            }
            Error::Denied(path) => {
                write!(
                    f,
                    "no permission to ask the switch at {}; ask as root or as its owner",
                    path.display()
                )
            }
            Error::Broken(path, reason) => {
                write!(f, "the switch at {} did not answer as expected: {reason}", path.display())
            }
            Error::Refused(status, text) => write!(f, "the switch answered {}: {text}", status.as_u16()),
        }
    }
}

impl std::error::Error for Error {}

/// Asks one switch. Every request has a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the switch at this socket.
    pub fn new(socket: &Path) -> Client {
        Client { socket: socket.to_owned() }
    }

    /// The socket it asks at.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The body of a path's answer.
    ///
    /// # Errors
    /// When no switch answers, or not with 200.
    pub async fn get(&self, path: &str) -> Result<Bytes, Error> {
        match timeout(PATIENCE, self.exchange(path)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.broken(format!("nothing came for {} s", PATIENCE.as_secs()))),
        }
    }

    /// `/v1/state`.
    ///
    /// # Errors
    /// When no switch answers, or not in this version's form.
    pub async fn state(&self) -> Result<Snapshot, Error> {
        self.json("/v1/state").await
    }

    /// `/v1/classes`.
    ///
    /// # Errors
    /// When no switch answers, or not in this version's form.
    pub async fn classes(&self) -> Result<Vec<ClassRow>, Error> {
        self.json("/v1/classes").await
    }

    /// `/v1/fdb`.
    ///
    /// # Errors
    /// When no switch answers, or not in this version's form.
    pub async fn fdb(&self) -> Result<Fdb, Error> {
        self.json("/v1/fdb").await
    }

    /// `/v1/drops`.
    ///
    /// # Errors
    /// When no switch answers, or not in this version's form.
    pub async fn drops(&self) -> Result<Vec<DropRow>, Error> {
        self.json("/v1/drops").await
    }

    /// `/v1/version`.
    ///
    /// # Errors
    /// When no switch answers, or not in this version's form.
    pub async fn version(&self) -> Result<Version, Error> {
        self.json("/v1/version").await
    }

    async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let body = self.get(path).await?;
        serde_json::from_slice(&body).map_err(|error| {
            self.broken(format!("{path} is not what dcbridge {} knows ({error})", crate::VERSION))
        })
    }

    async fn exchange(&self, path: &str) -> Result<Bytes, Error> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        let request = Request::get(path).header(header::HOST, "dcbridge").header(header::CONNECTION, "close");
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| self.broken(error))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            Ok((status, body.map_err(|error| self.broken(error))?.to_bytes()))
        };
        let mut answer = std::pin::pin!(answer);
        // The connection only moves bytes while it is polled; when it ends first, the answer is already buffered.
        let (status, body) = tokio::select! {
            answer = &mut answer => answer?,
            _ = connection => answer.await?,
        };
        if status == StatusCode::OK { Ok(body) } else { Err(refusal(status, &body)) }
    }

    fn unreachable(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Error::NoSwitch(self.socket.clone())
            }
            io::ErrorKind::PermissionDenied => Error::Denied(self.socket.clone()),
            _ => self.broken(error),
        }
    }

    fn broken(&self, reason: impl fmt::Display) -> Error {
        Error::Broken(self.socket.clone(), reason.to_string())
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let text = serde_json::from_slice(body).map_or_else(
        |_| String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned(),
        |Refusal { error }| error,
    );
    Error::Refused(status, text)
}
