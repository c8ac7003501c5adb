//! The program under test as a process of its own: started with a configuration, asked at its socket, ended by a signal.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use dcbridge::control::client::Client;
use dcbridge::state::Snapshot;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(20);

/// A running `dcbridge run`. It ends with its handle.
pub struct Program {
    child: Child,
    client: Client,
    directory: tempfile::TempDir,
}

/// How a program ended.
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed.
    pub output: String,
}

impl Program {
    /// Starts `path run` with a configuration (without `control_socket`; metrics are off unless `sections` says something
    /// about them) and waits until all ports are up. `bridge` is for keys of the section `[bridge]`.
    ///
    /// # Panics
    /// When it does not start; shows what it said.
    pub fn start(path: &str, bridge: &str, sections: &str) -> Program {
        let directory = tempfile::tempdir().expect("a directory");
        let (socket, file) = (directory.path().join("socket"), directory.path().join("switch.toml"));
        let metrics = if sections.contains("[metrics]") { "" } else { "[metrics]\nlisten = \"off\"\n" };
        let text =
            format!("[bridge]\ncontrol_socket = \"{}\"\n{bridge}\n{metrics}{sections}", socket.display());
        std::fs::write(&file, &text).expect("a configuration");
        let output = std::fs::File::create(log(directory.path())).expect("a log");
        let child = Command::new(path)
            .arg("run")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a log"))
            .stderr(output)
            .spawn()
            .expect("the program starts");
        let mut program = Program { child, client: Client::new(&socket), directory };
        let end = Instant::now() + PATIENCE;
        loop {
            let exited = program.child.try_wait().expect("a child");
            assert!(exited.is_none(), "it has ended: {}\n{text}", program.said());
            if program.try_state().is_some_and(|s| s.ports.iter().all(|p| p.up)) {
                return program;
            }
            assert!(Instant::now() < end, "not all ports are up: {}\n{text}", program.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn try_state(&self) -> Option<Snapshot> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(self.client.state()).ok()
    }

    /// Its state.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn state(&self) -> Snapshot {
        self.try_state().unwrap_or_else(|| panic!("no answer; it said: {}", self.said()))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn said(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = std::fs::File::open(log(self.directory.path())) {
            // A character that is cut off at the end is not worth a failure.
            let _ = file.read_to_string(&mut text);
        }
        text
    }

    /// The scheduling class of its worker, for reports.
    pub fn scheduling(&self) -> &'static str {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let worker = tasks
            .filter(|t| {
                std::fs::read_to_string(t.path().join("comm")).is_ok_and(|c| c.starts_with("dcbridge-wor"))
            })
            .find_map(|t| t.file_name().to_str()?.parse().ok());
        let Some(worker) = worker else { return "unknown" };
        // SAFETY: it takes a number and answers one.
        match unsafe { libc::sched_getscheduler(worker) } & !libc::SCHED_RESET_ON_FORK {
            libc::SCHED_FIFO => "SCHED_FIFO",
            libc::SCHED_RR => "SCHED_RR",
            libc::SCHED_OTHER => "SCHED_OTHER",
            _ => "another",
        }
    }

    /// Ends it as a person would, by SIGTERM.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(mut self) -> Ended {
        self.signal();
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < end, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        };
        Ended { status, output: self.said() }
    }

    fn signal(&self) {
        // It may have ended already.
        let _ = kill(Pid::from_raw(self.pid() as i32), Signal::SIGTERM);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn log(directory: &Path) -> PathBuf {
    directory.join("output")
}
