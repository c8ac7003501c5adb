//! The processor as the bottleneck, in virtual time: the live worker on devices whose reads and writes take as long as
//! they do on TAPs, and three times what it can carry on offer at ports without a line rate.

use std::sync::{Arc, Mutex};

use dcbridge::sim::Packet;
use dcbridge::sim::frames::Spec;
use dcbridge::sim::processor::{Costs, Processor, Stream};
use dcbridge::state::Snapshot;
use dcbridge_scheduler::{PortId, Time};
use dcbridge_tests::virtual_time::{FLOWS, Tally, config, count, ets_classes, share_error};

/// Measured on TAPs: a read 0.77 us, a write 1.03, and 62 KB more 4.7 and 3.3 us.
const COSTS: Costs = Costs {
    read: (Time::from_nanos(770), Time(8)),
    write: (Time::from_nanos(1030), Time(5)),
    turn: Time::from_micros(1),
};
/// Frames that the ring of an input holds.
const RING: usize = 500;
const WARM_UP: Time = Time::from_millis(50);
const SPAN: Time = Time::from_millis(300);
const WEIGHTS: [u8; 3] = [60, 30, 10];
/// The same of a frame.
const GAP: Time = Time::from_nanos(600);

/// Lengths of frames with FCS.
#[derive(Clone, Copy, Debug)]
enum Sizes {
    All(usize),
    /// 64 to 1518, drawn by a seed.
    Mixed(u64),
    /// Superframes of so many bytes of payload.
    Super(usize),
}

impl Sizes {
    fn packets(self, spec: Spec) -> Vec<Packet> {
        let frame = |len: usize| Spec { len: len - 4, ..spec }.udp(0);
        match self {
            Sizes::All(len) => vec![frame(len)],
            Sizes::Super(payload) => vec![spec.udp_superframe(&vec![0; payload])],
            Sizes::Mixed(mut state) => {
                let draw = || {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    64 + (state >> 33) as usize % 1455
                };
                std::iter::repeat_with(draw).take(97).map(frame).collect()
            }
        }
    }

    /// What is offered in all: a packet each so often, three times what reading and writing it takes.
    fn gap(self) -> Time {
        let bytes = if let Sizes::Super(payload) = self { payload as u64 } else { 0 };
        Time(GAP.0 + bytes * (COSTS.read.1.0 + COSTS.write.1.0) / 3)
    }
}

/// Frames of one priority, each `gap`; the flow has the priority's number.
fn stream(priority: u8, sizes: Sizes, gap: Time) -> Stream {
    let ports = (1000, FLOWS + u16::from(priority));
    let spec = Spec { dscp: priority << 3, ports, ..Spec::default() };
    Stream { packets: sizes.packets(spec), gap }
}

/// What left in a span, wire bytes by priority, and the switch's view at the end.
struct Outcome {
    wire: Vec<u64>,
    state: Snapshot,
}

impl Outcome {
    fn total(&self) -> u64 {
        self.wire.iter().sum()
    }
}

/// Runs a switch with these classes; `inputs` says what each of its inputs is offered.
fn run(classes: &str, inputs: Vec<Vec<Stream>>) -> Outcome {
    let ports: String = (0..inputs.len()).map(|n| format!("[[port]]\nname = \"in{n}\"\n")).collect();
    let text = format!(
        "[bridge]\nloop_detection = false\n{classes}\n[defaults]\nmtu = 9000\ntrust = [\"dscp\"]\n\
         line_rate = \"unlimited\"\n{ports}[[port]]\nname = \"out\"\n\
         [[fdb]]\nmac = \"02:00:00:00:00:02\"\nvlan = 1\nport = \"out\"\n"
    );
    let mut processor = Processor::new(config(&text), COSTS).expect("descriptors");
    let tally = Arc::<Mutex<Tally>>::default();
    let out = PortId(inputs.len() as u16);
    for (n, streams) in inputs.into_iter().enumerate() {
        processor.attach(PortId(n as u16), streams, RING, Box::new(|_, _, _| {})).expect("descriptors");
    }
    let counted = Arc::clone(&tally);
    let meter = Box::new(move |at, desc: &_, arena: &_| {
        count(&mut counted.lock().expect("one thread"), at, desc, arena)
    });
    processor.attach(out, Vec::new(), RING, meter).expect("descriptors");
    let wire = || tally.lock().expect("one thread").flows.map(|f| f.wire);
    processor.run_until(WARM_UP);
    let before = wire();
    processor.run_until(WARM_UP + SPAN);
    let wire = wire().iter().zip(before).map(|(after, before)| after - before).take(8).collect();
    Outcome { wire, state: processor.snapshot() }
}

/// Each input is offered all of these priorities, or each one of them.
#[derive(Clone, Copy, Debug)]
enum Arrangement {
    Together,
    Apart,
}

fn inputs(arrangement: Arrangement, priorities: &[u8], sizes: Sizes) -> Vec<Vec<Stream>> {
    let (n, gap) = (priorities.len() as u64, sizes.gap().0);
    match arrangement {
        Arrangement::Together => {
            let all = || priorities.iter().map(|&p| stream(p, sizes, Time(gap * n * 3))).collect();
            (0..3).map(|_| all()).collect()
        }
        Arrangement::Apart => priorities.iter().map(|&p| vec![stream(p, sizes, Time(gap * n))]).collect(),
    }
}

const SIZES: [Sizes; 4] = [Sizes::All(64), Sizes::All(1518), Sizes::Mixed(1), Sizes::Mixed(2)];

#[test]
fn shares_hold_when_the_processor_is_the_bottleneck() {
    let classes = ets_classes(&WEIGHTS);
    for sizes in SIZES {
        let alone = run(&classes, inputs(Arrangement::Together, &[0], sizes)).total();
        for arrangement in [Arrangement::Together, Arrangement::Apart] {
            let got = run(&classes, inputs(arrangement, &[0, 1, 2], sizes));
            let error = share_error(&got.wire[..3], &WEIGHTS.map(u64::from));
            let part = got.total() as f64 / alone as f64;
            println!(
                "{sizes:?}, {arrangement:?}: share error {:.2} %, {part:.3} of one class alone",
                error * 100.0
            );
            assert!(error <= 0.03, "{sizes:?}, {arrangement:?}: {:?}", got.wire);
            // An input that feeds one class only is not read in vain.
            let least = if matches!(arrangement, Arrangement::Apart) { 0.95 } else { 0.7 };
            assert!(part >= least, "{sizes:?}, {arrangement:?}: {part} of what one class alone gets");
        }
    }
}

/// A class of a hundredth has neither nothing nor much more, whatever it is made of.
#[test]
fn a_class_of_one_percent_has_its_share_when_the_processor_is_the_bottleneck() {
    let classes = ets_classes(&[99, 1]);
    for sizes in [Sizes::All(64), Sizes::All(1518), Sizes::Mixed(1), Sizes::Super(60_000)] {
        for arrangement in [Arrangement::Together, Arrangement::Apart] {
            let got = run(&classes, inputs(arrangement, &[0, 1], sizes));
            let share = got.wire[1] as f64 / got.total() as f64;
            println!("{sizes:?}, {arrangement:?}: {:.2} %", share * 100.0);
            assert!((0.007..0.015).contains(&share), "{sizes:?}, {arrangement:?}: {:?}", got.wire);
        }
    }
}

#[test]
fn shares_of_superframes_hold_when_the_processor_is_the_bottleneck() {
    let sizes = Sizes::Super(60_000);
    for arrangement in [Arrangement::Together, Arrangement::Apart] {
        let got = run(&ets_classes(&WEIGHTS), inputs(arrangement, &[0, 1, 2], sizes));
        let error = share_error(&got.wire[..3], &WEIGHTS.map(u64::from));
        println!("{arrangement:?}: share error {:.2} %", error * 100.0);
        assert!(error <= 0.03, "{arrangement:?}: {:?}", got.wire);
    }
}

/// ETS classes of 60, 30 and 10 % for priorities 0, 1 and 2, and a strict one for 7.
fn with_strict() -> String {
    let ets = WEIGHTS.iter().zip(["[0]", "[1]", "\"rest\""]).map(|(weight, priorities)| {
        format!("[[traffic_class]]\nname = \"c{weight}\"\npriorities = {priorities}\nbandwidth = {weight}\n")
    });
    ets.collect::<String>() + "[[traffic_class]]\nname = \"strict\"\npriorities = [7]\ntsa = \"strict\"\n"
}

/// Bytes without FCS of a priority that the inputs have received, and that the switch has dropped.
fn received_and_dropped(state: &Snapshot, priority: usize) -> (u64, u64) {
    let received = state.ports.iter().map(|p| p.priorities[priority].rx.bytes).sum();
    (received, state.ports.iter().map(|p| p.priorities[priority].dropped.bytes).sum())
}

#[test]
fn a_strict_class_comes_first_when_the_processor_is_the_bottleneck() {
    for sizes in SIZES {
        let got = run(&with_strict(), inputs(Arrangement::Together, &[0, 1, 2, 7], sizes));
        let (received, dropped) = received_and_dropped(&got.state, 7);
        let error = share_error(&got.wire[..3], &WEIGHTS.map(u64::from));
        println!(
            "{sizes:?}: strict {received} bytes read, {dropped} dropped; share error {:.2} %",
            error * 100.0
        );
        assert!(dropped * 100 <= received, "{sizes:?}: {dropped} of {received} strict bytes were dropped");
        assert!(error <= 0.03, "{sizes:?}: {:?}", got.wire);
    }
}

#[test]
fn a_strict_class_with_an_input_of_its_own_loses_nothing() {
    for sizes in SIZES {
        let mut inputs = inputs(Arrangement::Apart, &[0, 1, 2], sizes);
        // A tenth of what the processor could carry of it alone.
        inputs.push(vec![stream(7, sizes, Time::from_micros(18))]);
        let got = run(&with_strict(), inputs);
        let strict = got.state.ports.iter().map(|p| p.priorities[7].tx.frames).sum::<u64>();
        let offered = (WARM_UP + SPAN).0 / Time::from_micros(18).0;
        let (_, dropped) = received_and_dropped(&got.state, 7);
        println!("{sizes:?}: {strict} of {offered} strict frames have left");
        assert!(strict + 5 >= offered, "{sizes:?}: {strict} of {offered} strict frames have left");
        assert_eq!(dropped, 0, "{sizes:?}");
    }
}

#[test]
fn a_class_alone_is_not_held_back_for_long() {
    let alone = run(&ets_classes(&WEIGHTS), inputs(Arrangement::Together, &[2], Sizes::All(64)));
    // 1.8 us a frame, and a turn for at most 96 of them.
    let could = SPAN.0 / Time::from_nanos(1_820).0 * 84;
    let part = alone.total() as f64 / could as f64;
    println!("{part:.3} of what reading and writing allow");
    assert!(part >= 0.95, "{part} of what reading and writing allow");
}
