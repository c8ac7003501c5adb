//! Steady loads for benchmarks and for the test that nothing is allocated: one call is one frame's way.

use std::sync::Arc;

use dcbridge::arena::Arena;
use dcbridge::port::{RxFrame, TxBatch, TxOutcome, VnetHeader};
use dcbridge::sim::frames::Spec;
use dcbridge::switch::crew::Crew;
use dcbridge::switch::{Attachment, Setting, Switch};
use dcbridge_scheduler::{
    ClassTable, FrameId, Grant, Meta, PortConfig, PortId, Priority, QueueLimit, Rate, Scheduler, Shape, Time,
    Tsa,
};

use crate::virtual_time::{config, ets_classes};

/// Time between two frames: a line of 100 Gbit/s is free again by then, whatever was sent.
const PACE: Time = Time::from_micros(1);

/// A scheduler of 8 classes with a standing backlog at each of its ports.
pub struct SchedulerLoad {
    scheduler: Scheduler,
    ports: u16,
    next: (u16, u8),
    free: Vec<FrameId>,
    now: Time,
}

impl SchedulerLoad {
    /// `ports` ports at which `queued` frames wait in all, evenly over ports and priorities.
    ///
    /// # Panics
    /// When they don't fit.
    pub fn new(ports: u16, queued: u32) -> SchedulerLoad {
        let mut classes = ClassTable::default();
        for n in 0..8 {
            classes.classes[n].tsa = if n == 7 { Tsa::Strict } else { Tsa::Ets { weight: 10 + n as u8 } };
            classes.queues[n].limit = QueueLimit::Buffer;
            classes.class_of[n] = n as u8;
        }
        let port = PortConfig {
            line_rate: Some(Rate::from_bits_per_second(100_000_000_000)),
            burst: Time::ZERO,
            max_frame: 9018,
            superframes: true,
            classes,
        };
        let frames = queued + 64;
        let mut load = SchedulerLoad {
            scheduler: Scheduler::new(&vec![port; usize::from(ports)], 6 * frames, frames as usize),
            ports,
            next: (0, 0),
            free: (0..frames).map(FrameId).rev().collect(),
            now: Time::ZERO,
        };
        for _ in 0..queued {
            let (port, priority) = load.place();
            load.enqueue(port, priority);
        }
        load
    }

    fn place(&mut self) -> (PortId, Priority) {
        // Ports in turn, then the next priority; a division here would cost a tenth of what is measured.
        self.next.0 += 1;
        if self.next.0 == self.ports {
            self.next = (0, self.next.1.wrapping_add(1));
        }
        (PortId(self.next.0), Priority::new(self.next.1))
    }

    fn enqueue(&mut self, port: PortId, priority: Priority) {
        let id = self.free.pop().expect("a frame");
        let meta =
            Meta { id, ingress: PortId(0), arrival: priority, priority, cells: 6, shape: Shape::frame(1514) };
        self.scheduler.enqueue(port, &meta, self.now).expect("room");
    }

    /// Queues one frame and takes one out at the same port: which one, the scheduler decides.
    ///
    /// # Panics
    /// When the port has nothing to send.
    pub fn step(&mut self) {
        self.now = self.now + PACE;
        let (port, priority) = self.place();
        self.enqueue(port, priority);
        let grant = self.scheduler.poll(port, self.now).expect("a frame waits and the line is free");
        assert!(self.scheduler.sent(grant.id));
        self.free.push(grant.id);
    }
}

/// A switch of 8 classes and known stations.
pub struct SwitchLoad {
    /// One for each worker.
    members: Vec<(Switch, Arena)>,
    crew: Crew,
    frames: Vec<Vec<u8>>,
    next: usize,
    now: Time,
    descs: TxBatch,
    received: Vec<RxFrame>,
    grants: Vec<Grant>,
}

/// Frames of a batch.
pub const BATCH: u32 = 64;

impl SwitchLoad {
    /// Four ports; frames of `len` bytes without FCS, of eight priorities by DSCP, from one port to another.
    ///
    /// # Panics
    /// When the configuration is wrong.
    pub fn new(len: usize) -> SwitchLoad {
        SwitchLoad::with_workers(len, 1)
    }

    /// The same with several workers, so that each frame crosses from one to another. How long a ring and a wake-up take is
    /// not in it.
    ///
    /// # Panics
    /// When the configuration is wrong.
    pub fn with_workers(len: usize, threads: u8) -> SwitchLoad {
        let ports: String =
            (0..4).map(|n| format!("[[port]]\nname = \"p{n}\"\nline_rate = \"100Gbit\"\n")).collect();
        let text = format!(
            "[bridge]\nloop_detection = false\n{}\n[defaults]\ntrust = [\"pcp\", \"dscp\"]\n{ports}",
            ets_classes(&[30, 20, 15, 10, 10, 5, 5, 5])
        );
        let mut config = config(&text);
        config.worker.threads = threads;
        let config = Arc::new(config);
        let crew = Crew::of(&config);
        let setting = Setting { seed: 1, identity: 1, burst: Time::ZERO };
        let arenas = crew.arenas().into_iter().enumerate();
        let members = arenas.map(|(n, arena)| (Switch::member(&config, &arena, setting, &crew, n), arena));
        let frames = (0..8u8)
            .map(|priority| {
                Spec { from: 0, to: Some(1), dscp: priority << 3, len, ..Spec::default() }.udp(1).bytes
            })
            .collect();
        let (members, descs) = (members.collect(), TxBatch::with_capacity(BATCH as usize));
        let mut load = SwitchLoad {
            members,
            crew,
            frames,
            next: 0,
            now: Time::ZERO,
            descs,
            received: Vec::new(),
            grants: Vec::new(),
        };
        for port in (0..4).map(PortId) {
            let (switch, arena) = load.owner(port);
            switch.attach(port, Attachment::plain(true));
            switch.set_link(port, true, arena, Time::ZERO);
            load.exchange();
        }
        // The receiver shows itself.
        let hello = Spec { from: 1, to: Some(0), ..Spec::default() }.udp(1).bytes;
        load.receive(PortId(1), &hello);
        for port in [0, 2, 3] {
            while load.send(PortId(port)) {}
        }
        load
    }

    fn owner(&mut self, port: PortId) -> &mut (Switch, Arena) {
        let number = self.crew.owner(port);
        &mut self.members[number]
    }

    fn receive(&mut self, port: PortId, bytes: &[u8]) {
        let now = self.now;
        let (switch, arena) = self.owner(port);
        let id = arena.insert(bytes, VnetHeader::default()).expect("memory");
        switch.rx(port, 0, id, arena, now);
        self.exchange();
    }

    /// Hands over what the members have for each other.
    fn exchange(&mut self) {
        if self.members.len() == 1 {
            return;
        }
        for number in 0..self.members.len() {
            loop {
                let (switch, arena) = &mut self.members[number];
                let Some((to, message)) = switch.next_message(arena) else { break };
                let (switch, arena) = &mut self.members[to];
                switch.take_message(message, arena, self.now);
            }
            while let Some((to, token)) = self.members[number].0.next_token() {
                let (switch, arena) = &mut self.members[to];
                switch.take_token(token, arena);
            }
        }
    }

    fn send(&mut self, port: PortId) -> bool {
        self.descs.clear();
        let number = self.crew.owner(port);
        let (switch, arena) = &mut self.members[number];
        let Some(grant) = switch.poll(port, arena, self.now, &mut self.descs) else {
            return false;
        };
        switch.settle(port, &grant, TxOutcome::Sent, arena);
        self.exchange();
        true
    }

    /// A batch of frames of one priority: in, through, out, like a worker that has much to do. Copying them into memory is
    /// part of it.
    ///
    /// # Panics
    /// When they don't come out where they should.
    pub fn batch(&mut self) {
        let Self { members, frames, next, now, descs, received, grants, .. } = self;
        let (switch, arena) = &mut members[0];
        *now = *now + PACE;
        received.clear();
        for _ in 0..BATCH {
            let id = arena.insert(&frames[*next], VnetHeader::default()).expect("memory");
            received.push(RxFrame { id, queue: 0 });
        }
        *next = (*next + 1) % frames.len();
        switch.rx_all(PortId(0), received, arena, *now);
        descs.clear();
        grants.clear();
        for _ in 0..BATCH {
            *now = *now + PACE;
            grants
                .push(switch.poll(PortId(1), arena, *now, descs).expect("a frame to a known station leaves"));
        }
        let sent = std::iter::repeat(TxOutcome::Sent);
        switch.settle_all(PortId(1), grants.iter().zip(sent), arena);
    }

    /// One frame: in, through, out. Copying it into memory is part of it.
    ///
    /// # Panics
    /// When it does not come out where it should.
    pub fn step(&mut self) {
        self.now = self.now + PACE;
        let bytes = std::mem::take(&mut self.frames[self.next]);
        self.receive(PortId(0), &bytes);
        self.frames[self.next] = bytes;
        self.next = (self.next + 1) % self.frames.len();
        assert!(self.send(PortId(1)), "a frame to a known station leaves at once");
    }
}
