//! Measures shares over windows: what each ETS class of a port got of the wire bytes that the port's ETS classes sent
//! between two snapshots.
//!
//! It only compares snapshots; who takes them and when is the service's affair.

use std::collections::HashMap;

use crate::state::{Port, Snapshot};

/// Measured shares of the last complete window, by port and class number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares(HashMap<(String, u8), f64>);

impl Shares {
    /// What each class got between two moments. Ports that are new, sent nothing in their ETS classes, or whose counters
    /// began anew have none.
    pub fn between(earlier: &Snapshot, later: &Snapshot) -> Shares {
        let mut shares = HashMap::new();
        for port in &later.ports {
            let Some(before) = earlier.ports.iter().find(|p| p.name == port.name) else { continue };
            let Some(sent) = ets_bytes(before, port) else { continue };
            let total: u64 = sent.iter().map(|(_, bytes)| bytes).sum();
            if total > 0 {
                let of_port = sent.into_iter();
                shares.extend(
                    of_port.map(|(tc, bytes)| ((port.name.clone(), tc), bytes as f64 / total as f64)),
                );
            }
        }
        Shares(shares)
    }

    /// The share of a class at a port, 0 to 1.
    pub fn of(&self, port: &str, tc: u8) -> Option<f64> {
        self.0.get(&(port.to_owned(), tc)).copied()
    }
}

/// Wire bytes that each ETS class sent in between; `None` when the classes changed or a counter went back.
fn ets_bytes(before: &Port, after: &Port) -> Option<Vec<(u8, u64)>> {
    let ets = after.classes.iter().filter(|class| class.target_share.is_some());
    ets.map(|class| {
        let earlier = before.classes.iter().find(|c| c.tc == class.tc && c.name == class.name)?;
        Some((class.tc, class.tx_wire_bytes.checked_sub(earlier.tx_wire_bytes)?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    #[test]
    fn a_share_is_what_a_class_got_of_the_ets_bytes_of_its_window() {
        let (earlier, later) = fixture::window();
        let shares = Shares::between(&earlier, &later);
        assert_eq!(shares.of("tap0", 0), Some(0.25));
        assert_eq!(shares.of("tap0", 3), Some(0.75));
        assert_eq!(shares.of("tap0", 5), None, "a strict class has no share");
        assert_eq!(shares.of("tap1", 0), None, "a port whose ETS classes sent nothing has none");
        assert_eq!(shares.of("tap9", 0), None);
    }

    #[test]
    fn a_port_that_came_back_has_no_share_until_its_next_window() {
        let (earlier, later) = fixture::window();
        assert_eq!(Shares::between(&later, &earlier), Shares::default(), "counters went back");
        let mut without = earlier.clone();
        without.ports.remove(0);
        assert_eq!(Shares::between(&without, &later), Shares::default(), "the port was not there before");
        let mut renamed = earlier;
        renamed.ports[0].classes[0].name = "other".to_owned();
        assert_eq!(
            Shares::between(&renamed, &later),
            Shares::default(),
            "the classes were changed in between"
        );
    }
}
