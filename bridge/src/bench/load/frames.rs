//! Equal frames from A to a station behind B's interface: as fast as the kernel takes them, or at a rate.
//!
//! The station is not B itself, so that B's kernel throws the frames away as soon as it has counted them: what is
//! measured is the switch and not the receiver. A packet from the station is sent first, for switches that learn.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::Threads;
use crate::bench::pair::Pair;
use crate::bench::sys::{BATCH, FrameSocket};
use crate::lab::frames::{FCS, HEADERS};
use crate::lab::hosts::Host;
use crate::net::{Error, Links, Result};

/// The station behind B.
const STATION: [u8; 6] = [0x02, 0xdc, 0xb0, 0, 1, 2];
/// How far behind its rate a sender may be and still catch up.
const CATCH_UP: Duration = Duration::from_millis(5);
/// Frames of one call at a rate: more would be bursts, fewer cost too much.
const PACED_BATCH: u64 = 16;
/// How long a full interface may hold up a sender that is to stop.
const BLOCKED_MS: i64 = 50;

/// A running sender. It ends with its handle.
#[derive(Debug)]
pub struct Sender {
    tried: Arc<AtomicU64>,
    threads: Threads,
}

impl Sender {
    /// Starts to send frames of `bytes` with FCS; without a rate (frames a second) as fast as possible.
    ///
    /// # Errors
    /// When there is no packet socket.
    pub fn start(pair: &Pair, bytes: u16, rate: Option<f64>) -> Result<Sender> {
        let [a, b] = &pair.hosts;
        let (from_a, from_b) = (socket(a)?, socket(b)?);
        let cant = |e: io::Error| Error::new("frames can't be sent", e);
        let hello = frame(STATION, a.address().mac, 64);
        from_b.send_many(&hello, 1).map_err(cant)?;
        let frame = frame(a.address().mac, STATION, bytes);
        let mut sender = Sender { tried: Arc::default(), threads: Threads::default() };
        let tried = Arc::clone(&sender.tried);
        let work = move |stop: &AtomicBool| match rate {
            Some(rate) => pace(&from_a, &frame, rate, &tried, stop),
            None => flood(&from_a, &frame, &tried, stop),
        };
        sender.threads.start("bench-frames", work).map_err(cant)?;
        Ok(sender)
    }

    /// Frames that it has given to its kernel so far, also those for which there was no room.
    pub fn tried(&self) -> u64 {
        self.tried.load(Ordering::Relaxed)
    }

    /// Stops it and answers how many it has tried in all.
    pub fn stop(mut self) -> u64 {
        self.threads.stop();
        self.tried()
    }
}

fn socket(host: &Host) -> Result<FrameSocket> {
    let failed = |e| Error::new(format!("{} has no packet socket", host.name()), e);
    host.within(|| {
        let socket = FrameSocket::open(Links::open()?.index(host.name())?).map_err(failed)?;
        let patience = TimeVal::milliseconds(BLOCKED_MS);
        setsockopt(socket.fd(), sockopt::SendTimeout, &patience).map_err(|e| failed(e.into()))?;
        Ok(socket)
    })
}

fn flood(socket: &FrameSocket, frame: &[u8], tried: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        send(socket, frame, BATCH, tried);
    }
}

/// Never more than `CATCH_UP` of frames at once. Waits by yielding: a timed sleep would be late, and cost more.
fn pace(socket: &FrameSocket, frame: &[u8], rate: f64, tried: &AtomicU64, stop: &AtomicBool) {
    let most = (rate * CATCH_UP.as_secs_f64()).max(PACED_BATCH as f64);
    let (mut last, mut credit) = (Instant::now(), 0.0);
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        credit = (credit + (now - last).as_secs_f64() * rate).min(most);
        last = now;
        if credit >= PACED_BATCH as f64 {
            send(socket, frame, PACED_BATCH as usize, tried);
            credit -= PACED_BATCH as f64;
        } else {
            std::thread::yield_now();
        }
    }
}

/// Tries `count` frames once each; one that is refused is passed over.
fn send(socket: &FrameSocket, frame: &[u8], count: usize, tried: &AtomicU64) {
    let mut left = count;
    while left > 0 {
        let sent = socket.send_many(frame, left).unwrap_or(0);
        let done = if sent == 0 { 1 } else { sent };
        left -= done;
        tried.fetch_add(done as u64, Ordering::Relaxed);
    }
}

/// UDP in IPv4, as long as that with FCS.
fn frame(from: [u8; 6], to: [u8; 6], bytes: u16) -> Vec<u8> {
    let length = usize::from(bytes) - FCS;
    let payload = vec![0; length - HEADERS];
    let packet = etherparse::PacketBuilder::ethernet2(from, to)
        .ipv4([10, 83, 1, from[5]], [10, 83, 1, to[5]], 64)
        .udp(4790, 4790);
    let mut frame = Vec::with_capacity(length);
    // Writing to memory does not fail, and no frame is too long for its length fields.
    let _ = packet.write(&mut frame, &payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_length_that_was_asked_for() {
        for bytes in [64, 512, 1500, 9000] {
            let frame = frame([2; 6], STATION, bytes);
            assert_eq!(frame.len(), usize::from(bytes) - FCS);
            assert_eq!(&frame[..6], &STATION);
        }
    }
}
