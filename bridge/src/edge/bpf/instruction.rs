//! Instructions of the eBPF machine, as far as they are needed here (`linux/bpf.h`).

/// A register. `R1` to `R5` are lost in a call, `R6` to `R9` are kept, `R10` points behind the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "a register is its number")]
pub enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// How much a load or store moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Width {
    /// Four bytes.
    Word = 0x00,
    /// Two bytes.
    Half = 0x08,
    /// One byte.
    Byte = 0x10,
    /// Eight bytes.
    Double = 0x18,
}

/// A 64-bit calculation, the result in the left register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alu {
    /// Sum.
    Add = 0x00,
    /// Bitwise or.
    Or = 0x40,
    /// Bitwise and.
    And = 0x50,
    /// Shift left.
    ShiftLeft = 0x60,
    /// Shift right, zeroes from the left.
    ShiftRight = 0x70,
    /// Copy.
    Move = 0xb0,
}

/// When a jump is taken; numbers are unsigned but in `SignedLess`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Jump {
    /// Left equals right.
    Equal = 0x10,
    /// Left is greater.
    Greater = 0x20,
    /// Left is not right.
    NotEqual = 0x50,
    /// Left is less.
    Less = 0xa0,
    /// Left is less, as signed numbers.
    SignedLess = 0xc0,
}

/// A function of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Helper {
    /// `bpf_skb_vlan_push(skb, protocol, tci)`
    VlanPush = 18,
    /// `bpf_skb_load_bytes(skb, offset, to, len)`: 0, or negative when the frame is shorter.
    LoadBytes = 26,
    /// `bpf_redirect_map(map, key, otherwise)`: what an XDP program answers.
    RedirectMap = 51,
    /// `bpf_ringbuf_output(map, from, len, flags)`
    RingOutput = 130,
}

/// One encoded instruction, as the kernel wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const CLASS_LD: u8 = 0x00;
const CLASS_LDX: u8 = 0x01;
const CLASS_STX: u8 = 0x03;
const CLASS_JMP: u8 = 0x05;
const CLASS_ALU: u8 = 0x04;
const CLASS_ALU64: u8 = 0x07;
const MODE_MEM: u8 = 0x60;
const FROM_REGISTER: u8 = 0x08;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
const JUMP_ALWAYS: u8 = 0x00;
const TO_BIG_ENDIAN: u8 = 0xd8;
/// `BPF_PSEUDO_*`, in place of a source register: what the immediate is.
const MAP_DESCRIPTOR: Register = Register::R1;
const MAP_VALUE: Register = Register::R2;
const OWN_FUNCTION: Register = Register::R1;

impl Instruction {
    fn new(code: u8, to: Register, from: Register, offset: i16, immediate: i32) -> Instruction {
        // The kernel's struct has bit fields: the order within the byte is the machine's.
        let registers = if cfg!(target_endian = "little") {
            to as u8 | (from as u8) << 4
        } else {
            (to as u8) << 4 | from as u8
        };
        Instruction { code, registers, offset, immediate }
    }

    /// `to = to <alu> from`
    pub(super) fn alu(alu: Alu, to: Register, from: Register) -> Instruction {
        Instruction::new(CLASS_ALU64 | FROM_REGISTER | alu as u8, to, from, 0, 0)
    }

    /// `to = to <alu> number`
    pub(super) fn alu_number(alu: Alu, to: Register, number: i32) -> Instruction {
        Instruction::new(CLASS_ALU64 | alu as u8, to, Register::R0, 0, number)
    }

    /// `to = *(width *)(from + offset)`
    pub(super) fn load(width: Width, to: Register, from: Register, offset: i16) -> Instruction {
        Instruction::new(CLASS_LDX | MODE_MEM | width as u8, to, from, offset, 0)
    }

    /// Both halves of `to = number`.
    pub(super) fn load_number(to: Register, number: u64) -> [Instruction; 2] {
        let code = CLASS_LD | Width::Double as u8;
        [
            Instruction::new(code, to, Register::R0, 0, number as u32 as i32),
            Instruction { immediate: (number >> 32) as u32 as i32, ..Instruction::default() },
        ]
    }

    /// `*(width *)(to + offset) = from`
    pub(super) fn store(width: Width, to: Register, offset: i16, from: Register) -> Instruction {
        Instruction::new(CLASS_STX | MODE_MEM | width as u8, to, from, offset, 0)
    }

    /// Both halves of `to = the map behind descriptor fd`, for calls.
    pub(super) fn load_map(to: Register, fd: i32) -> [Instruction; 2] {
        let code = CLASS_LD | Width::Double as u8;
        [Instruction::new(code, to, MAP_DESCRIPTOR, 0, fd), Instruction::default()]
    }

    /// Both halves of `to = address of the first value of the array behind descriptor fd`.
    pub(super) fn load_map_value(to: Register, fd: i32) -> [Instruction; 2] {
        let code = CLASS_LD | Width::Double as u8;
        [Instruction::new(code, to, MAP_VALUE, 0, fd), Instruction::default()]
    }

    /// Calls a function of the program, `distance` instructions behind the next one.
    pub(super) fn call_own(distance: i32) -> Instruction {
        Instruction::new(CLASS_JMP | CALL, Register::R0, OWN_FUNCTION, 0, distance)
    }

    /// Network order to numbers, of the low `bits` (16 or 32).
    pub(super) fn from_network(to: Register, bits: i32) -> Instruction {
        Instruction::new(CLASS_ALU | TO_BIG_ENDIAN, to, Register::R0, 0, bits)
    }

    pub(super) fn jump(jump: Jump, left: Register, right: Register) -> Instruction {
        Instruction::new(CLASS_JMP | FROM_REGISTER | jump as u8, left, right, 0, 0)
    }

    pub(super) fn jump_number(jump: Jump, left: Register, right: i32) -> Instruction {
        Instruction::new(CLASS_JMP | jump as u8, left, Register::R0, 0, right)
    }

    pub(super) fn jump_always() -> Instruction {
        Instruction::new(CLASS_JMP | JUMP_ALWAYS, Register::R0, Register::R0, 0, 0)
    }

    pub(super) fn call(helper: Helper) -> Instruction {
        Instruction::new(CLASS_JMP | CALL, Register::R0, Register::R0, 0, helper as i32)
    }

    pub(super) fn exit() -> Instruction {
        Instruction::new(CLASS_JMP | EXIT, Register::R0, Register::R0, 0, 0)
    }

    pub(super) fn with_offset(self, offset: i16) -> Instruction {
        Instruction { offset, ..self }
    }
}
