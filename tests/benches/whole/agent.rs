//! What the agent takes of a DPU: disk, memory, and CPU while nothing happens.

use std::fs;
use std::thread;
use std::time::Duration;

use assay_tests::bar::{Bars, told};
use assay_tests::lab::Lab;
use assay_tests::nexus::Options;
use assay_tests::{programs, tpm};

use crate::{cpu_of, figure, status_of};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn run(bars: &mut Bars) {
    let binary = programs::ours("assay-agent").metadata().unwrap().len();
    bars.at_most("the agent's binary, stripped", mega(binary), 8.0, "MB");
    if !programs::has(tpm::NEEDS) {
        return;
    }
    let lab = Lab::with(Options {
        stale_after: "15m".into(),
        log: "info".into(),
        ..Options::default()
    });
    let mut device = lab.dpu("dpu-a");
    lab.good(&device);
    for _ in 0..9 {
        lab.prove(&device);
    }
    // What follows a proof: the log's head, leases, the next call that waits.
    thread::sleep(Duration::from_secs(3));
    let process = device.agent.process().id();
    let resident = status_of(process, "VmRSS:") * 1024;
    let (own, files) = (
        status_of(process, "RssAnon:") * 1024,
        status_of(process, "RssFile:") * 1024,
    );
    told(
        "of that memory",
        &format!(
            "{:.1} MB its own, {:.1} MB of files",
            mega(own),
            mega(files)
        ),
    );
    bars.at_most(
        "the agent's memory after ten proofs",
        mega(resident),
        12.0,
        "MB",
    );

    let (cpu, switches) = (cpu_of(process), switches(process));
    thread::sleep(MINUTE);
    // Threads that have ended take their count along.
    let (cpu, switches) = (
        cpu_of(process) - cpu,
        self::switches(process).saturating_sub(switches),
    );
    told("woken in an idle minute", &format!("{switches} times"));
    // One tick of the kernel's clock, below which `ps` and `top` show 0.
    bars.at_most(
        "the agent's CPU in an idle minute",
        cpu.as_secs_f64() * 1e3,
        10.0,
        "ms",
    );
}

fn mega(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap()) / 1e3
}

/// How often its threads went to sleep.
fn switches(process: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads
        .filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).ok())
        .map(|status| figure(&status, "voluntary_ctxt_switches:"))
        .sum()
}
