//! What most programs do that join TAPs: wait for either with poll, one read, one write. Plain frames.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::{read, write};

use super::{LONGEST, LOOK_MS};

/// Copies frames between two TAPs without offload headers until `stop` is set or one of them is gone.
///
/// # Errors
/// What the kernel says.
pub fn run(a: BorrowedFd<'_>, b: BorrowedFd<'_>, stop: &AtomicBool) -> io::Result<()> {
    let mut buffer = vec![0; LONGEST];
    let mut ready = [a, b].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    while !stop.load(Ordering::Relaxed) {
        match poll(&mut ready, LOOK_MS) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(e) => return Err(e.into()),
        }
        for (n, (from, to)) in [(a, b), (b, a)].into_iter().enumerate() {
            if !ready[n].any().unwrap_or(true) {
                continue;
            }
            match read(from, &mut buffer) {
                // A frame that the other side refuses is lost.
                Ok(len) => drop(write(to, &buffer[..len])),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    Ok(())
}
