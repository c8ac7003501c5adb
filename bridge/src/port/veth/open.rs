//! Opening a veth port: the pair, both of its ends, and how all of it is put back.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dcbridge_scheduler::Priority;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

use super::napi::{self, Masked};
use super::socket::{HEADROOM, Xsk};
use super::{QUEUES, VethOptions, VethPort};
use crate::edge::bpf::{Assembler, Helper, Kind, Map, MapKind, Register, Width, attach_xdp, load};
use crate::edge::steer::SteerSpec;
use crate::edge::{Cookie, VethHost};
use crate::net::{Feature, Features, Links, Netns, NetnsRef, VethEnd, VethPair, in_netns, sysctl};
use crate::port::{Guarantee, OpenError};

/// The longest L3 MTU in bytes: a frame with its tag, the room in front of it and the kernel's own record share a page.
pub const MTU_MAX: u16 = 3500;
const ETHERNET_AND_TAG: usize = 18;
/// What the pairs are known by that we made, also after a kill.
const REMARK: &str = "made by dcbridge";
/// From this version on a full ring stops the host's queue; before, it drops.
const BACKPRESSURE_SINCE: (u32, u32) = (6, 16);
/// How long the first frames may take through the kernel.
const PATIENCE: Duration = Duration::from_secs(1);
/// With it the kernel knows what to poll before AF_XDP asks for it.
const POLLED: [Feature; 1] = [("rx-gro", true)];
/// Offset in `struct xdp_md`.
const RX_QUEUE_INDEX: i16 = 16;
const XDP_DROP: i32 = 1;

/// Opens a veth port; the switch's end is in the calling thread's namespace.
///
/// # Errors
/// A sentence that says what is missing or in the way. Everything is then as it was.
pub fn open(options: &VethOptions) -> Result<VethPort, OpenError> {
    if options.mtu > MTU_MAX {
        return Err(OpenError::new(format!(
            "veth {} can't have an MTU of {}: with AF_XDP at most {MTU_MAX} (write `mtu = {MTU_MAX}`, or use a TAP)",
            options.name, options.mtu
        )));
    }
    in_netns(&NetnsRef::Current, || open_here(options))
}

fn open_here(options: &VethOptions) -> Result<VethPort, OpenError> {
    let hold = |netns: &NetnsRef| in_netns(netns, Netns::of_this_thread).map(|n| NetnsRef::Open(Arc::new(n)));
    let (here, there) = (hold(&NetnsRef::Current)?, hold(&options.netns)?);
    let mut setup = Setup::begin(options, here, there)?;
    let wake = setup.host(options)?;
    setup.device(options)?;
    let xsks = setup.sockets()?;
    VethPort::new(xsks, wake, setup)
        .map_err(|e| OpenError::new(format!("veth {} has no descriptors to wait for: {e}", options.name)))
}

/// A timer that nobody waits for yet.
pub(super) fn timer() -> io::Result<TimerFd> {
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    Ok(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?)
}

/// A socket by which interfaces of this namespace can be asked for.
pub(super) fn any_socket() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?)
}

/// What was set up, and what has to be done to undo it.
#[derive(Debug)]
pub(super) struct Setup {
    name: String,
    peer: String,
    here: NetnsRef,
    there: NetnsRef,
    index: u32,
    /// We made the pair: it goes with us.
    ours: bool,
    chunk: usize,
    cookie: Cookie,
    host: Option<VethHost>,
    features: Option<(Features, Vec<Feature>)>,
    masked: Option<Masked>,
    sockets: Option<Map>,
    /// Closed, it takes the program off.
    program: Option<OwnedFd>,
    before: Before,
    notes: Vec<String>,
    guarantee: Guarantee,
}

/// Settings of the switch's end of a pair that is not ours.
#[derive(Debug)]
struct Before {
    up: bool,
    mtu: u32,
    ipv6: Option<String>,
}

impl Setup {
    /// Makes the pair, or finds it.
    fn begin(options: &VethOptions, here: NetnsRef, there: NetnsRef) -> Result<Setup, OpenError> {
        let VethOptions { name, peer, .. } = options;
        let links = Links::open()?;
        let (end, ours) = match links.veth(name)? {
            Some(end) => {
                check_pair(options, &there, &end)?;
                let ours = end.alias.as_deref() == Some(REMARK);
                (end, ours)
            }
            None => (make(options, &links, &there)?, true),
        };
        let info = links.info(name)?;
        let ipv6 = ipv6_key(name);
        let before = Before { up: info.up, mtu: info.mtu, ipv6: sysctl::read(&ipv6).ok() };
        let frame = usize::from(options.mtu) + ETHERNET_AND_TAG + HEADROOM;
        let (guarantee, notes) = backpressure(name);
        Ok(Setup {
            name: name.clone(),
            peer: peer.clone(),
            here,
            there,
            index: end.index,
            ours,
            chunk: frame.next_power_of_two().max(2048),
            cookie: Cookie::random(),
            host: None,
            features: None,
            masked: None,
            sockets: None,
            program: None,
            before,
            notes,
            guarantee,
        })
    }

    /// Sets up the host's end.
    fn host(&mut self, options: &VethOptions) -> Result<crate::edge::Wake, OpenError> {
        let (peer, mtu) = (&self.peer, u32::from(options.mtu));
        let spec = SteerSpec { kick: Some(self.cookie), ..options.steering.clone() };
        let opened = in_netns(&self.there, || {
            Ok::<_, crate::net::Error>(VethHost::open(peer, mtu, &spec, self.cookie))
        })?;
        let (host, wake) = opened.map_err(|obstacle| {
            OpenError::new(format!("interface {peer} in {} {obstacle}", options.netns))
        })?;
        self.host = Some(host);
        Ok(wake)
    }

    /// Sets up the switch's end.
    fn device(&mut self, options: &VethOptions) -> Result<(), OpenError> {
        let name = &options.name;
        let links = Links::open()?;
        // Else it would send into the host by itself.
        sysctl::disable_ipv6(name)?;
        let features = Features::open(name)?;
        let undo = features.set(&POLLED)?;
        self.features = Some((features, undo));
        links.set_mtu(name, u32::from(options.mtu))?;
        links.set_up(name)?;
        let failed = |what: &str, e: &io::Error| refused(name, what, e);
        let sockets =
            Map::new(MapKind::XdpSockets(QUEUES as u32)).map_err(|e| failed("a map of eBPF", &e))?;
        let program = xdp_program(&sockets).map_err(|e| {
            OpenError::new(format!("veth {name} can't be given an XDP program: {e} (run as root)"))
        })?;
        let attached = attach_xdp(program.as_fd(), self.index).map_err(|e| failed("an XDP program", &e))?;
        self.sockets = Some(sockets);
        self.program = Some(attached);
        // Only now: a device that is masked before would never show what to poll.
        self.masked = Some(napi::mask(name).map_err(|e| failed("polling on demand", &e))?);
        Ok(())
    }

    /// Opens the sockets, and sends a frame through each so that they learn what to poll.
    pub(super) fn sockets(&self) -> Result<Vec<Xsk>, OpenError> {
        in_netns(&self.here, || {
            let failed = |e: io::Error| refused(&self.name, "a socket of AF_XDP", &e);
            let (Some(map), Some(host)) = (&self.sockets, &self.host) else {
                return Err(failed(io::ErrorKind::NotConnected.into()));
            };
            let mut xsks = Vec::with_capacity(QUEUES);
            for queue in 0..QUEUES as u32 {
                let xsk = Xsk::open(self.index, queue, self.chunk).map_err(failed)?;
                map.put(queue, xsk.as_fd()).map_err(failed)?;
                xsks.push(xsk);
            }
            let end = Instant::now() + PATIENCE;
            while let Some(deaf) = xsks.iter().position(|xsk| !xsk.has_bell()) {
                let knocked = host.knock(Priority::new(deaf as u8));
                if Instant::now() > end {
                    return Err(OpenError::new(format!(
                        "veth {}: queue {deaf} passes no frames{}: this kernel can't poll it on demand",
                        self.name,
                        knocked.err().map(|e| format!(" ({e})")).unwrap_or_default()
                    )));
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            Ok(xsks)
        })
    }

    pub(super) fn index(&self) -> u32 {
        self.index
    }

    pub(super) fn cookie(&self) -> Cookie {
        self.cookie
    }

    pub(super) fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Puts a pair that is not ours back as it was, the switch's end first.
    fn restore(&mut self) -> Result<(), OpenError> {
        // While there is a program: taking that off then ends the polling as well.
        if let Some((features, undo)) = self.features.take() {
            features.set(&undo)?;
        }
        if let Some(masked) = self.masked.take() {
            masked.restore().map_err(|e| refused(&self.name, "its former polling", &e))?;
        }
        self.program = None;
        let links = Links::open()?;
        if links.veth(&self.name)?.is_some() {
            links.set_mtu(&self.name, self.before.mtu)?;
            if !self.before.up {
                links.set_down(&self.name)?;
            }
            if let Some(value) = &self.before.ipv6 {
                sysctl::write(&ipv6_key(&self.name), value)?;
            }
        }
        let Some(host) = self.host.take() else { return Ok(()) };
        let restored = in_netns(&self.there, || Ok::<_, crate::net::Error>(host.restore()))?;
        restored.map_err(|o| OpenError::new(format!("interface {} {o}", self.peer)))
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        let here = self.here.clone();
        let undone = in_netns(&here, || {
            if !self.ours {
                return self.restore();
            }
            let links = Links::open()?;
            // Somebody may have deleted it: then there is nothing to do.
            match links.veth(&self.name) {
                Ok(Some(_)) => Ok(links.delete(&self.name)?),
                _ => Ok(()),
            }
        });
        if let Err(error) = undone {
            tracing::warn!(port = self.name, %error, "the veth pair was not put back as it was");
        }
    }
}

fn ipv6_key(name: &str) -> String {
    format!("ipv6/conf/{name}/disable_ipv6")
}

fn make(options: &VethOptions, links: &Links, there: &NetnsRef) -> Result<VethEnd, OpenError> {
    let VethOptions { name, peer, mtu, netns, .. } = options;
    let NetnsRef::Open(peer_netns) = there else {
        return Err(OpenError::new(format!("{netns} is not open")));
    };
    links.add_veth_pair(&VethPair {
        name,
        peer,
        peer_netns,
        queues: QUEUES as u32,
        mtu: u32::from(*mtu),
        alias: REMARK,
    })?;
    links.veth(name)?.ok_or_else(|| OpenError::new(format!("interface {name} vanished while it was made")))
}

/// Whether a pair that exists is the one that was meant, with as many queues as are needed.
fn check_pair(options: &VethOptions, there: &NetnsRef, end: &VethEnd) -> Result<(), OpenError> {
    let VethOptions { name, peer, netns, .. } = options;
    let other = in_netns(there, || Links::open()?.veth(peer))?;
    let Some(other) = other.filter(|o| o.index == end.peer_index && o.peer_index == end.index) else {
        return Err(OpenError::new(format!(
            "interface {name} exists, and its other end is not {peer} in {netns}: delete it (ip link del dev {name}) \
             or say which it is (`peer`, `netns`)"
        )));
    };
    let queues = end.tx_queues.min(end.rx_queues).min(other.tx_queues).min(other.rx_queues);
    if queues < QUEUES as u32 {
        return Err(OpenError::new(format!(
            "the veth pair {name}, {peer} has {queues} queues, one per priority are needed: delete it and let it be \
             made here, or make it with `numtxqueues 8 numrxqueues 8` at both ends"
        )));
    }
    Ok(())
}

/// What not reading does on this kernel.
fn backpressure(name: &str) -> (Guarantee, Vec<String>) {
    let release = nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    if version(&release).is_none_or(|v| v >= BACKPRESSURE_SINCE) {
        return (Guarantee::Exact, Vec::new());
    }
    let (major, minor) = BACKPRESSURE_SINCE;
    let note = format!(
        "{name}: on Linux {release} a veth pair that is not read drops instead of stopping its sender (that came with \
         {major}.{minor}): nothing is lossless here; use a TAP"
    );
    (Guarantee::None, vec![note])
}

/// `6.18.44-extra` -> (6, 18)
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Hands each frame to the socket of its queue.
fn xdp_program(sockets: &Map) -> Result<OwnedFd, crate::edge::bpf::LoadError> {
    use Register::{R1, R2, R3};
    let mut a = Assembler::new();
    a.load(Width::Word, R2, R1, RX_QUEUE_INDEX);
    a.load_map(R1, sockets.as_fd());
    a.alu_number(crate::edge::bpf::Alu::Move, R3, XDP_DROP);
    a.call(Helper::RedirectMap);
    a.exit();
    load(Kind::Xdp, &a.finish())
}

fn refused(name: &str, what: &str, error: &io::Error) -> OpenError {
    let why = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => {
            "no CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF (run as root)".to_owned()
        }
        Some(Errno::EBUSY) => "another program uses it that way".to_owned(),
        Some(Errno::ENOBUFS) => "too little memory may be locked (raise `ulimit -l`)".to_owned(),
        Some(Errno::EAFNOSUPPORT) => "the kernel has no AF_XDP (CONFIG_XDP_SOCKETS)".to_owned(),
        _ => error.to_string(),
    };
    OpenError::new(format!("veth {name} can't be given {what}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_are_read() {
        assert_eq!(version("6.18.44-fc-v782"), Some((6, 18)));
        assert_eq!(version("6.16"), Some((6, 16)));
        assert_eq!(version("5.4.0-rc1"), Some((5, 4)));
        assert_eq!(version("strange"), None);
    }
}
