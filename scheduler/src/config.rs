//! What the scheduler is told: classes, thresholds, rates. Plain and checked; words and files are elsewhere.

use crate::time::{Rate, Time};

/// Transmission selection of a class (802.1Q 8.6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tsa {
    /// Before all ETS classes; the higher class number first.
    Strict,
    /// A share of what strict classes leave. Weights are relative; 0 counts as 1.
    Ets {
        /// The weight, e.g. percent.
        weight: u8,
    },
}

/// How many cells of the shared buffer one queue may occupy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLimit {
    /// No limit but the buffer's size: for lossless classes, which are limited at ingress.
    Buffer,
    /// This many cells.
    Static(u32),
    /// 2^n times the free part of the buffer.
    Dynamic(i8),
}

impl QueueLimit {
    /// The limit while `free` cells of the buffer are free.
    pub(crate) const fn cells(self, free: u32) -> u32 {
        match self {
            QueueLimit::Buffer => u32::MAX,
            QueueLimit::Static(cells) => cells,
            QueueLimit::Dynamic(n) if n >= 0 => free.saturating_mul(1 << if n > 15 { 15 } else { n }),
            QueueLimit::Dynamic(n) => free >> if n < -15 { 15 } else { -n },
        }
    }
}

/// Limits of a lossless priority group, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// Set apart for the group alone.
    pub reserved: u32,
    /// Cells of the shared part it may take before its sender is paused (the XOFF point).
    pub limit: QueueLimit,
    /// Set apart for what comes after the XOFF.
    pub headroom: u32,
    /// XON only when the group is this far below its limit.
    pub xon_offset: u32,
}

/// One traffic class of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassConfig {
    /// How it is selected.
    pub tsa: Tsa,
    /// Served before the shares up to this rate; what is served so counts against its share.
    pub min_rate: Option<Rate>,
    /// Never faster than this.
    pub max_rate: Option<Rate>,
}

impl Default for ClassConfig {
    fn default() -> Self {
        ClassConfig { tsa: Tsa::Ets { weight: 100 }, min_rate: None, max_rate: None }
    }
}

/// The queue of one priority at a port. It belongs to the priority, not to its class: a remapping moves no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// How much it may hold. Frames whose priority group is lossless are limited where they come in, and not here.
    pub limit: QueueLimit,
    /// Frames that wait longer are stale: `Scheduler::stale` hands them out to be dropped.
    pub lifetime: Option<Time>,
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig { limit: QueueLimit::Dynamic(0), lifetime: None }
    }
}

/// The classes of a port, and which priority belongs to which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassTable {
    /// By class number; classes without a priority are never selected.
    pub classes: [ClassConfig; 8],
    /// Class number of each priority (0 to 7).
    pub class_of: [u8; 8],
    /// By priority.
    pub queues: [QueueConfig; 8],
}

/// One egress port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Line rate; `None`: whatever the device takes.
    pub line_rate: Option<Rate>,
    /// How late the caller may come and still catch up; zero in virtual time.
    pub burst: Time,
    /// Longest frame (not superframe) in bytes without FCS, tags included.
    pub max_frame: u32,
    /// Whether a grant may hold several segments of a superframe.
    pub superframes: bool,
    /// Its classes.
    pub classes: ClassTable,
}
