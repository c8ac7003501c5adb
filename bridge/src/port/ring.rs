//! Many writes by one system call: an `io_uring` of the calling thread.
//!
//! The kernel lets only the thread that made a ring use it, so a ring is kept by its thread: a worker asks for one
//! (`enable`) when it begins, and the ports that it drives find it (`with`). Where there is none, ports write frame by
//! frame.
//!
//! A call returns when the outcome of each of its writes is known, so what is written is borrowed only as long as the
//! call. A device that could make a write wait does not belong here.
//!
//! What must not enter: what a frame is, and anything that stays under way.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, opcode, squeue, types};
use nix::errno::Errno;

/// Writes that go at once.
pub const DEPTH: usize = 64;

/// What one write writes: both pieces, one after the other. The second may be empty.
pub(super) type Pieces<'a> = [IoSlice<'a>; 2];

thread_local! {
    static RING: RefCell<Option<WriteRing>> = const { RefCell::new(None) };
}

/// A ring for writes.
pub(super) struct WriteRing {
    ring: IoUring,
}

/// Gives the calling thread a ring.
///
/// # Errors
/// A sentence that says who refuses it.
pub fn enable() -> Result<(), String> {
    let ring = WriteRing::new().map_err(|error| refusal(&error))?;
    RING.set(Some(ring));
    Ok(())
}

/// Whether a thread of this process can have a ring.
///
/// # Errors
/// A sentence that says who refuses it.
pub fn probe() -> Result<(), String> {
    WriteRing::new().map(drop).map_err(|error| refusal(&error))
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
pub(super) fn with<T>(work: impl FnOnce(&mut WriteRing) -> T) -> Option<T> {
    RING.with_borrow_mut(|ring| ring.as_mut().map(work))
}

impl WriteRing {
    fn new() -> io::Result<WriteRing> {
        // Completions are only wanted inside the call, by the one thread there is.
        let mut ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(DEPTH as u32)?;
        // It may be allowed to make one and not to use it.
        // SAFETY: the entry refers to no memory.
        let pushed = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
        pushed.map_err(|_| io::ErrorKind::OutOfMemory)?;
        ring.submit_and_wait(1)?;
        ring.completion().for_each(drop);
        Ok(WriteRing { ring })
    }

    /// Writes each of `writes` to `fd`, in order. `results` says what each came to: bytes, or a negative error number.
    /// There are at most `DEPTH`, and as many of both.
    pub(super) fn write_each(&mut self, fd: BorrowedFd<'_>, writes: &[Pieces<'_>], results: &mut [i32]) {
        results.fill(-libc::EIO);
        let mut under_way = 0;
        for (n, pieces) in writes.iter().take(results.len()).enumerate() {
            let entry = write(fd, pieces).user_data(n as u64);
            // SAFETY: the bytes and the pieces are borrowed for this call, which does not return before the kernel has
            // said that it is done with them.
            if unsafe { self.ring.submission().push(&entry) }.is_err() {
                break;
            }
            under_way += 1;
        }
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

fn write(fd: BorrowedFd<'_>, pieces: &Pieces<'_>) -> squeue::Entry {
    let fd = types::Fd(fd.as_raw_fd());
    if pieces[1].is_empty() {
        opcode::Write::new(fd, pieces[0].as_ptr(), pieces[0].len() as u32).build()
    } else {
        // An `IoSlice` is an `iovec`.
        opcode::Writev::new(fd, pieces.as_ptr().cast(), pieces.len() as u32).build()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn each_write_has_its_own_outcome_and_they_keep_their_order() {
        enable().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let texts: Vec<String> = (0..DEPTH).map(|n| format!("<{n}>")).collect();
        let writes: Vec<Pieces<'_>> = texts
            .iter()
            .map(|t| [IoSlice::new(t.as_bytes()), IoSlice::new(if t.len() > 3 { b"!" } else { b"" })])
            .collect();
        let mut results = [0; DEPTH];
        with(|ring| ring.write_each(writer.as_fd(), &writes, &mut results)).expect("a ring");
        let expected: Vec<i32> = writes.iter().map(|w| (w[0].len() + w[1].len()) as i32).collect();
        assert_eq!(results[..], expected);
        // What can't be written to says so, each time, and the ring is good for the next call.
        with(|ring| ring.write_each(reader.as_fd(), &writes[..3], &mut results[..3])).expect("a ring");
        assert_eq!(results[..3], [-libc::EBADF; 3]);
        drop(writer);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        let all: String =
            texts.iter().map(|t| if t.len() > 3 { format!("{t}!") } else { t.clone() }).collect();
        assert_eq!(read, all);
    }

    #[test]
    fn a_thread_that_asked_for_no_ring_has_none() {
        std::thread::spawn(|| assert!(with(|_| ()).is_none())).join().unwrap();
    }
}
