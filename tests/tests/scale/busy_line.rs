//! A line as the bottleneck: what waits for it must not keep the processor busy.

use std::time::{Duration, Instant};

use dcbridge_tests::deaf::Deaf;
use dcbridge_tests::live::{Network, one_of_three};
use dcbridge_tests::privilege::root_for;

use crate::overload::{CLASSES, From, SENDERS, SINKS, WARM_UP, offer};
use crate::{PROGRAM, busy};

const LINE: f64 = 100e6;
const SIZE: u16 = 1518;
/// A frame with preamble and gap.
const WIRE_BITS: f64 = (SIZE as f64 + 20.0) * 8.0;
/// What each class is offered, a quarter more than its share.
const FLOWS: [(u8, f64); 3] = [(0, 75e6), (1, 37.5e6), (2, 12.5e6)];
const SPAN: Duration = Duration::from_secs(4);
/// Of one processor. To read and write so few frames takes a tenth; a worker that looks again and again takes all of it.
const MOST_BUSY: f64 = 0.5;
const LEAST_USED: f64 = 0.9;

#[test]
fn what_waits_for_a_line_leaves_the_processor_to_others() {
    if !root_for("the cost of a line that is busy") {
        return;
    }
    let sections = format!(
        "{CLASSES}[worker]\nscheduling = \"normal\"\n\
         [defaults]\ntrust = [\"dscp\"]\nline_rate = \"unlimited\"\noffload = false\n"
    );
    let line = "line_rate = \"100Mbit\"";
    let ports = [("s1", ""), ("s2", ""), ("s3", ""), ("s4", ""), ("sink", line)];
    let network = Network::new(PROGRAM, "loop_detection = false", &sections, &ports);
    for (from, title) in [(From::Each, "an input for each class"), (From::One, "all classes by one input")] {
        one_of_three(title, || {
            let sinks = Deaf::open(&network.hosts[SENDERS], SINKS, FLOWS.len() as u16);
            let mut senders = offer(&network, from, &FLOWS, SIZE);
            std::thread::sleep(WARM_UP);
            let arrived = || sinks.dropped().iter().sum::<u64>();
            let (before, begin) = (arrived(), Instant::now());
            let busy = busy(network.program.pid(), SPAN);
            let frames = (arrived() - before) as f64 / begin.elapsed().as_secs_f64();
            senders.stop();
            let used = frames * WIRE_BITS / LINE;
            let figures = format!("{:.1} % of a processor, {:.1} % of the line", busy * 100.0, used * 100.0);
            let verdict = if used < LEAST_USED {
                Err("the line was not busy".to_owned())
            } else if busy > MOST_BUSY {
                Err("half a processor is allowed".to_owned())
            } else {
                Ok(())
            };
            (figures, verdict)
        });
    }
}
