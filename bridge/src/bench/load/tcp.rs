//! TCP streams from A to B, with the same congestion control everywhere.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::Threads;
use crate::bench::pair::Pair;
use crate::net::{Error, Result};

/// What most systems use by default.
const CONGESTION_CONTROL: &str = "cubic";
const CHUNK: usize = 1 << 18;
const PATIENCE: Duration = Duration::from_secs(5);

/// Running streams. They end with their handle.
#[derive(Debug)]
pub struct Streams {
    received: Arc<AtomicU64>,
    ends: Vec<TcpStream>,
    threads: Threads,
}

impl Streams {
    /// Starts so many of them.
    ///
    /// # Errors
    /// When one can't connect.
    pub fn start(pair: &Pair, count: usize) -> Result<Streams> {
        let [a, b] = &pair.hosts;
        let failed = |e| Error::new(format!("{} can't reach {} by TCP", a.name(), b.name()), e);
        let listener = b.within(|| TcpListener::bind((b.address().ip, 0)).map_err(failed))?;
        let to = SocketAddrV4::new(b.address().ip, listener.local_addr().map_err(failed)?.port());
        let mut streams = Streams { received: Arc::default(), ends: Vec::new(), threads: Threads::default() };
        for _ in 0..count {
            let sender = a.within(connector)?;
            connect(sender.as_raw_fd(), &SockaddrIn::from(to)).map_err(|e| failed(e.into()))?;
            let sender = TcpStream::from(sender);
            sender.set_write_timeout(None).map_err(failed)?;
            let (receiver, _) = listener.accept().map_err(failed)?;
            // When it is over, what is still queued is thrown away.
            let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(&sender, sockopt::Linger, &at_once).map_err(|e| failed(e.into()))?;
            for end in [&sender, &receiver] {
                streams.ends.push(end.try_clone().map_err(failed)?);
            }
            let received = Arc::clone(&streams.received);
            streams.threads.start("bench-send", move |stop| send(sender, stop)).map_err(failed)?;
            streams.threads.start("bench-recv", move |_| receive(receiver, &received)).map_err(failed)?;
        }
        Ok(streams)
    }

    /// Payload that all receivers have read so far, in bytes.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.threads.stop.store(true, Ordering::Relaxed);
        for end in &self.ends {
            // Wakes who waits in a read or a write; an end that is gone already waits for nothing.
            let _ = end.shutdown(Shutdown::Both);
        }
        self.threads.stop();
    }
}

/// A socket that will connect, of the calling thread's namespace. Its congestion control is settled before: one that it is
/// taken from leaves its pacing behind (BBR does, where it is the system's default).
fn connector() -> Result<OwnedFd> {
    let failed = |what: &str, e: Errno| Error::new(what, e);
    let sender = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|e| failed("there is no TCP socket to be had", e))?;
    let none = format!("this kernel has no TCP congestion control {CONGESTION_CONTROL}");
    setsockopt(&sender, sockopt::TcpCongestion, &OsString::from(CONGESTION_CONTROL))
        .map_err(|e| Error::new(none, e))?;
    // It is also how long connecting may take.
    setsockopt(&sender, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE.as_secs() as i64))
        .map_err(|e| failed("a TCP socket takes no timeout", e))?;
    Ok(sender)
}

fn send(mut stream: TcpStream, stop: &AtomicBool) {
    let chunk = vec![0x5a; CHUNK];
    while !stop.load(Ordering::Relaxed) && stream.write_all(&chunk).is_ok() {}
}

fn receive(mut stream: TcpStream, received: &AtomicU64) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
