//! Writes a program instruction by instruction; jumps go to labels that may come later.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::instruction::{Alu, Helper, Instruction, Jump, Register, Width};

/// A place in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// A program that is being written.
#[derive(Debug, Default)]
pub struct Assembler {
    instructions: Vec<Instruction>,
    /// Where each label is, once it was placed.
    labels: Vec<Option<usize>>,
    /// Jumps and where they go.
    jumps: Vec<(usize, Label)>,
    /// Calls of the function behind the program.
    calls: Vec<usize>,
}

impl Assembler {
    /// An empty program.
    pub fn new() -> Assembler {
        Assembler::default()
    }

    /// A label without a place yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The next instruction is where `label` is.
    pub fn place(&mut self, label: Label) {
        debug_assert!(self.labels[label.0].is_none(), "{label:?} has two places");
        self.labels[label.0] = Some(self.instructions.len());
    }

    /// `to = to <alu> from`
    pub fn alu(&mut self, alu: Alu, to: Register, from: Register) {
        self.instructions.push(Instruction::alu(alu, to, from));
    }

    /// `to = to <alu> number`
    pub fn alu_number(&mut self, alu: Alu, to: Register, number: i32) {
        self.instructions.push(Instruction::alu_number(alu, to, number));
    }

    /// `to = *(width *)(from + offset)`, in the machine's byte order.
    pub fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        self.instructions.push(Instruction::load(width, to, from, offset));
    }

    /// `to = number`
    pub fn load_number(&mut self, to: Register, number: u64) {
        self.instructions.extend(Instruction::load_number(to, number));
    }

    /// `*(width *)(to + offset) = from`
    pub fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        self.instructions.push(Instruction::store(width, to, offset, from));
    }

    /// `to = map`, for calls; the map must be open when the program is loaded.
    pub fn load_map(&mut self, to: Register, map: BorrowedFd<'_>) {
        self.instructions.extend(Instruction::load_map(to, map.as_raw_fd()));
    }

    /// `to = address of the value of map`, an array of one entry.
    pub fn load_map_value(&mut self, to: Register, map: BorrowedFd<'_>) {
        self.instructions.extend(Instruction::load_map_value(to, map.as_raw_fd()));
    }

    /// Calls the function that `finish_with` puts behind the program: argument in `R1`, the answer in `R0`.
    pub fn call_function(&mut self) {
        self.calls.push(self.instructions.len());
        self.instructions.push(Instruction::call_own(0));
    }

    /// Makes two bytes that were loaded in network order a number.
    pub fn half_from_network(&mut self, to: Register) {
        self.instructions.push(Instruction::from_network(to, 16));
    }

    /// Goes to `label` if `left <jump> right`.
    pub fn jump(&mut self, jump: Jump, left: Register, right: Register, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.instructions.push(Instruction::jump(jump, left, right));
    }

    /// Goes to `label` if `left <jump> number`; the number is extended with its sign.
    pub fn jump_number(&mut self, jump: Jump, left: Register, right: i32, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.instructions.push(Instruction::jump_number(jump, left, right));
    }

    /// Goes to `label`.
    pub fn jump_always(&mut self, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.instructions.push(Instruction::jump_always());
    }

    /// Calls the kernel; arguments in `R1` to `R5`, the answer in `R0`.
    pub fn call(&mut self, helper: Helper) {
        self.instructions.push(Instruction::call(helper));
    }

    /// Ends with the answer in `R0`.
    pub fn exit(&mut self) {
        self.instructions.push(Instruction::exit());
    }

    /// The program.
    ///
    /// # Panics
    /// When a label has no place or is too far: a mistake of the one who wrote the program.
    pub fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in self.jumps {
            let target = self.labels[label.0].expect("every label was placed");
            let distance = i16::try_from(target as isize - at as isize - 1).expect("programs are short");
            self.instructions[at] = self.instructions[at].with_offset(distance);
        }
        self.instructions
    }

    /// The program with `function` behind it.
    ///
    /// # Panics
    /// As `finish`.
    pub fn finish_with(mut self, function: &[Instruction]) -> Vec<Instruction> {
        let behind = self.instructions.len();
        for at in std::mem::take(&mut self.calls) {
            self.instructions[at] = Instruction::call_own((behind - at - 1) as i32);
        }
        let mut program = self.finish();
        program.extend_from_slice(function);
        program
    }
}
