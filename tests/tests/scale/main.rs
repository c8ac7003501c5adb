//! Many ports, and more offered than the processor can carry. What is not in virtual time is on real TAPs and needs root;
//! one test at a time then (`--test-threads=1`), since most of them measure.

mod busy_line;
mod idle;
mod overload;
mod processor;

use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dcbridge-under-test");

/// Processor time of a process in clock ticks, user and system.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // Behind the name in parentheses, utime is the 12th field, stime the 13th.
    let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
    fields.skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum()
}

/// What part of a processor a process takes, measured for so long.
fn busy(pid: u32, span: Duration) -> f64 {
    let hz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let before = ticks(pid);
    std::thread::sleep(span);
    (ticks(pid) - before) as f64 / hz as f64 / span.as_secs_f64()
}
