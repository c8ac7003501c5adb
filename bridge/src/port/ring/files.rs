//! Files that a ring knows by number. The kernel need not look up such a file for each read and write, which is a twentieth
//! of all that a short frame costs.
//!
//! What a ring knows stays open until it is told to forget it. Newer kernels then let go of the file at once; older ones do
//! later, and a TAP would be busy until then. So a ring is first let know and forget one end of a pipe: it knows files only
//! if that end was closed thereby.
//!
//! What must not enter: what is read and written.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use io_uring::{IoUring, opcode, squeue, types};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::FrameRing;

/// Files that a ring knows at most: eight queues of 64 interfaces. Others are used as well, and looked up.
pub(super) const PLACES: u32 = 512;

/// A file that is read and written by the ring of the thread that uses it. That thread is to drop it, too: a ring of another
/// one would keep it open until its thread ends.
#[derive(Debug)]
pub struct RingFile {
    file: File,
    known: Known,
}

impl From<File> for RingFile {
    fn from(file: File) -> RingFile {
        RingFile { file, known: Known::default() }
    }
}

impl From<RingFile> for File {
    fn from(RingFile { file, .. }: RingFile) -> File {
        file
    }
}

impl AsFd for RingFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The ring that knows a file, and its number there.
#[derive(Debug, Default)]
struct Known(Cell<Option<(u64, u32)>>);

impl Drop for Known {
    fn drop(&mut self) {
        if let Some((ring, number)) = self.0.get() {
            super::of_this_thread(|mine| mine.forget(ring, number));
        }
    }
}

/// How the kernel is told which file is meant.
#[derive(Clone, Copy)]
pub(super) struct Target {
    number: i32,
    flags: squeue::Flags,
}

impl Target {
    pub(super) fn fd(self) -> types::Fd {
        types::Fd(self.number)
    }

    /// For an entry that was made with `fd`.
    pub(super) fn flags(self) -> squeue::Flags {
        self.flags
    }
}

/// The places of a ring.
pub(super) struct Files {
    ring: u64,
    free: Vec<u32>,
}

impl Files {
    /// Makes room for files at a ring that knows none. `None`: the kernel does not let go of them at once, or has no room.
    pub(super) fn new(ring: &mut IoUring, places: u32) -> Option<Files> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        ring.submitter().register_files_sparse(places).ok()?;
        if !lets_go(ring).unwrap_or(false) {
            // What can't be undone does no harm: no file is in it.
            let _ = ring.submitter().unregister_files();
            return None;
        }
        Some(Files { ring: NEXT.fetch_add(1, Ordering::Relaxed), free: (0..places).rev().collect() })
    }

    /// How to tell the kernel which file is meant. It gets to know it, where there is a place.
    #[inline]
    fn target(&mut self, ring: &IoUring, file: &RingFile) -> Target {
        let number = match file.known.0.get() {
            Some((at, number)) if at == self.ring => Some(number),
            _ => self.learn(ring, file),
        };
        match number {
            Some(number) => Target { number: number as i32, flags: squeue::Flags::FIXED_FILE },
            None => by_descriptor(file),
        }
    }

    #[inline(never)]
    fn learn(&mut self, ring: &IoUring, file: &RingFile) -> Option<u32> {
        let number = self.free.pop()?;
        if ring.submitter().register_files_update(number, &[file.as_fd().as_raw_fd()]).is_err() {
            // As if there were no places: it is not asked again for each frame.
            self.free.clear();
            return None;
        }
        file.known.0.set(Some((self.ring, number)));
        Some(number)
    }
}

impl FrameRing {
    #[inline]
    pub(super) fn target(&mut self, file: &RingFile) -> Target {
        let FrameRing { ring, files, .. } = self;
        files.as_mut().map_or_else(|| by_descriptor(file), |files| files.target(ring, file))
    }

    fn forget(&mut self, at: u64, number: u32) {
        if let Some(files) = self.files.as_mut().filter(|files| files.ring == at)
            && self.ring.submitter().register_files_update(number, &[-1]).is_ok()
        {
            files.free.push(number);
        }
    }
}

fn by_descriptor(file: &RingFile) -> Target {
    Target { number: file.as_fd().as_raw_fd(), flags: squeue::Flags::empty() }
}

/// Whether a file that was used and is forgotten is closed when the call returns.
fn lets_go(ring: &mut IoUring) -> io::Result<bool> {
    let (reader, writer) = io::pipe()?;
    ring.submitter().register_files_update(0, &[reader.as_raw_fd()])?;
    drop(reader);
    let mut byte = 0u8;
    let read = opcode::Read::new(types::Fixed(0), &raw mut byte, 1).rw_flags(libc::RWF_NOWAIT).build();
    // SAFETY: the byte outlives the entry: this goes on when one is done, and there is no other.
    unsafe { ring.submission().push(&read) }.map_err(io::Error::other)?;
    while ring.completion().next().is_none() {
        // An error is a signal, or a moment without memory.
        let _ = ring.submit_and_wait(1);
    }
    ring.submitter().register_files_update(0, &[-1])?;
    let mut fds = [PollFd::new(writer.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO)?;
    Ok(fds[0].revents().is_some_and(|found| found.contains(PollFlags::POLLERR)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use super::super::{RING, enable, with};
    use super::*;

    /// Reads from a pipe in which there is a byte.
    fn read_one(file: &RingFile) -> i32 {
        let mut byte = [0; 1];
        let mut results = [0];
        with(|ring| ring.read_each(file, &mut [&mut byte[..]], &mut results)).expect("a ring");
        results[0]
    }

    fn pipe_with(bytes: usize) -> (RingFile, io::PipeWriter) {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&vec![b'x'; bytes]).unwrap();
        (RingFile::from(File::from(OwnedFd::from(reader))), writer)
    }

    #[test]
    fn a_file_that_was_used_is_closed_when_it_is_dropped() {
        enable().unwrap();
        for _ in 0..2 * PLACES {
            let (file, mut writer) = pipe_with(2);
            assert_eq!((read_one(&file), read_one(&file)), (1, 1));
            drop(file);
            assert_eq!(writer.write(b"x").map_err(|e| e.kind()), Err(io::ErrorKind::BrokenPipe));
        }
    }

    #[test]
    fn files_for_which_there_is_no_place_are_used_as_well_and_a_place_is_used_again() {
        let ring = FrameRing::with_places(3).unwrap();
        let expected = ring.files.is_some();
        RING.set(Some(ring));
        let mut pipes: Vec<_> = (0..5).map(|_| pipe_with(3)).collect();
        let known = |file: &RingFile| file.known.0.get().is_some();
        for (n, (file, _)) in pipes.iter().enumerate() {
            assert_eq!((read_one(file), known(file)), (1, expected && n < 3));
        }
        pipes.remove(1);
        for (n, (file, _)) in pipes.iter().enumerate() {
            assert_eq!((read_one(file), known(file)), (1, expected && n < 3), "one has taken the place");
        }
    }

    #[test]
    fn a_file_of_another_ring_is_known_anew() {
        enable().unwrap();
        let (file, _writer) = pipe_with(2);
        assert_eq!(read_one(&file), 1);
        enable().unwrap();
        assert_eq!(read_one(&file), 1);
    }
}
