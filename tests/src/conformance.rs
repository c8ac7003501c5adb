//! The conformance list: what a DCB switch must do, line by line, and which test shows it.
//!
//! Every line is one black-box test, named by its key (`ets-uniform` is `fn ets_uniform`). `docs/conformance.md` is made
//! from this list; a test compares both, and looks for the tests that are named here. To add a line, add it to `LINES`;
//! to say that it is tested now, name the file in it.

use std::fmt::Write as _;

/// Where a line is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tested {
    /// In virtual time: a file in `tests/tests/conformance/`.
    Virtual(&'static str),
    /// On real interfaces: a file in `tests/tests/interfaces/`.
    Real(&'static str),
    /// On real interfaces, against a peer that speaks DCBX: a file in `tests/tests/dcbx/`.
    Peer(&'static str),
}

use Tested::{Peer, Real, Virtual};

impl Tested {
    /// The file, from the directory of this crate.
    pub fn path(self) -> String {
        match self {
            Virtual(file) => format!("tests/conformance/{file}"),
            Real(file) => format!("tests/interfaces/{file}"),
            Peer(file) => format!("tests/dcbx/{file}"),
        }
    }
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Its name, for ever.
    pub key: &'static str,
    /// What must hold.
    pub must_hold: &'static str,
    /// By how much it may miss.
    pub tolerance: &'static str,
    /// Where it is tested; nowhere: not yet.
    pub tested: &'static [Tested],
}

impl Line {
    /// The name of its tests.
    pub fn function(&self) -> String {
        self.key.replace('-', "_")
    }
}

const fn line(
    key: &'static str,
    must_hold: &'static str,
    tolerance: &'static str,
    tested: &'static [Tested],
) -> Line {
    Line { key, must_hold, tolerance, tested }
}

/// Nobody tests it, because the switch does not do it yet.
const NOT_YET: &[Tested] = &[];

/// The list, by section.
#[rustfmt::skip]
pub const SECTIONS: &[(&str, &[Line])] = &[
    ("ETS and scheduling", &[
        line("ets-uniform", "Three over-offered classes of equal weight get equal shares.", "0.1 % (1 % on real interfaces)", &[Virtual("ets.rs"), Real("shares.rs")]),
        line("ets-5000-3500-1500", "Over-offered classes of weight 50, 35 and 15 get these shares.", "0.1 %", &[Virtual("ets.rs")]),
        line("ets-5000-2500", "Two over-offered classes of weight 2 : 1 get these shares.", "0.1 %", &[Virtual("ets.rs")]),
        line("ets-shares-10g", "Shares at 10 Gbit/s over 1 s: 60/30/10, 33/33/34, 1/99 and eight classes; superframes, full frames and mixed sizes.", "0.1 %", &[Virtual("rates.rs")]),
        line("ets-shares-100g", "The same at 100 Gbit/s.", "0.1 %", &[Virtual("rates.rs")]),
        line("ets-shares-400g", "The same at 400 Gbit/s.", "0.1 %", &[Virtual("rates.rs")]),
        line("ets-shares-100m", "Shares at 100 Mbit/s over 5 s, frames of 64 to 9000 bytes.", "1 % absolute", &[Real("shares.rs")]),
        line("ets-shares-1g", "Shares at 1 Gbit/s over 5 s.", "1 % absolute", &[Real("shares.rs")]),
        line("ets-shares-2500m", "Shares at 2.5 Gbit/s over 5 s.", "1 % absolute", &[Real("shares.rs")]),
        line("line-use", "A port with frames waiting uses its line.", "97 % of the line rate", &[Virtual("ets.rs"), Real("shares.rs")]),
        line("ets-live-change", "New weights hold at once; no frame is lost or reordered by the change.", "1 s; 0.1 %", &[Virtual("ets.rs")]),
        line("strict-over-ets", "A strict class that is over-offered gets the line; below its cap it leaves the rest to the shares.", "> 95 % of the line; 0.1 %", &[Virtual("strict.rs"), Real("shares.rs")]),
        line("ets-work-conserving", "An idle class leaves its share to the others by their weights.", "0.1 %; 97 % of the line rate", &[Virtual("ets.rs")]),
        line("ets-mixed-sizes", "Classes of 64, 512, 1500 and 9000-byte frames share in bytes on the wire, not in frames.", "0.1 %", &[Virtual("ets.rs")]),
        line("last-packet", "Equal bursts queued while paused, weights 8 : 30: when one class is through, the other has got what its weight says.", "2 %", &[Virtual("ets.rs")]),
        line("rate-cap", "A maximum rate is kept and used; a minimum rate is given however small the share.", "2 %", &[Virtual("strict.rs"), Real("shares.rs")]),
        line("strict-latency", "A strict class at 1 % load beside saturated bulk: p99 of its queueing delay.", "two maximum frames' wire time; 1 ms on real interfaces", &[Virtual("strict.rs"), Real("latency.rs")]),
    ]),
    ("PFC", &[
        line("xoff-point", "No PFC below the threshold, PFC above it; no ingress drop up to the drop point, beyond the headroom drops on that priority group only, never on egress.", "2 frames", &[Virtual("pfc.rs")]),
        line("xon-hysteresis", "Still paused inside the hysteresis; XON once after full relief, no new PFC in 4 s.", "2 frames", &[Virtual("pfc.rs")]),
        line("pfc-counters", "Ten PFC frames received count as ten on that priority and none on others; 802.3x PAUSE is counted apart.", "exact", &[Virtual("pfc.rs")]),
        line("pfc-not-forwarded", "MAC control and LLDP group frames never leave another port.", "exact", &[Virtual("bridge.rs")]),
        line("pause-lossless", "A peer pauses a priority for 5 s: it receives nothing of it, other classes lose nothing; after the release everything arrives.", "exact", &[Virtual("lossless.rs")]),
        line("pause-lossy-ignored", "Lossy priorities are unaffected by PFC.", "exact", &[Virtual("pfc.rs")]),
        line("empty-vector", "PFC with an empty vector changes nothing.", "exact", &[Virtual("pfc.rs")]),
        line("pause-8023x", "802.3x PAUSE changes nothing.", "exact", &[Virtual("pfc.rs")]),
        line("zero-sa", "PFC with a zero source address is honoured.", "exact", &[Virtual("pfc.rs")]),
        line("many-to-one", "N lossless senders into one port: no loss; with lossy ones beside, loss on these only.", "exact", &[Virtual("lossless.rs")]),
        line("two-bridges", "A 10 MB burst, 1 MB of lossless buffer, 100 KB of headroom, a bottleneck on the second bridge: bytes out are bytes in.", "exact", &[Virtual("lossless.rs")]),
        line("xon-early", "XON ends a pause before its timer.", "exact", &[Virtual("pfc.rs")]),
        line("pause-time", "A pause lasts for its quanta at the line rate, a later one replaces it, and it is shown for as long as it lasts.", "exact", &[Virtual("pfc.rs")]),
        line("headroom-suffices", "Peers that stop as late as 802.3 allows fit into the calculated headroom, whatever the PFC frame has to wait for; a headroom that is too small is told at the port that it belongs to.", "exact", &[Virtual("lossless.rs")]),
        line("disable-live", "Taking a priority out of PFC disables it and releases its queue.", "exact", NOT_YET),
        line("no-pfc-while-dropping", "In the watchdog's drop state no PFC is sent.", "exact", &[Virtual("watchdog.rs")]),
    ]),
    ("Deadlocks", &[
        line("deadlock-report", "Paths whose buffers wait for each other in a circle are reported with their ports, which are those that stand still; without one path of the circle nothing is reported and nothing stands still.", "exact", &[Virtual("deadlock.rs")]),
        line("deadlock-lifetime", "With a `lifetime` a fabric gets out of a deadlock by itself, and tells what it dropped for that.", "exact", &[Virtual("deadlock.rs")]),
    ]),
    ("PFC watchdog", &[
        line("watchdog-detection", "A storm is detected after the detection time and before one more poll; half of it loses nothing.", "one poll", &[Virtual("watchdog.rs")]),
        line("watchdog-restoration", "Restored after the restoration time since the last real XOFF; no loss afterwards.", "one poll", &[Virtual("watchdog.rs")]),
        line("watchdog-actions", "Drop flushes and drops; forward ignores PFC; alert only tells.", "exact", &[Virtual("watchdog.rs")]),
        line("watchdog-short-bursts", "15 bursts of pauses, each half of the detection time: no storm, no loss.", "exact", &[Virtual("watchdog.rs")]),
        line("watchdog-counters", "Storms that were detected and restored are counted, and as many frames dropped as the receiver misses.", "exact", &[Virtual("watchdog.rs")]),
        line("watchdog-bounds", "Off by default; defaults 200 / 200 / 200 ms and drop; times out of range are refused.", "exact", &[Virtual("watchdog.rs")]),
    ]),
    ("Classification and rewriting", &[
        line("pcp-to-priority", "The PCP of a tag, also of a priority tag, chooses the priority by the map.", "exact", &[Virtual("classify.rs"), Real("classify.rs")]),
        line("dscp-to-priority", "The DSCP of IPv4 and IPv6 chooses the priority by the map.", "exact", &[Virtual("classify.rs"), Real("classify.rs")]),
        line("trust-order", "`trust = [\"pcp\", \"dscp\"]`: PCP when tagged, else DSCP; without trust neither.", "exact", &[Virtual("classify.rs")]),
        line("default-priority", "What nothing else decides gets the port's default priority.", "exact", &[Virtual("classify.rs")]),
        line("policy-match", "Policies match by application, port, prefix, protocol, DSCP, PCP, VLAN, ethertype, MAC and arrival port; the highest precedence wins over marks.", "exact", &[Virtual("classify.rs")]),
        line("priority-counts", "Each queue counts exactly the frames that were sent to it.", "exact", &[Virtual("classify.rs")]),
        line("rewrite-marks", "DSCP and PCP are rewritten on egress where asked, with right checksums, and nowhere else.", "exact", &[Virtual("classify.rs")]),
    ]),
    ("ECN", &[
        line("ecn-threshold", "Below K nothing is marked, above K every ECT frame, Not-ECT never; checksums stay right.", "95 %", NOT_YET),
        line("ecn-at-dequeue", "Of a standing queue the first frame is marked, the last is not.", "exact", NOT_YET),
        line("ecn-tags-and-ipv6", "Marking also behind a tag and in IPv6.", "exact", NOT_YET),
    ]),
    ("Bridge", &[
        line("learning", "A known address is sent to its port only.", "exact", &[Virtual("bridge.rs")]),
        line("ageing", "An address that is not seen again is forgotten after the ageing time.", "1/16 of the ageing time", &[Virtual("bridge.rs")]),
        line("flooding", "Unknown, broadcast and multicast destinations reach every other port, once.", "exact", &[Virtual("bridge.rs")]),
        line("station-move", "An address that shows up elsewhere is behind that port at once.", "exact", &[Virtual("bridge.rs")]),
        line("vlan-filtering", "PVID, tagged, untagged, VID 0: frames stay in their VLAN and leave with the tag that their VLAN has at the port.", "exact", &[Virtual("bridge.rs"), Real("vlan.rs")]),
        line("drop-untagged", "Untagged and priority-tagged frames are refused where asked.", "exact", &[Virtual("bridge.rs")]),
        line("port-isolation", "Isolated ports reach the others and not each other.", "exact", &[Virtual("bridge.rs")]),
        line("static-entries", "Static entries neither age nor move.", "exact", &[Virtual("bridge.rs")]),
        line("learning-limit", "Beyond the limit nothing is learned, and frames still pass.", "exact", &[Virtual("bridge.rs")]),
        line("mtu-bounds", "The longest frame of an MTU passes, one byte more does not; jumbo frames to 9216.", "exact", &[Virtual("bridge.rs")]),
        line("reserved-addresses", "01-80-C2-00-00-00 to -0F never leave another port; -10 does.", "exact", &[Virtual("bridge.rs")]),
        line("no-duplicate-no-reordering", "Within source, destination and priority every frame arrives once and in order, also under overload and when addresses move.", "exact", &[Virtual("bridge.rs")]),
        line("flood-limit", "A port floods no more than `flood_rate`.", "2 %", &[Virtual("bridge.rs")]),
        line("loop-held", "A port behind which the switch hears itself is held, and freed when the loop is gone.", "exact", &[Virtual("bridge.rs")]),
        line("books-balance", "Received + originated + copies = sent + dropped + consumed + queued, in units and frames, at any time.", "exact", &[Virtual("bridge.rs"), Real("robustness.rs")]),
        line("kernel-tcp", "Kernel TCP between two TAP hosts without a line rate, beside a plain copy loop.", "0.8 of its rate by the benchmark, 0.5 in tests", &[Real("tcp.rs")]),
        line("hot-removal", "A TAP that vanishes under traffic takes its own port down; the others go on.", "exact", &[Real("robustness.rs")]),
        line("stop-flushes", "What is queued when the switch ends is sent or counted.", "exact", &[Real("robustness.rs")]),
    ]),
    ("DCBX", &[
        line("dcbx-matrix", "Every cell of {IEEE, CEE, CIN} x {willing, not} x {peer willing, not} against a real peer: both ends' operational values are what the rules say.", "exact, within 5 s", &[Peer("lldpad.rs")]),
        line("dcbx-peer-lost", "TTL 0, TTL run out, link down: back to the local configuration.", "1 s; link down 2 s, of which the kernel takes up to 1", &[Peer("lldpad.rs")]),
        line("dcbx-malformed", "Malformed TLVs of every kind are counted; the local configuration is kept.", "exact", &[Peer("load.rs")]),
        line("dcbx-renegotiation", "Classes, shares and PFC change under a gigabit of traffic: nothing is lost, and shares follow within 2 s.", "1 %", &[Peer("load.rs")]),
        line("dcbx-flaps", "30 flaps of the link leave no trace.", "exact", &[Peer("lldpad.rs")]),
        line("lldp-flood", "100 000 LLDP frames a second of unknown neighbours: the peer is kept, memory is bounded, data keeps 95 % of its rate.", "5 %", &[Peer("load.rs")]),
    ]),
];

/// All lines.
pub fn lines() -> impl Iterator<Item = &'static Line> {
    SECTIONS.iter().flat_map(|(_, lines)| lines.iter())
}

/// The list as a document.
pub fn document() -> String {
    let mut text = String::from(
        "<!-- Made from tests/src/conformance.rs: DCBRIDGE_REGENERATE=1 cargo test -p dcbridge-tests --test conformance -->\n\
         # Conformance\n\n\
         What a DCB switch must do, and which test shows that dcbridge does it. Every figure is checked against what an \
         independent receiver counted.\n\n\
         - *virtual time*: the switch of the live program between simulated links and hosts; the same result on every \
         machine, without privilege: `cargo test -p dcbridge-tests --test conformance`.\n\
         - *real interfaces*: the program on TAPs between namespaces (root): \
         `cargo test -p dcbridge-tests --test interfaces -- --test-threads=1`.\n\
         - *real peer*: the program against the real `lldpad`, and against a peer that changes its mind under load (root; \
         the tool that runs `lldpad` is named by `LLDPAD_PEER`): \
         `cargo test -p dcbridge-tests --test dcbx -- --test-threads=1`.\n\
         - *not yet*: the switch does not do it, or nobody has tested it.\n\n\
         The lines of PFC and its watchdog are tested at 10, 100 and 400 Gbit/s wherever a rate can matter.\n\n\
         All that is tested in virtual time is tested with one worker, with two and with four.\n\n\
         `./tests/run` runs both; a line that is listed as passing and fails stops it.\n",
    );
    for (title, lines) in SECTIONS {
        let _ = write!(text, "\n## {title}\n\n| key | must hold | tolerance | passes |\n|---|---|---|---|\n");
        for line in *lines {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                line.key,
                line.must_hold,
                line.tolerance,
                status(line)
            );
        }
    }
    text
}

fn status(line: &Line) -> String {
    if line.tested.is_empty() {
        return "not yet".to_owned();
    }
    let link = |tested: &Tested| {
        let kind = match tested {
            Virtual(_) => "virtual time",
            Real(_) => "real interfaces",
            Peer(_) => "real peer",
        };
        format!("[{kind}](../tests/{})", tested.path())
    };
    line.tested.iter().map(link).collect::<Vec<_>>().join(", ")
}
