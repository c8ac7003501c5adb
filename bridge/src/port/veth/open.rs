//! Opening a veth port: the pair, both of its ends, and how all of it is put back.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dcbridge_scheduler::Priority;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

use super::bell::Bell;
use super::napi::{self, Masked};
use super::socket::{HEADROOM, Xsk};
use super::{QUEUES, Queue, VethOptions, VethPort};
use crate::edge::bpf::{
    Alu, Assembler, Helper, Kind, LoadError, Map, MapKind, Register, Width, attach_xdp, load,
};
use crate::edge::steer::SteerSpec;
use crate::edge::{Cookie, Kick, VethHost, Wake};
use crate::net::{Features, Links, Netns, NetnsRef, VethEnd, VethPair, in_netns, sysctl};
use crate::port::{Guarantee, OpenError};

/// The longest L3 MTU in bytes: a frame with its tag, the room in front of it and the kernel's own record share a page.
pub const MTU_MAX: u16 = 3500;
const ETHERNET_AND_TAG: usize = 18;
/// From this version on a full ring stops the host's queue; before, it drops.
const BACKPRESSURE_SINCE: (u32, u32) = (6, 16);
/// How long the first frames may take through the kernel.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a pair may take to vanish.
const CLOSING: Duration = Duration::from_millis(1500);
/// Offset in `struct xdp_md`.
const RX_QUEUE_INDEX: i16 = 16;
const XDP_PASS: i32 = 2;

/// Opens a veth port. A pair that is made here has its other end in a namespace of its own, where no firewall and no
/// administrator comes between, and which ends with the process. If an interface of that name exists in the calling
/// thread's namespace, it must be the other end of the host's.
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
    let mut setup = Setup::begin(options)?;
    let wake = setup.host(options)?;
    let here = setup.here.clone();
    let (queues, socket) = in_netns(&here, || Ok::<_, OpenError>((setup.device(options)?, any_socket())))?;
    let failed = |e| OpenError::new(format!("veth {} has no descriptors to wait for: {e}", options.name));
    VethPort::new(queues, socket.map_err(failed)?, wake, setup).map_err(failed)
}

fn hold(netns: &NetnsRef) -> Result<NetnsRef, crate::net::Error> {
    Ok(NetnsRef::Open(Arc::new(in_netns(netns, Netns::of_this_thread)?)))
}

/// A timer that nobody waits for yet.
pub(super) fn timer() -> io::Result<TimerFd> {
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    Ok(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?)
}

/// A socket by which interfaces of this namespace can be asked for.
fn any_socket() -> io::Result<OwnedFd> {
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
    masked: Option<Masked>,
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
    fn begin(options: &VethOptions) -> Result<Setup, OpenError> {
        let VethOptions { name, peer, .. } = options;
        let there = hold(&options.netns)?;
        if let Some(end) = Links::open()?.veth(name)? {
            check_pair(options, &there, &end)?;
            return Setup::new(options, hold(&NetnsRef::Current)?, there, false);
        }
        let peer_netns = in_netns(&there, Netns::of_this_thread)?;
        let here = NetnsRef::Open(Arc::new(Netns::anonymous(name)?));
        let (queues, mtu) = (QUEUES as u32, u32::from(options.mtu));
        let pair = VethPair { name, peer, peer_netns: &peer_netns, queues, mtu };
        make(&here, &pair)?;
        Setup::new(options, here, there, true)
    }

    fn new(options: &VethOptions, here: NetnsRef, there: NetnsRef, ours: bool) -> Result<Setup, OpenError> {
        let VethOptions { name, peer, .. } = options;
        let (info, ipv6) =
            Links::within(&here, |links| Ok((links.info(name)?, sysctl::read(&ipv6_key(name)).ok())))?;
        let frame = usize::from(options.mtu) + ETHERNET_AND_TAG + HEADROOM;
        let (guarantee, notes) = backpressure(name);
        Ok(Setup {
            name: name.clone(),
            peer: peer.clone(),
            here,
            there,
            index: info.index,
            ours,
            chunk: frame.next_power_of_two().max(2048),
            cookie: Cookie::random(),
            host: None,
            masked: None,
            program: None,
            before: Before { up: info.up, mtu: info.mtu, ipv6 },
            notes,
            guarantee,
        })
    }

    /// Sets up the host's end.
    fn host(&mut self, options: &VethOptions) -> Result<Wake, OpenError> {
        let (peer, mtu) = (&self.peer, u32::from(options.mtu));
        let spec = SteerSpec { kick: Some(self.cookie), ..options.steering.clone() };
        let opened = in_netns(&self.there, || Ok::<_, crate::net::Error>(VethHost::open(peer, mtu, &spec)))?;
        let (host, wake) = opened.map_err(|obstacle| {
            OpenError::new(format!("interface {peer} in {} {obstacle}", options.netns))
        })?;
        self.host = Some(host);
        Ok(wake)
    }

    /// Sets up the switch's end, in its namespace.
    fn device(&mut self, options: &VethOptions) -> Result<Vec<Queue>, OpenError> {
        let name = &options.name;
        let links = Links::open()?;
        // Else it would send into the host by itself.
        sysctl::disable_ipv6(name)?;
        links.set_mtu(name, u32::from(options.mtu))?;
        links.set_up(name)?;
        let failed = |what: &'static str| move |e: io::Error| refused(name, what, &e);
        let map = Map::new(MapKind::XdpSockets(QUEUES as u32)).map_err(failed("a map of eBPF"))?;
        let program = xdp_program(&map).map_err(|e| {
            OpenError::new(format!("veth {name} can't be given an XDP program: {e} (run as root)"))
        })?;
        let attached = attach_xdp(program.as_fd(), self.index).map_err(failed("an XDP program"))?;
        self.program = Some(attached);
        let bells = (0..QUEUES).map(|_| Bell::new(name)).collect::<io::Result<Vec<_>>>();
        let bells = bells.map_err(failed("sockets that poll on demand"))?;
        self.teach(&bells)?;
        // Frames come; the kernel would call the link down for up to a second more.
        Features::open(name)?.carrier()?;
        // From now on each queue is polled once more by itself, at its next frame, and then only on demand.
        self.masked = Some(napi::mask(name).map_err(failed("polling on demand"))?);
        let mut queues = Vec::with_capacity(QUEUES);
        for (bell, number) in bells.into_iter().zip(0u32..) {
            let xsk = Xsk::open(self.index, number, self.chunk);
            let xsk = xsk.map_err(failed("a socket of AF_XDP"))?;
            map.put(number, xsk.as_fd()).map_err(failed("a socket of AF_XDP"))?;
            queues.push(Queue { xsk, bell });
        }
        for priority in Priority::all() {
            let kick = Kick::new(self.cookie, priority);
            self.knock(priority, kick.bytes()).map_err(failed("a first frame"))?;
        }
        Ok(queues)
    }

    fn knock(&self, priority: Priority, frame: &[u8]) -> io::Result<()> {
        self.host.as_ref().map_or(Err(io::ErrorKind::NotConnected.into()), |host| host.knock(priority, frame))
    }

    /// Sends each bell a frame through its queue.
    fn teach(&self, bells: &[Bell]) -> Result<(), OpenError> {
        let end = Instant::now() + PATIENCE;
        while let Some(deaf) = bells.iter().position(|bell| !bell.works()) {
            let knocked = self.knock(Priority::new(deaf as u8), &bells[deaf].lesson());
            if bells[deaf].works() {
                continue;
            }
            if Instant::now() > end {
                let why = knocked.err().map(|e| format!(" ({e})")).unwrap_or_default();
                return Err(OpenError::new(format!(
                    "veth {}: nothing comes through queue {deaf}{why}: a firewall in the switch's namespace may drop \
                     the broadcast that is sent there (let the port make the pair), or the kernel can't poll on demand",
                    self.name
                )));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    /// Whether the pair was made here.
    pub(super) fn is_ours(&self) -> bool {
        self.ours
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

/// Makes a pair. The one of a port that was just closed may still be there: that is waited for.
fn make(here: &NetnsRef, pair: &VethPair<'_>) -> Result<(), OpenError> {
    let end = Instant::now() + CLOSING;
    loop {
        match Links::within(here, |links| links.add_veth_pair(pair)) {
            Err(e) if e.kind() == Some(io::ErrorKind::AlreadyExists) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(20));
            }
            made => return Ok(made?),
        }
    }
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
fn xdp_program(sockets: &Map) -> Result<OwnedFd, LoadError> {
    use Register::{R1, R2, R3};
    let mut a = Assembler::new();
    a.load(Width::Word, R2, R1, RX_QUEUE_INDEX);
    a.load_map(R1, sockets.as_fd());
    a.alu_number(Alu::Move, R3, XDP_PASS);
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
