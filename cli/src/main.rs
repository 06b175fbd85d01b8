//! `assay`: see the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(assay_cli::run(std::env::args_os()))
}
