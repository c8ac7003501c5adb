//! Opening a TAP: made if it does not exist, attached to if it does.
//!
//! tokio-tun opens the queues, but knows no offload header. So a *seed* descriptor comes first: it makes the interface
//! with `IFF_VNET_HDR`, and further queues inherit that because the kernel takes an interface's flags from the first
//! descriptor only. The seed also meets every refusal of the kernel before tokio-tun does, which leaks descriptors
//! on a refusal. When all queues are there the seed is closed.
//!
//! Runs on a thread in the interface's namespace and blocks for at most `BUSY_PATIENCE` plus a few system calls.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libc::{IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR};
use nix::errno::Errno;
use tokio_tun::Tun;

use super::steering::Steering;
use super::{TapOptions, TapPort, holder};
use crate::net::{self, Links, in_netns};
use crate::port::{OpenError, VNET_HEADER_LEN, sys};

const NODE: &str = "/dev/net/tun";
/// A TAP of a process that has just ended stays busy until the kernel has closed its files: those that an `io_uring` knows
/// some 50 ms after the others.
const BUSY_PATIENCE: Duration = Duration::from_millis(1500);
const BUSY_PAUSE: Duration = Duration::from_millis(25);
/// Frames that a TAP made here keeps while the switch stands still: 5 ms at 10 Gbit/s in full-size frames.
const TXQUEUELEN: u32 = 4096;

/// `TUN_F_CSUM | TSO4 | TSO6 | TSO_ECN`, and USO since Linux 6.2.
const OFFLOADS: u32 = 0x01 | 0x02 | 0x04 | 0x08;
const UDP_OFFLOADS: u32 = 0x20 | 0x40;

/// Opens a TAP.
///
/// # Errors
/// A sentence that says what is missing or in the way.
pub fn open(options: &TapOptions) -> Result<TapPort, OpenError> {
    check_name(&options.name)?;
    if !(1..=8).contains(&options.queues) {
        return Err(OpenError::new(format!(
            "TAP {} can't have {} queues: 1, or 8 (one per priority)",
            options.name, options.queues
        )));
    }
    in_netns(&options.netns, || open_here(options))
}

/// The kernel's rules for interface names, and no `%`, which the kernel would replace by a number.
fn check_name(name: &str) -> Result<(), OpenError> {
    let allowed = |c: u8| c.is_ascii_graphic() && !matches!(c, b'/' | b':' | b'%');
    if name.is_empty() || name.len() > 15 || !name.bytes().all(allowed) || name == "." || name == ".." {
        return Err(OpenError::new(format!(
            "'{name}' can't be the name of a TAP: 1 to 15 ASCII characters without space, '/', ':' and '%'"
        )));
    }
    Ok(())
}

fn open_here(options: &TapOptions) -> Result<TapPort, OpenError> {
    let name = &options.name;
    let mut notes = Vec::new();
    let seed = Seed::plant(options, &mut notes)?;
    if options.offload {
        offer_offload(&seed.file, name, &mut notes)?;
    }
    let created = seed.created;
    let wanted = options.by_priority.as_ref();
    let pauses = wanted.is_some_and(|wanted| !wanted.lossless.is_empty());
    let steering = wanted.and_then(|wanted| match Steering::load(wanted) {
        Ok(steering) => Some(steering),
        Err(why) => {
            // Without gates it is only that bursts of one priority may be in the way of another while nobody has the time to
            // read them.
            notes.extend(pauses.then(|| unpaused(name, &why)));
            None
        }
    });
    let count = if steering.is_some() { 8 } else { options.queues };
    let queues = if seed.multi_queue {
        seed.grow(name, count as usize)?
    } else {
        if pauses || options.queues > 1 {
            notes.push(format!(
                "{name} exists with a single queue: it is read as one, so a paused priority can hold up the others \
                 of this host and none can be paused at its sender (make it with `ip tuntap add dev {name} mode tap \
                 multi_queue`)"
            ));
        }
        vec![seed.file]
    };
    configure(&Links::open()?, options, created, &mut notes)?;
    let mut port = TapPort::new(queues, options.offload, notes);
    if let (Some(steering), Some(wanted), 8) = (steering, wanted, port.queues.len()) {
        let steered = if pauses {
            steering.edge(&port.queues[0], options, wanted, created).map(|edge| port.lossless = Some(edge))
        } else {
            steering.begin(&port.queues[0])
        };
        match steered {
            Ok(()) => port.steered = true,
            Err(why) => {
                // One queue again: several would only let frames overtake each other.
                let _ = sys::set_steering(port.queues[0].as_fd(), None);
                port.queues.truncate(usize::from(options.queues));
                port.notes.extend(pauses.then(|| unpaused(name, &why)));
            }
        }
    }
    Ok(port)
}

/// What is said where a host can't be paused.
fn unpaused(name: &str, why: &str) -> String {
    format!(
        "the host of {name} can't be paused, its lossless classes are lossless only from here on: {name} {why}"
    )
}

/// Sets what differs from what is asked for. A TAP that an administrator made for an unprivileged user may be attached to
/// but not changed: that is said, and the port works with what there is.
fn configure(
    links: &Links,
    options: &TapOptions,
    created: bool,
    notes: &mut Vec<String>,
) -> Result<(), OpenError> {
    let name = &options.name;
    let mut or_note = |changed: net::Result<()>, remedy: String| match changed {
        Err(e) if !created && e.kind() == Some(io::ErrorKind::PermissionDenied) => {
            notes.push(format!("{name} is not ours to change; an administrator can: {remedy}"));
            Ok(())
        }
        other => other,
    };
    let now = links.info(name)?;
    let mtu = u32::from(options.mtu);
    if now.mtu != mtu {
        or_note(links.set_mtu(name, mtu), format!("ip link set dev {name} mtu {mtu} (it is {})", now.mtu))?;
    }
    let wanted = options.txqueuelen.or(created.then_some(TXQUEUELEN));
    if let Some(frames) = wanted.filter(|&frames| frames != now.txqueuelen) {
        or_note(
            links.set_txqueuelen(name, frames),
            format!("ip link set dev {name} txqueuelen {frames} (it is {})", now.txqueuelen),
        )?;
    }
    if !now.up {
        or_note(links.set_up(name), format!("ip link set dev {name} up (it is down)"))?;
    }
    Ok(())
}

/// The first descriptor of an interface.
struct Seed {
    file: File,
    multi_queue: bool,
    created: bool,
}

/// Why an attempt did not give a seed.
enum Failed {
    /// Held by others: it may pass.
    Busy(Vec<holder::Holder>),
    /// It won't.
    Final(OpenError),
}

impl From<OpenError> for Failed {
    fn from(error: OpenError) -> Failed {
        Failed::Final(error)
    }
}

impl Seed {
    fn plant(options: &TapOptions, notes: &mut Vec<String>) -> Result<Seed, OpenError> {
        let name = &options.name;
        let patience_ends = Instant::now() + BUSY_PATIENCE;
        loop {
            let patient = Instant::now() < patience_ends;
            match Seed::try_plant(options, patient, notes) {
                Ok(seed) => return Ok(seed),
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Busy(_)) if patient => sleep(BUSY_PAUSE),
                Err(Failed::Busy(holders)) => {
                    let by = if holders.is_empty() {
                        "another process (which one can't be seen; look as root)".to_owned()
                    } else {
                        holders.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                    };
                    return Err(OpenError::new(format!(
                        "TAP {name} in {} is in use by {by}: stop it there or choose another interface",
                        options.netns
                    )));
                }
            }
        }
    }

    fn try_plant(options: &TapOptions, patient: bool, notes: &mut Vec<String>) -> Result<Seed, Failed> {
        let flags = IFF_TAP | IFF_NO_PI | if options.offload { IFF_VNET_HDR } else { 0 };
        match attach(&options.name, flags | IFF_MULTI_QUEUE | sys::IFF_TUN_EXCL)? {
            Ok(file) => return Ok(Seed { file, multi_queue: true, created: true }),
            Err(Errno::EBUSY) => {}
            Err(e) => return Err(refusal(options, e).into()),
        }
        // The interface is there already. The kernel lets several processes share a multi-queue TAP and then gives
        // each of them some of the flows, so that a free queue says nothing.
        let holders = holder::of(&options.name);
        if holders.iter().any(|h| h.certain) {
            return Err(Failed::Busy(holders));
        }
        let unseen = holders.is_empty() && is_held(&options.name)?;
        if unseen && patient {
            return Err(Failed::Busy(holders));
        }
        match attach(&options.name, flags | IFF_MULTI_QUEUE)? {
            Ok(file) => {
                if unseen {
                    notes.push(format!(
                        "{} has a carrier, so another process (which one can't be seen; look as root) may have it open: \
                         some of its frames would then go there",
                        options.name
                    ));
                }
                return Seed { file, multi_queue: true, created: false }.checked(flags, holders, notes);
            }
            Err(Errno::EINVAL) => {}
            Err(e) => return Err(refusal(options, e).into()),
        }
        match attach(&options.name, flags)? {
            Ok(file) => Seed { file, multi_queue: false, created: false }.checked(flags, holders, notes),
            Err(Errno::EBUSY) => Err(Failed::Busy(holders)),
            Err(e) => Err(refusal(options, e).into()),
        }
    }

    /// A shared interface keeps the flags of whoever came first: they must be ours.
    fn checked(
        self,
        flags: i32,
        holders: Vec<holder::Holder>,
        notes: &mut Vec<String>,
    ) -> Result<Seed, Failed> {
        let (name, now) = sys::interface(self.file.as_fd())
            .map_err(|e| OpenError::new(format!("the TAP can't be asked for its settings: {e}")))?;
        if (now ^ flags) & IFF_VNET_HDR != 0 {
            return Err(Failed::Busy(holders));
        }
        if let Some(holder) = holders.first() {
            notes.push(format!(
                "{holder} has a TAP named {name} open, perhaps this one: some of its frames would then go there"
            ));
        }
        Ok(self)
    }

    /// Lets tokio-tun open `wanted` queues, answers them in the kernel's order.
    fn grow(self, name: &str, wanted: usize) -> Result<Vec<File>, OpenError> {
        let failed = |e: io::Error| OpenError::new(format!("the queues of TAP {name} can't be opened: {e}"));
        // A Tun needs a reactor to be made. The data path waits by itself, so ours ends with this function.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let _reactor = runtime.enter();
        // With a single queue tokio-tun would ask for an interface without IFF_MULTI_QUEUE, which this one is not.
        let tuns = Tun::builder()
            .name(name)
            .tap()
            .queues(wanted.max(2))
            .build()
            .map_err(|e| failed(io::Error::other(e)))?;
        let mut queues = Vec::with_capacity(wanted);
        for tun in tuns.iter().take(wanted) {
            queues.push(File::from(sys::duplicate(tun).map_err(failed)?));
        }
        // Closing queue 0 makes the last one the new queue 0; the others keep their numbers. Queues beyond those
        // wanted go first, so that the last one is one of ours.
        drop(tuns);
        drop(self.file);
        queues.rotate_right(1);
        Ok(queues)
    }
}

/// Whether somebody holds a queue of a TAP: only then it has a carrier (or its administrator has given it one).
fn is_held(name: &str) -> Result<bool, OpenError> {
    // It may be gone by now.
    Ok(Links::open()?.info(name).is_ok_and(|link| link.carrier))
}

/// The inner error is the kernel's answer to the attachment, the outer one: there is no TUN driver to ask.
fn attach(name: &str, flags: i32) -> Result<Result<File, Errno>, OpenError> {
    let node = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(NODE);
    let file = node.map_err(|e| {
        OpenError::new(match e.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => format!(
                "{NODE} does not exist: load the driver (modprobe tun); in a container pass the device in \
                 (--device {NODE})"
            ),
            Some(Errno::ENODEV | Errno::ENXIO) => {
                format!("{NODE} has no driver behind it: load it (modprobe tun)")
            }
            Some(Errno::EACCES | Errno::EPERM) => format!(
                "{NODE} may not be opened: run as root, or let an administrator allow it (chmod 0666 {NODE}; the \
                 interface still needs CAP_NET_ADMIN)"
            ),
            _ => format!("{NODE} can't be opened: {e}"),
        })
    })?;
    Ok(match sys::set_interface(file.as_fd(), name, flags) {
        Ok(()) => Ok(file),
        Err(e) => Err(e.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw)),
    })
}

fn refusal(options: &TapOptions, errno: Errno) -> OpenError {
    let name = &options.name;
    let netns = &options.netns;
    OpenError::new(match errno {
        Errno::EPERM | Errno::EACCES => format!(
            "TAP {name} in {netns} may not be opened: run as root or with CAP_NET_ADMIN, or let an administrator \
             make it for you (ip tuntap add dev {name} mode tap multi_queue user $USER)"
        ),
        Errno::EINVAL => format!(
            "an interface {name} exists in {netns} and is not a TAP: choose another name, or delete it (ip link del dev {name})"
        ),
        Errno::E2BIG => format!("all queues of TAP {name} in {netns} are taken: other programs have it open"),
        e => format!("TAP {name} in {netns} can't be opened: {}", e.desc()),
    })
}

fn offer_offload(file: &File, name: &str, notes: &mut Vec<String>) -> Result<(), OpenError> {
    let failed = |e: io::Error| {
        OpenError::new(format!("TAP {name} refuses offloads ({e}): set `offload = false` for this port"))
    };
    sys::set_vnet_header(file.as_fd(), VNET_HEADER_LEN).map_err(failed)?;
    if sys::set_offload(file.as_fd(), OFFLOADS | UDP_OFFLOADS).is_err() {
        sys::set_offload(file.as_fd(), OFFLOADS).map_err(failed)?;
        notes.push(format!(
            "{name}: this kernel hands out no UDP superframes (USO needs Linux 6.2); UDP costs more CPU"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_or_a_crate_would_stumble_over_are_refused() {
        for name in ["tap0", "a", "vm-1.eth0", "fifteen-bytes-x"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "sixteen-bytes-xx",
            "tap%d",
            "a b",
            "a/b",
            "a:b",
            "türkis",
            "ünïcödé-längér-thän-15",
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains("1 to 15 ASCII characters"), "{error}");
        }
    }
}
