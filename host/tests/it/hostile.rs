//! People who want a revocation not to happen, or an administrator to lock everybody out: they can reach sshd, no more.

use crate::paired::Paired;
use crate::world::{World, ready};
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Takes every place that sshd has for those who have not logged in (`MaxStartups`), and takes it again when it is lost.
struct Flood {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

const FEW: &str = "MaxStartups 3\n";

impl Flood {
    fn of(world: &World) -> Self {
        let at = SocketAddr::from(([127, 0, 0, 1], world.sshd.port));
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..6)
            .map(|_| {
                let over = Arc::clone(&over);
                std::thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        hold(at, &over);
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        Self { over, threads }
    }
}

/// Connects and says nothing for as long as it is let.
fn hold(at: SocketAddr, over: &AtomicBool) {
    let Ok(mut stream) = TcpStream::connect(at) else {
        std::thread::sleep(Duration::from_millis(2));
        return;
    };
    let _set = stream.set_read_timeout(Some(Duration::from_millis(20)));
    let mut bytes = [0; 256];
    while !over.load(Ordering::Relaxed) {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_purge_while_strangers_keep_sshd_busy_locks_nobody_out() {
    if !ready() {
        return;
    }
    let mut world = World::new(FEW);
    let before = world.picture();
    let trust = world.trust(&["root"], 3600, &[]);
    world.install(&trust).unwrap();
    let cert = world.user_certificate("ca");
    assert!(world.opens(&cert));
    let flood = Flood::of(&world);
    let purged = world.installer().purge(Some(world.record("none")));
    drop(flood);
    assert!(world.local_key_opens(), "{}", world.log());
    purged.unwrap();
    assert!(!world.opens(&cert));
    let mut after = world.picture();
    after.remove(&world.at("state/installed"));
    assert_eq!(before, after);
}

#[test]
fn what_is_put_back_while_strangers_keep_sshd_busy_is_put_back_whole() {
    if !ready() {
        return;
    }
    let mut world = World::new(FEW);
    let before = world.picture();
    let trust = world.trust(&["root"], 3600, &[]);
    let cert = world.user_certificate("ca");
    let flood = Flood::of(&world);
    let refused = world.install(&trust);
    drop(flood);
    eprintln!("{refused:?}");
    assert!(refused.is_err(), "no trial login can have worked");
    assert_eq!(world.picture(), before);
    assert!(!world.opens(&cert), "sshd has taken it up again");
    assert!(world.local_key_opens());
    world.install(&trust).unwrap();
}

#[test]
fn i13_a_revocation_holds_although_strangers_keep_the_trial_from_working() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(FEW));
    let (kept, dropped) = (
        paired.world.user_certificate("ca"),
        paired.world.user_certificate("ca"),
    );
    let first = paired.manifest(3600, &[]);
    assert_eq!(paired.install(&first), Ok(1));
    assert!(paired.world.opens(&dropped));
    let second = paired.manifest(3600, &[&dropped]);
    let flood = Flood::of(&paired.world);
    let refused = paired.install(&second);
    drop(flood);
    assert!(refused.is_err(), "no trial login can have worked");
    assert!(!paired.world.opens(&dropped), "the revoked is out");
    assert!(paired.world.opens(&kept) && paired.world.local_key_opens());
    assert_eq!(paired.installed(), 1, "and nothing else is claimed");
    // The DPU can't bring the old list back by sending what was in force before.
    assert_eq!(paired.install(&first), Err("signed.older"));
    assert!(!paired.world.opens(&dropped));
    let pairing = paired.pairing();
    let record = paired.host.record(&pairing).unwrap().unwrap();
    assert!(paired.host.in_force(&pairing, &record).unwrap());
    assert_eq!(paired.install(&second), Ok(2));
    let pairing = paired.pairing();
    let record = paired.host.record(&pairing).unwrap().unwrap();
    assert!(paired.host.in_force(&pairing, &record).unwrap());
}

#[test]
fn i13_a_revocation_holds_although_the_configuration_is_broken() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(""));
    let dropped = paired.world.user_certificate("ca");
    let first = paired.manifest(3600, &[]);
    assert_eq!(paired.install(&first), Ok(1));
    let main = paired.world.at("sshd_config");
    let sound = std::fs::read_to_string(&main).unwrap();
    // What an administrator leaves half done, or sets beside ours: the running sshd goes on with what it has read.
    for broken in ["NoSuchDirective yes\n", "AuthorizedPrincipalsFile /x\n"] {
        assert!(paired.world.opens(&dropped));
        std::fs::write(&main, format!("{sound}{broken}")).unwrap();
        let second = paired.manifest(3600, &[&dropped]);
        assert!(paired.install(&second).is_err());
        assert!(!paired.world.opens(&dropped), "{broken}");
        assert!(paired.world.local_key_opens());
        std::fs::write(&main, &sound).unwrap();
        let third = paired.manifest(3600, &[]);
        assert_eq!(paired.install(&third), Ok(third.sequence));
    }
}

#[test]
fn i10_a_withdrawn_ca_stays_withdrawn_whatever_keeps_sshd_from_answering() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(FEW));
    let cert = paired.world.user_certificate("ca");
    let first = paired.manifest(3600, &[]);
    assert_eq!(paired.install(&first), Ok(1));
    assert!(paired.world.opens(&cert));
    let mut nothing = paired.manifest(3600, &[]);
    nothing.files.user_cas.clear();
    nothing.files.principals.clear();
    nothing.files.host_certificate = None;
    nothing.trial = None;
    let flood = Flood::of(&paired.world);
    let said = paired.install(&nothing);
    drop(flood);
    assert!(!paired.world.opens(&cert), "{said:?}");
    assert!(paired.world.local_key_opens());
    assert_eq!(paired.install(&first), Err("signed.older"));
    assert_eq!(paired.install(&nothing), Ok(2));

    // And with no sshd there: it must not find the CA when it starts.
    let third = paired.manifest(3600, &[]);
    assert_eq!(paired.install(&third), Ok(3));
    nothing.sequence = 4;
    paired.sequence = 4;
    nothing.files.krl = third.files.krl;
    paired.world.stop();
    let said = paired.install(&nothing);
    paired.world.start();
    assert!(!paired.world.opens(&cert), "{said:?}");
    assert!(paired.world.local_key_opens());
}

#[test]
fn i10_one_of_two_cas_stays_withdrawn_although_strangers_keep_the_trial_from_working() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(FEW));
    let cert = paired.world.user_certificate("foreign");
    let mut first = paired.manifest(3600, &[]);
    let second = std::fs::read_to_string(paired.world.at("foreign.pub")).unwrap();
    first.files.user_cas.push(second.trim().to_owned());
    assert_eq!(paired.install(&first), Ok(1));
    assert!(paired.world.opens(&cert));
    // Only one CA less, and a trial that can't be had: taking away is not put back for that.
    let mut less = paired.manifest(3600, &[]);
    less.files.host_certificate = first.files.host_certificate.clone();
    let flood = Flood::of(&paired.world);
    let said = paired.install(&less);
    drop(flood);
    assert!(said.is_err(), "no trial login can have worked");
    assert!(!paired.world.opens(&cert));
    assert!(paired.world.local_key_opens());
    assert_eq!(paired.installed(), 1, "and nothing is claimed");
    assert_eq!(paired.install(&less), Ok(2));
}

/// A DPU that was cut off brings a manifest whose trial is over: what it revokes is revoked all the same.
#[test]
fn i13_a_revocation_that_comes_late_counts_without_its_trial() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(""));
    let (kept, dropped) = (
        paired.world.user_certificate("ca"),
        paired.world.user_certificate("ca"),
    );
    let first = paired.manifest(3600, &[]);
    assert_eq!(paired.install(&first), Ok(1));
    let mut late = paired.manifest(3600, &[&dropped]);
    let principal = format!("root@{}", paired.world.host);
    let over = paired.world.certify(
        "ca",
        "state/trial_key",
        &principal,
        "-10s",
        &["-O", "clear", "-O", "force-command=/bin/true"],
    );
    let over = std::fs::read_to_string(over).unwrap();
    let words: Vec<&str> = over.split_whitespace().take(2).collect();
    late.trial.as_mut().unwrap().good = words.join(" ");
    let lines = paired.world.at("assay/principals/root");
    let before = std::fs::read(&lines).unwrap();
    assert_eq!(paired.install(&late), Err("sshd.trial_unfit"));
    assert!(!paired.world.opens(&dropped) && paired.world.opens(&kept));
    assert_eq!(paired.installed(), 1);
    assert_eq!(std::fs::read(&lines).unwrap(), before, "and nothing else");
    let next = paired.manifest(3600, &[]);
    assert_eq!(paired.install(&next), Ok(next.sequence));
    assert!(paired.world.opens(&dropped));
}
