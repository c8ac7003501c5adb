//! Two ports joined by nothing but `trait Port`: what a test needs to see frames cross, without the switch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use dcbridge::arena::Arena;
use dcbridge::port::{MAX_HEAD, Port, TxDesc};

const BATCH: usize = 64;
const LOOK_MS: i32 = 50;

/// What crossed.
#[derive(Debug, Default)]
pub struct Crossed {
    /// Frames and superframes.
    pub frames: AtomicU64,
    /// Of these, superframes.
    pub superframes: AtomicU64,
}

/// Two joined ports. Ends with its handle.
pub struct Joined {
    stop: Arc<AtomicBool>,
    /// What crossed so far.
    pub crossed: Arc<Crossed>,
    thread: Option<JoinHandle<()>>,
}

impl Joined {
    /// Carries frames between two ports on a thread of its own.
    pub fn new(mut a: Box<dyn Port>, mut b: Box<dyn Port>) -> Joined {
        let stop = Arc::new(AtomicBool::new(false));
        let crossed = Arc::new(Crossed::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&crossed));
        let thread = std::thread::spawn(move || {
            let mut arena = Arena::new(16 << 20);
            while !stopped.load(Ordering::Relaxed) {
                if !(a.doze() | b.doze()) {
                    wait(&[&*a, &*b]);
                }
                carry(&mut *a, &mut *b, &mut arena, &count);
                carry(&mut *b, &mut *a, &mut arena, &count);
                // Only ports that have no frames to read need it this often: those that are connecting.
                if !a.offload() || !b.offload() {
                    a.tick();
                    b.tick();
                }
            }
        });
        Joined { stop, crossed, thread: Some(thread) }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the forwarding thread has panicked");
        }
    }
}

fn carry(from: &mut dyn Port, to: &mut dyn Port, arena: &mut Arena, crossed: &Crossed) {
    let mut frames = Vec::with_capacity(BATCH);
    from.rx(0xff, BATCH.min(to.tx_room()), arena, &mut frames);
    let descriptors: Vec<TxDesc> = frames.iter().map(|frame| whole(arena, frame.id)).collect();
    let superframes = descriptors.iter().filter(|d| d.vnet.gso_type != 0).count();
    to.tx(&descriptors, arena, &mut Vec::with_capacity(BATCH));
    for frame in &frames {
        arena.free(frame.id);
    }
    crossed.frames.fetch_add(frames.len() as u64, Ordering::Relaxed);
    crossed.superframes.fetch_add(superframes as u64, Ordering::Relaxed);
}

/// A frame as it is, to be sent.
pub fn whole(arena: &Arena, id: dcbridge_scheduler::FrameId) -> TxDesc {
    let len = arena.bytes(id).len() as u32;
    TxDesc { head: [0; MAX_HEAD], head_len: 0, body: id, off: 0, len, vnet: arena.vnet(id) }
}

/// Waits until one of the ports has something to do, but not for long.
pub fn wait(ports: &[&dyn Port]) {
    let mut interests = Vec::new();
    for port in ports {
        port.interests(&mut interests);
    }
    let events = |read, write| if read { libc::POLLIN } else { 0 } | if write { libc::POLLOUT } else { 0 };
    let mut fds: Vec<libc::pollfd> = interests
        .iter()
        .map(|i| libc::pollfd { fd: i.fd, events: events(i.read, i.write), revents: 0 })
        .collect();
    // SAFETY: the pointer is to as many pollfds as are said, and they outlive the call.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, LOOK_MS) };
}
