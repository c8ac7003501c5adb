//! Network namespaces: naming, entering, making and removing them.
//!
//! Named ones are those of `ip netns`: a file under `/run/netns` onto which the namespace is mounted. They are made by
//! system calls on a thread that ends afterwards; no process is forked, so this is safe in a process with threads.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::{Error, Result};

/// Where `ip netns` keeps its namespaces.
const RUN_NETNS: &str = "/run/netns";
/// The namespace of the calling thread.
const OF_THIS_THREAD: &str = "/proc/thread-self/ns/net";

/// Which network namespace is meant.
#[derive(Clone, Debug, Default)]
pub enum NetnsRef {
    /// The one the process runs in.
    #[default]
    Current,
    /// A name of `ip netns`.
    Name(String),
    /// A file that is a namespace: a bind mount or `/proc/.../ns/net`.
    Path(PathBuf),
    /// The one that a process is in.
    Pid(u32),
    /// One that is held open.
    Open(Arc<Netns>),
}

impl NetnsRef {
    /// Reads the spelling of the configuration: `pid:N`, a path if it holds a slash, else a name; `None`: ours.
    ///
    /// # Errors
    /// When `pid:` is not followed by a number, or the name can't be one.
    pub fn parse(text: Option<&str>) -> Result<NetnsRef> {
        let Some(text) = text else { return Ok(NetnsRef::Current) };
        if let Some(pid) = text.strip_prefix("pid:") {
            let pid = pid.parse().map_err(|_| {
                Error::plain(format!(
                    "'{text}' does not name a network namespace: a process number follows 'pid:'"
                ))
            })?;
            return Ok(NetnsRef::Pid(pid));
        }
        if text.contains('/') {
            return Ok(NetnsRef::Path(text.into()));
        }
        if text.is_empty() || text == "." || text == ".." || text.contains('\0') {
            return Err(Error::plain(format!(
                "'{text}' does not name a network namespace: give a name of `ip netns`, a path, or pid:N"
            )));
        }
        Ok(NetnsRef::Name(text.to_owned()))
    }

    /// The file by which it is found; `None` for those that are found otherwise.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self {
            NetnsRef::Current | NetnsRef::Open(_) => None,
            NetnsRef::Name(name) => Some(Path::new(RUN_NETNS).join(name)),
            NetnsRef::Path(path) => Some(path.clone()),
            NetnsRef::Pid(pid) => Some(format!("/proc/{pid}/ns/net").into()),
        }
    }

    /// Opens the namespace; `None`: the current one.
    fn open(&self) -> Result<Option<Arc<Netns>>> {
        if let NetnsRef::Open(netns) = self {
            return Ok(Some(Arc::clone(netns)));
        }
        let Some(path) = self.path() else { return Ok(None) };
        let file = File::open(&path).map_err(|e| {
            let hint = match (self, e.kind()) {
                (NetnsRef::Name(name), io::ErrorKind::NotFound) => {
                    format!(" (make it with `ip netns add {name}`)")
                }
                (NetnsRef::Pid(_), io::ErrorKind::NotFound) => " (no such process)".to_owned(),
                _ => String::new(),
            };
            Error::new(format!("{self} can't be opened at {}{hint}", path.display()), e)
        })?;
        Ok(Some(Arc::new(Netns { fd: file.into(), label: self.to_string() })))
    }
}

impl fmt::Display for NetnsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetnsRef::Current => f.write_str("the current network namespace"),
            NetnsRef::Name(name) => write!(f, "network namespace '{name}'"),
            NetnsRef::Path(path) => write!(f, "network namespace {}", path.display()),
            NetnsRef::Pid(pid) => write!(f, "network namespace of process {pid}"),
            NetnsRef::Open(netns) => f.write_str(&netns.label),
        }
    }
}

/// A network namespace that is held open, and with that kept alive.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    label: String,
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Netns {
    /// A new namespace without a name: it ends with the last descriptor, process and interface of it. `label` is for
    /// messages.
    ///
    /// # Errors
    /// When the process may not make namespaces.
    pub fn anonymous(label: &str) -> Result<Netns> {
        let label = format!("network namespace '{label}' (without a name in the system)");
        on_own_thread(|| {
            let failed = |e: io::Error| Error::new(format!("{label} can't be made"), e);
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| failed(e.into()))?;
            let file = File::open(OF_THIS_THREAD).map_err(failed)?;
            Ok(Netns { fd: file.into(), label: label.clone() })
        })
    }

    /// Makes a namespace with a name, as `ip netns add` does, and opens it. Its `lo` is down.
    ///
    /// # Errors
    /// When the name is taken or not possible, or the process may not.
    pub fn create(name: &str) -> Result<Netns> {
        let path = path_of_name(name)?;
        let wanted = NetnsRef::Name(name.to_owned());
        let failed = |e: io::Error| Error::new(format!("{wanted} can't be made at {}", path.display()), e);
        prepare_run_netns().map_err(failed)?;
        OpenOptions::new().write(true).create_new(true).mode(0o444).open(&path).map_err(|e| {
            if e.kind() == io::ErrorKind::AlreadyExists {
                Error::plain(format!(
                    "{wanted} exists already; remove it with `ip netns del {name}` if unused"
                ))
            } else {
                failed(e)
            }
        })?;
        let made = on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| failed(e.into()))?;
            bind(Path::new(OF_THIS_THREAD), &path).map_err(failed)?;
            let file = File::open(&path).map_err(failed)?;
            Ok(Netns { fd: file.into(), label: wanted.to_string() })
        });
        if made.is_err() {
            // Nothing is mounted there; an empty file would make the name look taken.
            let _ = fs::remove_file(&path);
        }
        made
    }

    /// Removes a name, as `ip netns del` does. The namespace itself ends when nobody uses it any more.
    ///
    /// # Errors
    /// When there is no such name or the process may not.
    pub fn delete(name: &str) -> Result<()> {
        let path = path_of_name(name)?;
        // Not mounted is fine: the machine may have stopped between making the file and mounting.
        let _ = umount2(&path, MntFlags::MNT_DETACH);
        fs::remove_file(&path)
            .map_err(|e| Error::new(format!("network namespace '{name}' can't be removed"), e))
    }

    /// Whether both are the same namespace.
    pub fn is_same(&self, other: BorrowedFd<'_>) -> bool {
        let id = |fd: BorrowedFd<'_>| nix::sys::stat::fstat(fd).ok().map(|s| (s.st_dev, s.st_ino));
        id(self.fd.as_fd()).is_some_and(|mine| Some(mine) == id(other))
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn of_this_thread() -> Result<Netns> {
        let label = NetnsRef::Current.to_string();
        let file =
            File::open(OF_THIS_THREAD).map_err(|e| Error::new(format!("{label} can't be opened"), e))?;
        Ok(Netns { fd: file.into(), label })
    }

    /// Device and inode of the file of the calling thread's namespace: what tells namespaces apart.
    pub fn id_of_this_thread() -> Option<(u64, u64)> {
        fs::metadata(OF_THIS_THREAD).ok().map(|m| (m.dev(), m.ino()))
    }
}

/// Runs `work` in a namespace, on a thread of its own, and waits for it.
///
/// The thread is new also for the current namespace: `work` may then block and start a runtime even if the caller is
/// inside of one.
///
/// # Errors
/// When the namespace can't be opened or entered; otherwise what `work` says.
pub fn in_netns<T, E, F>(netns: &NetnsRef, work: F) -> std::result::Result<T, E>
where
    T: Send,
    E: From<Error> + Send,
    F: FnOnce() -> std::result::Result<T, E> + Send,
{
    let target = netns.open()?;
    on_own_thread(move || {
        if let Some(target) = target {
            setns(target.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|e| {
                let not_one =
                    if e == nix::errno::Errno::EINVAL { " (it is no network namespace)" } else { "" };
                Error::new(format!("{netns} can't be entered{not_one}"), e)
            })?;
        }
        work()
    })
}

fn on_own_thread<T, E, F>(work: F) -> std::result::Result<T, E>
where
    T: Send,
    E: From<Error> + Send,
    F: FnOnce() -> std::result::Result<T, E> + Send,
{
    std::thread::scope(|scope| {
        let spawned = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, work);
        match spawned {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(e) => Err(Error::new("no thread can be started to work in a network namespace", e).into()),
        }
    })
}

fn path_of_name(name: &str) -> Result<PathBuf> {
    if let NetnsRef::Name(name) = NetnsRef::parse(Some(name))? {
        return Ok(Path::new(RUN_NETNS).join(name));
    }
    Err(Error::plain(format!("'{name}' can't be the name of a network namespace")))
}

/// Makes `/run/netns` a shared mount, as `ip netns` does: a namespace removed here is then removed for processes that
/// have copied the mount table too.
fn prepare_run_netns() -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(RUN_NETNS)?;
    let shared =
        || mount(None::<&str>, RUN_NETNS, None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>);
    if shared().is_err() {
        // Not a mount of its own yet.
        mount(Some(RUN_NETNS), RUN_NETNS, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
        shared()?;
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_told_apart() {
        assert!(matches!(NetnsRef::parse(None), Ok(NetnsRef::Current)));
        assert!(matches!(NetnsRef::parse(Some("blue")), Ok(NetnsRef::Name(n)) if n == "blue"));
        assert!(matches!(NetnsRef::parse(Some("/proc/1/ns/net")), Ok(NetnsRef::Path(_))));
        assert!(matches!(NetnsRef::parse(Some("pid:17")), Ok(NetnsRef::Pid(17))));
        for wrong in ["", "..", "pid:", "pid:x", "pid:-1"] {
            assert!(NetnsRef::parse(Some(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_error_names_the_namespace_and_the_way_out() {
        let name = NetnsRef::Name("no-such-namespace".into());
        let error = in_netns(&name, || Ok::<_, Error>(())).unwrap_err().to_string();
        assert!(error.contains("'no-such-namespace'"), "{error}");
        assert!(error.contains("ip netns add no-such-namespace"), "{error}");
    }

    #[test]
    fn work_in_the_current_namespace_needs_no_privilege() {
        let here = Netns::id_of_this_thread();
        let there = in_netns(&NetnsRef::Current, || Ok::<_, Error>(Netns::id_of_this_thread())).unwrap();
        assert!(here.is_some());
        assert_eq!(here, there);
    }
}
