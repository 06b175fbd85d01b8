//! Reads over real TLS on loopback, beside `/health`.

use std::thread;
use std::time::{Duration, Instant};

use assay_api::types::PersonRole;
use assay_tests::bar::{Bars, median, micros_of, told};
use assay_tests::lab::Lab;
use assay_tests::nexus::{Nexus, Options};
use assay_tests::person::Person;
use assay_tests::raw::{Request, Session};
use ed25519_dalek::{Signer, SigningKey};

use crate::cpu_of;

const ROUNDS: usize = 25;
const EACH: u32 = 100;
const CONNECTIONS: usize = 8;

pub(crate) fn run(bars: &mut Bars) {
    let mut lab = Lab::with(Options {
        log: "info".into(),
        ..Options::default()
    });
    let people: Vec<Person> = (0..CONNECTIONS)
        .map(|n| lab.person(&format!("Olga {n}"), PersonRole::Operator))
        .collect();
    // Proofs from the first moments after a start are also kept on disk.
    thread::sleep(Duration::from_secs(17));
    let process = lab.nexus.process().id();
    let mut session = Session::open(&lab.nexus);
    let (mut health, mut read, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let healths = vec![free(&lab.nexus); usize::try_from(EACH).unwrap()];
        let reads = proved(&lab.nexus, &people[0], EACH);
        for (requests, costs) in [(healths, &mut health), (reads, &mut read)] {
            let before = cpu_of(process);
            for request in &requests {
                assert_eq!(session.ask(request), 200);
            }
            let spent = cpu_of(process) - before;
            costs.push(spent.as_secs_f64() * 1e6 / f64::from(EACH));
        }
        bare.push(verification());
    }
    let (health, read, bare) = (median(health), median(read), median(bare));
    told(
        "CPU of the nexus",
        &format!("/health {health:.0} us, a read {read:.0} us; verify_strict {bare:.1} us"),
    );
    bars.at_most(
        "one read over HTTP, beyond /health",
        (read - health) / bare,
        2.5,
        "verify_strict",
    );

    let (health, read) = (
        throughput(&lab.nexus, |_, n| vec![free(&lab.nexus); n]),
        throughput(&lab.nexus, |connection, n| {
            proved(&lab.nexus, &people[connection], u32::try_from(n).unwrap())
        }),
    );
    told(
        &format!("throughput, {CONNECTIONS} connections, client beside it"),
        &format!(
            "/health {health:.0} a second, reads {read:.0} ({:.0} %)",
            read / health * 100.0
        ),
    );
}

fn free(nexus: &Nexus) -> Request {
    Request::bare(nexus, "GET", "/health", b"").kept_open()
}

fn proved(nexus: &Nexus, person: &Person, count: u32) -> Vec<Request> {
    let signer = person.signer();
    let one = |_| Request::proved(nexus, &signer, "GET", "/v1/me", b"").kept_open();
    (0..count).map(one).collect()
}

/// One bare check of a signature over as much as a proof holds, in microseconds.
fn verification() -> f64 {
    let key = SigningKey::from_bytes(&[7; 32]);
    let message = [1; 320];
    let (public, signature) = (key.verifying_key(), key.sign(&message));
    let spent = micros_of(|| {
        for _ in 0..EACH {
            public.verify_strict(&message, &signature).unwrap();
        }
    });
    spent / f64::from(EACH)
}

/// Requests a second, as wall time has it.
fn throughput(nexus: &Nexus, requests: impl Fn(usize, usize) -> Vec<Request>) -> f64 {
    let each = 1000;
    let work: Vec<_> = (0..CONNECTIONS)
        .map(|connection| (Session::open(nexus), requests(connection, each)))
        .collect();
    let begin = Instant::now();
    thread::scope(|threads| {
        for (mut session, requests) in work {
            threads.spawn(move || {
                for request in &requests {
                    assert_eq!(session.ask(request), 200);
                }
            });
        }
    });
    let done = u32::try_from(CONNECTIONS * each).unwrap();
    f64::from(done) / begin.elapsed().as_secs_f64()
}
