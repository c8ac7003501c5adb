//! The `dcbridge` program.
fn main() {}
