//! When a worker's thread runs before all ordinary work (SCHED_FIFO).
//!
//! What comes while the thread waits for a processor is what headroom has to hold, so it is not to wait while lossless
//! frames come. At other times it is: a thread that can't be interrupted keeps the receiving program from the processor
//! that has the frames in its cache. A single TCP stream was a third slower for it, and round trips took half as long
//! again.

use dcbridge_config::Scheduling;
use dcbridge_scheduler::Time;

use super::sys;

/// How long it stays so after the last lossless frame.
const LINGER: Time = Time::from_millis(100);

/// How the thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// As any other thread.
    Normal,
    /// Before all ordinary work.
    Always,
    /// Before all ordinary work until then, if lossless frames came.
    AsNeeded(Option<Time>),
}

impl Haste {
    /// Of the calling thread; `lossless`: some class is. Where it may be needed, it is tried.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub(super) fn begin(scheduling: Scheduling, lossless: bool) -> Result<Haste, String> {
        let (haste, tried) = match scheduling {
            Scheduling::Normal => return Ok(Haste::Normal),
            // DCBX may make a class lossless later.
            Scheduling::Auto if !lossless => return Ok(Haste::AsNeeded(None)),
            Scheduling::Auto => (Haste::AsNeeded(None), sys::realtime().and_then(|()| sys::ordinary())),
            Scheduling::Realtime => (Haste::Always, sys::realtime()),
        };
        tried.map(|()| haste).map_err(|error| {
            format!(
                "the worker runs as any other thread and may have to wait for a processor: SCHED_FIFO was refused \
                 ({error}); it needs CAP_SYS_NICE"
            )
        })
    }

    /// A turn has ended; `lossless`: a lossless frame came in it.
    #[inline]
    pub(super) fn heed(&mut self, lossless: bool, now: Time) {
        let Haste::AsNeeded(until) = self else { return };
        match *until {
            None if !lossless => {}
            None => {
                *until = Some(now + LINGER);
                if let Err(error) = sys::realtime() {
                    tracing::warn!(%error, "lossless frames come, and the worker runs as any other thread");
                    *self = Haste::Normal;
                }
            }
            Some(_) if lossless => *until = Some(now + LINGER),
            Some(end) if end > now => {}
            Some(_) => {
                *until = None;
                // It is ordinary already, or stays as it is until it is needed again.
                let _ = sys::ordinary();
            }
        }
    }

    /// Whether it runs before all ordinary work now.
    pub(super) fn is_on(self) -> bool {
        matches!(self, Haste::Always | Haste::AsNeeded(Some(_)))
    }

    /// For a person.
    pub(super) fn name(self) -> &'static str {
        if self.is_on() { "realtime" } else { "normal" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_as_long_as_lossless_frames_come_and_a_little_longer() {
        let Ok(mut haste) = Haste::begin(Scheduling::Auto, false) else { unreachable!("nothing is tried") };
        haste.heed(false, Time::ZERO);
        assert!(!haste.is_on(), "nothing lossless came");
        haste.heed(true, Time::ZERO);
        if haste == Haste::Normal {
            // Without the right to hurry it says so once, and stays as it is.
            return haste.heed(true, Time::from_millis(1));
        }
        haste.heed(false, Time::from_millis(60));
        haste.heed(true, Time::from_millis(90));
        haste.heed(false, Time::from_millis(189));
        assert!(haste.is_on(), "the last one came at 90 ms");
        haste.heed(false, Time::from_millis(190));
        assert!(!haste.is_on());
    }
}
