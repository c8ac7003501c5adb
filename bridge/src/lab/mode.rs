//! Where the hosts of a lab can live on this machine: finds out, enters a user namespace if need be, and says why.

use std::fs::{self, OpenOptions};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::args::Mode;
use crate::net::{Links, Netns, NetnsRef};

const TUN: &str = "/dev/net/tun";

const NETNS: &str = "network namespaces with a TAP each";
const USERNS: &str = "network namespaces with a TAP each, inside a user namespace";
const INPROCESS: &str = "inside this process, on an IP stack of their own";

/// A mode that works here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Never `Auto`.
    pub mode: Mode,
    /// Why this one, as part of a sentence.
    pub reason: String,
}

/// Chooses a mode and enters it. Must be called before the process has a second thread: a user namespace can only be
/// entered by a process with one.
///
/// # Errors
/// When the mode that was asked for does not work here: why, and what does.
pub fn enter(wanted: Mode) -> Result<Chosen, String> {
    let chosen = |mode, reason: String| Ok(Chosen { mode, reason });
    match wanted {
        Mode::Inprocess => chosen(Mode::Inprocess, format!("{INPROCESS}, as asked")),
        Mode::Netns => match namespaces_work() {
            Ok(()) => chosen(Mode::Netns, format!("{NETNS}, as asked")),
            Err(why) => Err(format!("--mode netns does not work here: {why}; --mode auto takes what works")),
        },
        Mode::Userns => match enter_user_namespace().and_then(|()| namespaces_work()) {
            Ok(()) => chosen(Mode::Userns, format!("{USERNS}, as asked")),
            Err(why) => {
                Err(format!("--mode userns does not work here: {why}; --mode inprocess does everywhere"))
            }
        },
        Mode::Auto => Ok(best()),
    }
}

fn best() -> Chosen {
    let why_not = match namespaces_work() {
        Ok(()) => {
            return Chosen { mode: Mode::Netns, reason: format!("{NETNS}, as this process may make them") };
        }
        Err(why) => why,
    };
    match enter_user_namespace().and_then(|()| namespaces_work()) {
        Ok(()) => Chosen {
            mode: Mode::Userns,
            reason: format!("{USERNS}, as {why_not}, but in a user namespace it may"),
        },
        // The first reason holds for user namespaces as well.
        Err(why) if why == why_not => {
            Chosen { mode: Mode::Inprocess, reason: format!("{INPROCESS}, as {why}") }
        }
        Err(why) => Chosen { mode: Mode::Inprocess, reason: format!("{INPROCESS}, as {why_not} and {why}") },
    }
}

/// Whether hosts with TAPs can be made, tried out.
fn namespaces_work() -> Result<(), String> {
    tun_opens()?;
    let netns =
        Netns::anonymous("probe").map_err(|_| "this process may not make network namespaces".to_owned())?;
    Links::within(&NetnsRef::Open(netns.into()), |links| links.set_up("lo"))
        .map_err(|_| "this process may not configure interfaces".to_owned())
}

fn tun_opens() -> Result<(), String> {
    match OpenOptions::new().read(true).write(true).open(TUN) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(format!("{TUN} may only be opened by root here"))
        }
        Err(e) => Err(format!("{TUN} can't be opened ({e})")),
    }
}

/// Becomes root of a new user namespace, which owns the network namespaces made from now on.
fn enter_user_namespace() -> Result<(), String> {
    tun_opens()?;
    let (uid, gid) = (geteuid(), getegid());
    unshare_user().map_err(|e| match e {
        Errno::EPERM | Errno::ENOSPC | Errno::EUSERS | Errno::ENOSYS => {
            "user namespaces are not allowed here".to_owned()
        }
        e => format!("a user namespace can't be entered ({})", e.desc()),
    })?;
    // Groups have to be given up before a group may be mapped (user_namespaces(7)).
    let maps = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ];
    for (file, text) in maps {
        fs::write(format!("/proc/self/{file}"), text)
            .map_err(|e| format!("the user namespace can't be set up (/proc/self/{file}: {e})"))?;
    }
    Ok(())
}

/// A thread that was joined may still be on its way out of the kernel, which then says EINVAL: there are two threads.
fn unshare_user() -> Result<(), Errno> {
    for _ in 0..50 {
        match unshare(CloneFlags::CLONE_NEWUSER) {
            Err(Errno::EINVAL) => std::thread::sleep(Duration::from_millis(2)),
            other => return other,
        }
    }
    unshare(CloneFlags::CLONE_NEWUSER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_inside_the_process_work_everywhere() {
        let chosen = enter(Mode::Inprocess).unwrap();
        assert_eq!(chosen.mode, Mode::Inprocess);
    }

    /// A process with two threads can't enter a user namespace: the reason must reach the user.
    #[test]
    fn what_does_not_work_is_refused_with_a_reason_and_a_way_out() {
        // On a thread of its own, so that there are two however the harness runs tests.
        let second = std::thread::spawn(|| enter(Mode::Userns));
        let message = second.join().unwrap().expect_err("more than one thread");
        assert!(message.contains("--mode inprocess") && message.contains("does not work here:"), "{message}");
    }
}
