//! How a stream port gets its peer: by listening or by connecting, one at a time.
//!
//! Nothing here waits, but for the first bind. What must not enter: frames.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dcbridge_config::StreamEndpoint;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, bind, connect,
    listen, setsockopt, socket, sockopt,
};

use crate::port::{Interest, OpenError};

/// Send buffer that is asked of the kernel (it doubles it for its bookkeeping). Without a bound a slow guest would
/// have megabytes of frames in the socket, where no class has precedence and nothing pauses: congestion shall form in
/// the switch's queues. This is enough for the copying between two processes to overlap.
const SEND_BUFFER: usize = 128 * 1024;
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(5);

/// What `poll` found.
pub(super) enum Event {
    Nothing,
    /// A peer is there.
    Connected(File),
    /// Somebody else connected and was sent away.
    Refused,
    /// Connecting failed, and will be tried again.
    Failed(io::Error),
}

pub(super) enum Endpoint {
    Listen { listener: Listener, name: String },
    Connect(Connector),
}

impl Endpoint {
    /// Starts to listen, or makes ready to connect.
    pub(super) fn new(endpoint: &StreamEndpoint) -> Result<Endpoint, OpenError> {
        Ok(match endpoint {
            StreamEndpoint::ListenUnix(path) => Endpoint::Listen {
                name: path.display().to_string(),
                listener: Listener::Unix(UnixSocket::listen(path)?),
            },
            StreamEndpoint::ListenTcp(address) => {
                let failed = |e: io::Error| {
                    let hint = match e.kind() {
                        io::ErrorKind::AddrInUse => ": another program listens there; choose another port",
                        io::ErrorKind::AddrNotAvailable => ": this machine does not have that address",
                        _ => "",
                    };
                    OpenError::new(format!("{address} can't be listened on ({e}){hint}"))
                };
                let listener = TcpListener::bind(address).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                let name = listener.local_addr().unwrap_or(*address).to_string();
                Endpoint::Listen { listener: Listener::Tcp(listener), name }
            }
            StreamEndpoint::ConnectUnix(path) => {
                let address = unix_address(path)?;
                Endpoint::Connect(Connector::new(Target::Unix(address), path.display().to_string()))
            }
            StreamEndpoint::ConnectTcp(address) => {
                Endpoint::Connect(Connector::new(Target::Tcp(*address), address.to_string()))
            }
        })
    }

    /// What the port does while it has no peer.
    pub(super) fn describe(&self) -> String {
        match self {
            Endpoint::Listen { name, .. } => format!("listening on {name}"),
            Endpoint::Connect(c) => format!("connecting to {}", c.name),
        }
    }

    /// Address of a TCP listener.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Endpoint::Listen { listener: Listener::Tcp(listener), .. } => listener.local_addr().ok(),
            _ => None,
        }
    }

    /// Looks for a peer. `busy`: there is one already.
    pub(super) fn poll(&mut self, busy: bool, now: Instant) -> Event {
        match self {
            Endpoint::Listen { listener, .. } => match listener.accept() {
                Ok(_) if busy => Event::Refused,
                Ok(peer) => Event::Connected(peer),
                Err(_) => Event::Nothing,
            },
            Endpoint::Connect(_) if busy => Event::Nothing,
            Endpoint::Connect(connector) => connector.poll(now),
        }
    }

    /// The peer is gone.
    pub(super) fn lost(&mut self, now: Instant) {
        if let Endpoint::Connect(connector) = self {
            connector.lost(now);
        }
    }

    pub(super) fn interests(&self, out: &mut Vec<Interest>) {
        match self {
            Endpoint::Listen { listener, .. } => {
                out.push(Interest { fd: listener.as_raw_fd(), read: true, write: false });
            }
            Endpoint::Connect(Connector { attempt: Some(fd), .. }) => {
                out.push(Interest { fd: fd.as_raw_fd(), read: false, write: true });
            }
            Endpoint::Connect(_) => {}
        }
    }
}

pub(super) enum Listener {
    Unix(UnixSocket),
    Tcp(TcpListener),
}

impl Listener {
    fn accept(&self) -> io::Result<File> {
        let peer: OwnedFd = match self {
            Listener::Unix(socket) => socket.listener.accept()?.0.into(),
            Listener::Tcp(listener) => listener.accept()?.0.into(),
        };
        tune(&peer, matches!(self, Listener::Tcp(_)))?;
        Ok(peer.into())
    }

    fn as_raw_fd(&self) -> i32 {
        match self {
            Listener::Unix(socket) => socket.listener.as_raw_fd(),
            Listener::Tcp(listener) => listener.as_raw_fd(),
        }
    }
}

/// What every connection gets, before its first frame.
fn tune(peer: &OwnedFd, tcp: bool) -> io::Result<()> {
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(peer, nix::fcntl::FcntlArg::F_SETFL(flags))?;
    setsockopt(peer, sockopt::SndBuf, &SEND_BUFFER)?;
    if tcp {
        // Frames must not wait for each other's acknowledgements.
        setsockopt(peer, sockopt::TcpNoDelay, &true)?;
    }
    Ok(())
}

/// A listening Unix socket, whose file goes when it goes.
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: the file of that name may be somebody else's by the time we end.
    file: Option<(u64, u64)>,
}

impl UnixSocket {
    fn listen(path: &Path) -> Result<UnixSocket, OpenError> {
        let address = unix_address(path)?;
        let failed = |e: Errno| {
            let hint = match e {
                Errno::ENOENT => ": make its directory first",
                Errno::EACCES | Errno::EROFS => ": choose a directory that this user may write to",
                _ => "",
            };
            OpenError::new(format!("{} can't be listened on ({}){hint}", path.display(), e.desc()))
        };
        let fd = stream_socket(AddressFamily::Unix).map_err(failed)?;
        match bind(fd.as_raw_fd(), &address) {
            Err(Errno::EADDRINUSE) => {
                remove_stale(path, &address)?;
                bind(fd.as_raw_fd(), &address).map_err(failed)?;
            }
            other => other.map_err(failed)?,
        }
        // Before listening, so that nobody slips in: who connects may send frames into the network.
        let _ = fs::set_permissions(path, Permissions::from_mode(0o660));
        listen(&fd, Backlog::new(4).unwrap_or(Backlog::MAXCONN)).map_err(failed)?;
        let file = identity(path);
        Ok(UnixSocket { listener: UnixListener::from(fd), path: path.to_owned(), file })
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.file.is_some() && identity(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// Removes the socket file of a process that ended without doing so.
fn remove_stale(path: &Path, address: &UnixAddr) -> Result<(), OpenError> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if !is_socket {
        return Err(OpenError::new(format!(
            "{} exists and is not a socket: remove it or choose another path",
            path.display()
        )));
    }
    let probe = stream_socket(AddressFamily::Unix)
        .map_err(|e| OpenError::new(format!("no socket can be made: {}", e.desc())))?;
    if connect(probe.as_raw_fd(), address) != Err(Errno::ECONNREFUSED) {
        return Err(OpenError::new(format!(
            "another process listens on {}: stop it or choose another path",
            path.display()
        )));
    }
    fs::remove_file(path).map_err(|e| {
        OpenError::new(format!(
            "{} is left over from an ended process and can't be removed: {e}",
            path.display()
        ))
    })
}

fn unix_address(path: &Path) -> Result<UnixAddr, OpenError> {
    UnixAddr::new(path).map_err(|_| {
        OpenError::new(format!("{} is too long for a Unix socket: at most 107 bytes", path.display()))
    })
}

fn stream_socket(family: AddressFamily) -> nix::Result<OwnedFd> {
    socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
}

enum Target {
    Unix(UnixAddr),
    Tcp(SocketAddr),
}

/// Connects, and again when the connection is lost, at growing intervals.
pub(super) struct Connector {
    target: Target,
    name: String,
    /// A connection that is being made.
    attempt: Option<OwnedFd>,
    backoff: Duration,
    next_attempt: Option<Instant>,
    connected_at: Option<Instant>,
}

impl Connector {
    fn new(target: Target, name: String) -> Connector {
        Connector {
            target,
            name,
            attempt: None,
            backoff: BACKOFF_FIRST,
            next_attempt: None,
            connected_at: None,
        }
    }

    fn poll(&mut self, now: Instant) -> Event {
        let outcome = if let Some(fd) = self.attempt.take() {
            finished(fd)
        } else if self.next_attempt.is_none_or(|at| now >= at) {
            self.begin()
        } else {
            return Event::Nothing;
        };
        match outcome {
            Ok(Progress::Done(fd)) => {
                self.connected_at = Some(now);
                match tune(&fd, matches!(self.target, Target::Tcp(_))) {
                    Ok(()) => Event::Connected(fd.into()),
                    Err(e) => self.failed(now, e),
                }
            }
            Ok(Progress::Pending(fd)) => {
                self.attempt = Some(fd);
                Event::Nothing
            }
            Err(e) => self.failed(now, e),
        }
    }

    fn begin(&self) -> io::Result<Progress> {
        let family = match &self.target {
            Target::Unix(_) => AddressFamily::Unix,
            Target::Tcp(SocketAddr::V4(_)) => AddressFamily::Inet,
            Target::Tcp(SocketAddr::V6(_)) => AddressFamily::Inet6,
        };
        let fd = stream_socket(family)?;
        let begun = match &self.target {
            Target::Unix(address) => connect_to(&fd, address),
            Target::Tcp(address) => connect_to(&fd, &SockaddrStorage::from(*address)),
        };
        match begun {
            Ok(()) => Ok(Progress::Done(fd)),
            Err(Errno::EINPROGRESS) => Ok(Progress::Pending(fd)),
            Err(e) => Err(e.into()),
        }
    }

    fn failed(&mut self, now: Instant, error: io::Error) -> Event {
        self.connected_at = None;
        self.next_attempt = Some(now + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MOST);
        Event::Failed(error)
    }

    /// A peer that sends us away at once (it has another one) must not be asked ten times a second; one that was there
    /// for long is asked again soon.
    fn lost(&mut self, now: Instant) {
        let lasted = self.connected_at.take().map_or(Duration::ZERO, |since| now - since);
        if lasted >= BACKOFF_MOST {
            self.backoff = BACKOFF_FIRST;
        }
        self.next_attempt = Some(now + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MOST);
    }
}

enum Progress {
    Done(OwnedFd),
    Pending(OwnedFd),
}

fn connect_to(fd: &OwnedFd, address: &dyn SockaddrLike) -> nix::Result<()> {
    connect(fd.as_raw_fd(), address)
}

fn finished(fd: OwnedFd) -> io::Result<Progress> {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut fds, PollTimeout::ZERO)? == 0 {
        return Ok(Progress::Pending(fd));
    }
    let stream = TcpStream::from(fd);
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(Progress::Done(stream.into())),
    }
}
