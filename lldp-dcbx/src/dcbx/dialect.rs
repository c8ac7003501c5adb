//! Which dialect a port in mode `auto` speaks: IEEE first; a legacy one while the peer has nothing
//! newer; at most one change forth or back per msgTxInterval.

use core::fmt;
use core::time::Duration;

use super::config::Mode;
use crate::machine::{Interpreter, Label, Row, Table, labelled};
use crate::time::Time;

labelled! {
    /// A dialect of DCBX.
    Dialect {
        Ieee => "IEEE",
        Cee => "CEE",
        Cin => "CIN",
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Dialect {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Why the dialect changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The peer sends this dialect and nothing newer.
    PeerSends(Dialect),
    /// Nobody is there (any more): a port begins with IEEE.
    NoPeer,
    /// The mode was configured.
    Configured,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerSends(Dialect::Ieee) => f.write_str("peer sends IEEE"),
            Self::PeerSends(d) => write!(f, "peer sends {d} and nothing newer"),
            Self::NoPeer => f.write_str("no peer: IEEE first"),
            Self::Configured => f.write_str("mode was configured"),
        }
    }
}

/// Dialects that a peer sends; with several the newest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// IEEE TLVs.
    pub ieee: bool,
    /// A CEE TLV.
    pub cee: bool,
    /// A CIN TLV.
    pub cin: bool,
}

impl Spoken {
    /// IEEE over CEE over CIN.
    pub fn best(self) -> Option<Dialect> {
        let by_age = [(self.ieee, Dialect::Ieee), (self.cee, Dialect::Cee), (self.cin, Dialect::Cin)];
        by_age.into_iter().find(|(spoken, _)| *spoken).map(|(_, d)| d)
    }

    /// Whether this one is among them.
    pub fn has(self, d: Dialect) -> bool {
        match d {
            Dialect::Ieee => self.ieee,
            Dialect::Cee => self.cee,
            Dialect::Cin => self.cin,
        }
    }
}

labelled! {
    /// Guards of the dialect machine.
    DialectGuard {
        Reset => "link down, or no peer for msgTxInterval",
        BestIeee => "peer sends IEEE TLVs, last change msgTxInterval ago",
        BestCee => "peer sends CEE and no IEEE, last change msgTxInterval ago",
        BestCin => "peer sends CIN only, last change msgTxInterval ago",
    }
}

labelled! {
    /// Actions of the dialect machine.
    DialectAction {
        Announce => "restart the handshake, advertise in this dialect",
    }
}

const TO_IEEE: (Option<DialectGuard>, Dialect) = (Some(DialectGuard::BestIeee), Dialect::Ieee);
const TO_CEE: (Option<DialectGuard>, Dialect) = (Some(DialectGuard::BestCee), Dialect::Cee);
const TO_CIN: (Option<DialectGuard>, Dialect) = (Some(DialectGuard::BestCin), Dialect::Cin);

/// The dialect machine of mode `auto`.
pub static DIALECT: Table<Dialect, DialectGuard, DialectAction> = Table {
    name: "DCBX dialect (mode auto)",
    initial: Dialect::Ieee,
    global: &[(DialectGuard::Reset, Dialect::Ieee)],
    rows: &[
        Row { state: Dialect::Ieee, actions: &[DialectAction::Announce], exits: &[TO_CEE, TO_CIN] },
        Row { state: Dialect::Cee, actions: &[DialectAction::Announce], exits: &[TO_IEEE, TO_CIN] },
        Row { state: Dialect::Cin, actions: &[DialectAction::Announce], exits: &[TO_IEEE, TO_CEE] },
    ],
};

/// State of the machine.
#[derive(Debug)]
pub(crate) struct Chooser {
    pub(crate) dialect: Dialect,
    last_change: Option<Time>,
    absent_since: Option<Time>,
}

/// What the machine sees in one run.
struct View<'a> {
    link_up: bool,
    best: Option<Dialect>,
    interval: Duration,
    now: Time,
    chooser: &'a mut Chooser,
    changed: bool,
}

impl Interpreter<DialectGuard, DialectAction> for View<'_> {
    fn holds(&self, guard: DialectGuard) -> bool {
        let since = |t: Option<Time>| t.is_some_and(|t| t + self.interval <= self.now);
        let may = self.chooser.last_change.is_none() || since(self.chooser.last_change);
        match guard {
            DialectGuard::Reset => !self.link_up || since(self.chooser.absent_since),
            DialectGuard::BestIeee => may && self.best == Some(Dialect::Ieee),
            DialectGuard::BestCee => may && self.best == Some(Dialect::Cee),
            DialectGuard::BestCin => may && self.best == Some(Dialect::Cin),
        }
    }

    fn perform(&mut self, action: DialectAction) {
        match action {
            DialectAction::Announce => self.changed = true,
        }
    }
}

impl Chooser {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { dialect: forced(mode).unwrap_or(DIALECT.initial), last_change: None, absent_since: None }
    }

    /// Looks at what the peer sends (`None`: no peer). True when the dialect changed.
    pub(crate) fn run(
        &mut self,
        mode: Mode,
        link_up: bool,
        best: Option<Dialect>,
        interval: Duration,
        now: Time,
    ) -> bool {
        if let Some(dialect) = forced(mode) {
            (self.last_change, self.absent_since) = (None, None);
            return core::mem::replace(&mut self.dialect, dialect) != dialect;
        }
        self.absent_since = if best.is_none() { self.absent_since.or(Some(now)) } else { None };
        let mut dialect = self.dialect;
        let mut view = View { link_up, best, interval, now, chooser: self, changed: false };
        let reset = view.holds(DialectGuard::Reset);
        DIALECT.run(&mut dialect, &mut view);
        let changed = view.changed;
        self.dialect = dialect;
        if reset {
            // A fresh start owes nothing to earlier changes.
            self.last_change = None;
        } else if changed {
            self.last_change = Some(now);
        }
        changed
    }

    /// When to look again although nothing was received.
    pub(crate) fn deadline(&self, mode: Mode, best: Option<Dialect>, interval: Duration) -> Option<Time> {
        if forced(mode).is_some() {
            return None;
        }
        match best {
            None if self.dialect == Dialect::Ieee => None,
            None => self.absent_since.map(|t| t + interval),
            Some(best) if best != self.dialect => self.last_change.map(|t| t + interval),
            Some(_) => None,
        }
    }
}

fn forced(mode: Mode) -> Option<Dialect> {
    match mode {
        Mode::Auto => None,
        Mode::Ieee => Some(Dialect::Ieee),
        Mode::Cee => Some(Dialect::Cee),
        Mode::Cin => Some(Dialect::Cin),
    }
}
