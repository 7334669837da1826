//! The main job of `cargo bench`: a sweep on this machine, with its table, charts and report.
//!
//! It runs the program as anyone else would. Everything that it finds out is written under
//! `results/`; an interrupted sweep goes on when it is started again.
//!
//! ```text
//! cargo bench --bench sweep                 the standard sweep
//! cargo bench --bench sweep -- --quick      the same in about a minute
//! cargo bench --bench sweep -- --out DIR    with its results somewhere else
//! ```

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let options: Vec<String> = env::args().skip(1).collect();
    // cargo adds `--bench`; what else it is given is meant for the sweep, or for Criterion's benches
    // where all of them run: those filters and flags say nothing here.
    let is_quick = options.iter().any(|option| option == "--quick");
    let out = options.iter().skip_while(|option| *option != "--out");
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_fourtuple"));
    sweep.args(["sweep", "standard"]);
    sweep.args(is_quick.then_some("--quick"));
    sweep.args(out.take(2));
    if let Some(workspace) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) {
        sweep.current_dir(workspace);
    }
    match sweep.status() {
        Ok(status) => status.code().map_or(ExitCode::FAILURE, exit_code),
        Err(error) => {
            eprintln!("the sweep cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The sweep's own status, so that a failure stops `cargo bench` with its reason still on screen.
fn exit_code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
