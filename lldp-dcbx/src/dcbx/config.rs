//! The local side of DCBX: what the port can do, wants and may take from its peer.

use alloc::string::String;
use core::fmt;

use super::diagnosis::Hold;
use crate::error::{Error, Unsupported};
use crate::types::PrioritySet;
use crate::wire::app::{AppTable, AppVlanTable};
use crate::wire::cee::CeeApps;
use crate::wire::ets::{EtsTable, Tsa, UNASSIGNED};

/// Which dialect the port speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Mode {
    /// IEEE, and CEE or CIN while the peer sends nothing newer.
    #[default]
    Auto,
    /// IEEE only.
    Ieee,
    /// CEE 1.01 only.
    Cee,
    /// CIN only.
    Cin,
}

/// What to do when several neighbours on one port send DCBX TLVs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum MultiPeer {
    /// As the standard says: behave as if there were none until one remains.
    #[default]
    Disable,
    /// The one that was there first stays the peer.
    KeepFirst,
}

/// What the port can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Capability {
    /// Traffic classes, 1 to 8.
    pub max_classes: u8,
    /// Priorities that can have PFC at once, 0 to 8.
    pub pfc_priorities: u8,
    /// Whether it has the credit-based shaper.
    pub credit_based: bool,
}

impl Default for Capability {
    fn default() -> Self {
        Self { max_classes: 8, pfc_priorities: 8, credit_based: false }
    }
}

impl Capability {
    /// A received ETS table as the port can carry it out; a priority in no class goes to class 0.
    ///
    /// # Errors
    /// [`Unsupported::Classes`], [`Unsupported::Algorithm`].
    pub fn ets(&self, table: EtsTable) -> Result<EtsTable, Error> {
        let (tsa, used) = (table.tsa(), table.used_classes());
        if let Some(class) = (self.max_classes..8).rev().find(|c| used >> c & 1 == 1) {
            return Err(Unsupported::Classes { class, have: self.max_classes }.into());
        }
        for class in (0..8).filter(|c| used >> c & 1 == 1) {
            let tsa = tsa[usize::from(class)];
            let known = match tsa {
                Tsa::Strict | Tsa::Ets => true,
                Tsa::CreditBased => self.credit_based,
                Tsa::Vendor | Tsa::Other(_) => false,
            };
            if !known {
                return Err(Unsupported::Algorithm { class, tsa }.into());
            }
        }
        let classes = table.classes().map(|c| if c == UNASSIGNED { 0 } else { c });
        Ok(EtsTable::new(classes, table.bandwidth(), tsa)?)
    }

    /// A received set of PFC priorities, if the port can do them.
    ///
    /// # Errors
    /// [`Unsupported::Pfc`].
    pub fn pfc(&self, enabled: PrioritySet) -> Result<PrioritySet, Error> {
        if enabled.len() > self.pfc_priorities {
            return Err(Unsupported::Pfc { enabled, have: self.pfc_priorities }.into());
        }
        Ok(enabled)
    }
}

/// Switches of one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FeatureFlags {
    /// Take the peer's settings. For the application table of IEEE, which has no such bit on the wire:
    /// install the peer's entries beside the local ones.
    pub willing: bool,
    /// Send the feature's TLV (enable-tx).
    pub advertise: bool,
    /// The feature is on. Only CEE and CIN can say so; IEEE leaves it out.
    pub enable: bool,
}

impl FeatureFlags {
    /// Sent, on, and not willing.
    pub const ON: Self = Self { willing: false, advertise: true, enable: true };
    /// Sent, on, and willing.
    pub const WILLING: Self = Self { willing: true, ..Self::ON };
}

impl Default for FeatureFlags {
    fn default() -> Self {
        Self::ON
    }
}

/// Where the local values come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Origin {
    /// The configuration.
    #[default]
    Configured,
    /// Taught by the switch's configuration source, whose port name this is.
    Propagated(String),
}

/// The local side of DCBX on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DcbxConfig {
    /// Dialect.
    pub mode: Mode,
    /// What to do with several peers.
    pub multi_peer: MultiPeer,
    /// What the port can do.
    pub capability: Capability,
    /// Classes, shares and algorithms.
    pub ets: EtsTable,
    /// Switches of ETS. `advertise` is about the ETS Configuration.
    pub ets_flags: FeatureFlags,
    /// What the peer should use in its direction; `None`: no ETS Recommendation is sent.
    pub ets_recommendation: Option<EtsTable>,
    /// Priorities with PFC.
    pub pfc: PrioritySet,
    /// Switches of PFC.
    pub pfc_flags: FeatureFlags,
    /// Applications and their priorities.
    pub app: AppTable,
    /// Switches of the application table.
    pub app_flags: FeatureFlags,
    /// Applications and their VLANs; `None`: not sent.
    pub app_vlan: Option<AppVlanTable>,
    /// Congestion notification priority values; `None`: not sent.
    pub cnpv: Option<PrioritySet>,
    /// Where these values come from.
    pub origin: Origin,
    /// Why DCBX is off on this port although it goes on being exchanged (see `roles`).
    pub hold: Option<Hold>,
}

impl Default for DcbxConfig {
    /// One strict class, no PFC, no applications, nothing willing, all three sent.
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            multi_peer: MultiPeer::Disable,
            capability: Capability::default(),
            ets: EtsTable::single_class(),
            ets_flags: FeatureFlags::ON,
            ets_recommendation: None,
            pfc: PrioritySet::EMPTY,
            pfc_flags: FeatureFlags::ON,
            app: AppTable::default(),
            app_flags: FeatureFlags::ON,
            app_vlan: None,
            cnpv: None,
            origin: Origin::Configured,
            hold: None,
        }
    }
}

/// Why a local configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A capability out of its range.
    Capability,
    /// The port cannot do it, or it must not be sent.
    Value(Error),
    /// A priority without a class.
    Unassigned,
    /// All eight priorities are congestion notification priority values; one must not be.
    AllCnpv,
    /// More applications than CEE can carry (64) in a mode that may speak it.
    TooManyApplications,
    /// A chassis or port ID of no or more than 255 octets.
    Name,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability => {
                f.write_str("a port has 1 to 8 traffic classes and PFC for 0 to 8 priorities")
            }
            Self::Value(e) => write!(f, "local configuration: {e}"),
            Self::Unassigned => f.write_str("local ETS configuration leaves a priority without a class"),
            Self::AllCnpv => f.write_str("at least one priority must not be for congestion notification"),
            Self::TooManyApplications => {
                f.write_str("CEE carries at most 64 applications: use fewer, or mode = \"ieee\"")
            }
            Self::Name => f.write_str("chassis and port ID need 1 to 255 octets"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl DcbxConfig {
    /// Strict on send: everything that would be advertised must be legal and within the capability.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(1..=8).contains(&self.capability.max_classes) || self.capability.pfc_priorities > 8 {
            return Err(ConfigError::Capability);
        }
        self.capability.ets(self.ets).map_err(ConfigError::Value)?;
        let tables = [Some(self.ets), self.ets_recommendation];
        if tables.iter().flatten().any(|t| t.classes().contains(&UNASSIGNED)) {
            return Err(ConfigError::Unassigned);
        }
        self.capability.pfc(self.pfc).map_err(ConfigError::Value)?;
        self.app.entries().iter().try_for_each(|e| e.check().map_err(ConfigError::Value))?;
        if self.mode != Mode::Ieee && self.app.entries().len() > CeeApps::MAX {
            return Err(ConfigError::TooManyApplications);
        }
        if self.cnpv.is_some_and(|c| c.0 == 0xff) {
            return Err(ConfigError::AllCnpv);
        }
        Ok(())
    }
}
