//! The few system calls of the worker that have no safe wrapper.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::epoll::EpollEvent;
use nix::unistd::Pid;

/// `epoll_pwait2`: waits with nanosecond timeouts. Answers how many events there are; a signal counts
/// as none.
pub(super) fn epoll_wait(epoll: BorrowedFd<'_>, events: &mut [EpollEvent], timeout: Duration) -> usize {
    let spec = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
    };
    // SAFETY: `EpollEvent` is a transparent wrapper of `epoll_event`, the buffer is valid for `events.len()` of them,
    // and `spec` outlives the call.
    let n = unsafe {
        libc::epoll_pwait2(
            epoll.as_raw_fd(),
            events.as_mut_ptr().cast::<libc::epoll_event>(),
            events.len() as libc::c_int,
            &raw const spec,
            std::ptr::null(),
        )
    };
    usize::try_from(n).unwrap_or(0)
}

/// Lets timers of this thread be exact instead of 50 us late.
pub(super) fn exact_timers() {
    // SAFETY: takes a number and changes an attribute of the calling thread.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
}

/// Lets the calling thread run as soon as it is woken, before all ordinary work (SCHED_FIFO, lowest priority).
pub(super) fn realtime() -> nix::Result<()> {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters outlive the call; it changes an attribute of the calling thread only.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) }).map(drop)
}

/// Lets the calling thread take its turn like any other again.
pub(super) fn ordinary() -> nix::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: as above.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const priority) }).map(drop)
}

/// On how many processors the process may run, at least 1.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Keeps the calling thread on a processor.
pub(super) fn stay_on(cpu: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// A descriptor that a port told us to watch.
pub(super) fn borrow<'a>(fd: std::os::fd::RawFd) -> BorrowedFd<'a> {
    // SAFETY: only handed to `epoll_ctl`, which answers an error for a descriptor that is no longer open.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
