//! The `exptap` binary.

fn main() -> std::process::ExitCode {
    exptap::run::main()
}
