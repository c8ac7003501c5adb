//! Keeps the kernel from polling a device by itself: what a host sends then stays on its side until we ask for it.
//!
//! An interrupt polls the device once more and is then put off, so often and so long that it never comes again; only
//! polling on demand (`Xsk::bell`) is left. Settings are files of `sysfs`, which shows the interfaces of the namespace it
//! was mounted in; so it is mounted anew, where nobody sees it, for the calling thread's namespace.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// Times that an interrupt is put off.
const DEFER: &str = "2000000000";
/// For so long, in nanoseconds: a year.
const FLUSH: &str = "31536000000000000";
const SETTINGS: [(&str, &str); 2] = [("napi_defer_hard_irqs", DEFER), ("gro_flush_timeout", FLUSH)];

/// What the settings of a device were.
#[derive(Debug)]
pub(super) struct Masked {
    files: Vec<(File, String)>,
}

/// Masks the device `name` of the calling thread's namespace.
pub(super) fn mask(name: &str) -> io::Result<Masked> {
    let root = sysfs()?;
    let mut masked = Masked { files: Vec::new() };
    for (setting, value) in SETTINGS {
        let path = format!("class/net/{name}/{setting}");
        let mut file =
            File::from(openat(&root, path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?);
        let mut before = String::new();
        file.read_to_string(&mut before)?;
        file.write_all(value.as_bytes())?;
        masked.files.push((file, before.trim().to_owned()));
    }
    Ok(masked)
}

impl Masked {
    /// Puts the settings back.
    pub(super) fn restore(self) -> io::Result<()> {
        self.files.into_iter().try_for_each(|(mut file, before)| file.write_all(before.as_bytes()))
    }
}

/// A `sysfs` of the calling thread's namespace that is mounted nowhere; the one of the machine where that may not be made.
fn sysfs() -> io::Result<OwnedFd> {
    match detached_sysfs() {
        Ok(root) => Ok(root),
        Err(Errno::EPERM | Errno::ENOSYS) => Ok(File::open("/sys")?.into()),
        Err(e) => Err(e.into()),
    }
}

fn detached_sysfs() -> Result<OwnedFd, Errno> {
    // linux/mount.h
    const CREATE: libc::c_uint = 6;
    const CLOSE_ON_EXEC: libc::c_uint = 1;
    // SAFETY: the name outlives the call.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, c"sysfs".as_ptr(), CLOSE_ON_EXEC) };
    // SAFETY: the descriptor was just made for us.
    let context = unsafe { OwnedFd::from_raw_fd(Errno::result(context)? as i32) };
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes neither key nor value.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CREATE, none, none, 0) };
    Errno::result(made)?;
    // SAFETY: takes numbers.
    let mount = unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOSE_ON_EXEC, 0) };
    // SAFETY: the descriptor was just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(Errno::result(mount)? as i32) })
}
