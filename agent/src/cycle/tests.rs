//! The round as a table, and what no sequence of inputs can make it do.

use super::*;
use proptest::prelude::*;

fn at(millis: u64) -> Boot {
    Boot::from_millis(millis)
}

fn lease(n: u8) -> LeaseId {
    LeaseId::from_random(&[n; 16])
}

fn host(n: u8) -> HostId {
    HostId::from_random(&[n; 16])
}

fn challenge() -> Challenge {
    Challenge {
        nonce: [7; 32],
        pcrs: vec![0, 7],
    }
}

fn verdict(verified: bool, sent: u64, fresh_for: u64) -> Input {
    Input::Verdict(Judged {
        verified,
        reasons: if verified {
            vec![]
        } else {
            vec!["pcr.mismatch".into()]
        },
        sent: at(sent),
        fresh_for,
        next_in: fresh_for / 2,
    })
}

/// A round with a good proof of a minute, sent at 0, and the effects of the verdict.
fn fresh() -> (Cycle, Vec<Effect>) {
    let mut cycle = Cycle::new(at(0));
    let start = cycle.step(Input::Tick, at(0), 0);
    assert!(start.contains(&Effect::AskNonce) && start.contains(&Effect::AskWake));
    assert!(start.contains(&Effect::PullManifests(BTreeSet::new())));
    let out = cycle.step(Input::Nonce(challenge()), at(0), 0);
    assert!(out.contains(&Effect::Collect(challenge())));
    let out = cycle.step(Input::EvidenceReady(vec![1]), at(0), 0);
    assert!(out.contains(&Effect::Submit(vec![1])));
    let mut out = cycle.step(verdict(true, 0, 60_000), at(1), 0);
    assert!(out.contains(&Effect::CheckLog));
    assert!(!out.contains(&Effect::PullLeases), "not before the log");
    out.extend(cycle.step(Input::Log { fault: None }, at(1), 0));
    (cycle, out)
}

/// The same, holding leases 1 (10 s) and 2 (an hour by its own word).
fn holding() -> Cycle {
    let (mut cycle, _) = fresh();
    let items = vec![(lease(1), 10_000), (lease(2), 3_600_000)];
    cycle.step(
        Input::LeasesIn {
            sent: at(5),
            items,
            renew_in: 150,
        },
        at(6),
        0,
    );
    cycle
}

#[test]
fn a_good_proof_pulls_leases_and_sleeps_to_half_of_it() {
    let (mut cycle, out) = fresh();
    assert!(out.contains(&Effect::PullLeases));
    assert!(out.contains(&Effect::SetStatus(Status::Verified { until: at(60_000) })));
    cycle.step(Input::ManifestsIn { renew_in: 3600 }, at(2), 0);
    let done = Input::LeasesIn {
        sent: at(2),
        items: vec![],
        renew_in: 3600,
    };
    let out = cycle.step(done, at(3), 0);
    assert_eq!(out, [Effect::SleepUntil(at(30_000))]);
    assert!(
        !cycle
            .step(Input::Tick, at(29_999), 0)
            .contains(&Effect::AskNonce)
    );
    assert!(
        cycle
            .step(Input::Tick, at(30_000), 0)
            .contains(&Effect::AskNonce)
    );
}

#[test]
fn jitter_proves_earlier_never_later() {
    for chance in [0, 1, 2999, 3000, 3001, u64::MAX] {
        let mut cycle = Cycle::new(at(0));
        cycle.step(Input::Tick, at(0), 0);
        cycle.step(verdict(true, 0, 60_000), at(1), chance);
        let next = cycle.proof.next().unwrap();
        assert!(at(27_000) <= next && next <= at(30_000), "{next}");
    }
}

#[test]
fn a_nexus_that_says_prove_at_the_end_is_not_followed() {
    let mut cycle = Cycle::new(at(0));
    cycle.step(Input::Tick, at(0), 0);
    let late = Judged {
        verified: true,
        reasons: vec![],
        sent: at(0),
        fresh_for: 60_000,
        next_in: 90_000,
    };
    cycle.step(Input::Verdict(late), at(1), 0);
    assert_eq!(cycle.proof.next(), Some(at(30_000)));
}

#[test]
fn leases_end_with_their_time_or_with_the_proof() {
    let mut cycle = holding();
    assert!(
        cycle
            .step(Input::Tick, at(10_004), 0)
            .iter()
            .all(|e| !matches!(e, Effect::WipeLeases(_)))
    );
    let out = cycle.step(Input::Tick, at(10_005), 0);
    assert!(
        out.contains(&Effect::WipeLeases(vec![lease(1)])),
        "counted from the sending"
    );
    let out = cycle.step(Input::Tick, at(60_000), 0);
    assert!(
        out.contains(&Effect::WipeLeases(vec![lease(2)])),
        "not past the proof"
    );
    assert!(out.contains(&Effect::SetStatus(Status::Stale)));
}

#[test]
fn i10_wipes_on_a_bad_verdict() {
    let mut cycle = holding();
    cycle.step(Input::Tick, at(30_000), 0);
    let out = cycle.step(verdict(false, 30_000, 0), at(30_001), 0);
    assert!(out.contains(&Effect::WipeAll));
    assert!(cycle.leases().is_empty() && !cycle.is_fresh());
    let reasons = vec!["pcr.mismatch".to_owned()];
    assert_eq!(cycle.status(), &Status::Failed { reasons });
}

#[test]
fn i10_wipes_when_the_nexus_refuses_this_device() {
    for code in [
        "attestation.failed",
        "attestation.quarantined",
        "auth.failed",
        "dpu.decommissioned",
    ] {
        for call in [Call::Proof, Call::Wake, Call::Leases, Call::Manifests] {
            let mut cycle = holding();
            let code = code.to_owned();
            let out = cycle.step(Input::Refused { call, code }, at(20_000), 0);
            assert!(out.contains(&Effect::WipeAll), "{call:?}");
            assert!(!cycle.is_fresh());
        }
    }
}

#[test]
fn i10_wipes_on_demand() {
    let wipe = Errands {
        wipe: true,
        ..Errands::default()
    };
    for input in [Input::Wake(wipe), Input::WipeAsked, Input::Stop] {
        let mut cycle = holding();
        let out = cycle.step(input, at(7), 0);
        assert!(out.contains(&Effect::WipeAll));
        assert!(cycle.leases().is_empty());
    }
    let mut cycle = holding();
    let one = Errands {
        wipe_leases: vec![lease(2), lease(9)],
        ..Errands::default()
    };
    let out = cycle.step(Input::Wake(one), at(7), 0);
    assert!(out.contains(&Effect::WipeLeases(vec![lease(2)])));
    assert_eq!(cycle.leases().keys().collect::<Vec<_>>(), [&lease(1)]);
}

#[test]
fn i10_leases_on_their_way_when_the_wipe_comes_are_wiped_on_arrival() {
    let (mut cycle, _) = fresh();
    let wipe = Errands {
        wipe: true,
        ..Errands::default()
    };
    cycle.step(Input::Wake(wipe), at(2), 0);
    let items = vec![(lease(1), 10_000)];
    let out = cycle.step(
        Input::LeasesIn {
            sent: at(1),
            items,
            renew_in: 60,
        },
        at(3),
        0,
    );
    assert!(out.contains(&Effect::WipeLeases(vec![lease(1)])));
    assert!(cycle.leases().is_empty());
    // The key is gone too: what waits needs a new proof first.
    let waits = Errands {
        leases: true,
        ..Errands::default()
    };
    let out = cycle.step(Input::Wake(waits), at(5000), 0);
    assert!(out.contains(&Effect::AskNonce) && !out.contains(&Effect::PullLeases));
}

#[test]
fn i10_a_wipe_during_a_proof_voids_its_key() {
    let (mut cycle, _) = fresh();
    assert!(
        cycle
            .step(Input::Tick, at(30_000), 0)
            .contains(&Effect::AskNonce)
    );
    cycle.step(Input::WipeAsked, at(30_001), 0);
    let out = cycle.step(verdict(true, 30_001, 60_000), at(30_002), 0);
    assert!(cycle.is_fresh() && !out.contains(&Effect::PullLeases));
    let out = cycle.step(Input::Tick, at(32_002), 0);
    assert!(
        out.contains(&Effect::AskNonce),
        "a proof with a key of its own"
    );
}

#[test]
fn when_the_nexus_is_back_nothing_waits_out_its_backoff() {
    let (mut cycle, _) = fresh();
    for _ in 0..12 {
        for call in [Call::Leases, Call::Manifests, Call::Wake] {
            cycle.step(Input::NexusAway { call }, at(10), 800_000);
        }
    }
    let out = cycle.step(Input::Wake(Errands::default()), at(20_000), 0);
    assert!(!out.contains(&Effect::PullLeases), "not without a pause");
    let out = cycle.step(Input::Tick, at(20_250), 0);
    assert!(out.contains(&Effect::PullLeases));
    assert!(out.contains(&Effect::PullManifests(BTreeSet::new())));
}

#[test]
fn other_refusals_and_an_absent_nexus_leave_leases_to_their_end() {
    let mut cycle = holding();
    for input in [
        Input::NexusAway { call: Call::Leases },
        Input::NexusAway { call: Call::Wake },
        Input::Refused {
            call: Call::Wake,
            code: "rate.limited".into(),
        },
        Input::SourceFailed {
            code: "tpm.unreachable".into(),
        },
    ] {
        let out = cycle.step(input, at(8), 0);
        assert!(!out.contains(&Effect::WipeAll));
    }
    assert_eq!(cycle.leases().len(), 2);
}

#[test]
fn a_stale_refusal_proves_again() {
    let (mut cycle, _) = fresh();
    let code = "attestation.stale".to_owned();
    let call = Call::Leases;
    cycle.step(Input::Refused { call, code }, at(10), 0);
    assert!(!cycle.is_fresh());
    let out = cycle.step(Input::Tick, at(2001), 0);
    assert!(out.contains(&Effect::AskNonce));
    assert!(!out.contains(&Effect::PullLeases), "not before a proof");
}

#[test]
fn a_demand_proves_at_once_and_does_not_end_the_proof_in_hand() {
    let (mut cycle, _) = fresh();
    let demand = Errands {
        attest: true,
        ..Errands::default()
    };
    let out = cycle.step(Input::Wake(demand), at(5000), 0);
    assert!(out.contains(&Effect::AskNonce));
    assert!(cycle.is_fresh());
}

#[test]
fn a_waking_call_pulls_what_waits_and_waits_again() {
    let mut cycle = holding();
    cycle.step(Input::ManifestsIn { renew_in: 60 }, at(7), 0);
    let errands = Errands {
        manifests: vec![host(1)],
        leases: true,
        ..Errands::default()
    };
    let out = cycle.step(Input::Wake(errands), at(1000), 0);
    assert!(out.contains(&Effect::PullLeases));
    assert!(
        out.iter()
            .any(|effect| matches!(effect, Effect::PullManifests(_)))
    );
    assert!(!out.contains(&Effect::AskWake), "not without a pause");
    assert!(
        cycle
            .step(Input::Tick, at(1250), 0)
            .contains(&Effect::AskWake)
    );
}

#[test]
fn a_log_that_does_not_extend_ours_stops_leases_and_nothing_else() {
    let mut cycle = holding();
    let fault = Some("log.forked".to_owned());
    cycle.step(Input::Log { fault }, at(10), 0);
    let errands = Errands {
        leases: true,
        ..Errands::default()
    };
    let out = cycle.step(Input::Wake(errands), at(1000), 0);
    assert!(!out.contains(&Effect::PullLeases));
    assert!(
        cycle
            .step(Input::Tick, at(30_000), 0)
            .contains(&Effect::AskNonce)
    );
    let out = cycle.step(verdict(true, 30_000, 60_000), at(30_001), 0);
    assert!(!out.contains(&Effect::PullLeases) && out.contains(&Effect::CheckLog));
    let out = cycle.step(Input::Log { fault: None }, at(30_002), 0);
    assert!(out.contains(&Effect::PullLeases));
}

#[test]
fn a_host_that_asks_and_a_host_that_reports_are_heard() {
    let mut cycle = holding();
    cycle.step(Input::ManifestsIn { renew_in: 3600 }, at(7), 0);
    let out = cycle.step(Input::HostAsks(host(1)), at(1000), 0);
    assert!(out.contains(&Effect::PullManifests(BTreeSet::from([host(1)]))));
    let out = cycle.step(Input::ReportWaits, at(1000), 0);
    assert!(out.contains(&Effect::SendReports));
    let away = Input::NexusAway {
        call: Call::Reports,
    };
    let out = cycle.step(away, at(1001), 700);
    assert_eq!(out.last(), Some(&Effect::SleepUntil(at(1701))), "kept");
}

#[test]
fn after_the_stop_nothing_happens_any_more() {
    let mut cycle = holding();
    let out = cycle.step(Input::Stop, at(7), 0);
    assert_eq!(out, [Effect::WipeAll, Effect::Exit]);
    assert_eq!(cycle.step(verdict(true, 7, 60_000), at(8), 0), []);
}

#[test]
fn a_verdict_that_nobody_asked_for_changes_nothing() {
    let (mut cycle, _) = fresh();
    let before = format!("{cycle:?}");
    cycle.step(verdict(true, 0, u64::MAX), at(1), 0);
    assert_eq!(before, format!("{cycle:?}"));
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        Just(Call::Proof),
        Just(Call::Wake),
        Just(Call::Leases),
        Just(Call::Manifests),
        Just(Call::Log),
        Just(Call::Reports)
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let code = prop_oneof![
        Just("attestation.stale"),
        Just("attestation.failed"),
        Just("auth.failed"),
        Just("rate.limited"),
        Just("")
    ];
    let errands = (any::<bool>(), 0u8..3, any::<bool>(), 0u8..20, 0u8..4);
    prop_oneof![
        4 => Just(Input::Tick),
        4 => Just(Input::Nonce(challenge())),
        4 => Just(Input::EvidenceReady(vec![1])),
        1 => Just(Input::SourceFailed { code: "tpm.failed".into() }),
        6 => (any::<bool>(), 0u64..10_000, 0u64..100_000, 0u64..100_000).prop_map(|(verified, sent, fresh_for, next_in)| {
            Input::Verdict(Judged { verified, reasons: vec![], sent: at(sent), fresh_for, next_in })
        }),
        2 => (call(), code).prop_map(|(call, code)| Input::Refused { call, code: code.into() }),
        2 => call().prop_map(|call| Input::NexusAway { call }),
        4 => errands.prop_map(|(attest, hosts, leases, wipe, gone)| Input::Wake(Errands {
            attest,
            manifests: (0..hosts).map(host).collect(),
            leases,
            wipe: wipe == 0,
            wipe_leases: (0..gone).map(lease).collect(),
        })),
        6 => (0u64..10_000, prop::collection::vec((0u8..6, 0u64..50_000), 0..4), 0u32..10).prop_map(|(sent, items, renew_in)| {
            let items = items.into_iter().map(|(n, millis)| (lease(n), millis)).collect();
            Input::LeasesIn { sent: at(sent), items, renew_in }
        }),
        2 => (0u32..10).prop_map(|renew_in| Input::ManifestsIn { renew_in }),
        1 => any::<bool>().prop_map(|bad| Input::Log { fault: bad.then(|| "log.forked".into()) }),
        1 => (0u8..3).prop_map(|n| Input::HostAsks(host(n))),
        1 => Just(Input::ReportWaits),
        1 => Just(Input::ReportsSent),
        1 => Just(Input::WipeAsked),
    ]
}

proptest! {
    #[test]
    fn no_lease_outlives_its_end_or_a_wipe(steps in prop::collection::vec((input(), 0u64..20_000, any::<u64>()), 1..200)) {
        let mut cycle = Cycle::new(at(0));
        let mut now = 0;
        // What a vault that only follows the effects would hold, with the latest end anybody granted.
        let mut vault: BTreeMap<LeaseId, Boot> = BTreeMap::new();
        for (input, wait, chance) in steps {
            now += wait;
            let granted = if let Input::LeasesIn { sent, items, .. } = &input {
                items.iter().map(|(id, millis)| (id.clone(), sent.plus_millis(*millis))).collect()
            } else {
                Vec::new()
            };
            vault.extend(granted);
            for effect in cycle.step(input, at(now), chance) {
                match effect {
                    Effect::WipeAll => vault.clear(),
                    Effect::WipeLeases(gone) => vault.retain(|id, _| !gone.contains(id)),
                    _ => {}
                }
            }
            for (id, end) in &vault {
                prop_assert!(at(now) < *end, "{id} ended at {end}, it is {now}");
                prop_assert!(cycle.leases().contains_key(id));
            }
        }
    }

    #[test]
    fn nothing_spins(steps in prop::collection::vec((input(), any::<u64>()), 1..400)) {
        // All at one moment: however often it is poked, each thing starts at most once.
        let mut cycle = Cycle::new(at(0));
        let mut started: BTreeMap<&str, u32> = BTreeMap::new();
        for (input, chance) in steps {
            for effect in cycle.step(input, at(0), chance) {
                let name = match effect {
                    Effect::AskNonce => "nonce",
                    Effect::AskWake => "wake",
                    Effect::PullLeases => "leases",
                    Effect::PullManifests(_) => "manifests",
                    Effect::CheckLog => "log",
                    Effect::SendReports => "reports",
                    _ => continue,
                };
                *started.entry(name).or_default() += 1;
            }
        }
        prop_assert!(started.values().all(|count| *count <= 1), "{started:?}");
    }

    #[test]
    fn it_always_comes_back(steps in prop::collection::vec((input(), 0u64..20_000, any::<u64>()), 1..100)) {
        let mut cycle = Cycle::new(at(0));
        let mut now = 0;
        for (input, wait, chance) in steps {
            now += wait;
            let out = cycle.step(input, at(now), chance);
            let Some(Effect::SleepUntil(next)) = out.last() else {
                panic!("{out:?}");
            };
            prop_assert!(*next > at(now), "due at {next}, it is {now}: it would spin");
            // Either something is under way, or it wakes by itself.
            let waiting = [cycle.proof, cycle.wake, cycle.manifests].iter().any(Lane::busy);
            prop_assert!(waiting || *next < Boot::NEVER);
        }
    }
}
