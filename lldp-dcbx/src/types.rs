//! Small values shared by every room: addresses, priorities and sets of them.

use core::fmt;

/// A MAC address. The order is numerical, as the tie-break of 802.1Q 38.4.2 wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, b) in self.0.iter().enumerate() {
            write!(f, "{}{b:02x}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// An 802.1p priority, 0 to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Priority(u8);

impl Priority {
    /// `None` when `p` is above 7.
    pub const fn new(p: u8) -> Option<Self> {
        if p < 8 { Some(Self(p)) } else { None }
    }

    /// The low three bits of `p`.
    pub const fn from_low_bits(p: u8) -> Self {
        Self(p & 7)
    }

    /// The number, 0 to 7.
    pub const fn value(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of 802.1p priorities; bit `n` stands for priority `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PrioritySet(pub u8);

impl PrioritySet {
    /// No priority.
    pub const EMPTY: Self = Self(0);

    /// Whether the set holds `p`.
    pub const fn contains(self, p: Priority) -> bool {
        self.0 >> p.0 & 1 == 1
    }

    /// The set with `p` added.
    #[must_use]
    pub const fn with(self, p: Priority) -> Self {
        Self(self.0 | 1 << p.0)
    }

    /// How many priorities it holds.
    pub const fn len(self) -> u8 {
        self.0.count_ones() as u8
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, ascending.
    pub fn iter(self) -> impl Iterator<Item = Priority> {
        (0..8).map(Priority).filter(move |p| self.contains(*p))
    }
}

impl FromIterator<Priority> for PrioritySet {
    fn from_iter<I: IntoIterator<Item = Priority>>(members: I) -> Self {
        members.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Display for PrioritySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (i, p) in self.iter().enumerate() {
            write!(f, "{}{p}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for PrioritySet {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}
