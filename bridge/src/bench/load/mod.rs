//! What the hosts do to each other: TCP streams, frames as fast as they go or at a rate, questions and answers. Kernel
//! sockets in the hosts' namespaces; a load runs until its handle goes. Nothing here knows which switch is between.

pub mod frames;
pub mod pingpong;
pub mod tcp;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Threads that run until they are told to stop, which the handle's end does too.
#[derive(Debug, Default)]
struct Threads {
    stop: Arc<AtomicBool>,
    all: Vec<JoinHandle<()>>,
}

impl Threads {
    fn start(&mut self, name: &str, work: impl FnOnce(&AtomicBool) + Send + 'static) -> io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&stop))?;
        self.all.push(thread);
        Ok(())
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.all.drain(..) {
            // It only ends by panic when it has printed that.
            let _ = thread.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}
