//! Kernel TCP between two TAP hosts: through the switch without a line rate, and through the plain copy loop, in turns.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use dcbridge::net::NetnsRef;

use crate::copyloop;
use crate::host::Host;
use crate::program::Program;
use crate::traffic::tcp;

/// Gbit/s of each round.
#[derive(Clone, Debug, Default)]
pub struct Race {
    /// Through the switch.
    pub switch: Vec<f64>,
    /// Through the copy loop.
    pub copyloop: Vec<f64>,
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

impl Race {
    /// Medians: switch, copy loop.
    pub fn medians(&self) -> (f64, f64) {
        (median(&self.switch), median(&self.copyloop))
    }

    /// What the switch reaches of the copy loop's rate.
    pub fn ratio(&self) -> f64 {
        let (switch, copyloop) = self.medians();
        switch / copyloop
    }

    /// As JSON.
    pub fn json(&self) -> String {
        let (switch, copyloop) = self.medians();
        serde_json::json!({
            "benchmark": "kernel TCP between two TAP hosts, one stream, Gbit/s",
            "switch": self.switch,
            "copyloop": self.copyloop,
            "median_switch": switch,
            "median_copyloop": copyloop,
            "ratio": self.ratio(),
        })
        .to_string()
    }
}

/// Two hosts with TAPs `ta` and `tb` that have addresses.
struct Pair {
    a: Host,
    b: Host,
}

impl Pair {
    fn new() -> Pair {
        Pair { a: Host::new("race-a"), b: Host::new("race-b") }
    }

    fn address(&self) {
        self.a.address("ta", 1, &[2]);
        self.b.address("tb", 2, &[1]);
    }

    fn run(&self, bytes: u64) -> f64 {
        tcp((&self.a, 1), (&self.b, 2), bytes)
    }
}

/// So many rounds of `bytes` each, the switch and the copy loop in turns; both are there all the time.
///
/// # Panics
/// When the hosts can't be made or a byte is wrong.
pub fn race(program: &str, rounds: usize, bytes: u64) -> Race {
    let (through_switch, through_loop) = (Pair::new(), Pair::new());
    let port = |host: &Host, name: &str| {
        let NetnsRef::Open(netns) = host.netns() else { panic!("a host has an open namespace") };
        let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_fd().as_raw_fd());
        format!("[[port]]\nname = \"{name}\"\nnetns = \"{path}\"\nline_rate = \"unlimited\"\n")
    };
    let ports = port(&through_switch.a, "ta") + &port(&through_switch.b, "tb");
    let _program = Program::start(program, "loop_detection = false", &ports);
    through_switch.address();

    let [a, b] = [(&through_loop.a, "ta"), (&through_loop.b, "tb")]
        .map(|(host, name)| crate::taps::open(host, name).into_queues().pop().expect("a TAP has a queue"));
    through_loop.address();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| copyloop::run(a.as_fd(), b.as_fd(), &stop).expect("the copy loop"));
        let _stop = OnDrop(&stop);
        let mut race = Race::default();
        // The first of each warms up.
        for round in 0..=rounds {
            let (switch, copyloop) = (through_switch.run(bytes), through_loop.run(bytes));
            if round > 0 {
                race.switch.push(switch);
                race.copyloop.push(copyloop);
            }
        }
        race
    })
}

/// Ends the copy loop also when a round fails.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
