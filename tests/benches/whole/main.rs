//! What the programs cost as they run: `make bench`, or `cargo bench -p assay-tests --bench whole -- SECTION..` with one or more of
//! `reads`, `agent`, `start`, `push`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

mod agent;
mod push;
mod reads;
mod start;

use std::fs;
use std::time::Duration;

use assay_tests::bar::Bars;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

type Section = fn(&mut Bars);

const SECTIONS: [(&str, Section); 4] = [
    ("reads", reads::run),
    ("agent", agent::run),
    ("start", start::run),
    ("push", push::run),
];

fn main() {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let mut bars = Bars::default();
    for (name, run) in SECTIONS {
        if asked.is_empty() || asked.iter().any(|a| a == name) {
            println!("{name}");
            run(&mut bars);
        }
    }
    bars.done();
}

/// What a process has spent on its CPUs so far.
fn cpu_of(process: u32) -> Duration {
    let pid = Pid::from_raw(i32::try_from(process).unwrap());
    clock_gettime(clock_getcpuclockid(pid).unwrap())
        .unwrap()
        .into()
}

/// A figure in `/proc/PID/status`, as the kernel writes it.
fn status_of(process: u32, name: &str) -> u64 {
    figure(
        &fs::read_to_string(format!("/proc/{process}/status")).unwrap(),
        name,
    )
}

fn figure(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
