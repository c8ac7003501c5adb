//! Names of things: ports, priorities, frames. Plain numbers, made unmixable.

/// A port of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

impl PortId {
    /// As an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An 802.1p priority, 0 to 7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// The low three bits of `n`.
    pub const fn new(n: u8) -> Priority {
        Priority(n & 7)
    }

    /// As a number.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// As an index.
    #[inline]
    pub const fn index(self) -> usize {
        (self.0 & 7) as usize
    }

    /// All eight, from 0 up.
    pub fn all() -> impl DoubleEndedIterator<Item = Priority> {
        (0..8).map(Priority)
    }
}

/// A frame's place in the arena. The bytes never cross this crate's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u32);

impl FrameId {
    /// As an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
