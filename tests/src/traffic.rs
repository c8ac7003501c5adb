//! Kernel TCP between two hosts of a test: real superframes, real checksums, bounded in bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::host::{Host, ip};

const CHUNK: usize = 1 << 18;
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends `bytes` by TCP from host number `from` to host number `to`, checks every byte, answers Gbit/s.
///
/// # Panics
/// When the connection fails or a byte is wrong.
pub fn tcp(from: (&Host, u8), to: (&Host, u8), bytes: u64) -> f64 {
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
        bytes as f64 * 8.0 / begin.elapsed().as_secs_f64() / 1e9
    })
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
