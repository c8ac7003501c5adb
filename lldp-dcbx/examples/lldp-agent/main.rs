//! Runs one agent on a network interface and prints its four views as JSON.
//!
//! ```text
//! lldp-agent IFACE [--mode auto|ieee|cee|cin] [--willing yes|no] [--ets-willing yes|no] [--pfc-willing yes|no]
//!            [--app-willing yes|no] [--advertise ets,pfc,app|none] [--enable ets,pfc,app|none]
//!            [--up2tc 0,0,0,1,2,2,2,2] [--tcbw 30,30,40] [--tsa ets,ets,ets]
//!            [--recommend yes|no] [--pfc 3,4|none] [--app PRIO,SEL,PROTO]... [--multi-peer disable|keep-first]
//!            [--seconds N]
//! ```
//!
//! One line of JSON at every change of values or findings: `{"t": seconds, "views": {...}}`. Ends after N
//! seconds (default: never), at the end of standard input, or on a line `quit` there, with a shutdown
//! LLDPDU; a line `set OPTION VALUE ...` changes the local DCBX values. Needs `CAP_NET_RAW`.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use lldp_dcbx::dcbx::{DcbxConfig, Mode, MultiPeer};
use lldp_dcbx::wire::app::{AppEntry, AppTable, Selector};
use lldp_dcbx::wire::basic::{Capabilities, Text};
use lldp_dcbx::wire::ets::{EtsTable, Tsa};
use lldp_dcbx::{Agent, AgentConfig, Event, LocalInfo, Priority, PrioritySet, Time};

mod packet;

fn main() {
    if let Err(e) = run() {
        eprintln!("lldp-agent: {e}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let iface = args.next().ok_or("usage: lldp-agent IFACE [options], see the top of the source")?;
    let mut options = Options::default();
    options.apply(&args.collect::<Vec<_>>())?;
    let socket = packet::Socket::open(&iface)?;
    let start = Instant::now();
    let clock = || Time::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));

    let mut config = AgentConfig::new(socket.mac(), &iface);
    config.dcbx = Some(options.dcbx()?);
    config.info = LocalInfo {
        system_name: Some(Text::new("lldp-agent")),
        system_description: Some(Text::new("example of the lldp-dcbx crate")),
        capabilities: Some(Capabilities::new(Capabilities::BRIDGE, Capabilities::BRIDGE)),
        ..LocalInfo::default()
    };
    let mut agent = Agent::new(config, socket.mac(), clock())?;
    let commands = commands();
    let end = options.seconds.map(|s| start + Duration::from_secs(s));
    loop {
        agent.handle_link(socket.link_up()?, clock());
        while let Some(frame) = socket.receive()? {
            agent.handle_frame(&frame, clock());
        }
        agent.handle_timeout(clock());
        let more = obey(&commands, &mut options, &mut agent, clock())?;
        flush(&mut agent, &socket, clock());
        report(&mut agent, clock())?;
        if !more || end.is_some_and(|e| Instant::now() >= e) {
            break;
        }
        // Commands and the link are looked at often; timers and frames are exact.
        let next = agent.poll_timeout().map_or(Duration::MAX, |t| t.saturating_since(clock()));
        socket.wait(next.min(Duration::from_millis(100)))?;
    }
    agent.shutdown(clock());
    flush(&mut agent, &socket, clock());
    Ok(())
}

fn flush(agent: &mut Agent, socket: &packet::Socket, now: Time) {
    while let Some(frame) = agent.poll_transmit(now) {
        // A link that is just going down refuses frames; the next one will do.
        if let Err(e) = socket.send(&frame) {
            eprintln!("lldp-agent: send: {e}");
        }
    }
}

fn report(agent: &mut Agent, now: Time) -> io::Result<()> {
    let mut changed = false;
    while let Some(event) = agent.poll_event() {
        changed |= !matches!(event, Event::Neighbor { .. });
        eprintln!("{:.3} {event:?}", now.as_nanos() as f64 / 1e9);
    }
    if changed {
        let line = serde_json::json!({ "t": now.as_nanos() as f64 / 1e9, "views": agent.views() });
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}

/// Lines of standard input.
fn commands() -> Receiver<String> {
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if tx.send(line).is_err() {
                return;
            }
        }
    });
    rx
}

/// Carries out what was typed; false when it is time to end.
fn obey(
    commands: &Receiver<String>,
    options: &mut Options,
    agent: &mut Agent,
    now: Time,
) -> Result<bool, Box<dyn std::error::Error>> {
    loop {
        let line = match commands.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Empty) => return Ok(true),
            Err(TryRecvError::Disconnected) => return Ok(false),
        };
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match words.split_first() {
            Some((word, _)) if word == "quit" => return Ok(false),
            Some((word, rest)) if word == "set" => {
                options.apply(rest)?;
                agent.update_dcbx(options.dcbx()?, now)?;
            }
            _ => eprintln!("lldp-agent: quit, or set OPTION VALUE ..."),
        }
    }
}

/// The command line.
struct Options {
    mode: Mode,
    multi_peer: MultiPeer,
    willing: [bool; 3],
    advertise: [bool; 3],
    enable: [bool; 3],
    up2tc: [u8; 8],
    tcbw: [u8; 8],
    tsa: [Tsa; 8],
    recommend: bool,
    pfc: PrioritySet,
    app: Vec<AppEntry>,
    seconds: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            multi_peer: MultiPeer::Disable,
            willing: [false; 3],
            advertise: [true; 3],
            enable: [true; 3],
            up2tc: [0; 8],
            tcbw: [0; 8],
            tsa: [Tsa::Strict; 8],
            recommend: false,
            pfc: PrioritySet::EMPTY,
            app: Vec::new(),
            seconds: None,
        }
    }
}

impl Options {
    fn apply(&mut self, args: &[String]) -> Result<(), String> {
        for pair in args.chunks(2) {
            let [option, value] = pair else { return Err(format!("{} wants a value", pair[0])) };
            self.set(option, value).ok_or_else(|| format!("bad option or value: {option} {value}"))?;
        }
        Ok(())
    }

    fn set(&mut self, option: &str, value: &str) -> Option<()> {
        match option {
            "--mode" => self.mode = mode(value)?,
            "--multi-peer" if value == "disable" => self.multi_peer = MultiPeer::Disable,
            "--multi-peer" if value == "keep-first" => self.multi_peer = MultiPeer::KeepFirst,
            "--willing" => self.willing = [yes(value)?; 3],
            "--ets-willing" => self.willing[0] = yes(value)?,
            "--pfc-willing" => self.willing[1] = yes(value)?,
            "--app-willing" => self.willing[2] = yes(value)?,
            "--advertise" => self.advertise = features(value),
            "--enable" => self.enable = features(value),
            "--up2tc" => self.up2tc = list(value, |v| v.parse().ok())?,
            "--tcbw" => self.tcbw = list(value, |v| v.parse().ok())?,
            "--tsa" => self.tsa = list(value, tsa)?,
            "--recommend" => self.recommend = yes(value)?,
            "--pfc" => self.pfc = priorities(value)?,
            "--app" => self.app.push(app(value)?),
            "--seconds" => self.seconds = Some(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }

    fn dcbx(&self) -> Result<DcbxConfig, Box<dyn std::error::Error>> {
        let table = EtsTable::new(self.up2tc, self.tcbw, self.tsa).map_err(|e| e.to_string())?;
        let mut config = DcbxConfig {
            mode: self.mode,
            multi_peer: self.multi_peer,
            ets: table,
            ets_recommendation: self.recommend.then_some(table),
            pfc: self.pfc,
            app: AppTable::new(self.app.clone()).ok_or("too many applications")?,
            ..DcbxConfig::default()
        };
        let flags = [&mut config.ets_flags, &mut config.pfc_flags, &mut config.app_flags];
        for (i, flags) in flags.into_iter().enumerate() {
            flags.willing = self.willing[i];
            (flags.advertise, flags.enable) = (self.advertise[i], self.enable[i]);
        }
        Ok(config)
    }
}

fn mode(s: &str) -> Option<Mode> {
    Some(match s {
        "auto" => Mode::Auto,
        "ieee" => Mode::Ieee,
        "cee" => Mode::Cee,
        "cin" => Mode::Cin,
        _ => return None,
    })
}

fn features(s: &str) -> [bool; 3] {
    ["ets", "pfc", "app"].map(|f| s.split(',').any(|v| v == f))
}

fn yes(s: &str) -> Option<bool> {
    match s {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn tsa(s: &str) -> Option<Tsa> {
    match s {
        "strict" => Some(Tsa::Strict),
        "ets" => Some(Tsa::Ets),
        _ => None,
    }
}

/// Up to eight values; the rest keep their default.
fn list<T: Copy + Default>(s: &str, parse: impl Fn(&str) -> Option<T>) -> Option<[T; 8]> {
    let mut out = [T::default(); 8];
    for (i, v) in s.split(',').enumerate() {
        *out.get_mut(i)? = parse(v)?;
    }
    Some(out)
}

fn priorities(s: &str) -> Option<PrioritySet> {
    if s == "none" {
        return Some(PrioritySet::EMPTY);
    }
    s.split(',').map(|p| Priority::new(p.parse().ok()?)).collect()
}

fn app(s: &str) -> Option<AppEntry> {
    let mut parts = s.split(',');
    let priority = Priority::new(parts.next()?.parse().ok()?)?;
    let selector = Selector::from_code(parts.next()?.parse().ok().filter(|n| (1..=5).contains(n))?);
    let protocol = parts.next()?;
    let protocol = match protocol.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok()?,
        None => protocol.parse().ok()?,
    };
    Some(AppEntry { selector, protocol, priority })
}
