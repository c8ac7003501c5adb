//! The same I/O as the switch's own: epoll, up to 64 frames of one side before the other has its turn, one read and one
//! write per frame. Superframes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::unistd::{read, write};

use super::{LONGEST, LOOK_MS, TURN};

/// Copies frames with offload headers between two TAPs until `stop` is set or one of them is gone.
///
/// # Errors
/// When there is no epoll.
pub fn run(a: BorrowedFd<'_>, b: BorrowedFd<'_>, stop: &AtomicBool) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let sides = [(a, b), (b, a)];
    for (n, (from, _)) in sides.iter().enumerate() {
        epoll.add(from.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, n as u64))?;
    }
    let mut buffer = vec![0; LONGEST];
    let mut events = [EpollEvent::empty(); 2];
    while !stop.load(Ordering::Relaxed) {
        let ready = match epoll.wait(&mut events, LOOK_MS) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => continue,
            Err(e) => return Err(e.into()),
        };
        for event in &events[..ready] {
            let (from, to) = sides[event.data() as usize];
            for _ in 0..TURN {
                let len = match read(from, &mut buffer) {
                    Ok(len) => len,
                    Err(Errno::EAGAIN) => break,
                    Err(e) => return Err(e.into()),
                };
                // A frame that the other side refuses is lost.
                let _ = write(to, &buffer[..len]);
            }
        }
    }
    Ok(())
}
