//! Headroom for what a host may still send when its gate closes late: as much as the device says, as far as it leaves room
//! for the others.
//!
//! What must not enter: how a host is paused, and how long that takes.

use dcbridge_config as config;
use dcbridge_scheduler::PortId;
use dcbridge_scheduler::time::WIRE_MIN;

use super::crew::Crew;
use super::table::cells_of;
use crate::arena::CELL;

/// Headroom of a lossless priority group for the device of its port, in bytes of whole cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicePart {
    /// What the worst case takes: the gate closes as late as it may, and all frames are the shortest.
    pub wanted_bytes: u64,
    /// What there is for it.
    pub bytes: u64,
}

/// What the devices of a configuration will get when they are attached, for each lossless priority group of each port.
/// `residual_bytes` says of a port what its device may still bring; `None`: that is not reckoned with.
pub fn planned(
    config: &config::Config,
    residual_bytes: impl Fn(&config::Port) -> Option<u32>,
) -> Vec<Option<DevicePart>> {
    let crew = Crew::of(config);
    let part = |(n, port): (usize, &config::Port)| {
        let groups = port.pausing(config.lossless_priorities()).len() as u32;
        // What a person configured is meant to be all of it.
        let holds =
            residual_bytes(port).filter(|_| groups > 0 && port.headroom_bytes.is_none()).map(holds)?;
        let room = room(config, &crew, crew.owner(PortId(n as u16)));
        let bytes = |cells: u32| u64::from(cells) * CELL as u64;
        Some(DevicePart { wanted_bytes: bytes(holds), bytes: bytes(part(room, groups, holds)) })
    };
    config.ports.iter().enumerate().map(part).collect()
}

/// Cells that each port of a member may have for its device, beside the headroom of its link: half of what is shared,
/// divided among the ports. More would leave nothing for all others.
pub(super) fn room(config: &config::Config, crew: &Crew, number: usize) -> u32 {
    let own = config.ports.iter().enumerate().filter(|(n, _)| crew.owner(PortId(*n as u16)) == number);
    let (ports, taken) = own.fold((0, 0), |(ports, taken), (_, port)| {
        (ports + 1, taken + cells_of(config::set_apart(config, port)))
    });
    crew.share(number).saturating_sub(taken) / 2 / ports.max(1)
}

/// Cells that so many bytes of the shortest frames occupy.
pub(super) const fn holds(residual_bytes: u32) -> u32 {
    residual_bytes.div_ceil(WIRE_MIN)
}

/// Cells for each of `groups` lossless priority groups of a port that has `room` cells, if its device holds so many.
pub(super) fn part(room: u32, groups: u32, holds: u32) -> u32 {
    holds.min(room / groups.max(1))
}
