//! The steering program of a TAP: which queue a frame of the host goes to, so that queue p carries priority p.
//!
//! It answers what the classifier calls the *arrival* priority (`switch/classify.rs`): the marks that the port trusts, in
//! its order, else the port's default. A frame that a gate holds back is then one that the gate is meant for. Both must
//! understand frames alike, also broken ones; a test compares them frame by frame.
//!
//! Two kinds of frames have a place of their own: kicks go to the queue they are to wake, and MAC control and LLDP go
//! where no gate ever closes.

use dcbridge_config as config;
use dcbridge_scheduler::Priority;

use super::bpf::{Alu, Assembler, Helper, Instruction, Jump, Kind, Label, LoadError, Register, Width, load};
use super::kick::{self, Cookie};

/// What a port believes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The PCP of the outer C-VLAN tag, also of a priority tag, inside the frame or beside it.
    Pcp,
    /// The DSCP of an IP header, behind up to four tags.
    Dscp,
    /// What the sending program has set by `SO_PRIORITY`; 0 and above 7 count as not set. No mark on the wire: only the queue
    /// tells the switch.
    Socket,
}

impl From<config::Trust> for Mark {
    fn from(trust: config::Trust) -> Mark {
        match trust {
            config::Trust::Pcp => Mark::Pcp,
            config::Trust::Dscp => Mark::Dscp,
        }
    }
}

/// What a program is compiled from.
#[derive(Clone, Debug)]
pub struct SteerSpec {
    /// Marks that are believed, first match first.
    pub trust: Vec<Mark>,
    /// PCP -> priority.
    pub pcp_map: [Priority; 8],
    /// DSCP -> priority.
    pub dscp_map: [Priority; 64],
    /// Of a frame without a mark that is believed.
    pub default: Priority,
    /// Queue of MAC control and LLDP frames.
    pub control: Priority,
    /// By which kicks are known; `None`: there are none.
    pub kick: Option<Cookie>,
}

/// A compiled program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
}

impl Program {
    /// Loads it into the kernel.
    ///
    /// # Errors
    /// What is missing.
    pub fn load(&self, kind: Kind) -> Result<std::os::fd::OwnedFd, LoadError> {
        load(kind, &self.instructions)
    }

    /// Its instructions, to be a function of another program.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Number of instructions.
    pub fn len(&self) -> usize {
        self.instructions.len()
    }

    /// Whether there is no instruction; never.
    pub fn is_empty(&self) -> bool {
        self.instructions.is_empty()
    }
}

/// Offsets in `struct __sk_buff`.
mod context {
    pub(super) const LEN: i16 = 0;
    pub(super) const VLAN_PRESENT: i16 = 20;
    pub(super) const VLAN_TCI: i16 = 24;
    pub(super) const VLAN_PROTOCOL: i16 = 28;
    pub(super) const PRIORITY: i16 = 32;
}

// What registers hold from the first instruction to the last.
const FRAME: Register = Register::R6;
/// Ethertype behind the tags seen so far, as a number.
const ETHERTYPE: Register = Register::R7;
/// Where the header behind them begins.
const L3: Register = Register::R8;
/// PCP of the outer C-VLAN tag, or `NO_TAG`.
const PCP: Register = Register::R9;
const NO_TAG: i32 = 8;
/// Where bytes of the frame are copied to: 16 bytes of stack.
const SCRATCH: i16 = -16;

const ETHERTYPE_AT: i32 = 12;
const ETHERNET: i32 = 14;
const TAG: i32 = 4;
/// Tags that are looked behind.
const TAGS: usize = 4;
const C_TAG: u16 = 0x8100;
const TAG_KINDS: [u16; 3] = [C_TAG, 0x88A8, 0x9100];
const IPV4: i32 = 0x0800;
const IPV6: i32 = 0x86DD;
const MAC_CONTROL: i32 = 0x8808;
const LLDP: i32 = 0x88CC;

/// Compiles the program.
pub fn compile(spec: &SteerSpec) -> Program {
    use Register::{R0, R1};
    let mut a = Assembler::new();
    let by_default = a.label();
    a.alu(Alu::Move, FRAME, R1);
    a.alu_number(Alu::Move, PCP, NO_TAG);
    a.alu_number(Alu::Move, L3, ETHERNET);
    load_bytes(&mut a, Offset::At(ETHERTYPE_AT), 2, by_default);
    a.load(Width::Half, ETHERTYPE, Register::R10, SCRATCH);
    a.half_from_network(ETHERTYPE);
    special(&mut a, spec);
    tags(&mut a);
    for mark in &spec.trust {
        let next = a.label();
        match mark {
            Mark::Pcp => {
                a.jump_number(Jump::Equal, PCP, NO_TAG, next);
                a.alu(Alu::Move, R1, PCP);
                look_up(&mut a, &spec.pcp_map);
            }
            Mark::Dscp => dscp(&mut a, &spec.dscp_map, next),
            Mark::Socket => {
                a.load(Width::Word, R0, FRAME, context::PRIORITY);
                a.jump_number(Jump::Equal, R0, 0, next);
                a.jump_number(Jump::Greater, R0, 7, next);
                a.exit();
            }
        }
        a.place(next);
    }
    a.place(by_default);
    answer(&mut a, spec.default);
    Program { instructions: a.finish() }
}

fn answer(a: &mut Assembler, priority: Priority) {
    a.alu_number(Alu::Move, Register::R0, i32::from(priority.get()));
    a.exit();
}

#[derive(Clone, Copy)]
enum Offset {
    At(i32),
    Behind(Register),
}

/// Copies bytes of the frame to `SCRATCH`; goes to `short` if there are not as many.
fn load_bytes(a: &mut Assembler, offset: Offset, len: i32, short: Label) {
    a.alu(Alu::Move, Register::R1, FRAME);
    match offset {
        Offset::At(at) => a.alu_number(Alu::Move, Register::R2, at),
        Offset::Behind(register) => a.alu(Alu::Move, Register::R2, register),
    }
    a.alu(Alu::Move, Register::R3, Register::R10);
    a.alu_number(Alu::Add, Register::R3, i32::from(SCRATCH));
    a.alu_number(Alu::Move, Register::R4, len);
    a.call(Helper::LoadBytes);
    a.jump_number(Jump::SignedLess, Register::R0, 0, short);
}

/// Kicks and control frames; both without a tag.
fn special(a: &mut Assembler, spec: &SteerSpec) {
    use Register::{R0, R1, R2, R10};
    let [ordinary, control, no_kick] = std::array::from_fn(|_| a.label());
    a.load(Width::Word, R0, FRAME, context::VLAN_PRESENT);
    a.jump_number(Jump::NotEqual, R0, 0, ordinary);
    a.jump_number(Jump::Equal, ETHERTYPE, MAC_CONTROL, control);
    a.jump_number(Jump::Equal, ETHERTYPE, LLDP, control);
    if let Some(cookie) = spec.kick {
        a.jump_number(Jump::NotEqual, ETHERTYPE, i32::from(kick::ETHERTYPE), no_kick);
        load_bytes(a, Offset::At(ETHERNET), kick::PAYLOAD as i32, ordinary);
        a.load(Width::Double, R1, R10, SCRATCH);
        a.load_number(R2, u64::from_ne_bytes(cookie.bytes()));
        a.jump(Jump::NotEqual, R1, R2, no_kick);
        a.load(Width::Byte, R0, R10, SCRATCH + cookie.bytes().len() as i16);
        a.alu_number(Alu::And, R0, 7);
        a.exit();
    }
    a.place(no_kick);
    a.jump_always(ordinary);
    a.place(control);
    answer(a, spec.control);
    a.place(ordinary);
}

/// Goes behind the tags; remembers the PCP of the outer one.
fn tags(a: &mut Assembler) {
    use Register::{R0, R1};
    let [inner, behind] = std::array::from_fn(|_| a.label());
    // A tag beside the frame is the outer one: the TAP puts it in when the frame is read.
    let within = a.label();
    a.load(Width::Word, R0, FRAME, context::VLAN_PRESENT);
    a.jump_number(Jump::Equal, R0, 0, within);
    a.load(Width::Word, R0, FRAME, context::VLAN_PROTOCOL);
    a.half_from_network(R0);
    a.jump_number(Jump::NotEqual, R0, i32::from(C_TAG), inner);
    a.load(Width::Word, PCP, FRAME, context::VLAN_TCI);
    a.alu_number(Alu::ShiftRight, PCP, 13);
    a.alu_number(Alu::And, PCP, 7);
    a.jump_always(inner);
    a.place(within);
    for depth in 0..TAGS {
        if depth == 1 {
            a.place(inner);
        }
        let tagged = a.label();
        for kind in TAG_KINDS {
            a.jump_number(Jump::Equal, ETHERTYPE, i32::from(kind), tagged);
        }
        a.jump_always(behind);
        a.place(tagged);
        load_bytes(a, Offset::Behind(L3), TAG, behind);
        if depth == 0 {
            let not_ours = a.label();
            a.jump_number(Jump::NotEqual, ETHERTYPE, i32::from(C_TAG), not_ours);
            a.load(Width::Byte, PCP, Register::R10, SCRATCH);
            a.alu_number(Alu::ShiftRight, PCP, 5);
            a.place(not_ours);
        }
        a.load(Width::Half, R1, Register::R10, SCRATCH + 2);
        a.half_from_network(R1);
        a.alu(Alu::Move, ETHERTYPE, R1);
        a.alu_number(Alu::Add, L3, TAG);
    }
    a.place(behind);
}

/// Answers by the DSCP; goes to `next` when there is no whole IP header.
fn dscp(a: &mut Assembler, map: &[Priority; 64], next: Label) {
    use Register::{R0, R1, R2, R3, R10};
    let [v6, found] = std::array::from_fn(|_| a.label());
    a.jump_number(Jump::Equal, ETHERTYPE, IPV6, v6);
    a.jump_number(Jump::NotEqual, ETHERTYPE, IPV4, next);
    load_bytes(a, Offset::Behind(L3), 2, next);
    a.load(Width::Byte, R1, R10, SCRATCH);
    a.alu(Alu::Move, R2, R1);
    a.alu_number(Alu::ShiftRight, R2, 4);
    a.jump_number(Jump::NotEqual, R2, 4, next);
    // The header's length, in words of four bytes.
    a.alu_number(Alu::And, R1, 15);
    a.jump_number(Jump::Less, R1, 5, next);
    a.alu_number(Alu::ShiftLeft, R1, 2);
    a.alu(Alu::Add, R1, L3);
    a.load(Width::Word, R3, FRAME, context::LEN);
    a.jump(Jump::Less, R3, R1, next);
    a.load(Width::Byte, R1, R10, SCRATCH + 1);
    a.alu_number(Alu::ShiftRight, R1, 2);
    a.jump_always(found);

    a.place(v6);
    load_bytes(a, Offset::Behind(L3), 2, next);
    a.load(Width::Half, R1, R10, SCRATCH);
    a.half_from_network(R1);
    a.alu(Alu::Move, R2, R1);
    a.alu_number(Alu::ShiftRight, R2, 12);
    a.jump_number(Jump::NotEqual, R2, 6, next);
    a.alu(Alu::Move, R0, L3);
    a.alu_number(Alu::Add, R0, 40);
    a.load(Width::Word, R3, FRAME, context::LEN);
    a.jump(Jump::Less, R3, R0, next);
    // Version 4 bits, DSCP 6, ECN 2.
    a.alu_number(Alu::ShiftRight, R1, 6);
    a.alu_number(Alu::And, R1, 63);
    a.place(found);
    look_up(a, map);
}

/// Answers `map[R1]`. The map is in the program, sixteen entries to a number: no map of the kernel's to make and keep.
fn look_up(a: &mut Assembler, map: &[Priority]) {
    use Register::{R0, R1, R2};
    let parts = map.chunks(16);
    let shift = a.label();
    let last = parts.len() - 1;
    for (n, part) in parts.enumerate() {
        let packed = part.iter().rev().fold(0u64, |packed, p| packed << 4 | u64::from(p.get()));
        let other = a.label();
        if n < last {
            a.jump_number(Jump::Greater, R1, 16 * n as i32 + 15, other);
        }
        a.load_number(R0, packed);
        if n < last {
            a.jump_always(shift);
        }
        a.place(other);
    }
    a.place(shift);
    a.alu(Alu::Move, R2, R1);
    a.alu_number(Alu::And, R2, 15);
    a.alu_number(Alu::ShiftLeft, R2, 2);
    a.alu(Alu::ShiftRight, R0, R2);
    a.alu_number(Alu::And, R0, 7);
    a.exit();
}
