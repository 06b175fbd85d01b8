//! Manifests and pairings: what is taken, and what is refused before anything is touched.

use crate::paired::{Paired, public, sign};
use crate::world::{World, now, ready};
use assay_api::id::HostId;
use assay_api::manifest::Manifest;
use assay_host::manifest::check;
use assay_host::sshd::Outcome;
use ed25519_dalek::SigningKey;
use std::fs;

#[test]
fn a_signed_manifest_opens_the_host_and_survives_what_it_should() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(""));
    let before = paired.world.picture();
    let cert = paired.world.user_certificate("ca");
    let manifest = paired.manifest(3600, &[]);
    let bytes = paired.sign(&manifest);
    assert_eq!(
        paired.host.install(&bytes).unwrap().outcome,
        Outcome::Installed
    );
    assert!(paired.world.opens(&cert));
    let pairing = paired.pairing();
    let record = paired.host.record(&pairing).unwrap().unwrap();
    assert!(paired.host.in_force(&pairing, &record).unwrap());

    // The same again, byte for byte.
    assert_eq!(
        paired.host.install(&bytes).unwrap().outcome,
        Outcome::Renewed
    );

    // Somebody edits what is ours: it is seen, and a new manifest mends it.
    let file = paired.world.at("assay/principals/root");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + "mallory\n").unwrap();
    assert!(!paired.host.in_force(&pairing, &record).unwrap());
    let next = paired.manifest(3600, &[&cert]);
    assert_eq!(paired.install(&next), Ok(2));
    assert!(!paired.world.opens(&cert));
    let record = paired.host.record(&pairing).unwrap().unwrap();
    assert!(paired.host.in_force(&pairing, &record).unwrap());

    paired.host.purge().unwrap();
    let mut after = paired.world.picture();
    after.retain(|path, _| !path.starts_with(paired.world.at("state")));
    assert_eq!(after, before);
    // A purge does not forget how far it was.
    assert_eq!(paired.installed(), 2);
    assert_eq!(paired.install(&manifest), Err("signed.older"));
}

#[test]
fn i13_an_older_manifest_does_not_bring_trust_back() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(""));
    let cert = paired.world.user_certificate("ca");
    let first = paired.manifest(3600, &[]);
    let second = paired.manifest(3600, &[&cert]);
    assert_eq!(paired.install(&second), Ok(2));
    let before = paired.world.picture();
    assert_eq!(paired.install(&first), Err("signed.older"));
    let mut same = first.clone();
    same.sequence = 2;
    assert_eq!(
        paired.install(&same),
        Err("signed.older"),
        "another of the same sequence"
    );
    assert_eq!(paired.world.picture(), before);
    assert!(!paired.world.opens(&cert));

    // A record that does not read is not taken for none.
    let record = paired
        .world
        .at(&format!("state/installed-{}.json", paired.world.host));
    fs::write(&record, b"{}").unwrap();
    assert_eq!(paired.install(&first), Err("host.damaged"));
}

#[test]
fn i1_what_is_not_for_this_host_is_refused_with_its_own_code() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(""));
    let good = paired.manifest(3600, &[]);
    let before = paired.world.picture();
    let other = HostId::from_random(&[8; 16]);
    let stray = paired
        .world
        .certify("host_ca", "sshd_key", "b.example", "+1d", &["-h"]);
    let stray = fs::read_to_string(stray).unwrap();
    let mut words = stray.split_whitespace();
    let stray = format!("{} {}", words.next().unwrap(), words.next().unwrap());
    let broken = stray.replace("AAAA", "AAAB");
    type Change<'a> = Box<dyn Fn(&mut Manifest) + 'a>;
    let cases: Vec<(&str, Change<'_>)> = vec![
        (
            "signed.other_host",
            Box::new(|m| {
                m.host_id = other.clone();
                m.files.principals = [("root".to_owned(), vec![format!("root@{other}")])].into();
            }),
        ),
        (
            "manifest.expired",
            Box::new(|m| {
                m.issued = now().minus_millis(9000);
                m.not_after = now().minus_millis(1);
            }),
        ),
        (
            "manifest.login",
            Box::new(|m| {
                m.files
                    .principals
                    .insert("daemon".to_owned(), vec![format!("daemon@{}", m.host_id)]);
            }),
        ),
        (
            "manifest.host_principal",
            Box::new(|m| m.files.host_certificate = Some(stray.clone())),
        ),
        (
            "manifest.ssh",
            Box::new(|m| m.files.host_certificate = Some(broken.clone())),
        ),
        (
            "manifest.trial_key",
            Box::new(|m| {
                m.trial.as_mut().unwrap().key = m.files.user_cas[0].clone();
            }),
        ),
        ("sshd.trial_unfit", Box::new(|m| m.trial = None)),
    ];
    for (code, change) in cases {
        let mut manifest = good.clone();
        change(&mut manifest);
        assert_eq!(paired.install(&manifest), Err(code));
    }
    let stranger = SigningKey::from_bytes(&[1; 32]);
    let fault = paired.host.install(&sign(&good, &stranger)).unwrap_err();
    assert_eq!(fault.code(), "signed.signature");
    let pairing = sign(&paired.pairing(), &paired.delivery);
    assert_eq!(
        paired.host.install(&pairing).unwrap_err().code(),
        "signed.malformed"
    );
    assert_eq!(paired.world.picture(), before);
    assert_eq!(paired.install(&good), Ok(1));
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::stopped("", ""));
    let manifest = paired.manifest(3600, &[]);
    let (bytes, pairing) = (paired.sign(&manifest), paired.pairing());
    assert!(check(&bytes, &pairing, None, now()).is_ok());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let code = check(&flipped, &pairing, None, now()).unwrap_err().code();
        assert!(code.starts_with("signed."), "byte {at}: {code}");
        assert!(check(&bytes[..at], &pairing, None, now()).is_err());
    }
}

#[test]
fn delivery_keys_rotate_by_what_they_announce() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(""));
    let old = paired.delivery.clone();
    let new = SigningKey::from_bytes(&[10; 32]);
    let mut sneaky = paired.manifest(3600, &[]);
    sneaky.delivery_keys.current = public(&new);
    let fault = paired.host.install(&sign(&sneaky, &new)).unwrap_err();
    assert_eq!(
        fault.code(),
        "signed.signature",
        "a key that nobody announced"
    );

    let mut announce = paired.manifest(3600, &[]);
    announce.delivery_keys.next = Some(public(&new));
    assert_eq!(paired.install(&announce), Ok(2));
    paired.delivery = new;
    paired.keys.current = public(&paired.delivery);
    let step = paired.manifest(3600, &[]);
    assert_eq!(paired.install(&step), Ok(3));
    let stale = paired.manifest(3600, &[]);
    let fault = paired.host.install(&sign(&stale, &old)).unwrap_err();
    assert_eq!(
        fault.code(),
        "signed.signature",
        "the old key is pinned no more"
    );
    let pairing = paired.pairing();
    let record = paired.host.record(&pairing).unwrap().unwrap();
    assert!(paired.host.in_force(&pairing, &record).unwrap());
}

#[test]
fn a_pairing_is_pinned_once_and_only_for_our_own_request() {
    if !ready() {
        return;
    }
    let paired = Paired::new(World::stopped("", ""));
    let good = paired.pairing();
    paired
        .host
        .pair(&paired.sign_pairing(&good), Some([5; 32]))
        .unwrap();
    let code = |bytes: &[u8], nexus| paired.host.pair(bytes, nexus).unwrap_err().code();
    assert_eq!(
        code(&paired.sign_pairing(&good), Some([6; 32])),
        "host.other_nexus"
    );

    let mut other = good.clone();
    other.host_id = HostId::from_random(&[8; 16]);
    assert_eq!(
        code(&paired.sign_pairing(&other), None),
        "host.already_paired"
    );
    let mut other = good.clone();
    other.request.logins.push("daemon".to_owned());
    assert_eq!(
        code(&paired.sign_pairing(&other), None),
        "signed.other_host"
    );
    let stranger = SigningKey::from_bytes(&[1; 32]);
    assert_eq!(code(&sign(&good, &stranger), None), "signed.signature");
    let bytes = paired.sign_pairing(&good);
    for at in (0..bytes.len()).step_by(3) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        assert!(paired.host.pair(&flipped, None).is_err(), "byte {at}");
    }
    assert_eq!(
        paired.host.pairing().unwrap().content().host_id,
        good.host_id
    );

    // New keys make the old pairing void.
    let login = assay_host::login::Login::parse("root").unwrap();
    let random = zeroize::Zeroizing::new([4; 64]);
    let again = paired
        .host
        .init(std::slice::from_ref(&login), false, &random);
    assert_eq!(again.unwrap_err().code(), "host.already_init");
    paired.host.init(&[login], true, &random).unwrap();
    assert_eq!(paired.host.pairing().unwrap_err().code(), "host.not_paired");
    assert_eq!(code(&bytes, None), "signed.other_host");
}
