//! The `dcbridge` program.

fn main() -> std::process::ExitCode {
    dcbridge::cli::main()
}
