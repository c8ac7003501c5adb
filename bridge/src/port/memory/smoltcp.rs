//! A memory port's other end as a network device of smoltcp. For ports without offload: smoltcp takes no superframes.

use ::smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use ::smoltcp::time::Instant;

use super::MemoryPeer;

/// Bytes of an Ethernet header, which smoltcp counts as part of its MTU.
const ETHERNET_HEADER: usize = 14;

/// A frame that came.
#[derive(Debug)]
pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// Room for a frame that goes.
#[derive(Debug)]
pub struct Room<'a>(&'a MemoryPeer);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        // There was room and only this end fills it; a port that is gone loses the frame as a cable would.
        let _ = self.0.send(&frame);
        result
    }
}

impl Device for MemoryPeer {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Room<'_>)> {
        // An answer must find room, or it is lost.
        if self.room() == 0 {
            return None;
        }
        let frame = self.take()?;
        Some((Received(frame.bytes), Room(self)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Room<'_>> {
        (self.room() > 0).then_some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(self.shared.options.mtu) + ETHERNET_HEADER;
        capabilities
    }
}
