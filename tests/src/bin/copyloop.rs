//! `copyloop NETNS_A TAP_A NETNS_B TAP_B`: joins two TAPs by the plainest loop there is, until it is killed. A namespace
//! is a name, a path, `pid:N`, or `-` for the current one.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use dcbridge::net::NetnsRef;
use dcbridge::port::tap::{self, TapOptions};
use dcbridge_tests::copyloop;

fn open(netns: &str, name: &str) -> Result<OwnedFd, String> {
    let netns = NetnsRef::parse(Some(netns).filter(|&n| n != "-")).map_err(|e| e.to_string())?;
    let options = TapOptions {
        name: name.to_owned(),
        netns,
        mtu: 1500,
        offload: true,
        queues: 1,
        txqueuelen: None,
        backpressure: None,
    };
    let port = tap::open(&options).map_err(|e| e.to_string())?;
    for note in port.notes() {
        eprintln!("copyloop: {note}");
    }
    port.into_queues().pop().ok_or_else(|| "a TAP without a queue".to_owned())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [netns_a, tap_a, netns_b, tap_b] = arguments.as_slice() else {
        eprintln!("usage: copyloop NETNS_A TAP_A NETNS_B TAP_B   ('-': the current network namespace)");
        return ExitCode::from(2);
    };
    let joined = open(netns_a, tap_a).and_then(|a| {
        let b = open(netns_b, tap_b)?;
        println!("copying between {tap_a} and {tap_b}");
        copyloop::run(a.as_fd(), b.as_fd(), &AtomicBool::new(false)).map_err(|e| e.to_string())
    });
    match joined {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("copyloop: {e}");
            ExitCode::FAILURE
        }
    }
}
