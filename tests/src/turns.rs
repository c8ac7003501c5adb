//! The live worker on ports that cost nothing: what its turns cost by themselves.
//!
//! What must not enter: measuring (the benchmark does that).

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use dcbridge::arena::Arena;
use dcbridge::port::{Interest, Link, Port, RxFrame, RxStatus, TxDesc, TxOutcome, VnetHeader};
use dcbridge::sim::frames::Spec;
use dcbridge::state::Snapshot;
use dcbridge::switch::{Setting, Switch};
use dcbridge::worker::{Clock, Command, Parts, Peers, Worker};
use dcbridge_config::Poll;
use dcbridge_scheduler::{PortId, Time};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::virtual_time::config;

/// Frames that a port gives at once: few, so that turns are what costs.
const BURST: usize = 8;

fn event() -> EventFd {
    EventFd::from_value_and_flags(1, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).expect("a descriptor")
}

/// A device that gives the same frame over and over, or none, and takes everything.
struct Effortless {
    frame: Option<Vec<u8>>,
    /// Frames given since it last said that there is no more for this turn.
    given: usize,
    event: EventFd,
}

impl Port for Effortless {
    fn rx(&mut self, _serve: u8, budget: usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> RxStatus {
        let Some(frame) = &self.frame else { return RxStatus::default() };
        let now = budget.min(BURST - self.given);
        let ids = (0..now).filter_map(|_| arena.insert(frame, VnetHeader::default()));
        out.extend(ids.map(|id| RxFrame { id, queue: 0 }));
        self.given += now;
        if self.given < BURST {
            return RxStatus { more: true, ..RxStatus::default() };
        }
        self.given = 0;
        // The next turn's frames make an edge of their own, as those of a device do.
        let _ = self.event.write(1);
        RxStatus::default()
    }

    fn tx_room(&self) -> usize {
        256
    }

    fn tx(&mut self, frames: &[TxDesc], _arena: &mut Arena, outcomes: &mut Vec<TxOutcome>) {
        outcomes.extend(frames.iter().map(|_| TxOutcome::Sent));
    }

    fn interests(&self, out: &mut Vec<Interest>) {
        out.push(Interest { fd: self.event.as_fd().as_raw_fd(), read: true, write: false });
    }

    fn tick(&mut self) -> Link {
        Link::Up
    }

    fn offload(&self) -> bool {
        true
    }
}

/// A worker that runs on a thread of its own, until this is dropped.
pub struct Turns {
    commands: mpsc::Sender<Command>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Turns {
    /// A switch of `ports` ports; behind each of the first `busy` a host sends to that of the next one.
    ///
    /// # Panics
    /// When the process has no descriptor or thread left.
    pub fn start(ports: u16, busy: u16) -> Turns {
        let mut text = "[bridge]\nloop_detection = false\n[defaults]\nline_rate = \"unlimited\"\n".to_owned();
        for n in 0..ports {
            text.push_str(&format!(
                "[[port]]\nname = \"p{n}\"\n[[fdb]]\nmac = \"02:00:00:00:00:{n:02x}\"\nvlan = 1\nport = \"p{n}\"\n"
            ));
        }
        let config = Arc::new(config(&text));
        let arena = Arena::new(config.bridge.buffer_bytes);
        let switch = Switch::new(&config, &arena, Setting { seed: 1, identity: 1, burst: Time::ZERO });
        let (commands, queue) = mpsc::channel();
        let wake = Arc::new(event());
        let parts = Parts {
            switch,
            arena,
            line_rates: vec![None; usize::from(ports)],
            lossless: false,
            burst: Time::from_millis(5),
            poll: Poll::Adaptive,
            wake: Arc::clone(&wake),
            commands: queue,
            events: tokio::sync::mpsc::unbounded_channel().0,
            peers: Peers::none(&wake),
            clock: Clock::Real(Instant::now()),
        };
        let worker = Worker::new(parts).expect("an epoll descriptor");
        for n in 0..ports {
            let next = if n + 1 == busy { 0 } else { n + 1 };
            let frame = || Spec { from: n, to: Some(next), len: 60, ..Spec::default() }.udp(1).bytes;
            let device = Effortless { frame: (n < busy).then(frame), given: 0, event: event() };
            commands.send(Command::Attach(PortId(n), Box::new(device))).expect("the worker listens");
        }
        let thread = std::thread::spawn(move || worker.run());
        Turns { commands, wake, thread: Some(thread) }
    }

    /// All counters of a moment.
    ///
    /// # Panics
    /// When the worker has ended.
    pub fn snapshot(&self) -> Snapshot {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.commands.send(Command::Snapshot(answer)).expect("the worker listens");
        self.wake.write(1).expect("a counter that is not full");
        answered.blocking_recv().expect("an answer")
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        let (answer, _) = tokio::sync::oneshot::channel();
        // It may have ended already.
        let _ = self.commands.send(Command::Stop(answer));
        let _ = self.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
