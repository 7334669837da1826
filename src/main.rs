//! The command: expands plans, starts processes, keeps records, publishes.

mod child;
mod claims;
mod cli;
mod clock;
mod command;
mod compare;
mod doctor;
mod environment;
mod exit;
mod histogram;
mod interrupt;
mod last_words;
mod limits;
mod network;
mod output;
mod points;
mod progress;
mod publish;
mod quiet_check;
mod raw;
mod run;
mod statistics;
mod store;
mod sweep;
mod topology;
mod values;

use clap::Parser;
use cli::{Arguments, Command};
use exit::Ended;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(run) => command::run::run(&run),
        Command::Hold(hold) => command::hold::hold(&hold),
        Command::Sweep(sweep) => command::sweep::sweep(&sweep),
        Command::Serve(serve) => command::serve::serve(&serve),
        Command::Load(load) => command::load::load(&load),
        Command::Doctor(doctor) => command::doctor::doctor(&doctor),
        Command::Claims(claims) => command::claims::claims(&claims),
        Command::Compare(compare) => command::compare::compare(&compare),
        Command::Report(report) => command::report::report(&report),
        Command::Child(role) => Ok(child::work(role)),
    };
    let exit = result.unwrap_or_else(|Ended { exit, message }| {
        if let Some(message) = message {
            output::say(format_args!("fourtuple: {message}"));
        }
        exit
    });
    ExitCode::from(exit as u8)
}
