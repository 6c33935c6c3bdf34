//! Process entry.

use std::process::ExitCode;

fn main() -> ExitCode {
    historia::cli::run()
}
