//! Many reads or writes by one system call: an `io_uring` of the calling thread.
//!
//! The kernel lets only the thread that made a ring use it, so a ring is kept by its thread: a worker asks for one
//! (`enable`) when it begins, and the ports that it drives find it (`with`). Where there is none, ports read and write
//! frame by frame.
//!
//! A call returns when the outcome of each of its reads or writes is known, so memory is borrowed only as long as the
//! call. A device that could make a write wait does not belong here; a read never waits.
//!
//! What must not enter: what a frame is, and anything that stays under way.

mod files;

use std::cell::RefCell;
use std::io;
use std::ops::Range;

use io_uring::{IoUring, opcode, squeue};
use nix::errno::Errno;

use super::pieces::{Pieces, with_fronts};
pub use files::RingFile;
use files::{Files, PLACES, Target};

/// Reads or writes that go at once.
pub const DEPTH: usize = 64;

thread_local! {
    static RING: RefCell<Option<FrameRing>> = const { RefCell::new(None) };
}

/// A ring for frames.
pub(super) struct FrameRing {
    ring: IoUring,
    /// Places for files; `None`: the kernel looks up each file for each frame.
    files: Option<Files>,
    /// Addresses of the thread's fronts (`pieces`), if the kernel knows their pages: a write from there is 25 ns cheaper.
    fronts: Range<usize>,
}

/// Gives the calling thread a ring.
///
/// # Errors
/// A sentence that says who refuses it.
pub fn enable() -> Result<(), String> {
    let ring = FrameRing::new().map_err(|error| refusal(&error))?;
    RING.set(Some(ring));
    Ok(())
}

/// Whether a thread of this process can have a ring.
///
/// # Errors
/// A sentence that says who refuses it.
pub fn probe() -> Result<(), String> {
    FrameRing::new().map(drop).map_err(|error| refusal(&error))
}

fn refusal(error: &io::Error) -> String {
    let why = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => {
            "it is forbidden here (`sysctl kernel.io_uring_disabled`, or the seccomp profile of a container)"
        }
        Some(Errno::ENOSYS) => "the kernel, or the seccomp profile of a container, has no such call",
        Some(Errno::EINVAL) => "the kernel is too old, it needs Linux 6.1",
        Some(Errno::ENOMEM) => "it may not lock the memory (`ulimit -l`)",
        _ => return format!("there is no io_uring to be had: {error}"),
    };
    format!("there is no io_uring to be had: {why}")
}

/// Lets `work` use the calling thread's ring. `None`: it has none.
pub(super) fn with<T>(work: impl FnOnce(&mut FrameRing) -> T) -> Option<T> {
    RING.with_borrow_mut(|ring| ring.as_mut().map(work))
}

/// Like `with`, also while the thread ends or the ring is in use: then there is nothing to be done.
fn of_this_thread(work: impl FnOnce(&mut FrameRing)) {
    let _ = RING.try_with(|ring| ring.try_borrow_mut().map(|mut ring| ring.as_mut().map(work)));
}

impl FrameRing {
    fn new() -> io::Result<FrameRing> {
        FrameRing::with_places(PLACES)
    }

    fn with_places(places: u32) -> io::Result<FrameRing> {
        // Completions are only wanted inside the call, by the one thread there is.
        let mut ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(DEPTH as u32)?;
        // It may be allowed to make one and not to use it.
        // SAFETY: the entry refers to no memory.
        let pushed = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
        pushed.map_err(|_| io::ErrorKind::OutOfMemory)?;
        ring.submit_and_wait(1)?;
        ring.completion().for_each(drop);
        let files = Files::new(&mut ring, places);
        let fronts = known_fronts(&ring).unwrap_or_default();
        Ok(FrameRing { ring, files, fronts })
    }

    /// Whether writes from fronts are cheaper than others.
    pub(super) fn knows_fronts(&self) -> bool {
        !self.fronts.is_empty()
    }

    /// Writes each of `writes` to `file`, in order. `results` says what each came to: bytes, or a negative error number.
    /// There are at most `DEPTH`, and as many of both.
    pub(super) fn write_each(&mut self, file: &RingFile, writes: &[Pieces<'_>], results: &mut [i32]) {
        results.fill(-libc::EIO);
        let target = self.target(file);
        let mut under_way = 0;
        for (n, pieces) in writes.iter().take(results.len()).enumerate() {
            let entry = write(target, &self.fronts, pieces).user_data(n as u64);
            // SAFETY: the bytes and the pieces are borrowed for this call, which does not return before the kernel has
            // said that it is done with them.
            if unsafe { self.ring.submission().push(&entry) }.is_err() {
                break;
            }
            under_way += 1;
        }
        self.finish(under_way, results);
    }

    /// Reads from `file` into each of `places`, in order, without waiting. `results` says what each came to: bytes, or a
    /// negative error number. There are at most `DEPTH`, and as many of both.
    pub(super) fn read_each(&mut self, file: &RingFile, places: &mut [&mut [u8]], results: &mut [i32]) {
        results.fill(-libc::EIO);
        let target = self.target(file);
        let mut under_way = 0;
        for (n, place) in places.iter_mut().take(results.len()).enumerate() {
            // A descriptor that does not wait by itself would be waited for here.
            let read = opcode::Read::new(target.fd(), place.as_mut_ptr(), place.len() as u32);
            let entry = read.rw_flags(libc::RWF_NOWAIT).build().flags(target.flags()).user_data(n as u64);
            // SAFETY: the bytes are borrowed for this call, which does not return before the kernel has said that it is
            // done with them.
            if unsafe { self.ring.submission().push(&entry) }.is_err() {
                break;
            }
            under_way += 1;
        }
        self.finish(under_way, results);
    }

    /// Lets the kernel do what was put in, until it has said of each what it came to.
    fn finish(&mut self, mut under_way: usize, results: &mut [i32]) {
        while under_way > 0 {
            // An error is a signal, or a moment without memory: what was not taken is still in the queue.
            let _ = self.ring.submit_and_wait(under_way);
            for done in self.ring.completion() {
                under_way -= 1;
                if let Some(result) = results.get_mut(done.user_data() as usize) {
                    *result = done.result();
                }
            }
        }
    }
}

/// Lets the kernel know the pages of the thread's fronts, which are there as long as the thread is; answers where they are.
fn known_fronts(ring: &IoUring) -> io::Result<Range<usize>> {
    with_fronts(|fronts| {
        let bytes = fronts.as_flattened_mut();
        let place = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: the fronts are in the same place as long as the thread uses its ring.
        unsafe { ring.submitter().register_buffers(&[place]) }?;
        let bytes = bytes.as_ptr_range();
        Ok(bytes.start.addr()..bytes.end.addr())
    })
}

fn write(target: Target, fronts: &Range<usize>, pieces: &Pieces<'_>) -> squeue::Entry {
    let (at, len) = (pieces[0].as_ptr(), pieces[0].len() as u32);
    let entry = if !pieces[1].is_empty() {
        // An `IoSlice` is an `iovec`.
        opcode::Writev::new(target.fd(), pieces.as_ptr().cast(), pieces.len() as u32).build()
    } else if fronts.contains(&at.addr()) {
        opcode::WriteFixed::new(target.fd(), at, len, 0).build()
    } else {
        opcode::Write::new(target.fd(), at, len).build()
    };
    entry.flags(target.flags())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{IoSlice, Read, Write};
    use std::os::fd::OwnedFd;

    use super::*;

    fn pipe() -> (RingFile, RingFile) {
        let (reader, writer) = io::pipe().unwrap();
        let file = |fd: OwnedFd| RingFile::from(File::from(fd));
        (file(reader.into()), file(writer.into()))
    }

    #[test]
    fn each_write_has_its_own_outcome_and_they_keep_their_order() {
        enable().unwrap();
        let (reader, writer) = pipe();
        let texts: Vec<String> = (0..DEPTH).map(|n| format!("<{n}>")).collect();
        let writes: Vec<Pieces<'_>> = texts
            .iter()
            .map(|t| [IoSlice::new(t.as_bytes()), IoSlice::new(if t.len() > 3 { b"!" } else { b"" })])
            .collect();
        let mut results = [0; DEPTH];
        with(|ring| ring.write_each(&writer, &writes, &mut results)).expect("a ring");
        let expected: Vec<i32> = writes.iter().map(|w| (w[0].len() + w[1].len()) as i32).collect();
        assert_eq!(results[..], expected);
        // What can't be written to says so, each time, and the ring is good for the next call.
        with(|ring| ring.write_each(&reader, &writes[..3], &mut results[..3])).expect("a ring");
        assert_eq!(results[..3], [-libc::EBADF; 3]);
        drop(writer);
        let mut read = String::new();
        File::from(reader).read_to_string(&mut read).unwrap();
        let all: String =
            texts.iter().map(|t| if t.len() > 3 { format!("{t}!") } else { t.clone() }).collect();
        assert_eq!(read, all);
    }

    #[test]
    fn what_lies_in_the_threads_fronts_is_written_as_it_is_at_that_moment() {
        enable().unwrap();
        assert_eq!(with(|ring| ring.knows_fronts()), Some(true));
        let (reader, writer) = pipe();
        let mut reader = File::from(reader);
        with_fronts(|fronts| {
            for round in 0..3u8 {
                for (n, front) in fronts.iter_mut().enumerate() {
                    front[..9].fill(round * 64 + n as u8);
                }
                let writes: Vec<Pieces<'_>> =
                    fronts.iter().map(|front| [IoSlice::new(&front[..9]), IoSlice::new(&[])]).collect();
                let mut results = [0; DEPTH];
                with(|ring| ring.write_each(&writer, &writes, &mut results)).expect("a ring");
                assert_eq!(results, [9; DEPTH]);
                let mut read = [0; 9 * DEPTH];
                reader.read_exact(&mut read).unwrap();
                assert!(read.chunks(9).zip(0..).all(|(bytes, n)| bytes == [round * 64 + n; 9]));
            }
        });
    }

    #[test]
    fn each_read_has_its_own_outcome_and_none_waits() {
        enable().unwrap();
        let (reader, writer) = pipe();
        let mut writer = File::from(writer);
        writer.write_all(b"abcde").unwrap();
        let mut bytes = [[0; 2]; 4];
        let mut places = bytes.each_mut().map(|place| &mut place[..]);
        let mut results = [0; 4];
        with(|ring| ring.read_each(&reader, &mut places, &mut results)).expect("a ring");
        assert_eq!(results, [2, 2, 1, -libc::EAGAIN], "there is a writer, so the end is not reached");
        assert_eq!(bytes, [*b"ab", *b"cd", *b"e\0", [0; 2]]);
    }

    #[test]
    fn a_thread_that_asked_for_no_ring_has_none() {
        std::thread::spawn(|| assert!(with(|_| ()).is_none())).join().unwrap();
    }
}
