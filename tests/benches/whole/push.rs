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
use assay_tests::lab::{Lab, Paired};
use assay_tests::nexus::Options;
use assay_tests::{programs, sshd, tpm};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PUSHES: usize = 7;
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
    let device = lab.dpu("dpu-a");
    lab.good(&device);
    let host = lab.host("host-a", &device);
    let mut took = Vec::new();
    let mut reloads = Vec::new();
    for n in 0..PUSHES {
        let name = format!("ca-{n}");
        let ask = SshCaCreate {
            tenant: Some(lab.tenant.name.clone()),
            name: name.clone(),
        };
        lab.admin.must::<call::create_ssh_ca>(None, &ask);
        let ask = PushAsk { ssh_ca: name };
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
        took.push(begin.elapsed().as_secs_f64() * 1e3);
        lab.await_installed(&device, &host, sequence);
        reloads.push(reload(&host).as_secs_f64() * 1e3);
        thread::sleep(Duration::from_millis(300));
    }
    println!("{took:.0?}");
    let (push, reload) = (median(took), median(reloads));
    told(
        "push accepted to trial login done",
        &format!("{push:.0} ms; sshd's own reload {reload:.0} ms"),
    );
    bars.at_most(
        "a push, beyond sshd's own reload",
        push - reload,
        300.0,
        "ms",
    );
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
