//! `assay evidence` on SPDM: every real file through the program, as a script would run it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The vectors of one folder; `None`, and a printed line, where there are none. In CI they must be there.
fn folder(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let all = std::env::var_os("ASSAY_VECTORS").map_or(beside, PathBuf::from);
    let folder = all.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{} is needed in CI",
        folder.display()
    );
    println!("skipped: no vectors at {}", folder.display());
    None
}

/// Verdict, code and all of the answer; the exit code is held against the verdict.
fn verify(kind: &str, file: &Path, more: &[&str]) -> (String, String, Value) {
    let home = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["evidence", "verify", "-o", "json", "--kind", kind])
        .arg(file)
        .args(more)
        .env("HOME", home.path())
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&run.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&run.stderr)));
    let verdict = answer["verdict"].as_str().unwrap().to_owned();
    let exit = run.status.code().unwrap();
    assert_eq!(exit, if verdict == "accept" { 0 } else { 3 });
    let code = answer["code"].as_str().unwrap_or_default().to_owned();
    (verdict, code, answer)
}

fn inspect(file: &Path) -> Value {
    let run = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["evidence", "inspect", "-o", "json"])
        .arg(file)
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    serde_json::from_slice(&run.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn nvidia_reports_with_their_chains() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    for (name, model) in [
        ("gh100-a", "NVIDIA:GH100:48B02D51C9C1070B"),
        ("gb100-a", "NVIDIA:GB100:48B02DD4C0CB1539"),
        ("ls10-a", "NVIDIA:LS_10:48B02DFE0092CDDB"),
    ] {
        let report = folder.join(format!("{name}.report.hex"));
        let chain = folder.join(format!("{name}.chain.pem"));
        let (verdict, _, answer) = verify("spdm-report", &report, &["--chain", text(&chain)]);
        assert_eq!(verdict, "accept", "{name}: {answer}");
        assert_eq!(answer["authenticated"], true);
        let claims = &answer["claims"];
        assert_eq!(claims["anchor"], "nvidia-device-identity");
        assert_eq!(claims["spdm_version"], "1.1");
        assert_eq!(claims["signed_with"], "sha384");
        assert_eq!(claims["device_info"], model);
        assert_eq!(
            claims["device_key"], claims["certificates"][3]["spki_sha256"],
            "the device is its boot ROM's key"
        );
        let nonce = claims["nonce"].as_str().unwrap().to_owned();
        let with = ["--chain", text(&chain), "--nonce", &nonce];
        assert_eq!(verify("spdm-report", &report, &with).0, "accept");
        let zeros = "00".repeat(32);
        let with = ["--chain", text(&chain), "--nonce", &zeros];
        let (_, code, answer) = verify("spdm-report", &report, &with);
        assert_eq!(code, "evidence.nonce");
        assert_eq!(
            answer["authenticated"], true,
            "it is another answer, not a forged one"
        );
        let (_, code, _) = verify("spdm-report", &report, &[]);
        assert_eq!(code, "verify.no_anchor");
        assert_eq!(inspect(&report)["kind"], "spdm-report");
        // The chain alone, too.
        let (verdict, _, _) = verify("spdm-chain", &chain, &[]);
        assert_eq!(verdict, "accept");
    }
}

#[test]
fn ls10_badsig_and_chains_of_others() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    let bad = folder.join("ls10-badsig.report.hex");
    let ls10 = folder.join("ls10-a.chain.pem");
    let (_, code, answer) = verify("spdm-report", &bad, &["--chain", text(&ls10)]);
    assert_eq!(
        (code.as_str(), &answer["authenticated"]),
        ("spdm.signature", &Value::Bool(false))
    );
    let report = folder.join("gh100-a.report.hex");
    let (_, code, _) = verify("spdm-report", &report, &["--chain", text(&ls10)]);
    assert_eq!(code, "spdm.signature");
    let missing = folder.join("chain-missing-intermediate.pem");
    let (_, code, _) = verify("spdm-report", &report, &["--chain", text(&missing)]);
    assert_eq!(code, "chain.name");
    let (_, code, _) = verify("spdm-chain", &missing, &[]);
    assert_eq!(code, "chain.name");
}

#[test]
fn hopper_evidence() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    let file = folder.join("hopper_evidence.json");
    let (verdict, _, answer) = verify("spdm-report", &file, &[]);
    assert_eq!(verdict, "accept", "{answer}");
    assert_eq!(answer["claims"]["arch"], "HOPPER");
    assert_eq!(inspect(&file)["kind"], "spdm-report");
    // The nonce beside the report must be the one inside of it.
    let mut json: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let other = tempfile::NamedTempFile::new().unwrap();
    json[0]["nonce"] = "11".repeat(32).into();
    std::fs::write(other.path(), json.to_string()).unwrap();
    assert_eq!(verify("spdm-report", other.path(), &[]).1, "spdm.nonce");
    // Of two, both must hold.
    let good: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let two = serde_json::json!([good[0], good[0]]);
    std::fs::write(other.path(), two.to_string()).unwrap();
    let (verdict, _, answer) = verify("spdm-report", other.path(), &[]);
    assert_eq!(verdict, "accept");
    assert_eq!(answer["claims"]["reports"].as_array().unwrap().len(), 2);
    let nonce = good[0]["nonce"].clone();
    let mut bare = good[0].clone();
    bare.as_object_mut().unwrap().remove("nonce");
    for (nonce, verdict) in [(nonce, "accept"), ("22".repeat(32).into(), "reject")] {
        let list = serde_json::json!({ "nonce": nonce, "arch": "HOPPER", "evidence_list": [bare] });
        std::fs::write(other.path(), list.to_string()).unwrap();
        assert_eq!(verify("spdm-report", other.path(), &[]).0, verdict);
    }
    let two = serde_json::json!([good[0], json[0]]);
    std::fs::write(other.path(), two.to_string()).unwrap();
    assert_eq!(verify("spdm-report", other.path(), &[]).0, "reject");
}

#[test]
fn redfish_signed_measurements() {
    let Some(redfish) = folder("nvidia-redfish") else {
        return;
    };
    let truncated = redfish.join("signed-measurements-truncated.json");
    let (verdict, code, _) = verify("spdm-report", &truncated, &[]);
    assert_eq!(verdict, "reject", "{code}");
    // A whole one of the same shape: its HashingAlgorithm is that of the measurements, and chooses nothing.
    let folder = folder("nvidia-spdm").unwrap();
    let hex = std::fs::read_to_string(folder.join("gh100-a.report.hex")).unwrap();
    let bytes = base16ct::lower::decode_vec(hex.trim()).unwrap();
    let body = serde_json::json!({
        "HashingAlgorithm": "TPM_ALG_SHA_512",
        "SignedMeasurements": <base64ct::Base64 as base64ct::Encoding>::encode_string(&bytes),
        "SigningAlgorithm": "TPM_ALG_ECDSA_ECC_NIST_P384",
        "Version": "1.1.0",
    });
    let chain = serde_json::json!({
        "CertificateString": std::fs::read_to_string(folder.join("gh100-a.chain.pem")).unwrap(),
        "CertificateType": "PEMchain",
    });
    let (file, chain_file) = (
        tempfile::NamedTempFile::new().unwrap(),
        tempfile::NamedTempFile::new().unwrap(),
    );
    std::fs::write(file.path(), body.to_string()).unwrap();
    std::fs::write(chain_file.path(), chain.to_string()).unwrap();
    let (verdict, code, _) = verify(
        "spdm-report",
        file.path(),
        &["--chain", text(chain_file.path())],
    );
    assert_eq!(verdict, "accept", "{code}");
}

#[test]
fn dmtf_chains() {
    let Some(folder) = folder("libspdm") else {
        return;
    };
    let at = ["--at", "2026-11-22T00:00:00Z"];
    let from_file = [&at[..], &["--root-from-chain"]].concat();
    for (name, model) in [
        ("ecp384-responder-bundle", "device"),
        ("ecp384-alias-bundle", "alias"),
    ] {
        let file = folder.join(format!("{name}.der"));
        let (verdict, code, answer) = verify("spdm-chain", &file, &from_file);
        assert_eq!(verdict, "accept", "{name}: {code}");
        assert_eq!(answer["claims"]["model"], model);
        assert_eq!(answer["claims"]["anchor"], "file");
        assert_eq!(inspect(&file)["kind"], "spdm-chain");
        let (_, code, _) = verify("spdm-chain", &file, &at);
        assert_eq!(code, "verify.no_anchor");
        // The same root, named by its certificate.
        let bytes = std::fs::read(&file).unwrap();
        let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) + 4;
        let root = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(root.path(), &bytes[..length]).unwrap();
        let named = [&at[..], &["--root", text(root.path())]].concat();
        assert_eq!(verify("spdm-chain", &file, &named).0, "accept");
    }
    let expired = folder.join("expired-responder-bundle.der");
    let (_, code, _) = verify("spdm-chain", &expired, &from_file);
    assert_eq!(code, "chain.expired");
    let then = ["--at", "2026-06-24T00:00:00Z", "--root-from-chain"];
    assert_eq!(verify("spdm-chain", &expired, &then).0, "accept");
}

/// The recorded decision: a leaf without BasicConstraints is one, in every version; alone it is authenticated by nobody.
#[test]
fn ecp256_leaf_no_basicconstraints() {
    let Some(folder) = folder("libspdm") else {
        return;
    };
    let file = folder.join("ecp256-leaf-no-basicconstraints.der");
    let at = ["--at", "2026-11-22T00:00:00Z"];
    assert_eq!(verify("spdm-chain", &file, &at).1, "verify.no_anchor");
    let (verdict, _, answer) = verify(
        "spdm-chain",
        &file,
        &[&at[..], &["--root-from-chain"]].concat(),
    );
    assert_eq!(verdict, "accept");
    assert_eq!(answer["authenticated"], false);
    assert_eq!(answer["claims"]["leaf_basic_constraints"], "absent");
    let named = [&at[..], &["--root", text(&file)]].concat();
    let (verdict, _, answer) = verify("spdm-chain", &file, &named);
    assert_eq!(
        (verdict.as_str(), &answer["authenticated"]),
        ("accept", &Value::Bool(true))
    );
}

#[test]
fn device_measurement() {
    let Some(folder) = folder("spdm-emu") else {
        return;
    };
    let file = folder.join("device_measurement.bin");
    let (verdict, _, answer) = verify("spdm-measurements", &file, &[]);
    assert_eq!(verdict, "accept");
    assert_eq!(answer["authenticated"], false);
    let claims = &answer["claims"];
    assert_eq!(claims["measurement_count"], 7);
    assert_eq!(claims["svn"], 7);
    assert_eq!(claims["device_mode"]["operational"], "normal");
    assert_eq!(claims["device_mode"]["closed"], false);
    assert_eq!(inspect(&file)["kind"], "spdm-measurements");
    let cut = tempfile::NamedTempFile::new().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(cut.path(), &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(
        verify("spdm-measurements", cut.path(), &[]).1,
        "evidence.truncated"
    );
    std::fs::write(cut.path(), [&bytes[..], &[0]].concat()).unwrap();
    assert_eq!(verify("spdm-measurements", cut.path(), &[]).0, "reject");
}

/// Whatever stands between file and bytes: the same report, binary, base64, spread over lines.
#[test]
fn encodings_do_not_matter_and_a_byte_does() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    let hex = std::fs::read_to_string(folder.join("ls10-a.report.hex")).unwrap();
    let bytes = base16ct::lower::decode_vec(hex.trim()).unwrap();
    let chain = folder.join("ls10-a.chain.pem");
    let with = ["--chain", text(&chain)];
    let base64 = <base64ct::Base64 as base64ct::Encoding>::encode_string(&bytes);
    let lines: Vec<String> = hex
        .trim()
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    for content in [
        bytes.clone(),
        base64.into_bytes(),
        lines.join("\n").into_bytes(),
    ] {
        std::fs::write(file.path(), content).unwrap();
        assert_eq!(verify("spdm-report", file.path(), &with).0, "accept");
    }
    for wrong in [
        [&bytes[..], &[0]].concat(),
        bytes[..bytes.len() - 1].to_vec(),
    ] {
        std::fs::write(file.path(), wrong).unwrap();
        assert_eq!(
            verify("spdm-report", file.path(), &with).1,
            "spdm.signature_length"
        );
    }
}
