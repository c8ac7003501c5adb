//! `edge-port INTERFACE JOURNAL`: opens a TAP whose host is to be paused in priorities 3 and 4, says what came of it, and
//! holds it until it is killed.

use std::process::ExitCode;

use dcbridge::net::NetnsRef;
use dcbridge::port::Port;
use dcbridge::port::tap;
use dcbridge_tests::pump;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, journal] = arguments.as_slice() else {
        eprintln!("usage: edge-port INTERFACE JOURNAL");
        return ExitCode::from(2);
    };
    let mut options = pump::paused_in(NetnsRef::Current, interface, Some(1_000_000_000));
    if let Some(by_priority) = &mut options.by_priority {
        by_priority.journal = journal.into();
    }
    match tap::open(&options) {
        Ok(port) => {
            for note in port.notes() {
                println!("{note}");
            }
            println!("guarantee {:?}, {} queues", port.guarantee(), port.rx_queues());
            println!("open");
            loop {
                std::thread::park();
            }
        }
        Err(e) => {
            println!("{e}");
            ExitCode::FAILURE
        }
    }
}
