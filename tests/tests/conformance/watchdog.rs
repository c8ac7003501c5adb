//! The PFC watchdog: a peer that pauses without end is found in time, costs nobody else anything, and is forgiven.

use dcbridge::sim::{NodeId, Sim};
use dcbridge_scheduler::Time;
use dcbridge_scheduler::headroom::reaction_quanta;
use dcbridge_tests::virtual_pfc::{Host, Pausing, Plan, RATES, drops, snapshot};
use dcbridge_tests::virtual_time::{Flow, assert_balanced};

const CLASS: &str = "queue_limit = \"200KB\"";
/// Light enough that what waits for seconds fits the buffer of a port: 40 Mbit/s.
const LIGHT: u64 = 40_000_000;
/// From one frame of `LIGHT` to the next, and the frame itself.
const STEP: Time = Time::from_micros(320);
/// Detection, restoration and poll in milliseconds.
const TIMES: [[u64; 3]; 3] = [[200, 200, 200], [100, 300, 50], [500, 100, 100]];
/// When storms begin, in microseconds: beside the looks of the watchdog, and just before one.
const PHASES: [u64; 3] = [1_003_000, 1_049_000, 1_199_900];

fn us(n: u64) -> Time {
    Time::from_micros(n)
}

fn ms(n: u64) -> Time {
    Time::from_millis(n)
}

/// A switch with a watchdog between hosts; host 1 makes storms in priority 3.
struct Scene {
    sim: Sim,
    node: NodeId,
    hosts: Vec<Host>,
    bits: u64,
}

impl Scene {
    fn new(ports: usize, bits: u64, times: [u64; 3], action: &str) -> Scene {
        Scene::with(ports, bits, times, action, "")
    }

    /// `keys`: more for every port.
    fn with(ports: usize, bits: u64, times: [u64; 3], action: &str, keys: &str) -> Scene {
        let [detection, restoration, poll] = times;
        let dog = format!(
            "[pfc_watchdog]\ndetection = \"{detection}ms\"\nrestoration = \"{restoration}ms\"\npoll = \"{poll}ms\"\n\
             action = \"{action}\"\n"
        );
        let mut sim = Sim::new();
        let node = Plan { lines: &vec![bits; ports], class: CLASS, ports: keys, more: &dog }.build(&mut sim);
        let hosts = Host::all(&mut sim, node, ports as u16, bits);
        Scene { sim, node, hosts, bits }
    }

    fn send(&mut self, from: usize, to: u16, flow: Flow) {
        self.hosts[from].send(&mut self.sim, to, flow);
    }

    /// PFC of host 1 in priority 3 from an instant until another; answers when the last frame of it comes.
    fn storm(&mut self, from: Time, until: Time) -> Time {
        let pausing = Pausing::refreshed(1 << 3, self.bits, from, until);
        self.hosts[1].pause(&mut self.sim, pausing);
        let refreshes = (until - from - Time(1)).0 / pausing.every.0;
        from + Time(refreshes * pausing.every.0)
    }

    /// Storms of port 1 in priority 3: (detected, restored).
    fn counted(&self) -> (u64, u64) {
        let group = &snapshot(&self.sim, self.node).ports[1].priorities[3].group;
        (group.storms_detected, group.storms_restored)
    }

    fn got(&self, host: usize, flow: u16) -> u64 {
        self.hosts[host].got(flow).frames
    }

    /// Asserts that all frames of a flow arrived but those that are on their way.
    #[track_caller]
    fn assert_whole(&self, from: usize, to: usize, flow: u16) {
        let (got, sent) = (self.hosts[to].got(flow), self.hosts[from].sent(flow));
        assert_eq!(got.missed, 0, "flow {flow}: {got:?}");
        assert!(sent > 100 && got.frames + 2 >= sent, "flow {flow}: {got:?} of {sent}");
    }
}

/// A light lossless flow from host 0.
fn light(number: u16, until: Time) -> Flow {
    Flow { priority: 3, until, ..Flow::new(number, LIGHT) }
}

#[test]
fn watchdog_detection() {
    for bits in RATES {
        for times in TIMES {
            let [detection, _, poll] = times.map(ms);
            for phase in PHASES.map(us) {
                // With this action the receiver sees for itself when its pauses are not obeyed any more.
                let mut scene = Scene::new(2, bits, times, "forward");
                scene.send(0, 1, light(3, ms(3_000)));
                scene.storm(phase, phase + detection + poll);
                scene.sim.run_until(phase + STEP);
                let before = scene.got(1, 3);
                scene.sim.run_until(phase + detection - us(1));
                assert_eq!((scene.got(1, 3), scene.counted()), (before, (0, 0)), "not before its time");
                scene.sim.run_until(phase + detection + poll);
                assert!(scene.got(1, 3) > before, "found within a poll");
                assert_eq!(scene.counted().0, 1);
                scene.sim.run_until(ms(3_100));
                scene.assert_whole(0, 1, 3);
            }
            // As long as nothing waits there is nobody to be protected from it.
            let mut scene = Scene::new(2, bits, times, "drop");
            scene.storm(ms(1_000), ms(1_000) + detection + poll + poll);
            scene.send(0, 1, Flow { from: ms(1_010) + detection + poll + poll, ..light(3, ms(3_000)) });
            scene.sim.run_until(ms(3_100));
            assert_eq!((scene.counted(), drops(&scene.sim, scene.node)), ((0, 0), vec![]));
            scene.assert_whole(0, 1, 3);
            // Half of the time is no storm.
            let mut scene = Scene::new(2, bits, times, "drop");
            scene.send(0, 1, light(3, ms(2_000)));
            scene.storm(ms(1_000), ms(1_000) + Time(detection.0 / 2));
            scene.sim.run_until(ms(2_100));
            assert_eq!((scene.counted(), drops(&scene.sim, scene.node)), ((0, 0), vec![]));
            scene.assert_whole(0, 1, 3);
        }
    }
}

#[test]
fn watchdog_restoration() {
    for bits in RATES {
        for times in TIMES {
            let [detection, restoration, poll] = times.map(ms);
            let mut scene = Scene::new(2, bits, times, "drop");
            scene.send(0, 1, light(3, ms(4_000)));
            let last = scene.storm(ms(1_000), ms(1_000) + detection + poll + ms(123));
            // Frames that only carry XON do not keep the storm alive.
            let xon = Pausing { vector: 1 << 3, time: 0, from: last + ms(2), until: ms(4_000), every: ms(5) };
            scene.hosts[1].pause(&mut scene.sim, xon);
            scene.sim.run_until(ms(1_000) + STEP);
            let before = scene.got(1, 3);
            scene.sim.run_until(last + restoration - us(1));
            assert_eq!((scene.got(1, 3), scene.counted()), (before, (1, 0)), "not before its time");
            scene.sim.run_until(last + restoration + poll + STEP);
            assert_eq!(scene.counted(), (1, 1));
            assert!(scene.got(1, 3) > before, "restored within a poll");
            let missed = scene.hosts[1].got(3).missed;
            assert!(missed > 0, "what the storm held up was dropped");
            scene.sim.run_until(ms(4_100));
            let got = scene.hosts[1].got(3);
            assert_eq!(
                (got.missed, got.frames + missed),
                (missed, scene.hosts[0].sent(3)),
                "no loss after it"
            );
            assert_balanced(&snapshot(&scene.sim, scene.node));
        }
        still_paused_afterwards(bits);
    }
}

/// The stormy host sends, too, and where that goes somebody pauses for good reason, from before the end of the storm
/// until after it. When the storm is over the host has to be asked to wait again before its frames are let in: there is
/// headroom for what was on its way once, and that is in use.
fn still_paused_afterwards(bits: u64) {
    let times = [500, 100, 5];
    let [detection, restoration, poll] = times.map(ms);
    let in_flight = reaction_quanta(bits) * 64 + 4 * 1538;
    let mut scene = Scene::with(3, bits, times, "drop", &format!("headroom = {in_flight}"));
    scene.send(0, 1, light(3, ms(3_000)));
    let last = scene.storm(ms(1_000), ms(1_000) + detection + poll);
    let (over, full) = (last + restoration + poll, Flow { priority: 3, ..Flow::new(5, bits) });
    scene.send(1, 2, Flow { from: ms(1_480), until: ms(1_481), ..full });
    scene.send(1, 2, Flow { number: 6, from: last + restoration - us(20), until: over + us(500), ..full });
    scene.hosts[2].pause(&mut scene.sim, Pausing::refreshed(1 << 3, bits, ms(1_470), over + ms(50)));
    scene.sim.run_until(ms(1_490));
    assert_eq!((scene.hosts[1].told(3).0.is_empty(), scene.got(2, 5)), (false, 0), "its group is full");
    scene.sim.run_until(over + ms(40));
    assert_eq!(scene.counted(), (1, 1));
    assert!(*scene.hosts[1].told(3).0.last().unwrap() > last + restoration, "it is asked to wait again");
    let lost = drops(&scene.sim, scene.node);
    assert!(lost.iter().all(|d| d.1 == "watchdog"), "{lost:?}");
    scene.sim.run_until(ms(3_100));
    assert_eq!(drops(&scene.sim, scene.node), lost, "no loss after it");
    let (got, sent) = (scene.hosts[2].got(5), scene.hosts[1].sent(5));
    assert_eq!((got.frames, got.missed), (sent, 0), "what it had let in before the storm");
}

#[test]
fn watchdog_short_bursts() {
    for bits in RATES {
        for times in TIMES {
            let half = Time(ms(times[0]).0 / 2);
            let mut scene = Scene::new(2, bits, times, "drop");
            let mut from = ms(1_000);
            for _ in 0..15 {
                scene.storm(from, from + half);
                from = from + half + ms(20);
            }
            scene.send(0, 1, light(3, from));
            scene.sim.run_until(from + ms(100));
            assert_eq!((scene.counted(), drops(&scene.sim, scene.node)), ((0, 0), vec![]));
            scene.assert_whole(0, 1, 3);
            let pauses = snapshot(&scene.sim, scene.node).ports[1].priorities[3].pauses;
            assert_eq!(pauses, 15, "each burst paused it");
        }
    }
}

/// A storm from 1 s to 2 s, with flows past it: in another lossless priority, in a lossy one, and the stormy host's own.
fn through_a_storm(bits: u64, action: &str) -> Scene {
    let mut scene = Scene::new(3, bits, [200, 200, 200], action);
    scene.send(0, 1, light(3, ms(3_000)));
    scene.send(0, 1, Flow { priority: 4, ..light(4, ms(3_000)) });
    scene.send(0, 1, Flow { priority: 0, ..light(0, ms(3_000)) });
    scene.send(0, 2, light(5, ms(3_000)));
    scene.send(1, 2, light(6, ms(3_000)));
    scene.storm(ms(1_000), ms(2_000));
    scene
}

#[test]
fn watchdog_actions() {
    for bits in RATES {
        let mut drop = through_a_storm(bits, "drop");
        drop.sim.run_until(ms(1_100));
        let before = drop.got(1, 3);
        drop.sim.run_until(ms(1_500));
        let own = drop.got(2, 6);
        drop.sim.run_until(ms(2_100));
        assert_eq!((drop.got(1, 3), drop.got(2, 6)), (before, own), "neither out nor in while dropping");
        drop.sim.run_until(ms(3_100));
        let (got, sent) = (drop.hosts[1].got(3), drop.hosts[0].sent(3));
        assert!(got.missed > 0 && got.frames + got.missed == sent, "{got:?} of {sent}");
        let (own, own_sent) = (drop.hosts[2].got(6), drop.hosts[1].sent(6));
        assert!(own.missed > 0 && own.frames + own.missed == own_sent, "{own:?} of {own_sent}");
        for (to, flow) in [(1, 4), (1, 0), (2, 5)] {
            drop.assert_whole(0, to, flow);
        }

        let mut forward = through_a_storm(bits, "forward");
        forward.sim.run_until(ms(1_500));
        let before = forward.got(1, 3);
        forward.sim.run_until(ms(1_990));
        assert!(forward.got(1, 3) > before + 1_000, "the pause is ignored");
        forward.sim.run_until(ms(3_100));

        let mut alert = through_a_storm(bits, "alert");
        alert.sim.run_until(ms(1_000) + STEP);
        let before = alert.got(1, 3);
        alert.sim.run_until(ms(2_000));
        assert_eq!((alert.got(1, 3), alert.counted().0), (before, 1), "told, and still obeyed");
        alert.sim.run_until(ms(3_100));

        for scene in [forward, alert] {
            for (from, to, flow) in [(0, 1, 3), (0, 1, 4), (0, 1, 0), (0, 2, 5), (1, 2, 6)] {
                scene.assert_whole(from, to, flow);
            }
            assert_eq!((scene.counted(), drops(&scene.sim, scene.node)), ((1, 1), vec![]));
        }
    }
}

#[test]
fn no_pfc_while_dropping() {
    for bits in RATES {
        let mut scene = Scene::new(3, bits, [200, 200, 200], "drop");
        let full = Flow { until: ms(1_450), from: ms(999), ..Flow::new(3, bits.min(1_000_000_000)) };
        scene.send(0, 1, full);
        scene.send(1, 2, Flow { priority: 3, ..Flow { number: 5, ..full } });
        scene.storm(ms(1_000), ms(2_000));
        scene.sim.run_until(ms(1_190));
        assert!(!scene.hosts[0].told(3).0.is_empty(), "before that the sender is paused");
        scene.sim.run_until(ms(1_400) + us(10));
        assert_eq!(scene.counted(), (1, 0));
        let heard = scene.hosts[0].state().heard.len();
        assert_eq!(scene.hosts[0].told(3).1.len(), 1, "it is released once");
        scene.sim.run_until(ms(1_990));
        assert_eq!(scene.hosts[0].state().heard.len(), heard, "nobody is paused for what is dropped");
        assert_eq!(scene.hosts[1].state().heard, [], "the stormy host was never to be paused");
        assert!(scene.got(2, 5) > 0);
    }
}

#[test]
fn watchdog_counters() {
    for bits in RATES {
        let mut scene = Scene::new(2, bits, [100, 100, 50], "drop");
        scene.send(0, 1, light(3, ms(2_500)));
        for from in [100, 1_000, 1_800] {
            scene.storm(ms(from), ms(from + 300));
        }
        scene.sim.run_until(ms(2_600));
        assert_eq!(scene.counted(), (3, 3));
        let missed = scene.hosts[1].got(3).missed;
        assert!(missed > 0);
        let told = drops(&scene.sim, scene.node);
        assert_eq!(told, [("p1".to_owned(), "watchdog".to_owned(), missed)], "as many as the host missed");
        let group = snapshot(&scene.sim, scene.node).ports[1].priorities[3].clone();
        assert_eq!((group.dropped.frames, group.tx.frames), (missed, scene.got(1, 3)));
    }
}

#[test]
fn watchdog_bounds() {
    let parse = |keys: &str| {
        let text = format!("[pfc_watchdog]\n{keys}\n[[port]]\nname = \"a\"\n[[port]]\nname = \"b\"\n");
        dcbridge_config::parse(&text, "scenario.toml").map(|(config, _)| config.watchdog).ok()
    };
    for refused in [
        "detection = \"99ms\"",
        "detection = \"5001ms\"",
        "restoration = \"99ms\"",
        "restoration = \"60001ms\"",
        "poll = \"1001ms\"\ndetection = \"5s\"",
        "poll = \"301ms\"\ndetection = \"300ms\"",
        "action = \"flee\"",
    ] {
        assert_eq!(parse(refused), None, "{refused}");
    }
    for taken in [
        "detection = \"100ms\"\npoll = \"100ms\"",
        "detection = \"5s\"\nrestoration = \"60s\"\npoll = \"1s\"\naction = \"alert\"",
    ] {
        assert!(parse(taken).flatten().is_some(), "{taken}");
    }
    let by_default = parse("").flatten().expect("a section turns it on");
    assert_eq!((by_default.detection_ms, by_default.restoration_ms, by_default.poll_ms), (200, 200, 200));
    assert_eq!(by_default.action, dcbridge_config::WatchdogAction::Drop);
    let (config, _) =
        dcbridge_config::parse("[[port]]\nname = \"a\"\n[[port]]\nname = \"b\"\n", "scenario.toml")
            .expect("valid");
    assert_eq!(config.watchdog, None, "off unless it is asked for");
}
