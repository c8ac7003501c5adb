//! The shared buffer: who occupies how many cells, and when a sender has to pause.
//!
//! A frame is charged to the buffer and to its priority group - (ingress port, arrival priority) - once, when its first
//! copy is queued, and released when its last copy has left. Each queue is charged for every copy it holds; that account
//! is the queue's own.
//!
//! ```text
//! | reserved of each lossless group |        shared         | headroom of each lossless group |
//! ```
//! A lossy frame needs room in the shared part. A frame of a lossless group fills the group's reserved cells, then the
//! shared part up to the group's limit (fixed, or alpha times what is free of it), then the group's headroom. The first
//! cell of headroom closes the group's gate (XOFF): what comes from then on was on its way already. The gate opens (XON)
//! when the headroom is empty again and the shared part is below the limit by an offset, so that it doesn't flap. A
//! frame that finds the headroom full is refused, which is an alarm: the headroom was too small.
//!
//! The limit of one group rises when others drain, so each release looks at every closed group; there are few.

use alloc::vec;
use alloc::vec::Vec;

use crate::Refused;
use crate::config::{GroupConfig, QueueLimit};
use crate::ids::FrameId;

#[derive(Clone, Copy, Default)]
struct Held {
    copies: u16,
    cells: u16,
    group: u16,
}

/// Cells that a priority group occupies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupUse {
    /// Of its own reserve.
    pub reserved: u32,
    /// Of the shared part.
    pub shared: u32,
    /// Of its headroom.
    pub headroom: u32,
    /// Most of its headroom so far.
    pub headroom_peak: u32,
    /// Whether its gate is closed.
    pub closed: bool,
}

impl GroupUse {
    /// All of it.
    pub const fn cells(&self) -> u32 {
        self.reserved + self.shared + self.headroom
    }
}

#[derive(Clone, Copy, Default)]
struct Group {
    config: Option<GroupConfig>,
    uses: GroupUse,
}

/// The shared buffer.
pub(crate) struct Buffer {
    size: u32,
    shared_size: u32,
    shared_used: u32,
    used: u32,
    peak: u32,
    frames: Vec<Held>,
    groups: Vec<Group>,
    closed: Vec<u16>,
    /// Groups whose gate changed, in order; the state is the group's.
    changed: Vec<u16>,
}

impl Buffer {
    pub(crate) fn new(size: u32, frames: usize, groups: usize) -> Buffer {
        Buffer {
            size,
            shared_size: size,
            shared_used: 0,
            used: 0,
            peak: 0,
            frames: vec![Held::default(); frames],
            groups: vec![Group::default(); groups],
            closed: Vec::with_capacity(groups),
            changed: Vec::with_capacity(2 * groups),
        }
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    pub(crate) fn peak(&self) -> u32 {
        self.peak
    }

    /// Free cells of the shared part.
    #[inline]
    pub(crate) fn shared_free(&self) -> u32 {
        self.shared_size.saturating_sub(self.shared_used)
    }

    pub(crate) fn group(&self, group: u16) -> &GroupUse {
        &self.groups[group as usize].uses
    }

    pub(crate) fn group_config(&self, group: u16) -> Option<&GroupConfig> {
        self.groups[group as usize].config.as_ref()
    }

    /// Makes a group lossless, or lossy (`None`), or gives it other limits. What it holds is spread anew; a gate that
    /// need not be closed any more opens.
    pub(crate) fn configure_group(&mut self, index: u16, config: Option<GroupConfig>) {
        let held = self.groups[index as usize].uses.cells();
        self.shared_used -= self.groups[index as usize].uses.shared;
        let group = &mut self.groups[index as usize];
        group.config = config;
        group.uses.reserved = held.min(config.map_or(0, |c| c.reserved));
        group.uses.shared = held - group.uses.reserved;
        group.uses.headroom = 0;
        self.shared_used += group.uses.shared;
        let set_apart: u32 =
            self.groups.iter().filter_map(|g| g.config).map(|c| c.reserved.saturating_add(c.headroom)).sum();
        self.shared_size = self.size.saturating_sub(set_apart);
        self.reopen();
    }

    /// Cells of the shared part that a lossless group may still take.
    fn shared_room(&self, config: &GroupConfig, uses: &GroupUse) -> u32 {
        let free = self.shared_free();
        config.limit.cells(free).saturating_sub(uses.shared).min(free)
    }

    /// Cells that may come to `groups`, whichever of them, before a gate of theirs can close; 0 while one is closed.
    pub(crate) fn calm(&self, groups: core::ops::Range<u16>) -> u32 {
        let lossless = self.groups[usize::from(groups.start)..usize::from(groups.end)].iter();
        let calm = lossless.filter_map(|Group { config, uses }| {
            let config = config.as_ref()?;
            if uses.closed {
                return Some(0);
            }
            let room = self.shared_room(config, uses);
            let room = match config.limit {
                // Each cell that is taken, by whomever, lowers the limit by alpha.
                QueueLimit::Dynamic(n) => room / (1 + (1 << n.clamp(0, 15))),
                QueueLimit::Static(_) | QueueLimit::Buffer => room,
            };
            Some(config.reserved - uses.reserved + room)
        });
        calm.min().unwrap_or(u32::MAX)
    }

    /// Whether one more copy fits: a frame that is charged already always does.
    #[inline(never)]
    pub(crate) fn fits(&self, id: FrameId, cells: u16, group: u16) -> Result<(), Refused> {
        if self.frames[id.index()].copies > 0 {
            return Ok(());
        }
        let Group { config, uses } = &self.groups[group as usize];
        let cells = u32::from(cells);
        match config {
            None if cells <= self.shared_free() => Ok(()),
            None => Err(Refused::BufferFull),
            Some(config) => {
                let own = (config.reserved - uses.reserved) + (config.headroom.saturating_sub(uses.headroom));
                if cells <= own.saturating_add(self.shared_room(config, uses)) {
                    Ok(())
                } else {
                    Err(Refused::HeadroomFull)
                }
            }
        }
    }

    /// Charges one more copy, if it fits.
    #[inline]
    pub(crate) fn hold(&mut self, id: FrameId, cells: u16, group: u16) -> Result<(), Refused> {
        let held = &mut self.frames[id.index()];
        if held.copies > 0 {
            held.copies += 1;
            return Ok(());
        }
        let all = u32::from(cells);
        let state = &mut self.groups[group as usize];
        if state.config.is_some() {
            self.fits(id, cells, group)?;
            self.fill(group, all);
        } else {
            if all > self.shared_size.saturating_sub(self.shared_used) {
                return Err(Refused::BufferFull);
            }
            state.uses.shared += all;
            self.shared_used += all;
        }
        self.frames[id.index()] = Held { copies: 1, cells, group };
        self.used += all;
        self.peak = self.peak.max(self.used);
        Ok(())
    }

    /// Spreads the cells of a frame that fits over the parts of a lossless group.
    #[inline(never)]
    fn fill(&mut self, group: u16, mut left: u32) {
        let Some(config) = self.groups[group as usize].config else { return };
        let shared_room = self.shared_room(&config, &self.groups[group as usize].uses);
        let uses = &mut self.groups[group as usize].uses;
        let reserved = left.min(config.reserved - uses.reserved);
        uses.reserved += reserved;
        left -= reserved;
        let shared = left.min(shared_room);
        uses.shared += shared;
        self.shared_used += shared;
        left -= shared;
        if left > 0 {
            uses.headroom += left;
            uses.headroom_peak = uses.headroom_peak.max(uses.headroom);
            if !uses.closed {
                uses.closed = true;
                self.closed.push(group);
                self.changed.push(group);
            }
        }
    }

    /// Whether the gate of some group is closed.
    pub(crate) fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Cells of a frame that is charged.
    pub(crate) fn cells(&self, id: FrameId) -> u16 {
        self.frames[id.index()].cells
    }

    /// One copy has left; `true` when it was the last and nobody needs the frame's bytes any more.
    #[inline]
    pub(crate) fn release(&mut self, id: FrameId) -> bool {
        let held = &mut self.frames[id.index()];
        debug_assert!(held.copies > 0, "{id:?} released more often than held");
        held.copies = held.copies.saturating_sub(1);
        if held.copies > 0 {
            return false;
        }
        let mut left = u32::from(held.cells);
        self.used -= left;
        let uses = &mut self.groups[held.group as usize].uses;
        // In the reverse order of filling: headroom first.
        let headroom = left.min(uses.headroom);
        uses.headroom -= headroom;
        left -= headroom;
        let shared = left.min(uses.shared);
        uses.shared -= shared;
        self.shared_used -= shared;
        uses.reserved -= left - shared;
        if !self.closed.is_empty() {
            self.reopen();
        }
        true
    }

    /// Opens the gates that need not be closed any more.
    fn reopen(&mut self) {
        let free = self.shared_free();
        let Buffer { groups, changed, closed, .. } = self;
        closed.retain(|&index| {
            let Group { config, uses } = &mut groups[index as usize];
            let opens = config.is_none_or(|c| {
                uses.headroom == 0
                    && (uses.shared == 0 || uses.shared.saturating_add(c.xon_offset) <= c.limit.cells(free))
            });
            if opens {
                uses.closed = false;
                changed.push(index);
            }
            !opens
        });
    }

    /// Whether the gate of some group changed.
    #[inline]
    pub(crate) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The next group whose gate changed.
    #[inline]
    pub(crate) fn take_changed(&mut self) -> Option<u16> {
        (!self.changed.is_empty()).then(|| self.changed.remove(0))
    }
}
