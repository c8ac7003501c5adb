//! TCP streams from A to B, with the same congestion control everywhere.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

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
            let sender = a.within(|| TcpStream::connect_timeout(&to.into(), PATIENCE).map_err(failed))?;
            let (receiver, _) = listener.accept().map_err(failed)?;
            let cubic = OsString::from(CONGESTION_CONTROL);
            setsockopt(&sender, sockopt::TcpCongestion, &cubic).map_err(|e| {
                Error::new(format!("this kernel has no TCP congestion control {CONGESTION_CONTROL}"), e)
            })?;
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
