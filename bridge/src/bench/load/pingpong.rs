//! Questions from A and answers from B, one at a time: how long there and back takes. UDP in frames of 64 bytes, of any
//! DSCP.

use std::io::ErrorKind;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Ipv4Tos;

use super::Threads;
use crate::bench::failed;
use crate::bench::pair::Pair;
use crate::cli::Failure;
use crate::net::{Error, Result};

/// UDP payload of the shortest frame.
const PAYLOAD: usize = 18;
/// An answer that takes longer counts as lost.
const LOST: Duration = Duration::from_millis(200);

/// Round trips.
#[derive(Clone, Debug, Default)]
pub struct Trips {
    /// Sorted.
    pub each: Vec<Duration>,
    /// Without an answer.
    pub lost: usize,
}

impl Trips {
    /// The time that so many percent do not exceed; `None`: there was no answer at all.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let last = self.each.len().checked_sub(1)?;
        self.each.get((self.each.len() * percent / 100).min(last)).copied()
    }

    /// How many percent of the questions got no answer.
    pub fn lost_percent(&self) -> f64 {
        self.lost as f64 * 100.0 / (self.each.len() + self.lost).max(1) as f64
    }
}

/// Whether B answers A at all, within a few attempts.
///
/// # Errors
/// When sockets can't be made.
pub fn answers(pair: &Pair) -> std::result::Result<bool, Failure> {
    Ok(!ask(pair, 0, Duration::from_millis(50))?.each.is_empty())
}

/// Asks for as long as that, with that DSCP there and back.
///
/// # Errors
/// When sockets can't be made.
pub fn ask(pair: &Pair, dscp: u8, span: Duration) -> std::result::Result<Trips, Failure> {
    let (asking, answering) = sockets(pair, dscp).map_err(|e| Failure(e.to_string()))?;
    let mut threads = Threads::default();
    threads
        .start("bench-answer", move |stop| answer(&answering, stop))
        .map_err(|e| failed("no thread can be started", &e))?;
    let mut trips = Trips::default();
    let begin = Instant::now();
    let (mut number, mut frame) = (0u64, [0; PAYLOAD]);
    while begin.elapsed() < span {
        number += 1;
        frame[..8].copy_from_slice(&number.to_be_bytes());
        let asked = Instant::now();
        if asking.send(&frame).is_ok() && heard(&asking, number) {
            trips.each.push(asked.elapsed());
        } else {
            trips.lost += 1;
        }
    }
    trips.each.sort_unstable();
    Ok(trips)
}

/// Waits for the answer with this number; late ones to earlier questions are passed over.
fn heard(socket: &UdpSocket, number: u64) -> bool {
    let mut answer = [0; PAYLOAD];
    loop {
        match socket.recv(&mut answer) {
            Ok(_) if answer[..8] == number.to_be_bytes() => return true,
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

fn answer(socket: &UdpSocket, stop: &AtomicBool) {
    let mut question = [0; PAYLOAD];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((len, from)) = socket.recv_from(&mut question) {
            // An answer that can't be sent is one that does not come.
            let _ = socket.send_to(&question[..len], from);
        }
    }
}

fn sockets(pair: &Pair, dscp: u8) -> Result<(UdpSocket, UdpSocket)> {
    let [a, b] = &pair.hosts;
    let socket = |host: &crate::lab::hosts::Host, patience| {
        host.within(|| {
            UdpSocket::bind((host.address().ip, 0))
                .and_then(|s| s.set_read_timeout(Some(patience)).map(|()| s))
                .and_then(|s| Ok(setsockopt(&s, Ipv4Tos, &(i32::from(dscp) << 2)).map(|()| s)?))
                .map_err(|e| Error::new(format!("{} has no UDP socket", host.name()), e))
        })
    };
    let (asking, answering) = (socket(a, LOST)?, socket(b, LOST / 2)?);
    let connected =
        answering.local_addr().and_then(|to| asking.connect(SocketAddrV4::new(b.address().ip, to.port())));
    connected.map_err(|e| Error::new(format!("{} can't reach {}", a.name(), b.name()), e))?;
    Ok((asking, answering))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_came_back() {
        let trips = Trips { each: (1..=200).map(Duration::from_micros).collect(), lost: 3 };
        assert_eq!(trips.percentile(50), Some(Duration::from_micros(101)));
        assert_eq!(trips.percentile(99), Some(Duration::from_micros(199)));
        assert_eq!(trips.percentile(100), Some(Duration::from_micros(200)));
        assert_eq!(Trips::default().percentile(50), None);
    }
}
