//! Revocation lists and OCSP answers made by openssl: what each says of a chain, and what no file may say.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors, Usage};
use assay_attest::codec::crl::Crl;
use assay_attest::codec::ocsp::Answer;
use assay_attest::codec::x509::Certificate;
use assay_attest::refusal::Refusal;
use assay_attest::revocation::{Ages, Known, Revocation};
use assay_attest::time::Timestamp;
use assay_checks::AwsLc;

use crate::vectors::pem;

const DAY: u64 = 24 * 60 * 60 * 1000;

/// A CA of openssl with two EK certificates: `ek` and `other`.
struct Authority(tempfile::TempDir);

impl Authority {
    fn new(name: &str) -> Option<Self> {
        let this = Self(tempfile::tempdir().unwrap());
        let config = "[ca]\ndefault_ca=d\n[d]\ndir=.\ndatabase=index.txt\nnew_certs_dir=.\nserial=serial\ncrlnumber=crlnumber\n\
             certificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha384\npolicy=p\ndefault_days=30\ndefault_crl_days=7\nunique_subject=no\n\
             [p]\ncommonName=supplied\n[root]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n\
             [ek]\nbasicConstraints=critical,CA:false\nkeyUsage=critical,keyAgreement\n\
             [ocsp]\nbasicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=OCSPSigning\n\
             [plain]\nbasicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n[req]\ndistinguished_name=dn\n[dn]\n";
        std::fs::write(this.path("ca.cnf"), config).unwrap();
        std::fs::write(this.path("index.txt"), "").unwrap();
        std::fs::write(this.path("serial"), "1000\n").unwrap();
        std::fs::write(this.path("crlnumber"), "01\n").unwrap();
        let subject = format!("/CN={name}");
        let made = this.key("ca")
            && this.run(&[
                "req",
                "-x509",
                "-new",
                "-config",
                "ca.cnf",
                "-extensions",
                "root",
                "-key",
                "ca.key",
                "-out",
                "ca.pem",
                "-days",
                "60",
                "-subj",
                &subject,
            ]);
        if !made {
            assert!(std::env::var_os("CI").is_none(), "openssl is needed in CI");
            println!("skipped: openssl is not installed");
            return None;
        }
        for (name, kind) in [
            ("ek", "ek"),
            ("other", "ek"),
            ("responder", "ocsp"),
            ("stranger", "plain"),
        ] {
            this.issue(name, kind);
        }
        Some(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str]) -> bool {
        Command::new("openssl")
            .args(args)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    fn key(&self, name: &str) -> bool {
        let out = format!("{name}.key");
        let curve = "ec_paramgen_curve:P-384";
        self.run(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            curve,
            "-out",
            &out,
        ])
    }

    fn issue(&self, name: &str, kind: &str) {
        let (key, csr, certificate) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.pem"),
        );
        let subject = format!("/CN={name}");
        assert!(self.key(name));
        assert!(self.run(&[
            "req", "-new", "-config", "ca.cnf", "-key", &key, "-subj", &subject, "-out", &csr
        ]));
        assert!(self.run(&[
            "ca",
            "-batch",
            "-config",
            "ca.cnf",
            "-extensions",
            kind,
            "-in",
            &csr,
            "-out",
            &certificate,
            "-notext",
        ]));
    }

    fn revoke(&self, name: &str, reason: &str) {
        let certificate = format!("{name}.pem");
        assert!(self.run(&[
            "ca",
            "-config",
            "ca.cnf",
            "-revoke",
            &certificate,
            "-crl_reason",
            reason
        ]));
    }

    fn crl(&self) -> Vec<u8> {
        assert!(self.run(&["ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem"]));
        assert!(self.run(&[
            "crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der"
        ]));
        std::fs::read(self.path("crl.der")).unwrap()
    }

    /// An answer about `name`, signed by `by`.
    fn answer(&self, name: &str, by: &str, hash: &str) -> Vec<u8> {
        let certificate = format!("{name}.pem");
        assert!(self.run(&[
            "ocsp",
            hash,
            "-issuer",
            "ca.pem",
            "-cert",
            &certificate,
            "-reqout",
            "ocsp.req",
            "-no_nonce",
        ]));
        let (signer, key) = (format!("{by}.pem"), format!("{by}.key"));
        assert!(self.run(&[
            "ocsp",
            "-index",
            "index.txt",
            "-CA",
            "ca.pem",
            "-rsigner",
            &signer,
            "-rkey",
            &key,
            "-reqin",
            "ocsp.req",
            "-respout",
            "ocsp.der",
            "-ndays",
            "7",
        ]));
        std::fs::read(self.path("ocsp.der")).unwrap()
    }

    fn certificate(&self, name: &str) -> Vec<u8> {
        pem(&self.path(&format!("{name}.pem"))).remove(0)
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_secs(since.unwrap().as_secs() + 60)
}

fn judge(
    authority: &Authority,
    crls: &[&[u8]],
    answers: &[&[u8]],
    at: Timestamp,
    required: bool,
) -> Result<Vec<Known>, Refusal> {
    let root = Certificate::parse(&authority.certificate("ca")).unwrap();
    let anchor = Anchor::from_certificate("ca", AnchorKind::Vendor, &root).unwrap();
    let anchors = TrustAnchors::new(anchor, Vec::new());
    let leaf = authority.certificate("ek");
    let chain = Chain::parse([leaf.as_slice()], Order::RootFirst).unwrap();
    let verified = chain
        .verify(&anchors, Usage::EndorsementKey, now(), &AwsLc)
        .unwrap();
    let crls = crls
        .iter()
        .map(|der| Crl::parse(der))
        .collect::<Result<_, _>>()?;
    let answers = answers
        .iter()
        .map(|der| Answer::parse(der))
        .collect::<Result<_, _>>()?;
    let ages = Ages {
        soft: DAY,
        hard: 3 * DAY,
        unstated: DAY,
    };
    let revocation = Revocation::new(crls, answers, ages, required)?;
    let judged = revocation.judge(&verified, at, &AwsLc)?;
    Ok(judged.known().to_vec())
}

fn code(result: Result<Vec<Known>, Refusal>) -> &'static str {
    match result {
        Ok(known) => match known.as_slice() {
            [Known::Good { old: true, .. }] => "old",
            [Known::Good { old: false, .. }] => "good",
            _ => "unknown",
        },
        Err(refusal) => refusal.code(),
    }
}

#[test]
fn a_list_says_good_hold_and_revoked_and_ages() {
    let Some(authority) = Authority::new("maker") else {
        return;
    };
    authority.revoke("other", "keyCompromise");
    let list = authority.crl();
    let parsed = Crl::parse(&list).unwrap();
    assert_eq!((parsed.len(), parsed.number()), (1, &[1][..]));
    let of = |crl: &[u8], at| code(judge(&authority, &[crl], &[], at, true));
    assert_eq!(of(&list, now()), "good");
    // Due after seven days; told of after one more, refused after three.
    assert_eq!(of(&list, now().plus_millis(8 * DAY - 3_600_000)), "good");
    assert_eq!(of(&list, now().plus_millis(9 * DAY)), "old");
    assert_eq!(of(&list, now().plus_millis(11 * DAY)), "revocation.expired");
    assert_eq!(
        of(&list, now().minus_millis(DAY)),
        "revocation.not_yet_valid"
    );
    assert_eq!(code(judge(&authority, &[], &[], now(), false)), "unknown");
    assert_eq!(
        code(judge(&authority, &[], &[], now(), true)),
        "revocation.missing"
    );

    authority.revoke("ek", "certificateHold");
    let held = authority.crl();
    assert_eq!(of(&held, now()), "chain.on_hold");
    assert_eq!(
        code(judge(&authority, &[&list, &held], &[], now(), true)),
        if parsed.this_update() < Crl::parse(&held).unwrap().this_update() {
            "chain.on_hold"
        } else {
            "good"
        },
        "the newest list counts"
    );
    for at in [list.len() - 1, list.len() / 2, 30] {
        let mut bent = list.clone();
        bent[at] ^= 1;
        assert_ne!(of(&bent, now()), "good", "byte {at}");
    }
    for length in 0..list.len() {
        assert!(Crl::parse(&list[..length]).is_err(), "{length}");
    }
    assert!(Crl::parse(&[&list[..], &[0]].concat()).is_err());

    // Another CA of that name did not sign it.
    let namesake = Authority::new("maker").unwrap();
    assert_eq!(of(&namesake.crl(), now()), "revocation.signature");
    // One of another name has nothing to say.
    let stranger = Authority::new("stranger").unwrap();
    assert_eq!(of(&stranger.crl(), now()), "revocation.missing");
}

#[test]
fn a_revocation_outlives_its_list() {
    let Some(authority) = Authority::new("maker") else {
        return;
    };
    authority.revoke("ek", "keyCompromise");
    let list = authority.crl();
    let of = |at| judge(&authority, &[&list], &[], at, false).unwrap_err();
    let revoked = Refusal::ChainRevoked {
        index: 0,
        reason: "key-compromise",
    };
    assert_eq!(of(now()), revoked);
    assert_eq!(of(now().plus_millis(100 * DAY)), revoked);
}

#[test]
fn an_answer_is_the_issuers_or_of_one_whom_it_named() {
    let Some(authority) = Authority::new("maker") else {
        return;
    };
    let of = |answer: &[u8]| code(judge(&authority, &[], &[answer], now(), true));
    for hash in ["-sha1", "-sha256", "-sha384"] {
        assert_eq!(of(&authority.answer("ek", "ca", hash)), "good", "{hash}");
    }
    let delegated = authority.answer("ek", "responder", "-sha256");
    assert_eq!(of(&delegated), "good");
    assert_eq!(
        of(&authority.answer("ek", "stranger", "-sha256")),
        "revocation.responder",
        "it may not answer"
    );
    assert_eq!(
        of(&authority.answer("other", "ca", "-sha256")),
        "revocation.missing",
        "it speaks of another"
    );
    let mut bent = delegated.clone();
    let tbs = bent.len() / 8;
    bent[tbs] ^= 1;
    assert_ne!(of(&bent), "good");
    for length in 0..delegated.len() {
        assert!(Answer::parse(&delegated[..length]).is_err(), "{length}");
    }
    authority.revoke("ek", "certificateHold");
    assert_eq!(
        of(&authority.answer("ek", "ca", "-sha256")),
        "chain.on_hold"
    );
}

#[test]
fn a_file_that_is_neither_is_neither() {
    for bytes in [&[][..], &[0x30, 0], &[0x30, 3, 0x0a, 1, 1], b"CRL"] {
        assert!(Crl::parse(bytes).is_err());
        assert!(Answer::parse(bytes).is_err());
    }
}
