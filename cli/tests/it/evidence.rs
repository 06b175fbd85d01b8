//! The offline tool over every vector: none upsets it, each is taken for what it is, and verdicts are those of the manifest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Person, Ran};

/// Files beside artefacts: keys, anchors, oracles, and what is broken on purpose beyond recognition.
const NO_ARTEFACT: &[&str] = &["ear/pkey.json", "eat/public.pem", "nitro/nitro-root.pem"];

/// Files that the manifest lists with the artefact beside them, and what they are themselves.
const BESIDE: &[(&str, &str)] = &[
    ("nvidia-spdm/gh100-a.chain.pem", "dice-chain"),
    ("nvidia-spdm/gb100-a.chain.pem", "dice-chain"),
    ("nvidia-spdm/ls10-a.chain.pem", "dice-chain"),
];

/// Kinds of the manifest of which every file but those is an artefact on its own.
const MUST: &[&str] = &[
    "cmw",
    "cose",
    "ear",
    "eat-composite",
    "eat-cwt",
    "eat-jwt",
    "nitro-doc",
];

/// The folder of vectors: `ASSAY_VECTORS`, else beside the project. In CI it must be there.
fn vectors() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let all = std::env::var_os("ASSAY_VECTORS").map_or(beside, PathBuf::from);
    if all.is_dir() {
        return Some(all);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{} is needed in CI",
        all.display()
    );
    println!("skipped: no vectors at {}", all.display());
    None
}

fn person() -> Person {
    Person::at(Path::new("/nonexistent"), "nobody")
}

/// `inspect` of every file of the manifest: an answer, never a panic; a kind that the manifest's kind maps to is the one that is found.
#[test]
fn every_vector_is_taken_for_what_it_is() {
    let Some(all) = vectors() else { return };
    let kinds = person().run(&["evidence", "kinds", "-o", "json"]).json();
    let mut ours = BTreeMap::new();
    for kind in kinds["items"].as_array().unwrap() {
        for theirs in kind["also_called"].as_array().unwrap() {
            ours.insert(theirs.as_str().unwrap().to_owned(), kind["kind"].clone());
        }
    }
    let index = std::fs::read(all.join("index.json")).unwrap();
    let index: Vec<Value> = serde_json::from_slice(&index).unwrap();
    assert!(index.len() > 90);
    let mut wrong = Vec::new();
    for row in &index {
        let name = format!(
            "{}/{}",
            row["src"].as_str().unwrap(),
            row["dest"].as_str().unwrap()
        );
        let path = all.join(&name).display().to_string();
        let ran = person().run(&["evidence", "inspect", &path, "-o", "json"]);
        assert!(matches!(ran.code, 0 | 3), "{name}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{name}: {ran:?}");
        let theirs = row["kind"].as_str().unwrap();
        assert!(ours.contains_key(theirs), "`{theirs}` maps to no kind");
        let must = MUST.contains(&theirs);
        if NO_ARTEFACT.contains(&name.as_str()) || (ran.code == 3 && !must) {
            continue;
        }
        let found: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let found = found["kind"].clone();
        let beside = BESIDE.iter().find(|(file, _)| *file == name);
        let expected = beside.map_or_else(
            || ours.get(theirs).cloned(),
            |(_, kind)| Some((*kind).into()),
        );
        if let Some(expected) = expected
            && found != expected
        {
            wrong.push(format!("{name}: {found} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file, the options of its verification (those that begin with `@` are files of the vectors), and what must come of it.
struct Case(
    &'static str,
    &'static str,
    &'static [&'static str],
    Expected,
);

enum Expected {
    /// Accepted and signed.
    Signed,
    /// Accepted; nothing signs it.
    Unsigned,
    /// Rejected with this code.
    Rejected(&'static str),
    /// Signed by whom one believes, and rejected with this code for what it says.
    Refused(&'static str),
}

use Expected::{Refused, Rejected, Signed, Unsigned};

const CASES: &[Case] = &[
    Case(
        "eventlog",
        "eventlogs/arch-linux-workstation.bin",
        &[],
        Unsigned,
    ),
    Case(
        "eventlog",
        "eventlogs/arch-linux-workstation.bin",
        &["--pcrs", "@eventlogs/expected-pcrs.json"],
        Unsigned,
    ),
    Case(
        "eventlog",
        "eventlogs/binary_bios_measurements-secureboot.bin",
        &["--pcrs", "@eventlogs/expected-pcrs.json"],
        Unsigned,
    ),
    Case(
        "eventlog",
        "eventlogs/cos-101-amd-sev.bin",
        &["--pcrs", "@eventlogs/expected-pcrs.json"],
        Unsigned,
    ),
    Case(
        "eventlog",
        "eventlogs/rhel8-uefi.bin",
        &["--pcrs", "@eventlogs/expected-pcrs.json"],
        Unsigned,
    ),
    Case(
        "eventlog",
        "eventlogs/short_no_action_eventlog.bin",
        &[],
        Unsigned,
    ),
    Case(
        "eventlog",
        "eventlogs/binary_bios_measurements-bogus.bin",
        &[],
        Rejected("evidence.truncated"),
    ),
    Case(
        "eventlog",
        "eventlogs/rhel8-uefi.bin",
        &[
            "--pcrs",
            "@lab-edk2/edk2-2022.11-aavmf-boot1.pcr-sha256.txt",
        ],
        Rejected("log.replay"),
    ),
    Case(
        "eventlog",
        "eventlogs/rhel8-uefi.bin",
        &["--pcrs", "@eventlogs/rhel8-uefi.bin"],
        Rejected("pcrs.malformed"),
    ),
    Case(
        "eventlog",
        "lab-edk2/edk2-2022.11-aavmf-boot1.eventlog.bin",
        &[
            "--pcrs",
            "@lab-edk2/edk2-2022.11-aavmf-boot1.pcr-sha256.txt",
        ],
        Unsigned,
    ),
    Case(
        "eventlog",
        "lab-edk2/edk2-2022.11-aavmf-boot2.eventlog.bin",
        &["--pcrs", "@lab-edk2/edk2-2022.11-aavmf-boot1.eventlog.yaml"],
        Unsigned,
    ),
    Case(
        "eventlog",
        "lab-edk2/edk2-2022.11-aavmf-boot3.eventlog.bin",
        &["--pcrs", "@lab-edk2/edk2-2022.11-aavmf-boot3.eventlog.yaml"],
        Unsigned,
    ),
    Case(
        "eventlog",
        "lab-edk2/edk2-2022.11-aavmf-boot3.eventlog.bin",
        &[
            "--pcrs",
            "@lab-edk2/edk2-2022.11-aavmf-boot1.pcr-sha256.txt",
        ],
        Rejected("log.replay"),
    ),
    Case("cel", "eventlogs/cel.b64", &[], Unsigned),
    Case(
        "cel",
        "eventlogs/cel.b64",
        &[
            "--pcrs",
            "@lab-edk2/edk2-2022.11-aavmf-boot1.pcr-sha256.txt",
        ],
        Rejected("log.uncovered"),
    ),
    Case("ima", "ima/sml-ima-ng-sha1.b64", &[], Unsigned),
    Case(
        "ima",
        "ima/sml-ima-sig-sha256-invalidated.b64",
        &[],
        Rejected("ima.violation"),
    ),
    Case(
        "ima",
        "ima/invalid_ima_log.txt",
        &[],
        Rejected("evidence.too_large"),
    ),
    Case("cmw", "cmw/collection-cbor-ok.cbor", &[], Unsigned),
    Case("cmw", "cmw/collection-ok.json", &[], Unsigned),
    Case("cmw", "cmw/ietf-cmw-example-3.diag", &[], Unsigned),
    Case("cmw", "cmw/x509-cert+cbor-cmw.der", &[], Unsigned),
    Case(
        "cmw",
        "cose-wg/sign1-pass-01.json",
        &[],
        Rejected("evidence.malformed"),
    ),
    Case(
        "cose",
        "cose-wg/ecdsa-sig-02.json",
        &["--key", "@cose-wg/ecdsa-sig-02.json"],
        Signed,
    ),
    Case(
        "cose",
        "cose-wg/ecdsa-sig-02.json",
        &[],
        Rejected("verify.no_anchor"),
    ),
    Case(
        "cose",
        "cose-wg/ecdsa-sig-02.json",
        &["--key", "@ear/pkey.json"],
        Rejected("cose.signature"),
    ),
    Case(
        "cose",
        "cose-wg/sign1-fail-02.json",
        &["--key", "@cose-wg/sign1-fail-02.json"],
        Rejected("cose.signature"),
    ),
    Case(
        "cose",
        "cose-wg/sign1-pass-01.json",
        &["--key", "@ear/pkey.json"],
        Signed,
    ),
    Case(
        "cose",
        "cose-wg/x509-signed-01.json",
        &["--key", "@cose-wg/x509-signed-01.json"],
        Signed,
    ),
    Case(
        "cose",
        "cose-wg/x509-signed-01.json",
        &["--root-from-chain"],
        Signed,
    ),
    Case(
        "cose",
        "cose-wg/x509-signed-01.json",
        &["--root", "@nitro/nitro-root.pem"],
        Rejected("chain.no_anchor"),
    ),
    Case(
        "cose",
        "cose-wg/x509-signed-01.json",
        &["--root-from-chain", "--at", "2060-01-01T00:00:00Z"],
        Rejected("chain.expired"),
    ),
    Case(
        "ear",
        "ear/ear-es256.jwt",
        &["--key", "@ear/pkey.json"],
        Signed,
    ),
    Case(
        "ear",
        "ear/ear-es256.jwt",
        &[],
        Rejected("verify.no_anchor"),
    ),
    Case(
        "ear",
        "ear/ear-es256.jwt",
        &["--key", "@ear/pkey.json", "--nonce", "0011"],
        Refused("evidence.nonce"),
    ),
    Case(
        "ear",
        "ear/ear-es256.jwt",
        &["--key", "@ear/pkey.json", "--at", "2022-01-01T00:00:00Z"],
        Refused("token.issued_in_future"),
    ),
    Case(
        "ear",
        "ear/ear-es256.jwt",
        &["--key", "@eat/public.pem"],
        Rejected("token.signature"),
    ),
    Case(
        "ear",
        "ear/ear-alg-none.jwt",
        &["--key", "@ear/pkey.json"],
        Rejected("token.algorithm"),
    ),
    Case(
        "ear",
        "ear/ear-alg-none.jwt",
        &[],
        Rejected("token.algorithm"),
    ),
    Case(
        "ear",
        "ear/ear-claims-key-attestation-ko.json",
        &[],
        Rejected("ear.submodule"),
    ),
    Case("ear", "ear/ear-claims-tv-ok.json", &[], Unsigned),
    Case(
        "ear",
        "ear/ear-claims-tv-ok.json",
        &["--key", "@ear/pkey.json"],
        Rejected("token.unsigned"),
    ),
    Case("ear", "ear/ietf-ear-json-1.diag", &[], Unsigned),
    Case(
        "eat",
        "eat/psa-2_0_0_sign1.bin",
        &["--key", "@eat/public.pem"],
        Signed,
    ),
    Case(
        "eat",
        "eat/psa-2_0_0_sign1.bin",
        &[],
        Rejected("verify.no_anchor"),
    ),
    Case(
        "eat",
        "eat/psa-2_0_0_sign1.bin",
        &["--key", "@ear/pkey.json"],
        Rejected("cose.signature"),
    ),
    Case(
        "eat",
        "eat/psa-2_0_0_sign1.bin",
        &["--key", "@eat/public.pem", "--nonce", "00"],
        Refused("evidence.nonce"),
    ),
    Case(
        "eat",
        "eat/realm-claims-missing-challenge.cbor",
        &[],
        Rejected("eat.claim_missing"),
    ),
    Case(
        "eat",
        "eat-composite/eat-da-example-1.diag",
        &[],
        Rejected("eat.claim_malformed"),
    ),
    Case(
        "eat",
        "eat-composite/ratsd-ex-basic-arm-cca.json",
        &[],
        Rejected("verify.no_anchor"),
    ),
    Case(
        "eat",
        "eat-composite/ratsd-ex-basic-arm-cca.json",
        &["--key", "@eat/public.pem"],
        Rejected("cose.signature"),
    ),
    Case(
        "eat",
        "nitro/nitro-2023-09-18.b64",
        &[
            "--root",
            "@nitro/nitro-root.pem",
            "--at",
            "2023-09-18T15:03:30Z",
        ],
        Signed,
    ),
    Case(
        "eat",
        "nitro/nitro-2023-09-18.b64",
        &["--root-from-chain", "--at", "2023-09-18T15:03:30Z"],
        Signed,
    ),
    Case(
        "eat",
        "nitro/nitro-2023-09-18.b64",
        &["--root", "@nitro/nitro-root.pem"],
        Rejected("chain.expired"),
    ),
    Case(
        "eat",
        "nitro/nitro-2023-09-18.b64",
        &[],
        Rejected("verify.no_anchor"),
    ),
    Case(
        "eat",
        "nitro/nitro-2023-09-18.b64",
        &[
            "--root",
            "@nitro/nitro-root.pem",
            "--at",
            "2023-09-18T15:03:30Z",
            "--nonce",
            "00",
        ],
        Refused("evidence.nonce"),
    ),
    Case(
        "eat",
        "nitro/nitro-2023-09-18.b64",
        &[
            "--root",
            "@nvidia-bf3/opn_root_cert.der",
            "--at",
            "2023-09-18T15:03:30Z",
        ],
        Rejected("chain.no_anchor"),
    ),
    Case(
        "eat",
        "nvidia-eat/hopper_detached_eat.json",
        &[],
        Rejected("verify.no_anchor"),
    ),
    Case(
        "eat",
        "nvidia-eat/hopper_detached_eat.json",
        &["--key", "@ear/pkey.json"],
        Rejected("token.algorithm"),
    ),
];

fn verify(all: &Path, kind: &str, file: &str, options: &[&str]) -> Ran {
    let at = |name: &str| all.join(name).display().to_string();
    let mut args: Vec<String> = ["evidence", "verify", "-o", "json", "--kind", kind]
        .map(str::to_owned)
        .to_vec();
    args.push(at(file));
    for option in options {
        args.push(option.strip_prefix('@').map_or((*option).to_owned(), at));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    person().run(&args)
}

#[test]
fn verdicts_are_those_of_the_manifest() {
    let Some(all) = vectors() else { return };
    let mut wrong = Vec::new();
    for Case(kind, file, options, expected) in CASES {
        let ran = verify(&all, kind, file, options);
        let out: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let found = (
            ran.code,
            out["verdict"].as_str().unwrap_or_default(),
            out["code"].as_str(),
            out["authenticated"].as_bool(),
        );
        let due = match expected {
            Signed => (0, "accept", None, Some(true)),
            Unsigned => (0, "accept", None, Some(false)),
            Rejected(code) => (3, "reject", Some(*code), Some(false)),
            Refused(code) => (3, "reject", Some(*code), Some(true)),
        };
        if found != due || !out["claims"].is_object() {
            wrong.push(format!("{kind} {file} {options:?}: {found:?}, due {due:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_was_asked_for_is_never_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    std::fs::write(&file, "[\"a/b\",\"YQ\"]").unwrap();
    let file = file.to_str().unwrap();
    let missing = dir.path().join("missing");
    let missing = missing.to_str().unwrap();
    let run = |args: &[&str]| {
        let mut all = vec!["evidence", "verify", file];
        all.extend(args);
        person().run(&all).code
    };
    assert_eq!(run(&["--kind", "cmw"]), 0);
    for option in [
        "--chain",
        "--root",
        "--key",
        "--pcrs",
        "--signature",
        "--reference",
    ] {
        assert_eq!(run(&["--kind", "cmw", option, file]), 64, "{option}");
    }
    assert_eq!(run(&["--kind", "cmw", "--nonce", "00"]), 64);
    assert_eq!(run(&["--kind", "cmw", "--root-from-chain"]), 64);
    assert_eq!(run(&["--kind", "nothing"]), 64);
    assert_eq!(run(&["--kind", "ear", "--nonce", "0"]), 64);
    assert_eq!(run(&["--kind", "ear", "--at", "soon"]), 64);
    assert_eq!(run(&[]), 64);
    assert_eq!(run(&["--kind", "ear", "--key", missing]), 1);
    assert_eq!(person().run(&["evidence", "inspect", missing]).code, 1);
    assert_eq!(
        person()
            .run(&["evidence", "verify", "--kind", "cmw", missing])
            .code,
        1
    );
}

#[test]
fn the_man_page_tells_of_every_kind() {
    let dir = tempfile::tempdir().unwrap();
    person().run(&["man", dir.path().to_str().unwrap()]).ok();
    let page = std::fs::read_to_string(dir.path().join("assay-evidence-verify.1")).unwrap();
    let kinds = person().run(&["evidence", "kinds", "-o", "json"]).json();
    for kind in kinds["items"].as_array().unwrap() {
        let name = kind["kind"].as_str().unwrap().replace('-', "\\-");
        assert!(page.contains(&format!("\n.SS {name}\n")), "{name}");
    }
    for section in ["VERDICT", "KINDS", "DECISIONS", "OTHER NAMES"] {
        assert!(page.contains(&format!("\n.SH {section}\n")), "{section}");
    }
}
