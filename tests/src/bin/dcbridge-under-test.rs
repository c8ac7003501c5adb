//! The `dcbridge` program under another name, so that `cargo test` builds it beside the tests that start it.

fn main() -> std::process::ExitCode {
    dcbridge::cli::main()
}
