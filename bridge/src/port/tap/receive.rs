//! How frames are read from a TAP: several by one system call where the thread has a ring and short ones come in numbers,
//! else one by one.

use std::io;
use std::os::fd::AsFd;

use dcbridge_scheduler::FrameId;
use nix::errno::Errno;

use super::TapPort;
use crate::arena::{Arena, LANDINGS, ROOM};
use crate::port::{RxFrame, RxStatus, VNET_HEADER_LEN, VnetHeader, ring, sys};

/// Frames from which on the ring is worth it: what is asked for in vain costs half of what is saved with a frame.
const WORTH_A_RING: usize = 8;
const _: () =
    assert!(ROOM >= VNET_HEADER_LEN, "the offload header is read into the room in front of a frame");

/// What a read came to.
enum Read {
    Frame(FrameId),
    Lost,
    Empty,
    NoMemory,
    Gone(io::Error),
}

impl Read {
    /// What the error of a read means.
    fn failed(error: io::Error) -> Read {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Read::Empty,
            io::ErrorKind::OutOfMemory => Read::NoMemory,
            _ => Read::Gone(error),
        }
    }
}

/// What several reads came to.
struct Many {
    asked: usize,
    results: [i32; LANDINGS],
    kept: [Option<FrameId>; LANDINGS],
}

impl Many {
    #[inline]
    fn outcome(&self, n: usize) -> Read {
        match (self.kept[n], self.results[n]) {
            (Some(id), _) => Read::Frame(id),
            (None, 0..) => Read::Lost,
            (None, error) => Read::failed(Errno::from_raw(-error).into()),
        }
    }
}

/// Where a frame is read to in a landing: the offload header lies in the room in front, since one place to read to costs
/// 70 ns less than two.
fn begin(offload: bool) -> usize {
    if offload { ROOM - VNET_HEADER_LEN } else { ROOM }
}

/// Length and offload header of the frame of which `read` bytes were read to `place`. `None`: it is none, or the kernel has
/// cut it.
fn frame(place: &[u8], read: usize, offload: bool) -> Option<(usize, VnetHeader)> {
    if read >= place.len() {
        return None;
    }
    if !offload {
        return Some((read, VnetHeader::default()));
    }
    let (header, frame) = place[..read].split_first_chunk()?;
    Some((frame.len(), VnetHeader::from_bytes(header)))
}

impl TapPort {
    fn read(&mut self, queue: usize, arena: &mut Arena) -> Read {
        let (file, offload) = (self.queues[queue].as_fd(), self.offload);
        // A landing that can't be had leaves the frame in the device; one that can't be kept has taken it out.
        let mut taken = false;
        let landed = arena.land(|landing| {
            let place = &mut landing[begin(offload)..];
            let read = sys::read(file, place)?;
            taken = true;
            frame(place, read, offload).ok_or_else(|| io::ErrorKind::InvalidData.into())
        });
        match landed {
            Ok(id) => Read::Frame(id),
            Err(_) if taken => Read::Lost,
            Err(error) => Read::failed(error),
        }
    }

    /// Reads up to `most` frames by one call. `None`: the thread has no ring.
    fn read_many(&self, queue: usize, most: usize, arena: &mut Arena) -> Option<Many> {
        let (file, offload) = (&self.queues[queue], self.offload);
        ring::with(|ring| {
            let mut kept = [None; LANDINGS];
            let read = |places: &mut [&mut [u8]]| {
                let mut results = [0; LANDINGS];
                ring.read_each(file, places, &mut results[..places.len()]);
                (places.len(), results)
            };
            let found = |(_, results): &(usize, [i32; LANDINGS]), n: usize, place: &mut [u8]| {
                frame(place, usize::try_from(results[n]).ok()?, offload)
            };
            let (asked, results) = arena.land_many(most, begin(offload), &mut kept, read, found);
            Many { asked, results, kept }
        })
    }

    /// Reads from a queue until it is empty (then `true`) or something else ends it, which `status` tells.
    pub(super) fn drain(
        &mut self,
        queue: usize,
        budget: &mut usize,
        arena: &mut Arena,
        out: &mut Vec<RxFrame>,
        status: &mut RxStatus,
    ) -> bool {
        let before = *budget;
        let empty = loop {
            if *budget == 0 {
                status.more = true;
                break false;
            }
            let most = usize::from(self.expected[queue]).min(*budget);
            let many = if most >= WORTH_A_RING { self.read_many(queue, most, arena) } else { None };
            let mut end = None;
            if let Some(many) = many {
                if many.asked == 0 {
                    end = self.take(queue, Read::NoMemory, budget, arena, out, status);
                }
                // Something may have come behind a read that found nothing: it is taken, and the last one decides.
                for n in 0..many.asked {
                    end = self.take(queue, many.outcome(n), budget, arena, out, status);
                }
            } else {
                let read = self.read(queue, arena);
                end = self.take(queue, read, budget, arena, out, status);
            }
            if let Some(empty) = end {
                break empty;
            }
        };
        let came = (before - *budget).min(LANDINGS);
        self.expected[queue] = if empty { came } else { (2 * came).min(LANDINGS) } as u8;
        empty
    }

    /// Takes what a read came to. `Some`: it ends the reading, and whether the queue is empty.
    fn take(
        &mut self,
        queue: usize,
        read: Read,
        budget: &mut usize,
        arena: &mut Arena,
        out: &mut Vec<RxFrame>,
        status: &mut RxStatus,
    ) -> Option<bool> {
        match read {
            Read::Frame(id) if self.lossless.as_mut().is_some_and(|l| l.takes(queue, arena.bytes(id))) => {
                arena.free(id);
            }
            Read::Frame(id) => out.push(RxFrame { id, queue: queue as u8 }),
            Read::Lost => status.lost += 1,
            Read::Empty => return Some(true),
            Read::NoMemory => {
                status.more = true;
                return Some(false);
            }
            Read::Gone(error) => {
                self.closed = true;
                status.closed = Some(self.gone(error));
                return Some(false);
            }
        }
        *budget -= 1;
        self.tell_in = self.tell_in.saturating_sub(1);
        None
    }
}
