//! From the nexus's start until it says that it is ready, over an empty database and over one of 50,000 devices.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_api::id::{DeviceId, KeyId, TenantId};
use assay_api::signer::{Ed25519Signer, RequestSigner};
use assay_attest::standing::State;
use assay_nexus::clock::SystemClock;
use assay_nexus::config::Config;
use assay_nexus::start::open_store;
use assay_nexus::store::devices::{
    Device, DeviceKey, Effects, KeyHeld, Lifecycle, RootLevel, Runtime, Words,
};
use assay_nexus::store::people::{KeyState, RequestAlgorithm};
use assay_nexus::store::{EntryDraft, Store, StoreFault};
use assay_tests::bar::{Bars, median, told};
use assay_tests::nexus::{Nexus, Options};
use assay_tests::programs;

const DEVICES: u32 = 50_000;

pub(crate) fn run(bars: &mut Bars) {
    let mut nexus = Nexus::with(Options {
        log: "info".into(),
        ..Options::default()
    });
    nexus.stop();
    let empty = median((0..5).map(|_| ready(&nexus)).collect());
    fill(&nexus);
    let full = median((0..5).map(|_| ready(&nexus)).collect());
    told("start to ready, empty", &format!("{empty:.0} ms"));
    told(
        &format!("start to ready, {DEVICES} devices"),
        &format!("{full:.0} ms"),
    );
    // No bar is set for it; what a supervisor takes for a slow start is.
    bars.at_most("start to ready with 50,000 devices", full / 1e3, 5.0, "s");
}

/// Milliseconds from the start of the program until it tells systemd that it is ready.
fn ready(nexus: &Nexus) -> f64 {
    let path = nexus.data().join("notify");
    let _not_there = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut command = Command::new(programs::ours("assay-nexus"));
    command
        .arg("serve")
        .arg("--config")
        .arg(nexus.config_file())
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begin = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut said = [0; 512];
    let took = loop {
        let length = socket.recv(&mut said).unwrap();
        if String::from_utf8_lossy(&said[..length]).contains("READY=1") {
            break begin.elapsed();
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    took.as_secs_f64() * 1e3
}

/// Devices with a key each, as enrolment leaves them.
fn fill(nexus: &Nexus) {
    let text = std::fs::read_to_string(nexus.config_file()).unwrap();
    let config = Config::parse(&text).unwrap();
    let store = open_store(&config, None, Arc::new(SystemClock)).unwrap();
    let each = 1000;
    for first in (0..DEVICES).step_by(each) {
        let put = move |store: &Store| {
            store.write_blocking::<_, StoreFault, _>(move |tx| {
                for n in first..first + u32::try_from(each).unwrap() {
                    let (device, key) = device(n);
                    let entry = EntryDraft::system("enrol.complete", "bench");
                    tx.change(entry, |c| {
                        c.insert(&device)?;
                        c.insert(&key)
                    })?;
                    // And its last proof.
                    let entry = EntryDraft::system("attestation.verdict", "bench");
                    tx.change(entry, |c| c.update(&device))?;
                }
                Ok(())
            })
        };
        put(&store).unwrap();
    }
}

fn device(n: u32) -> (Device, DeviceKey) {
    let unique = |what: u8| {
        let mut bytes = [what; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        bytes
    };
    let mut id = [1; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    let (device, now) = (
        DeviceId::from_random(&id),
        assay_attest::time::Timestamp::from_secs(1_767_225_600),
    );
    let signer = Ed25519Signer::from_seed(&unique(5), None);
    let (algorithm, public) = RequestAlgorithm::of(signer.jwk()).unwrap();
    let key = DeviceKey {
        id: KeyId::from_random(&id),
        device: device.clone(),
        thumbprint: *signer.jwk().thumbprint().as_bytes(),
        algorithm,
        public,
        state: KeyState::Active,
    };
    let row = Device {
        id: device,
        tenant: TenantId::from_random(&[2; 16]),
        name: format!("dpu-{n}"),
        serial: format!("SN{n:08}"),
        lifecycle: Lifecycle::Active,
        attestation: State::Verified,
        reasons: Words::default(),
        fresh_from: now,
        fresh_until: now,
        proved_at: Some(now),
        barrier: now,
        demand_until: None,
        result: None,
        evidence: Some(unique(1)),
        reference: None,
        dice: Some(unique(2)),
        erot: None,
        ek_name: Some(unique(6).to_vec()),
        ek_spki: Some(unique(3)),
        ak_name: Some(unique(4).to_vec()),
        ek_ends: None,
        pcrs: Words::of((0..16).map(|pcr: u8| pcr.to_string())),
        tpm_reset: Some(1),
        tpm_restart: Some(0),
        tpm_clock: Some(1_000_000),
        root: RootLevel::Operator,
        key_level: KeyHeld::Tpm,
        runtime: Runtime::Measured,
        hpke: Some(vec![6; 34]),
        channel_key: Some(unique(7)),
        epoch: 1,
        effects: Effects::None,
    };
    (row, key)
}
