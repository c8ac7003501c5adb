//! The decision table of a CEE or CIN feature: which configuration is used, whether the feature is in
//! operation, and the Error bit that is sent. The page of state machines shows it as it stands here.

use alloc::string::String;
use core::fmt::Write;

use crate::dcbx::config::FeatureFlags;
use crate::dcbx::dialect::Dialect;
use crate::machine::{Label, labelled};
use crate::wire::subtlv::FeatureHead;

labelled! {
    /// Which case a feature is in; the first that applies.
    Case {
        NotAdvertised => "this port does not send the feature",
        NoPeerYet => "no peer yet",
        PeerGone => "peer expired",
        Missing => "peer lacks the feature TLV (or it is malformed)",
        Duplicate => "duplicate TLV",
        Disabled => "either not enabled",
        TakePeer => "willing, peer not",
        PeerUnusable => "willing, peer not, peer's values unusable",
        GivePeer => "not willing, peer willing",
        Compatible => "equally willing, compatible",
        Incompatible => "equally willing, incompatible",
    }
}

labelled! {
    /// Whose configuration is used.
    Use {
        Local => "local",
        Peer => "peer's (CEE: local while the peer signals Error)",
    }
}

labelled! {
    /// Whether the feature is in operation.
    Works {
        IfEnabled => "Enable",
        Never => "off",
        UnlessPeerError => "!peer Error",
    }
}

labelled! {
    /// The Error bit.
    Fault {
        No => "0",
        Yes => "1",
        ExceptCin => "1 (CIN: 0)",
    }
}

/// The table.
pub static RULES: [(Case, Use, Works, Fault); 11] = [
    (Case::NotAdvertised, Use::Local, Works::IfEnabled, Fault::No),
    (Case::NoPeerYet, Use::Local, Works::IfEnabled, Fault::No),
    (Case::PeerGone, Use::Local, Works::Never, Fault::Yes),
    (Case::Missing, Use::Local, Works::Never, Fault::ExceptCin),
    (Case::Duplicate, Use::Local, Works::Never, Fault::Yes),
    (Case::Disabled, Use::Local, Works::Never, Fault::No),
    (Case::TakePeer, Use::Peer, Works::UnlessPeerError, Fault::No),
    (Case::PeerUnusable, Use::Local, Works::Never, Fault::Yes),
    (Case::GivePeer, Use::Local, Works::UnlessPeerError, Fault::No),
    (Case::Compatible, Use::Local, Works::UnlessPeerError, Fault::No),
    (Case::Incompatible, Use::Local, Works::Never, Fault::Yes),
];

/// What is known of the peer's side of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerSide {
    /// No peer since the link came up.
    Never,
    /// There was one.
    Gone,
    /// It does not send the feature, or malformed.
    Missing,
    /// It sends it twice.
    Duplicate,
    /// It sends it.
    Said {
        /// The head of the feature.
        head: FeatureHead,
        /// The port can carry it out.
        usable: bool,
        /// It goes together with the local settings.
        compatible: bool,
    },
}

/// The outcome for one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub case: Case,
    /// The peer's configuration is used.
    pub take_peer: bool,
    /// The feature is in operation.
    pub active: bool,
    /// The Error bit to send.
    pub error: bool,
}

/// Looks the case up in the table.
pub fn decide(dialect: Dialect, local: FeatureFlags, peer: PeerSide) -> Verdict {
    let case = case(local, peer);
    let peer_error = matches!(peer, PeerSide::Said { head, .. } if head.error);
    let cin = dialect == Dialect::Cin;
    let found = RULES.iter().find(|r| r.0 == case);
    let (_, which, works, fault) = *found.unwrap_or(&RULES[0]);
    Verdict {
        case,
        take_peer: which == Use::Peer && (cin || !peer_error),
        active: match works {
            Works::IfEnabled => local.enable,
            Works::Never => false,
            Works::UnlessPeerError => !peer_error,
        },
        error: match fault {
            Fault::No => false,
            Fault::Yes => true,
            Fault::ExceptCin => !cin,
        },
    }
}

fn case(local: FeatureFlags, peer: PeerSide) -> Case {
    if !local.advertise {
        return Case::NotAdvertised;
    }
    match peer {
        PeerSide::Never => Case::NoPeerYet,
        PeerSide::Gone => Case::PeerGone,
        PeerSide::Missing => Case::Missing,
        PeerSide::Duplicate => Case::Duplicate,
        PeerSide::Said { head, .. } if !(local.enable && head.enable) => Case::Disabled,
        PeerSide::Said { head, usable, compatible } => match (local.willing, head.willing) {
            (true, false) if usable => Case::TakePeer,
            (true, false) => Case::PeerUnusable,
            (false, true) => Case::GivePeer,
            _ if compatible => Case::Compatible,
            _ => Case::Incompatible,
        },
    }
}

/// The table in Markdown.
pub fn markdown() -> String {
    let mut out = String::from("| case | configuration | operational | Error |\n|---|---|---|---|\n");
    for (case, which, works, fault) in RULES {
        // Writing to a String can't fail.
        let _ =
            writeln!(out, "| {} | {} | {} | {} |", case.label(), which.label(), works.label(), fault.label());
    }
    out
}
