//! Whether a fabric of lossless switches can come to a standstill for ever.
//!
//! A frame of a lossless priority that came in by a port waits in that port's priority group until the next switch has
//! room in the group of the port where it will come in. So each step of a path lets one group wait for another. When
//! groups wait for each other in a circle, all of them can be full at once, and then none ever empties: a deadlock that
//! no headroom and no threshold prevents (a cyclic buffer dependency). It needs paths that go round; those of a tree,
//! and those that go up and then down in a leaf-spine fabric, never do.
//!
//! What must not enter: where paths come from, and what a running switch does about a standstill (`lifetime`, the
//! watchdog).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A port, by the names of its switch and of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortName<'a> {
    /// The switch.
    pub switch: &'a str,
    /// The port.
    pub port: &'a str,
}

/// One switch on the way of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop<'a> {
    /// The switch.
    pub switch: &'a str,
    /// The port where frames come in.
    pub enters: &'a str,
    /// The port where they leave.
    pub leaves: &'a str,
}

/// The way of some frames, from switch to switch.
#[derive(Clone, Debug)]
pub struct Path<'a> {
    /// Their priority.
    pub priority: u8,
    /// Switches in order.
    pub hops: Vec<Hop<'a>>,
}

/// What is to be examined.
#[derive(Clone, Debug, Default)]
pub struct Fabric<'a> {
    /// Links between switches, in either order.
    pub links: Vec<(PortName<'a>, PortName<'a>)>,
    /// Lossless priorities: bit n for priority n.
    pub lossless: u8,
    /// All paths that frames may take.
    pub paths: Vec<Path<'a>>,
}

/// Groups that wait for each other: each for the next one, the last for the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle<'a> {
    /// Their priority.
    pub priority: u8,
    /// The ports where they come in.
    pub ports: Vec<PortName<'a>>,
}

/// A path that leaves a switch where no link leads to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLink<'a> {
    /// Where it leaves.
    pub from: PortName<'a>,
    /// Where it is said to come in.
    pub to: PortName<'a>,
}

impl fmt::Display for PortName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.switch, self.port)
    }
}

impl fmt::Display for Circle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "priority {} can deadlock: ", self.priority)?;
        for (n, port) in self.ports.iter().enumerate() {
            write!(f, "{}{port}", if n == 0 { "" } else { " waits for " })?;
        }
        match self.ports.first() {
            Some(first) => write!(f, " waits for {first}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for NoLink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a path goes from {} to {}, and no link does", self.from, self.to)
    }
}

impl std::error::Error for NoLink<'_> {}

type Waits<'a> = BTreeMap<PortName<'a>, BTreeSet<PortName<'a>>>;

/// A circle of groups that wait for each other, if there is one. The same fabric always gives the same one.
///
/// # Errors
/// When a path does not follow the links.
pub fn deadlock<'a>(fabric: &Fabric<'a>) -> Result<Option<Circle<'a>>, NoLink<'a>> {
    let mut links = BTreeSet::new();
    for &(a, b) in &fabric.links {
        links.insert((a, b));
        links.insert((b, a));
    }
    let mut waits: [Waits<'a>; 8] = Default::default();
    for path in &fabric.paths {
        for pair in path.hops.windows(2) {
            let [here, next] = [pair[0], pair[1]];
            let from = PortName { switch: here.switch, port: here.leaves };
            let to = PortName { switch: next.switch, port: next.enters };
            if !links.contains(&(from, to)) {
                return Err(NoLink { from, to });
            }
            let group = PortName { switch: here.switch, port: here.enters };
            waits[usize::from(path.priority & 7)].entry(group).or_default().insert(to);
        }
    }
    let lossless = (0..8u8).filter(|p| fabric.lossless & (1 << p) != 0);
    let mut circles = lossless.filter_map(|priority| {
        let ports = circle(&waits[usize::from(priority)])?;
        Some(Circle { priority, ports })
    });
    Ok(circles.next())
}

/// A circle in a graph, from its smallest name on.
fn circle<'a>(waits: &Waits<'a>) -> Option<Vec<PortName<'a>>> {
    let mut done = BTreeSet::new();
    for &start in waits.keys() {
        // The way from `start`, and for each port on it those that are still to be tried from there.
        let mut way = vec![start];
        let mut open = vec![following(waits, start)];
        while let (Some(&last), Some(untried)) = (way.last(), open.last_mut()) {
            match untried.pop() {
                None => {
                    done.insert(last);
                    way.pop();
                    open.pop();
                }
                Some(next) => {
                    if let Some(at) = way.iter().position(|&port| port == next) {
                        let mut found = way.split_off(at);
                        let first = (0..found.len()).min_by_key(|&n| found[n]).unwrap_or(0);
                        found.rotate_left(first);
                        return Some(found);
                    }
                    if !done.contains(&next) {
                        way.push(next);
                        open.push(following(waits, next));
                    }
                }
            }
        }
    }
    None
}

fn following<'a>(waits: &Waits<'a>, port: PortName<'a>) -> Vec<PortName<'a>> {
    waits.get(&port).map(|next| next.iter().copied().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(switch: &'a str, port: &'a str) -> PortName<'a> {
        PortName { switch, port }
    }

    fn path<'a>(priority: u8, hops: &[(&'a str, &'a str, &'a str)]) -> Path<'a> {
        let hops = hops.iter().map(|&(switch, enters, leaves)| Hop { switch, enters, leaves }).collect();
        Path { priority, hops }
    }

    /// Three switches in a ring, each with a host; `paths` goes clockwise.
    fn ring(paths: Vec<Path<'_>>) -> Fabric<'_> {
        let links = [("a", "b"), ("b", "c"), ("c", "a")];
        let links = links.map(|(from, to)| (at(from, "next"), at(to, "prev"))).to_vec();
        Fabric { links, lossless: 1 << 3, paths }
    }

    fn two_hops(priority: u8, from: usize) -> Path<'static> {
        let name = |n: usize| ["a", "b", "c"][n % 3];
        path(
            priority,
            &[
                (name(from), "host", "next"),
                (name(from + 1), "prev", "next"),
                (name(from + 2), "prev", "host"),
            ],
        )
    }

    #[test]
    fn paths_all_the_way_round_a_ring_wait_for_each_other() {
        let fabric = ring((0..3).map(|n| two_hops(3, n)).collect());
        let circle = deadlock(&fabric).unwrap().expect("a circle");
        assert_eq!(circle.ports, [at("a", "prev"), at("b", "prev"), at("c", "prev")]);
        assert_eq!(
            circle.to_string(),
            "priority 3 can deadlock: a:prev waits for b:prev waits for c:prev waits for a:prev"
        );
    }

    #[test]
    fn a_ring_with_a_gap_and_a_lossy_one_do_not() {
        assert_eq!(deadlock(&ring((0..2).map(|n| two_hops(3, n)).collect())), Ok(None));
        assert_eq!(deadlock(&ring((0..3).map(|n| two_hops(1, n)).collect())), Ok(None));
        // Each priority has groups of its own: together they would close the circle.
        let mut mixed = ring(vec![two_hops(3, 0), two_hops(3, 1), two_hops(4, 2)]);
        mixed.lossless = 1 << 3 | 1 << 4;
        assert_eq!(deadlock(&mixed), Ok(None));
    }

    /// Two leaves, two spines; each leaf's host reaches the other by either spine.
    fn leaves_and_spines() -> Fabric<'static> {
        let links = [
            ("l1", "up1", "s1", "d1"),
            ("l1", "up2", "s2", "d1"),
            ("l2", "up1", "s1", "d2"),
            ("l2", "up2", "s2", "d2"),
        ];
        let links = links.map(|(a, p, b, q)| (at(a, p), at(b, q))).to_vec();
        let paths = vec![
            path(3, &[("l1", "host", "up1"), ("s1", "d1", "d2"), ("l2", "up1", "host")]),
            path(3, &[("l1", "host", "up2"), ("s2", "d1", "d2"), ("l2", "up2", "host")]),
            path(3, &[("l2", "host", "up1"), ("s1", "d2", "d1"), ("l1", "up1", "host")]),
            path(3, &[("l2", "host", "up2"), ("s2", "d2", "d1"), ("l1", "up2", "host")]),
        ];
        Fabric { links, lossless: 1 << 3, paths }
    }

    #[test]
    fn up_and_down_is_safe_and_down_and_up_again_is_not() {
        assert_eq!(deadlock(&leaves_and_spines()), Ok(None));
        // Detours around broken links, by way of the other leaf.
        let mut fabric = leaves_and_spines();
        fabric.paths.push(path(
            3,
            &[("s1", "d1", "d2"), ("l2", "up1", "up2"), ("s2", "d2", "d1"), ("l1", "up2", "host")],
        ));
        assert_eq!(deadlock(&fabric), Ok(None), "one detour closes no circle");
        fabric.paths.push(path(
            3,
            &[("s2", "d2", "d1"), ("l1", "up2", "up1"), ("s1", "d1", "d2"), ("l2", "up1", "host")],
        ));
        let circle = deadlock(&fabric).unwrap().expect("a circle");
        assert_eq!(circle.ports, [at("l1", "up2"), at("s1", "d1"), at("l2", "up1"), at("s2", "d2")]);
    }

    #[test]
    fn a_path_beside_the_links_is_an_error() {
        let fabric = ring(vec![path(3, &[("a", "host", "prev"), ("b", "prev", "host")])]);
        let error = deadlock(&fabric).unwrap_err();
        assert_eq!(error.to_string(), "a path goes from a:prev to b:prev, and no link does");
    }
}
