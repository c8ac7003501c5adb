//! Kernel TCP between two hosts of a test: real superframes, real checksums, bounded in bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::host::{Host, ip};

const CHUNK: usize = 1 << 18;
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of a transfer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transfer {
    /// Gbit/s of payload.
    pub gbps: f64,
    /// Segments that the sender sent again.
    pub retransmits: u32,
}

/// Sends `bytes` by TCP from host number `from` to host number `to`, checks every byte, answers Gbit/s.
///
/// # Panics
/// When the connection fails or a byte is wrong.
pub fn tcp(from: (&Host, u8), to: (&Host, u8), bytes: u64) -> f64 {
    tcp_watched(from, to, bytes).gbps
}

/// The same, and how much was sent again.
///
/// # Panics
/// When the connection fails or a byte is wrong.
pub fn tcp_watched(from: (&Host, u8), to: (&Host, u8), bytes: u64) -> Transfer {
    let listener = to.0.run(|| Ok(TcpListener::bind(SocketAddr::new(ip(to.1), 0)).expect("listen")));
    let address = listener.local_addr().expect("address");
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || receive(&listener, bytes));
        let (host, source) = from;
        let mut stream = host.run(|| {
            let stream = TcpStream::connect_timeout(&address, PATIENCE);
            Ok(stream.unwrap_or_else(|e| panic!("host {source} can't connect to {address}: {e}")))
        });
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        let chunk = pattern();
        let begin = Instant::now();
        let mut left = bytes;
        while left > 0 {
            let n = left.min(CHUNK as u64) as usize;
            stream.write_all(&chunk[..n]).expect("send");
            left -= n as u64;
        }
        receiver.join().expect("receiver");
        let gbps = bytes as f64 * 8.0 / begin.elapsed().as_secs_f64() / 1e9;
        Transfer { gbps, retransmits: retransmits(&stream) }
    })
}

/// Segments that the kernel has sent again on a connection.
fn retransmits(stream: &TcpStream) -> u32 {
    // SAFETY: a tcp_info of zeroes is a valid one.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the pointers are to a tcp_info and its length; both outlive the call.
    let asked = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
    info.tcpi_total_retrans
}

fn receive(listener: &TcpListener, bytes: u64) {
    let (mut stream, _) = listener.accept().expect("accept");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let chunk = pattern();
    let mut buffer = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let n = left.min(CHUNK as u64) as usize;
        stream.read_exact(&mut buffer[..n]).expect("receive");
        assert!(buffer[..n] == chunk[..n], "a byte has changed on its way");
        left -= n as u64;
    }
}

/// No two segments of it are alike.
fn pattern() -> Vec<u8> {
    (0..CHUNK).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
