//! Shares beside the kernel's: the same three classes in dcbridge (ETS) and in HTB, over-offered by UDP, and a strict one
//! that goes before them.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use dcbridge_config::BitRate;

use super::failed;
use super::scenario::{Window, arrived};
use super::switches::Rig;
use crate::cli::Failure;
use crate::lab::frames::FrameSize;
use crate::lab::generator::{self, Counters, Flow, Running};
use crate::lab::traffic::{SendSpec, UdpSinks};

/// A class of the comparison.
struct Class {
    priority: u8,
    percent: u32,
}

const CLASSES: [Class; 3] = [
    Class { priority: 3, percent: 60 },
    Class { priority: 2, percent: 30 },
    Class { priority: 0, percent: 10 },
];
/// The priority that is strict.
const STRICT: u8 = 7;
/// Its DSCP.
pub const STRICT_DSCP: u8 = STRICT * 8;
/// What each class is offered of its share.
const OFFERED: f64 = 1.25;
/// UDP port of the first class.
const FIRST_PORT: u16 = 20_000;
/// Queues have to be full before shares say anything.
pub const FILL: Duration = Duration::from_millis(500);
/// HTB's credit in bytes: a superframe has to fit.
const LEAST_BURST: u64 = 128_000;
/// And what a rate brings while a sender comes late, in which HTB runs: as long as dcbridge's own `stall_budget`.
const BURST_PER_SECOND: u64 = 200;
/// What a frame has on the wire and HTB does not see: FCS, preamble and gap.
const OVERHEAD: u64 = 24;

impl Class {
    const fn dscp(&self) -> u8 {
        self.priority * 8
    }
}

/// The classes as dcbridge's configuration has them.
pub fn classes() -> String {
    let class = |class: &Class| {
        let Class { priority, percent } = class;
        let priorities = if *priority == 0 { "\"rest\"".to_owned() } else { format!("[{priority}]") };
        format!(
            "[[traffic_class]]\nname = \"p{priority}\"\npriorities = {priorities}\nbandwidth = {percent}\n"
        )
    };
    let strict = format!(
        "[[traffic_class]]\nname = \"p{STRICT}\"\npriorities = [{STRICT}]\ntsa = \"strict\"\n\
         [defaults]\ntrust = [\"dscp\"]\n"
    );
    CLASSES.iter().map(class).collect::<String>() + &strict
}

/// The same as arguments of `tc`, a call each.
pub fn htb(interface: &str, line: BitRate) -> Vec<String> {
    let burst = |rate: u64| LEAST_BURST.max(rate / 8 / BURST_PER_SECOND);
    let class = |id: u32, parent: &str, rate: u64| {
        let prio = u8::from(id != u32::from(STRICT));
        format!(
            "class add dev {interface} parent {parent} classid 1:{id} htb prio {prio} rate {rate} ceil {} burst {} \
             cburst {} overhead {OVERHEAD} quantum {}",
            line.0,
            burst(rate),
            burst(line.0),
            (u64::from(id) * 1000).max(2000)
        )
    };
    let mut calls =
        vec![format!("qdisc add dev {interface} root handle 1: htb default 10"), class(1, "1:", line.0)];
    let strict = (u32::from(STRICT), STRICT_DSCP, 1);
    for (id, dscp, percent) in CLASSES.iter().map(|c| (c.percent, c.dscp(), c.percent)).chain([strict]) {
        calls.push(class(id, "1:1", line.0 / 100 * u64::from(percent)));
        calls.push(format!(
            "filter add dev {interface} parent 1: protocol ip prio 1 u32 match ip tos {} 0xfc flowid 1:{id}",
            dscp << 2
        ));
    }
    calls
}

/// Largest error of a share in percentage points, use of the line in percent, processor seconds per GB.
///
/// # Errors
/// When the load can't be made, or nothing arrives.
pub fn measure(rig: &Rig, line: BitRate, span: Duration) -> Result<Vec<Option<f64>>, Failure> {
    let (counters, _load) = load(rig, line)?;
    std::thread::sleep(FILL);
    let window =
        Window::watch(rig, span, || Ok(counters.iter().map(|c| c.stats().wire_bytes).collect::<Vec<u64>>()))?;
    let bytes: Vec<u64> =
        window.after.iter().zip(&window.before).map(|(after, before)| after - before).collect();
    let total: u64 = bytes.iter().sum();
    arrived(total)?;
    let [cpu, machine] = window.cost(total as f64 / 1e9);
    let used = window.rate(total) * 8.0 / line.0 as f64 * 100.0;
    Ok(vec![Some(error(&bytes)), Some(used), cpu, machine])
}

/// Percentage points that the worst class is away from its share.
fn error(bytes: &[u64]) -> f64 {
    let total: u64 = bytes.iter().sum();
    let away = |(class, &bytes): (&Class, &u64)| {
        (bytes as f64 * 100.0 / total as f64 - f64::from(class.percent)).abs()
    };
    CLASSES.iter().zip(bytes).map(away).fold(0.0, f64::max)
}

/// Senders at A and sinks at B, which count; they end with what is answered.
fn load(rig: &Rig, line: BitRate) -> Result<(Vec<Arc<Counters>>, Vec<Running>), Failure> {
    let [a, b] = &rig.pair.hosts;
    let no_thread = |e| failed("no thread can be started", &e);
    let (mut running, mut sinks, mut counters) = (Vec::new(), Vec::new(), Vec::new());
    for (n, class) in CLASSES.iter().enumerate() {
        let port = FIRST_PORT + n as u16;
        let sink = b.udp_sink(port)?;
        counters.push(sink.counters());
        sinks.push(sink);
        let to = SocketAddrV4::new(b.address().ip, port);
        let spec = SendSpec { to, dscp: class.dscp(), size: FrameSize::Fixed(1518), seed: n as u64 };
        let flow = Flow {
            emit: Box::new(a.udp_sender(&spec)?),
            rate_bps: line.0 as f64 * f64::from(class.percent) / 100.0 * OFFERED,
            counters: Arc::default(),
        };
        // A thread each: a class that a qdisc holds up must not hold up the others at their source.
        running.push(generator::send(vec![flow]).map_err(no_thread)?);
    }
    running.push(generator::receive(Box::new(UdpSinks::new(sinks)), Arc::default()).map_err(no_thread)?);
    Ok((counters, running))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_the_worst_class() {
        assert!(error(&[600, 300, 100]).abs() < 1e-9);
        assert!((error(&[550, 300, 150]) - 5.0).abs() < 1e-9);
        assert!((error(&[100, 100, 100]) - 80.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn both_switches_have_the_same_classes() {
        let file = format!("{}[[port]]\nname = \"p\"\ntype = \"tap\"\n", classes());
        let (config, _) = dcbridge_config::parse(&file, "bench").expect("the classes are right");
        let shares: Vec<u8> = config.traffic_classes.iter().map(|c| c.bandwidth).collect();
        assert_eq!(shares, [60, 30, 10, 0]);
        let calls = htb("x", BitRate(1_000_000_000));
        assert!(
            calls.iter().any(|c| c.contains("classid 1:60 htb prio 1 rate 600000000 ceil 1000000000")),
            "{calls:?}"
        );
        assert!(calls.iter().any(|c| c.contains("match ip tos 96 0xfc flowid 1:60")), "{calls:?}");
        assert!(calls.iter().any(|c| c.contains("classid 1:7 htb prio 0 ")), "{calls:?}");
        assert_eq!(calls.len(), 10);
    }
}
