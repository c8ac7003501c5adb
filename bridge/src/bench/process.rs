//! The processes of a switch: started in its namespace, held still while another switch is measured, asked what they
//! cost, ended with their handle.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{failed, sys};
use crate::cli::Failure;
use crate::net::Netns;

/// How long a process may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// A running process. It ends with its handle.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command in a namespace; what it says goes to a file in `directory`. To be called by the main thread: the
    /// process ends with the thread that has started it.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(mut command: Command, netns: &Arc<Netns>, directory: &Path) -> Result<Process, Failure> {
        let name =
            Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = directory.join(format!("{name}.log"));
        let file = || File::options().create(true).append(true).open(&log);
        let no_log = |e| failed(format!("{} can't be written", log.display()), &e);
        // Some switches have a console there and end when it does.
        command.stdin(Stdio::piped()).stdout(file().map_err(no_log)?).stderr(file().map_err(no_log)?);
        sys::confine(&mut command, netns);
        let child = command.spawn().map_err(|e| failed(format!("{name} can't be started"), &e))?;
        Ok(Process { name, child, log })
    }

    /// An error if it has ended, with the last that it said.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Failure(format!("{} has ended ({status}): {}", self.name, self.said()))),
            Err(e) => Err(failed(format!("{} can't be asked whether it runs", self.name), &e)),
        }
    }

    /// The last lines of what it said.
    pub fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut last: Vec<&str> = text.lines().rev().filter(|l| !l.trim().is_empty()).take(3).collect();
        last.reverse();
        if last.is_empty() { "it said nothing".to_owned() } else { last.join("; ") }
    }

    /// Holds it still, or lets it go on.
    pub fn hold(&self, still: bool) {
        self.signal(if still { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    fn signal(&self, signal: Signal) {
        // It may have ended; `check` says so.
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    /// Processor time of all its threads.
    pub fn cpu(&self) -> Option<Duration> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let times = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
        let nanos = times.filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Some(Duration::from_nanos(nanos.sum()))
    }

    /// Memory that it has in use, in bytes.
    pub fn resident(&self) -> Option<u64> {
        resident_of(&fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?)
    }
}

impl Drop for Process {
    /// Asks it to end, so that it can tidy up, and does not ask long.
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
        self.hold(false);
        let end = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `VmRSS` of `/proc/PID/status`, in bytes.
fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Time in which the machine's processors had nothing to do, since it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Of all processors together.
    pub time: Duration,
    /// How many there are.
    pub processors: u32,
}

impl Idle {
    /// Until now.
    pub fn now() -> Option<Idle> {
        idle_of(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// Processor time that everybody together has spent since then, `elapsed` ago.
    pub fn spent_since(&self, before: &Idle, elapsed: Duration) -> Duration {
        (elapsed * self.processors).saturating_sub(self.time.saturating_sub(before.time))
    }
}

/// Idle, waiting and stolen time of the first line of `/proc/stat`. The kernel samples who is busy, but measures idleness.
fn idle_of(stat: &str) -> Option<Idle> {
    let line = stat.lines().find_map(|l| l.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
    let [_user, _nice, _system, idle, wait, _irq, _softirq, stolen, ..] = ticks.as_slice() else {
        return None;
    };
    let processors = stat.lines().filter(|l| l.starts_with("cpu") && !l.starts_with("cpu ")).count() as u32;
    Some(Idle { time: Duration::from_millis((idle + wait + stolen) * 10), processors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_kernel_are_read() {
        assert_eq!(resident_of("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        assert_eq!(resident_of("Name:\tx\n"), None);
        let stat = "cpu  100 10 20 5000 3 1 4 7 0 0\ncpu0 1 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1 1\nintr 5\n";
        let idle = Idle { time: Duration::from_millis(50_100), processors: 2 };
        assert_eq!(idle_of(stat), Some(idle));
        assert_eq!(idle_of("cpu 1 2"), None);
        let later = Idle { time: Duration::from_millis(50_600), ..idle };
        assert_eq!(later.spent_since(&idle, Duration::from_secs(1)), Duration::from_millis(1500));
    }
}
