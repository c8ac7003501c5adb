//! Takes the two addresses of a switch: the control socket and the read-only TCP listener.
//!
//! A stale socket of a dead process is replaced, a live one is an error. Two switches that start at once are kept apart
//! by a lock on the socket's directory, held only while the socket is taken.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::{Mode, umask};
use tokio::net::{TcpListener, UnixListener};

use super::client::Client;

/// Everybody but owner and group is kept out: the socket's mode is 0660.
const SOCKET_UMASK: Mode = Mode::from_bits_truncate(0o117);

/// A control socket that is ours; its file is removed with it.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    /// Device and inode, to recognise a file that another process put there since.
    identity: (u64, u64),
}

impl ControlSocket {
    /// Takes the path: makes its directory, replaces a stale socket.
    ///
    /// # Errors
    /// A sentence that says who has the path, or what else is wrong and what to do.
    pub async fn bind(path: &Path) -> Result<(ControlSocket, UnixListener), String> {
        let _lock = lock_directory(path).await?;
        make_room(path).await?;
        // Nothing else runs yet: the mask is the process's, and so is wanted nowhere else meanwhile.
        let mask = umask(SOCKET_UMASK);
        let listener = UnixListener::bind(path);
        umask(mask);
        let listener = listener.map_err(|error| cannot(path, &error))?;
        let identity = identity(path).map_err(|error| cannot(path, &error))?;
        Ok((ControlSocket { path: path.to_owned(), identity }, listener))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Gone already is as good.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes the address of the read-only listener.
///
/// # Errors
/// A sentence that says how to choose another address.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = "set `listen` under `[metrics]` to another address, or to \"off\"";
        match error.kind() {
            ErrorKind::AddrInUse => {
                format!("the metrics address {address} is taken by another program; {advice}")
            }
            ErrorKind::AddrNotAvailable => format!("{address} is no address of this machine; {advice}"),
            ErrorKind::PermissionDenied => {
                format!("no permission to listen on {address}; ports below 1024 need root: {advice}")
            }
            _ => format!("can't listen on {address} for metrics: {error}; {advice}"),
        }
    })
}

async fn lock_directory(path: &Path) -> Result<File, String> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let refused = |error: io::Error| {
        format!("can't use the directory {} for the control socket: {error}; {ADVICE}", directory.display())
    };
    fs::create_dir_all(directory).map_err(refused)?;
    let file = File::open(directory).map_err(refused)?;
    for _ in 0..40 {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
    }
    Err(format!("another process keeps {} locked; {ADVICE}", directory.display()))
}

async fn make_room(path: &Path) -> Result<(), String> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(format!("{} exists and is no socket; remove it, or {ADVICE}", path.display()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(in_use(path).await),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            tracing::info!(socket = %path.display(), "replacing the control socket of a switch that has ended");
            fs::remove_file(path).map_err(|error| cannot(path, &error))
        }
        Err(error) => Err(cannot(path, &error)),
    }
}

async fn in_use(path: &Path) -> String {
    let who = match Client::new(path).version().await {
        Ok(version) => format!("the switch {:?} (process {})", version.name, version.pid),
        Err(_) => "another program".to_owned(),
    };
    format!(
        "{who} already answers at {}; end it, or give this one another `name` under `[bridge]`",
        path.display()
    )
}

const ADVICE: &str = "choose another path by `control_socket` under `[bridge]`";

fn cannot(path: &Path, error: &io::Error) -> String {
    format!("can't take the control socket {}: {error}; {ADVICE}", path.display())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
