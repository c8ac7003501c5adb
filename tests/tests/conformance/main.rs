//! The conformance list in virtual time: the switch of the live program, hosts that offer more than a line carries, and
//! receivers that count for themselves. `dcbridge_tests::conformance` is the list; each test has the name of its line.

mod bridge;
mod classify;
mod deadlock;
mod ets;
mod lan;
mod lossless;
mod pfc;
mod rates;
mod strict;
mod table;
mod watchdog;
mod workers;
