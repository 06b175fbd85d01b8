//! The whole agent as a process: a real TPM, real TLS, the real formats, and a nexus that checks all of it.

use crate::nexus::{DELIVERY, Errand, Nexus, device};
use crate::swtpm::SwTpm;
use assay_agent::local::Report;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

struct Agent {
    dir: tempfile::TempDir,
    config: PathBuf,
    child: Option<Child>,
}

impl Agent {
    fn new(tcti: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = dir.path().join("agent.toml");
        let text = format!(
            "state = \"{}\"\nsocket = \"{}\"\nserial = \"MT1\"\n[tpm]\ntcti = \"{tcti}\"\n[hosts]\nlisten = [\"unix:{}\"]\n",
            at("state"),
            at("agent.sock"),
            at("hosts.sock"),
        );
        std::fs::write(&config, text).unwrap();
        Self {
            dir,
            config,
            child: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay-agent"));
        command.arg("--config").arg(&self.config).args(args);
        command
    }

    fn configure(&self, key: &str, value: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, format!("{key} = \"{value}\"\n{text}")).unwrap();
    }

    fn call(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn claim(&self, text: &str) -> PathBuf {
        let path = self.path("claim");
        let _old = std::fs::remove_file(&path);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    }

    fn enrol(&self, nexus: &Nexus) {
        let claim = self.claim(&nexus.claim());
        let done = self.call(&["enrol", "--claim-file", claim.to_str().unwrap()]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        assert!(!claim.exists(), "a spent claim is removed");
    }

    fn run(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = self.command(&["run"]);
        command.stderr(log).stdout(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn status(&self) -> Option<Report> {
        let done = self.call(&["status", "-o", "json"]);
        done.status
            .success()
            .then(|| serde_json::from_slice(&done.stdout).unwrap())
    }

    /// Waits until the status is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&Report) -> bool) -> Report {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if let Some(report) = status.clone().filter(|report| wanted(report)) {
                return report;
            }
            assert!(
                Instant::now() < deadline,
                "not {what}: {status:#?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stop(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(Instant::now() < deadline, "it does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn has_lease(report: &Report) -> bool {
    !report.leases.is_empty()
}

#[test]
fn it_enrols_proves_and_holds_a_secret() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    nexus
        .world()
        .secrets
        .insert("db".into(), (b"hunter22-and-more".to_vec(), 600_000));
    let mut agent = Agent::new(&swtpm.tcti());
    agent.enrol(&nexus);
    let again = agent.claim(&nexus.claim());
    let again = agent.call(&["enrol", "--claim-file", again.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("[state.enrolled]"));
    agent.run();
    let report = agent.until("holding", has_lease);
    assert_eq!(report.state, "verified");
    assert_eq!(report.device, device().to_string());
    assert!(report.audit_size.is_some());
    let secret = agent.call(&["secret", "db"]);
    assert_eq!(secret.stdout, b"hunter22-and-more");
    let none = agent.call(&["secret", "other"]);
    assert_eq!(none.status.code(), Some(4), "{}", text(&none.stderr));
    // Acknowledged, so that it is not handed out again.
    let deadline = Instant::now() + PATIENCE;
    while nexus.world().acknowledged.is_empty() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = agent.child.as_ref().unwrap().id();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|l| l.starts_with("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(core, ["0", "0"], "no core dump, and no way back to one");
    let socket = std::fs::metadata(agent.path("agent.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert_eq!(agent.stop(), 0);
    assert!(!agent.path("agent.sock").exists());
}

#[test]
fn i7_no_secret_in_logs_arguments_or_files() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    let secret = "correct-horse-battery-staple";
    nexus
        .world()
        .secrets
        .insert("db".into(), (secret.as_bytes().to_vec(), 600_000));
    let mut agent = Agent::new(&swtpm.tcti());
    let config = std::fs::read_to_string(&agent.config).unwrap();
    std::fs::write(&agent.config, format!("log = \"debug\"\n{config}")).unwrap();
    let claim = nexus.claim();
    agent.enrol(&nexus);
    agent.run();
    agent.until("holding", has_lease);
    agent.stop();
    let mut all = agent.log();
    assert!(all.contains("verified"), "{all}");
    for file in std::fs::read_dir(agent.path("state")).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let mut bytes = Vec::new();
        std::fs::File::open(file.path())
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        all.push_str(&text(&bytes));
    }
    let body = claim.rsplit('.').next().unwrap();
    for hidden in [secret, &body[4..40], "Y29ycmVjdC1ob3JzZS"] {
        assert!(!all.contains(hidden), "{hidden} in {all}");
    }
}

#[test]
fn i10_wipes_on_demand_on_a_bad_verdict_and_on_refusal() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    nexus
        .world()
        .secrets
        .insert("db".into(), (b"secret".to_vec(), 600_000));
    let mut agent = Agent::new(&swtpm.tcti());
    agent.enrol(&nexus);
    agent.run();
    let holding = |agent: &Agent| agent.until("holding", has_lease);
    let wiped = |agent: &Agent| agent.until("wiped", |r| r.leases.is_empty());
    let errand = |errand: Errand| nexus.world().errands.push(errand);
    holding(&agent);

    assert!(agent.call(&["wipe"]).status.success());
    wiped(&agent);
    assert_eq!(agent.call(&["secret", "db"]).status.code(), Some(4));
    // What waits comes back under a new proof, with a new key.
    errand(Errand {
        leases: true,
        ..Errand::default()
    });
    holding(&agent);

    errand(Errand {
        wipe: true,
        ..Errand::default()
    });
    wiped(&agent);
    errand(Errand {
        leases: true,
        ..Errand::default()
    });
    holding(&agent);

    nexus.world().verdict = "failed";
    errand(Errand {
        attest: true,
        ..Errand::default()
    });
    let report = agent.until("failed", |r| r.state == "failed");
    assert!(report.leases.is_empty());
    assert_eq!(report.reasons, ["pcr.mismatch"]);
    nexus.world().verdict = "verified";
    errand(Errand {
        attest: true,
        ..Errand::default()
    });
    holding(&agent);

    nexus.world().refuse.insert("/wake", "auth.failed");
    errand(Errand::default());
    let report = agent.until("refused", |r| r.state == "refused");
    assert!(report.leases.is_empty());
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_lease_runs_out_by_itself_when_the_nexus_is_gone() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let mut nexus = Nexus::start();
    nexus
        .world()
        .secrets
        .insert("db".into(), (b"secret".to_vec(), 4000));
    let mut agent = Agent::new(&swtpm.tcti());
    agent.enrol(&nexus);
    agent.run();
    agent.until("holding", has_lease);
    nexus.vanish();
    let report = agent.until("out", |r| r.leases.is_empty());
    assert_eq!(report.state, "verified", "the proof itself still counts");
    let report = agent.until("faulty", |r| !r.faults.is_empty());
    assert_eq!(report.faults[0].code, "client.unreachable");
    assert_eq!(agent.stop(), 0);
}

#[test]
fn i8_a_log_that_was_forked_or_rolled_back_stops_leases() {
    for fork in [true, false] {
        let Some(swtpm) = SwTpm::start() else {
            return;
        };
        let nexus = Nexus::start();
        for n in 0..5u8 {
            nexus.world().append(&[n]);
        }
        let mut agent = Agent::new(&swtpm.tcti());
        agent.enrol(&nexus);
        let head = std::fs::read(agent.path("state/audit-head")).unwrap();
        {
            let mut world = nexus.world();
            world
                .secrets
                .insert("db".into(), (b"secret".to_vec(), 600_000));
            world.fork_or_roll_back(fork);
        }
        agent.run();
        let report = agent.until("warned", |r| !r.faults.is_empty());
        let code = if fork {
            "log.forked"
        } else {
            "log.rolled_back"
        };
        assert_eq!(
            (
                report.faults[0].what.as_str(),
                report.faults[0].code.as_str()
            ),
            ("log", code)
        );
        assert_eq!(report.state, "verified", "it goes on proving itself");
        nexus.world().errands.push(Errand {
            leases: true,
            ..Errand::default()
        });
        std::thread::sleep(Duration::from_millis(500));
        assert!(
            !nexus
                .world()
                .calls
                .iter()
                .any(|call| call == "POST /v1/agent/leases")
        );
        assert_eq!(
            std::fs::read(agent.path("state/audit-head")).unwrap(),
            head,
            "the old head is kept"
        );
    }
}

#[test]
fn enrolment_that_cannot_be_leaves_claim_and_state_as_they_were() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    let agent = Agent::new(&swtpm.tcti());
    let enrol = |claim: &str| {
        let path = agent.claim(claim);
        let done = agent.call(&["enrol", "--claim-file", path.to_str().unwrap()]);
        assert!(path.exists(), "the claim is kept");
        assert!(!agent.path("state/agent.json").exists());
        (done.status.code().unwrap(), text(&done.stderr))
    };
    let (exit, said) = enrol(&nexus.claim_for([7; 32]));
    assert!(said.contains("[tls.other_root]"), "{said}");
    assert_eq!(exit, 1);
    assert!(
        !nexus.world().calls.iter().any(|c| c.contains("enrol")),
        "the secret never left"
    );
    let (exit, said) = enrol("not a claim");
    assert!(exit == 2 && said.contains("[token.malformed]"), "{said}");
    nexus
        .world()
        .refuse
        .insert("/enrol/complete", "auth.failed");
    let (exit, said) = enrol(&nexus.claim());
    assert!(exit == 2 && said.contains("[auth.failed]"), "{said}");
    nexus.world().refuse.clear();
    let open = agent.claim(&nexus.claim());
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let done = agent.call(&["enrol", "--claim-file", open.to_str().unwrap()]);
    assert!(text(&done.stderr).contains("others may read it"));
    agent.enrol(&nexus);
}

/// Under its unit `/etc` is read-only: the claim can't be taken away there, and it is spent all the same.
#[test]
fn a_spent_claim_that_stays_is_no_failure() {
    use std::os::fd::AsRawFd as _;
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    let agent = Agent::new(&swtpm.tcti());
    let claim = std::fs::File::open(agent.claim(&nexus.claim())).unwrap();
    // Nobody can unlink there, root neither.
    let path = format!("/proc/{}/fd/{}", std::process::id(), claim.as_raw_fd());
    let done = agent.call(&["enrol", "--claim-file", &path]);
    let said = text(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("could not be removed"), "{said}");
    assert!(agent.path("state/agent.json").exists());
}

#[test]
fn what_keeps_a_claim_from_being_used_is_waited_for() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    nexus.world().enrol_pcrs = vec![30];
    let mut agent = Agent::new(&swtpm.tcti());
    agent.claim(&nexus.claim());
    agent.configure("claim_file", &agent.path("claim").display().to_string());
    agent.run();
    let report = agent.until("waiting", |r| !r.faults.is_empty());
    assert_eq!(report.faults[0].code, "evidence.asked");
    nexus.world().enrol_pcrs = vec![0, 7, 16];
    agent.until("verified", |r| r.state == "verified");
    assert!(!agent.path("claim").exists());
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_nexus_that_hangs_at_enrolment_leaves_the_agent_alive_and_obedient() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    let mut agent = Agent::new(&swtpm.tcti());
    agent.claim(&nexus.claim());
    agent.configure("claim_file", &agent.path("claim").display().to_string());
    let socket = agent.path("notify.sock");
    let heard = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    heard.set_read_timeout(Some(PATIENCE)).unwrap();
    // Nothing is answered while this is held.
    let silent = nexus.world();
    let mut command = agent.command(&["run"]);
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "200000")
        .stderr(Stdio::null());
    agent.child = Some(command.spawn().unwrap());
    let report = agent.until("starting", |r| r.state == "starting");
    assert!(report.device.is_empty());
    for _ in 0..5 {
        let mut buffer = [0; 512];
        let read = heard.recv(&mut buffer).unwrap();
        assert_eq!(text(&buffer[..read]).trim(), "WATCHDOG=1");
    }
    let asked = Instant::now();
    assert_eq!(agent.stop(), 0);
    assert!(asked.elapsed() < Duration::from_secs(5));
    drop(silent);
}

#[test]
fn a_missing_tpm_is_waited_for_closed_and_without_a_crash() {
    let Some(mut swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    let mut agent = Agent::new(&swtpm.tcti());
    agent.enrol(&nexus);
    swtpm.off();
    agent.run();
    let report = agent.until("waiting", |r| !r.faults.is_empty());
    assert_eq!(report.state, "starting");
    assert_eq!(report.faults[0].code, "tpm.unreachable");
    let secret = agent.call(&["secret", "db"]);
    assert!(text(&secret.stderr).contains("[tpm.unreachable]"));
    swtpm.restart();
    agent.until("verified", |r| r.state == "verified");
    assert_eq!(agent.stop(), 0);
}

#[test]
fn systemd_is_told_that_it_is_ready_how_it_stands_and_that_it_lives() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    let mut agent = Agent::new(&swtpm.tcti());
    agent.enrol(&nexus);
    let socket = agent.path("notify.sock");
    let heard = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    heard.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = agent.command(&["run"]);
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "200000")
        .stderr(Stdio::null());
    agent.child = Some(command.spawn().unwrap());
    let mut wanted = vec!["READY=1", "STATUS=dpu-1 is verified", "WATCHDOG=1"];
    while !wanted.is_empty() {
        let mut buffer = [0; 512];
        let read = heard.recv(&mut buffer).unwrap();
        let said = text(&buffer[..read]);
        wanted.retain(|line| !said.lines().any(|l| l == *line));
    }
    agent.stop();
}

/// CPU time in clock ticks (10 ms) and resident kibibytes.
fn cost(agent: &Agent) -> (u64, u64) {
    let pid = agent.child.as_ref().unwrap().id();
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let stat = read("stat");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    let status = read("status");
    let resident = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let resident = resident.split_whitespace().nth(1).unwrap();
    (ticks(11) + ticks(12), resident.parse().unwrap())
}

#[test]
fn it_rests_while_there_is_nothing_to_do() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    let mut agent = Agent::new(&swtpm.tcti());
    agent.enrol(&nexus);
    agent.run();
    agent.until("verified", |r| r.state == "verified");
    // First calls, the pause of the TPM, the end of helper threads.
    std::thread::sleep(Duration::from_secs(2));
    let (before, _) = cost(&agent);
    std::thread::sleep(Duration::from_secs(3));
    let (after, resident) = cost(&agent);
    println!(
        "idle: {} ticks in 3 s, {resident} KiB resident",
        after - before
    );
    assert!(after - before <= 1, "{} ticks", after - before);
    // The TPM is free meanwhile.
    swtpm.extend(16);
}

#[test]
fn without_an_identity_or_configuration_it_says_what_to_do() {
    let agent = Agent::new("device:/dev/none");
    let run = agent.call(&["run"]);
    assert_eq!(run.status.code(), Some(4));
    assert!(
        text(&run.stderr).contains("assay dpu claim"),
        "{}",
        text(&run.stderr)
    );
    let status = agent.call(&["status"]);
    assert!(text(&status.stderr).contains("is assay-agent running"));
    let none = Command::new(env!("CARGO_BIN_EXE_assay-agent"))
        .args(["--config", "/nonexistent", "status"])
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(64));
    assert_eq!(agent.call(&["sing"]).status.code(), Some(64));
}

#[test]
fn a_paired_host_gets_its_manifest_and_its_report_reaches_the_nexus() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let nexus = Nexus::start();
    let mut agent = Agent::new(&swtpm.tcti());
    agent.enrol(&nexus);
    let host = crate::host::Paired::new(&mut nexus.world(), &DELIVERY, 1);
    agent.run();
    agent.until("paired", |r| r.hosts.len() == 1);
    let at = agent.path("hosts.sock");
    let (manifest, next) = crate::verifier::run(host.meet(&at, || {
        crate::host::publish(&mut nexus.world(), &DELIVERY, &host.id, 2);
        nexus.world().errands.push(Errand {
            manifests: vec![host.id.clone()],
            ..Errand::default()
        });
    }));
    assert_eq!((manifest, next), (1, 2));
    let deadline = Instant::now() + PATIENCE;
    while nexus.world().reports.len() < 2 {
        assert!(Instant::now() < deadline, "{}", agent.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let reports: Vec<u64> = nexus.world().reports.iter().map(|r| r.sequence).collect();
    assert_eq!(reports, [1, 2]);
    let report = agent.until("installed", |r| r.hosts[0].installed == 2);
    assert_eq!(report.hosts[0].newest, 2);
}
