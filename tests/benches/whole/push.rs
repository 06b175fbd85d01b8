//! From a push that the nexus has accepted until the trial login at the host is done.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use assay_api::routes::call;
use assay_api::types::*;
use assay_tests::bar::{Bars, median, told};
use assay_tests::lab::{Device, Lab, Paired};
use assay_tests::nexus::Options;
use assay_tests::{programs, sshd, tpm};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Hosts, each with a DPU of its own; and pushes to each.
const HOSTS: usize = 3;
const PUSHES: usize = 4;
const LOOK: Duration = Duration::from_millis(1);

pub(crate) fn run(bars: &mut Bars) {
    if !(programs::has(tpm::NEEDS) && programs::has(sshd::NEEDS) && programs::is_root()) {
        told("skipped", "it needs swtpm, sshd and root");
        return;
    }
    let lab = Lab::with(Options {
        stale_after: "15m".into(),
        log: "info".into(),
        ..Options::default()
    });
    for n in 0..PUSHES {
        let ask = SshCaCreate {
            tenant: Some(lab.tenant.name.clone()),
            name: format!("ca-{n}"),
        };
        lab.admin.must::<call::create_ssh_ca>(None, &ask);
    }
    // The first push has directives for sshd, which reloads; the others only add to what it reads at each login.
    let (mut first, mut later, mut reloads) = (Vec::new(), Vec::new(), Vec::new());
    for h in 0..HOSTS {
        let device = lab.dpu(&format!("dpu-{h}"));
        lab.good(&device);
        let host = lab.host(&format!("host-{h}"), &device);
        for n in 0..PUSHES {
            let pid_file = host.host.sshd.at("sshd.pid");
            let before = written(&pid_file);
            let took = push(&lab, &device, &host, &format!("ca-{n}"));
            if written(&pid_file) == before {
                later.push(took);
            } else {
                first.push(took);
            }
            reloads.push(reload(&host).as_secs_f64() * 1e3);
            thread::sleep(Duration::from_millis(500));
        }
    }
    let reload = median(reloads);
    told("sshd's own reload", &format!("{reload:.0} ms"));
    let (first, later) = (median(first), median(later));
    let bar = "push accepted to trial login done";
    bars.at_most(
        &format!("{bar}, beyond sshd's reload"),
        first - reload,
        300.0,
        "ms",
    );
    bars.at_most(&format!("{bar}, without a reload"), later, 300.0, "ms");
}

/// Milliseconds from the nexus's answer until the host has tried what was pushed.
fn push(lab: &Lab, device: &Device, host: &Paired, ca: &str) -> f64 {
    let ask = PushAsk { ssh_ca: ca.into() };
    let pushed = lab.admin.must::<call::push>(Some(&device.name), &ask);
    let begin = Instant::now();
    let sequence = pushed.manifests[0].sequence;
    let line = format!("manifest in force sequence={sequence} ");
    let log = host.host.sshd.at("assay-host.log");
    while !fs::read_to_string(&log).unwrap_or_default().contains(&line) {
        let late = begin.elapsed() > Duration::from_secs(60);
        assert!(!late, "{}{}", device.agent.tail(), host.host.tail());
        thread::sleep(LOOK);
    }
    let took = begin.elapsed().as_secs_f64() * 1e3;
    lab.await_installed(device, host, sequence);
    took
}

/// How long sshd takes from SIGHUP until it answers again.
fn reload(host: &Paired) -> Duration {
    let (pid_file, port) = (host.host.sshd.at("sshd.pid"), host.host.sshd.port());
    let pid: i32 = fs::read_to_string(&pid_file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let before = written(&pid_file);
    let begin = Instant::now();
    kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
    while written(&pid_file).is_none_or(|now| Some(now) == before) {
        assert!(begin.elapsed() < Duration::from_secs(15), "no reload");
        thread::sleep(LOOK);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    begin.elapsed()
}

fn written(path: &Path) -> Option<std::time::SystemTime> {
    let meta = fs::metadata(path).ok().filter(|m| m.len() > 0)?;
    meta.modified().ok()
}
