//! What each class is offered and what it must get: pure arithmetic over the configuration's classes.
//!
//! Strict classes are offered little, so that they can have all of it. What they leave is divided among the ETS classes
//! by weight, within their minimum and maximum rates; each is then offered more than it can get, so that none of them
//! ever runs empty and the shares are the switch's doing.

use std::cmp::Reverse;

use dcbridge_config::{BitRate, Maps, PrioritySet, TrafficClass, Tsa};

/// How much more than its part an ETS class is offered. Enough that a late generator does not let a queue run dry,
/// little enough for two cores.
const OVER_OFFER: f64 = 1.6;
/// Part of the line that one strict class is offered.
const STRICT_OFFER: f64 = 0.1;
/// Part of the line that all strict classes are offered together.
const STRICT_TOTAL: f64 = 0.5;
/// Part of a strict class's maximum rate that it is offered.
const BELOW_MAXIMUM: f64 = 0.9;

/// How the lab's frames say that they belong to a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// This DSCP stands for a priority of the class.
    Dscp(u8),
    /// No DSCP does: the lab adds a policy on the flow's UDP port.
    Policy,
}

/// One class in the lab.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassPlan {
    /// Name of the class.
    pub name: String,
    /// Its number.
    pub tc: u8,
    /// How it is served.
    pub tsa: Tsa,
    /// Whether it must lose nothing.
    pub lossless: bool,
    /// All its priorities.
    pub priorities: PrioritySet,
    /// The priority at which the lab sends.
    pub priority: u8,
    /// How frames are marked.
    pub mark: Mark,
    /// What all hosts together send, in bit/s on the wire.
    pub offer_bps: f64,
    /// What the class should get, in bit/s on the wire.
    pub target_bps: f64,
    /// Its part of what all ETS classes get together; `None` for strict classes.
    pub target_share: Option<f64>,
}

/// Plans the traffic of all classes into a link of `rate`: strict classes in the order of service, then the others by
/// what they get.
///
/// # Errors
/// A sentence for a person when the classes can't be measured at this rate.
pub fn plan(classes: &[TrafficClass], maps: &Maps, rate: BitRate) -> Result<Vec<ClassPlan>, String> {
    let line = rate.0 as f64;
    let strict = classes.iter().filter(|c| c.tsa == Tsa::Strict).count();
    let each = STRICT_OFFER.min(STRICT_TOTAL / strict.max(1) as f64) * line;
    let strict_offer = |class: &TrafficClass| (bps(class.max_rate, f64::INFINITY) * BELOW_MAXIMUM).min(each);

    let ets: Vec<&TrafficClass> = classes.iter().filter(|c| c.tsa == Tsa::Ets).collect();
    let left = line - classes.iter().filter(|c| c.tsa == Tsa::Strict).map(strict_offer).sum::<f64>();
    let floors: f64 = ets.iter().map(|c| bps(c.min_rate, 0.0)).sum();
    if floors > left {
        return Err(format!(
            "the minimum rates of the ETS classes come to {}, more than a link of {rate} has left beside the strict \
             classes: give a higher --rate",
            BitRate(floors as u64)
        ));
    }
    let parts = divide(&ets, left);
    let all: f64 = parts.iter().sum();

    let mut parts = parts.into_iter();
    let mut plans: Vec<ClassPlan> = classes
        .iter()
        .map(|class| {
            let (priority, mark) = mark(class, maps);
            let (target_bps, over, share) = match class.tsa {
                Tsa::Strict => (strict_offer(class), 1.0, None),
                Tsa::Ets => {
                    let part = parts.next().unwrap_or(0.0);
                    (part, OVER_OFFER, Some(part / all))
                }
            };
            ClassPlan {
                name: class.name.clone(),
                tc: class.tc,
                tsa: class.tsa,
                lossless: class.lossless,
                priorities: class.priorities,
                priority,
                mark,
                offer_bps: target_bps * over,
                target_bps,
                target_share: share,
            }
        })
        .collect();
    plans.sort_by_key(|p| {
        let part = if p.tsa == Tsa::Ets { p.target_bps as u64 } else { 0 };
        (p.tsa == Tsa::Ets, Reverse(part), Reverse(p.tc))
    });
    Ok(plans)
}

fn bps(rate: Option<BitRate>, none: f64) -> f64 {
    rate.map_or(none, |r| r.0 as f64)
}

/// Divides `left` by weight, no class below its minimum or above its maximum rate: the level at which all parts come to
/// `left`, found by halving.
fn divide(ets: &[&TrafficClass], left: f64) -> Vec<f64> {
    let at = |level: f64| -> Vec<f64> {
        let part = |c: &&TrafficClass| {
            (level * f64::from(c.bandwidth)).max(bps(c.min_rate, 0.0)).min(bps(c.max_rate, f64::INFINITY))
        };
        ets.iter().map(part).collect()
    };
    // A class has at least 1 %, so that at this level even the smallest would get everything.
    let (mut low, mut high) = (0.0, left);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if at(middle).iter().sum::<f64>() < left { low = middle } else { high = middle }
    }
    at(high)
}

/// A priority of the class and how to reach it: by the DSCP that stands for it, class selectors (multiples of 8) first,
/// because that is how people mark.
fn mark(class: &TrafficClass, maps: &Maps) -> (u8, Mark) {
    let priorities: Vec<u8> = class.priorities.iter().collect();
    let dscps = (0..64u8).filter(|d| d % 8 == 0).chain((0..64).filter(|d| d % 8 != 0));
    let known = |priority: u8| dscps.clone().find(|&d| maps.dscp_to_priority[usize::from(d)] == priority);
    match priorities.iter().find_map(|&p| Some((p, known(p)?))) {
        Some((priority, dscp)) => (priority, Mark::Dscp(dscp)),
        None => (priorities.first().copied().unwrap_or(0), Mark::Policy),
    }
}

#[cfg(test)]
mod tests {
    use dcbridge_config::QueueLimit;

    use super::*;

    const RATE: BitRate = BitRate(1_000_000_000);

    fn class(tc: u8, tsa: Tsa, priorities: u8, bandwidth: u8) -> TrafficClass {
        TrafficClass {
            name: format!("class{tc}"),
            tc,
            priorities: PrioritySet(priorities),
            tsa,
            bandwidth,
            min_rate: None,
            max_rate: None,
            lossless: false,
            queue_limit: QueueLimit::Dynamic(0),
            reserved_bytes: 0,
            xon_offset_bytes: 0,
            lifetime_us: None,
        }
    }

    fn maps() -> Maps {
        Maps {
            pcp_to_priority: std::array::from_fn(|i| i as u8),
            dscp_to_priority: std::array::from_fn(|i| (i / 8) as u8),
            priority_to_pcp: std::array::from_fn(|i| i as u8),
            priority_to_dscp: [None; 8],
        }
    }

    #[test]
    fn ets_classes_divide_what_the_strict_class_leaves_and_are_offered_more() {
        let classes = [
            class(0, Tsa::Ets, 0b1101_0111, 40),
            class(1, Tsa::Ets, 0b0000_1000, 60),
            class(2, Tsa::Strict, 0b0010_0000, 0),
        ];
        let plans = plan(&classes, &maps(), RATE).unwrap();
        let names: Vec<&str> = plans.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["class2", "class1", "class0"], "in the order of service");
        assert!((plans[0].offer_bps - 1e8).abs() < 1.0 && plans[0].target_share.is_none());
        assert!((plans[1].target_bps - 0.54e9).abs() < 1.0);
        assert!((plans[1].target_share.unwrap() - 0.6).abs() < 1e-9);
        assert!(plans[1..].iter().all(|p| p.offer_bps > 1.5 * p.target_bps));
        assert_eq!(plans[0].mark, Mark::Dscp(40));
        assert_eq!((plans[2].priority, plans[2].mark), (0, Mark::Dscp(0)));
    }

    #[test]
    fn minimum_and_maximum_rates_move_the_targets() {
        let mut classes = [class(0, Tsa::Ets, 1, 50), class(1, Tsa::Ets, 2, 40), class(2, Tsa::Ets, 4, 10)];
        classes[0].max_rate = Some(BitRate(200_000_000));
        classes[2].min_rate = Some(BitRate(300_000_000));
        let targets: Vec<f64> = plan(&classes, &maps(), RATE).unwrap().iter().map(|p| p.target_bps).collect();
        for (target, expected) in targets.iter().zip([0.5e9, 0.3e9, 0.2e9]) {
            assert!((target - expected).abs() < 10.0, "{targets:?}");
        }
    }

    #[test]
    fn when_all_are_capped_nobody_is_promised_more_than_the_cap() {
        let mut classes = [class(0, Tsa::Ets, 1, 50), class(1, Tsa::Ets, 2, 50)];
        for class in &mut classes {
            class.max_rate = Some(BitRate(100_000_000));
        }
        for plan in plan(&classes, &maps(), RATE).unwrap() {
            assert!((plan.target_bps - 1e8).abs() < 1.0 && (plan.target_share.unwrap() - 0.5).abs() < 1e-9);
        }
    }

    #[test]
    fn minimum_rates_beyond_the_link_are_refused() {
        let mut classes = [class(0, Tsa::Ets, 255, 100)];
        classes[0].min_rate = Some(BitRate(2_000_000_000));
        let message = plan(&classes, &maps(), RATE).unwrap_err();
        assert!(message.contains("2Gbit") && message.contains("--rate"), "{message}");
    }

    #[test]
    fn a_capped_strict_class_asks_for_less_than_its_cap() {
        let mut classes = [class(0, Tsa::Ets, 1, 100), class(1, Tsa::Strict, 2, 0)];
        classes[1].max_rate = Some(BitRate(50_000_000));
        let plans = plan(&classes, &maps(), RATE).unwrap();
        assert!((plans[0].offer_bps - 45e6).abs() < 1.0);
    }

    #[test]
    fn a_class_that_no_dscp_reaches_is_reached_by_policy() {
        let mut maps = maps();
        maps.dscp_to_priority = [0; 64];
        let classes = [class(0, Tsa::Ets, 0b0000_0001, 50), class(1, Tsa::Ets, 0b1111_1110, 50)];
        let plans = plan(&classes, &maps, RATE).unwrap();
        let of = |name| plans.iter().find(|p| p.name == name).map(|p| (p.priority, p.mark));
        assert_eq!(of("class1"), Some((1, Mark::Policy)));
        assert_eq!(of("class0"), Some((0, Mark::Dscp(0))));
    }
}
