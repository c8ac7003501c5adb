//! eBPF without a compiler: typed instructions, an assembler with labels, maps, and the system call.
//!
//! What must not enter: what a program is for.

mod assembler;
mod instruction;
mod map;
mod sys;

pub use assembler::{Assembler, Label};
pub use instruction::{Alu, Helper, Instruction, Jump, Register, Width};
pub use map::{Map, MapKind};
pub use sys::{Kind, LoadError, attach_egress, attach_xdp, load, run};
