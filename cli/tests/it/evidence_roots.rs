//! Chains, certificates and quotes of the vectors: every file gives what its manifest says, and bent ones do not.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Person;

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

/// Verdict, code (`-` where there is none), `signed` or `unsigned`, and the claims. Files of the vectors begin with `@`.
fn verify(all: &Path, line: &str) -> (String, Value) {
    let mut args = vec!["evidence".to_owned(), "verify".into(), "--kind".into()];
    args.extend(
        line.split_whitespace()
            .map(|word| match word.strip_prefix('@') {
                Some(file) => all.join(file).display().to_string(),
                None => word.to_owned(),
            }),
    );
    args.extend(["-o".into(), "json".into()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = Person::at(Path::new("/nonexistent"), "nobody").run(&args);
    let found: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{line}: {ran:?}"));
    let verdict = found["verdict"].as_str().unwrap();
    assert_eq!(ran.code, if verdict == "accept" { 0 } else { 3 }, "{line}");
    let signed = if found["authenticated"] == true {
        "signed"
    } else {
        "unsigned"
    };
    let code = found["code"].as_str().unwrap_or("-");
    (
        format!("{verdict} {code} {signed}"),
        found["claims"].clone(),
    )
}

/// One test for each file: its cases, each a command line and what must come of it.
macro_rules! files {
    ($( $name:ident: $( $line:literal => $expected:literal )+; )*) => {$(
        #[test]
        fn $name() {
            let Some(all) = vectors() else { return };
            $( assert_eq!(verify(&all, $line).0, $expected, $line); )+
        }
    )*};
}

files! {
    nvidia_bf3_irot_chain:
        "dice-chain @nvidia-bf3/bf3-irot-chain.pem" => "accept - signed"
        "dice-chain @nvidia-bf3/bf3-irot-chain.pem --root @nvidia-bf3/opn_root_cert.der" => "accept - signed"
        "dice-chain @nvidia-bf3/bf3-irot-chain.pem --at 2019-01-01T00:00:00Z" => "reject chain.not_yet_valid unsigned";
    nvidia_bf3_static: "dice-chain @nvidia-bf3/bf3-static.json" => "accept - signed";
    nvidia_bf3_opn_root: "dice-chain @nvidia-bf3/opn_root_cert.der" => "accept - signed";
    nvidia_spdm_chain_missing_intermediate:
        "dice-chain @nvidia-spdm/chain-missing-intermediate.pem" => "reject chain.name unsigned"
        "dice-chain @nvidia-spdm/chain-missing-intermediate.pem --root-from-chain" => "reject chain.name unsigned";
    nvidia_spdm_chains:
        "dice-chain @nvidia-spdm/gh100-a.chain.pem" => "accept - signed"
        "dice-chain @nvidia-spdm/ls10-a.chain.pem" => "accept - signed"
        "dice-chain @nvidia-spdm/gb100-a.chain.pem" => "accept - signed";
    caliptra_idevid_csr:
        "dice-chain @caliptra/idevid_csr_ecc.der" => "accept - unsigned"
        "dice-chain @caliptra/idevid_csr_ecc.der --key @caliptra/idevid_csr_ecc.der" => "accept - signed"
        "dice-chain @caliptra/idevid_csr_ecc.der --key @caliptra/ldevid_cert_ecc.der" => "reject request.other_key unsigned";
    caliptra_ldevid:
        "dice-chain @caliptra/ldevid_cert_ecc.der --key @caliptra/idevid_csr_ecc.der" => "accept - signed"
        "dice-chain @caliptra/ldevid_cert_ecc.der --key @caliptra/fmc_alias_cert_ecc.der" => "reject chain.signature unsigned"
        "dice-chain @caliptra/ldevid_cert_ecc.der" => "reject verify.no_anchor unsigned";
    caliptra_fmc_alias:
        "dice-chain @caliptra/fmc_alias_cert_ecc.der --root @caliptra/ldevid_cert_ecc.der" => "reject chain.no_anchor unsigned"
        "dice-chain @caliptra/fmc_alias_cert_ecc.der --chain @caliptra/ldevid_cert_ecc.der --key @caliptra/idevid_csr_ecc.der" => "reject chain.signature unsigned";
    oxide_alias:
        "dice-chain @oxide/alias.cert.der --root @oxide/ca.cert.der" => "reject chain.no_anchor unsigned"
        "dice-chain @oxide/alias.cert.der --key @oxide/ca.cert.der" => "reject chain.signature unsigned";
    oxide_ca:
        "dice-chain @oxide/ca.cert.der --root @oxide/ca.cert.der" => "accept - signed"
        "dice-chain @oxide/ca.cert.der --root-from-chain" => "accept - signed"
        "dice-chain @oxide/ca.cert.der" => "reject verify.no_anchor unsigned";
    riot_ext:
        "dice-chain @riot/riot-ext.der" => "accept - unsigned"
        "dice-chain @riot/riot-ext.der --root @oxide/ca.cert.der" => "reject dice.no_signature unsigned";
    open_dice_chain_0:
        "open-dice @open-dice/x509-ed25519-chain-0.der --root @open-dice/x509-ed25519-uds.der" => "accept - signed"
        "open-dice @open-dice/x509-ed25519-chain-0.der" => "reject verify.no_anchor unsigned";
    open_dice_chain_1:
        "open-dice @open-dice/x509-ed25519-chain-1.der --root @open-dice/x509-ed25519-chain-0.der" => "accept - signed"
        "open-dice @open-dice/x509-ed25519-chain-1.der --chain @open-dice/x509-ed25519-chain-0.der --root @open-dice/x509-ed25519-uds.der" => "accept - signed"
        "open-dice @open-dice/x509-ed25519-chain-1.der --root @open-dice/x509-ed25519-uds.der" => "reject chain.no_anchor unsigned";
    open_dice_chain_2:
        "open-dice @open-dice/x509-ed25519-chain-2.der --root @open-dice/x509-ed25519-chain-1.der" => "accept - signed"
        "open-dice @open-dice/x509-ed25519-chain-2.der --key @open-dice/x509-ed25519-chain-1.der" => "accept - signed"
        "open-dice @open-dice/x509-ed25519-chain-2.der --key @open-dice/x509-ed25519-chain-0.der" => "reject chain.signature unsigned";
    open_dice_uds: "open-dice @open-dice/x509-ed25519-uds.der --root-from-chain" => "accept - signed";
    ek_nuvo_2110:
        "ek-cert @ek-certs/NUVO_2110.pem --root @ek-certs/NUVO_2110.pem" => "accept - signed"
        "ek-cert @ek-certs/NUVO_2110.pem" => "reject verify.no_anchor unsigned";
    ek_stm_ecc_01i:
        "ek-cert @ek-certs/STM_ECC_01I.pem --root @ek-certs/STM_ECC_01RT.pem" => "accept - signed"
        "ek-cert @ek-certs/STM_ECC_01I.pem --root @ek-certs/NUVO_2110.pem" => "reject chain.no_anchor unsigned";
    ek_stm_ecc_01rt: "ek-cert @ek-certs/STM_ECC_01RT.pem --root @ek-certs/STM_ECC_01RT.pem" => "accept - signed";
    ek_gcp_intermediate: "ek-cert @ek-certs/gcp_ek_ak_ca_intermediate_v3.crt --root @ek-certs/gcp_ek_ak_ca_root.crt" => "accept - signed";
    ek_gcp_root: "ek-cert @ek-certs/gcp_ek_ak_ca_root.crt --root @ek-certs/gcp_ek_ak_ca_root.crt" => "accept - signed";
    ek_pca_ecc_sign:
        "ek-cert @ek-certs/pca_tpm_ecc_sign_cert.pem --root @ek-certs/gcp_ek_ak_ca_intermediate_v3.crt" => "accept - signed"
        "ek-cert @ek-certs/pca_tpm_ecc_sign_cert.pem --root @ek-certs/gcp_ek_ak_ca_root.crt" => "reject chain.no_anchor unsigned";
    ek_pca_rsa_enc:
        "ek-cert @ek-certs/pca_tpm_rsa_enc_cert.pem --chain @ek-certs/gcp_ek_ak_ca_intermediate_v3.crt --root @ek-certs/gcp_ek_ak_ca_root.crt" => "accept - signed";
    tpm_keylime:
        "tpm-quote @tpm-keylime/quote.out --signature @tpm-keylime/quotesig.out --pcrs @tpm-keylime/quotepcr.out --key @tpm-keylime/ak.pub --nonce db1db298db6d60e6385b7231743e9c3056a18003" => "accept - signed"
        "tpm-quote @tpm-keylime/quote.out --signature @tpm-keylime/quotesig.out --key @tpm-keylime/ak.pub" => "accept - signed"
        "tpm-quote @tpm-keylime/quote.out --signature @tpm-keylime/quotesig.out --key @tpm-keylime/ak.pub --nonce 00" => "reject evidence.nonce signed"
        "tpm-quote @tpm-keylime/quote.out --signature @tpm-keylime/quotesig.out --key @tpm-keylime/ek.pub" => "reject tpm.ak_attributes unsigned"
        "tpm-quote @tpm-keylime/quote.out --signature @tpm-keylime/quotesig.out" => "reject verify.no_anchor unsigned"
        "tpm-quote @tpm-keylime/quote.out --key @tpm-keylime/ak.pub" => "reject tpm.no_signature unsigned";
    tpm_rust_keylime: "tpm-quote @tpm-rust-keylime/test-quote.txt" => "reject tpm.algorithm unsigned";
    tpm_trustee:
        "tpm-quote @tpm-trustee/tpm_evidence.json --root-from-chain" => "accept - signed"
        "tpm-quote @tpm-trustee/tpm_evidence.json --root-from-chain --nonce 00" => "reject evidence.nonce signed"
        "tpm-quote @tpm-trustee/tpm_evidence.json --key @tpm-keylime/ak.pub" => "reject tpm.other_ak unsigned"
        "tpm-quote @tpm-trustee/tpm_evidence.json" => "reject verify.no_anchor unsigned";
    go_tpm_tools_gce_cos_85:
        "tpm-quote @go-tpm-tools/gce-cos-85-nonce9009.pb --root-from-chain --nonce 9009" => "accept - signed"
        "tpm-quote @go-tpm-tools/gce-cos-85-nonce9009.pb --root-from-chain --nonce 9008" => "reject evidence.nonce signed"
        "tpm-quote @go-tpm-tools/gce-cos-85-nonce9009.pb" => "reject verify.no_anchor unsigned";
}

#[test]
fn claims_are_those_of_the_oracles() {
    let Some(all) = vectors() else { return };
    let (_, bf3) = verify(&all, "dice-chain @nvidia-bf3/bf3-irot-chain.pem");
    assert_eq!(
        bf3["device_key"],
        "sha256:9c75556476a7c9197f613649b85ee582727ff9423538ec7bbee263a3ba671c9f"
    );
    assert_eq!(bf3["measurements"], false, "a chain measures nothing");
    assert_eq!(
        bf3["certificates"][5]["fwids"][0],
        "sha384:97c1b6f3fc7f2f025891e868b15e1844e6c3ac8f4f5beac42d1f67e09eb6865c33b463de9d080e2b1ea8abb6e35339cd"
    );
    let (_, gb100) = verify(&all, "dice-chain @nvidia-spdm/gb100-a.chain.pem");
    assert_eq!(gb100["lowered_by"][0], "notConfigured");
    assert_eq!(gb100["certificates"][4]["layout"], "nvidia-tcbinfo");
    let (_, nuvo) = verify(&all, "ek-cert @ek-certs/NUVO_2110.pem --root-from-chain");
    assert_eq!(nuvo["quirks"][0], "name.set_order");
    assert_eq!(nuvo["anchor"], "file");
    let (_, ek) = verify(
        &all,
        "ek-cert @ek-certs/pca_tpm_rsa_enc_cert.pem --root @ek-certs/gcp_ek_ak_ca_intermediate_v3.crt",
    );
    assert_eq!(ek["role"], "endorsement-key");
    let (_, quote) = verify(
        &all,
        "tpm-quote @tpm-keylime/quote.out --signature @tpm-keylime/quotesig.out --pcrs @tpm-keylime/quotepcr.out --key @tpm-keylime/ak.pub",
    );
    let name = std::fs::read(all.join("tpm-keylime/ak.name")).unwrap();
    assert_eq!(quote["ak_name"], base16ct::lower::encode_string(&name));
    assert_eq!(quote["pcrs"]["sha256"].as_object().unwrap().len(), 3);
}

/// Each certificate of BlueField's chain dropped, repeated, swapped with the next; the order turned; every file of a quote bent.
#[test]
fn bent_chains_and_quotes_are_refused() {
    let Some(all) = vectors() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.pem");
    let text = std::fs::read_to_string(all.join("nvidia-bf3/bf3-irot-chain.pem")).unwrap();
    let end = "-----END CERTIFICATE-----";
    let blocks: Vec<String> = text
        .split_inclusive(end)
        .filter(|block| block.contains("BEGIN"))
        .map(|block| format!("{}\n", block.trim()))
        .collect();
    assert_eq!(blocks.len(), 6);
    let line = format!(
        "dice-chain {} --root @nvidia-bf3/opn_root_cert.der",
        file.display()
    );
    let verdict = |blocks: &[String]| {
        std::fs::write(&file, blocks.concat()).unwrap();
        verify(&all, &line).0
    };
    assert_eq!(verdict(&blocks), "accept - signed");
    let mut turned = blocks.clone();
    turned.reverse();
    assert_eq!(verdict(&turned), "accept - signed");
    for at in 0..6 {
        let mut dropped = blocks.clone();
        dropped.remove(at);
        assert!(verdict(&dropped).starts_with("reject"), "dropped {at}");
        let mut repeated = blocks.clone();
        repeated.insert(at, blocks[at].clone());
        assert!(verdict(&repeated).starts_with("reject"), "repeated {at}");
        if at < 5 {
            let mut swapped = blocks.clone();
            swapped.swap(at, at + 1);
            assert!(verdict(&swapped).starts_with("reject"), "swapped {at}");
        }
    }
    for (name, option) in [
        ("quote.out", ""),
        ("quotesig.out", "--signature"),
        ("quotepcr.out", "--pcrs"),
        ("ak.pub", "--key"),
    ] {
        let good = std::fs::read(all.join("tpm-keylime").join(name)).unwrap();
        let bent = folder.path().join("bent");
        let mut line = format!("tpm-quote {}", bent.display());
        for (other, flag) in [
            ("quote.out", ""),
            ("quotesig.out", "--signature"),
            ("quotepcr.out", "--pcrs"),
            ("ak.pub", "--key"),
        ] {
            let path = if other == name {
                bent.display().to_string()
            } else {
                format!("@tpm-keylime/{other}")
            };
            if flag.is_empty() {
                line = format!("tpm-quote {path}");
            } else {
                line = format!("{line} {flag} {path}");
            }
        }
        let mut forms = vec![
            [&good[..], &[0]].concat(),
            good[..good.len() - 1].to_vec(),
            good[..good.len() / 2].to_vec(),
        ];
        // In what is read: PCR files end in room that is not, and a key's attributes are whoever names it to say.
        for at in [12, 30, 60, 100] {
            let mut one = good.clone();
            if name == "quotepcr.out" {
                one[142 + at % 32] ^= 1;
            } else {
                one[at] ^= 1;
            }
            forms.push(one);
        }
        for form in forms {
            std::fs::write(&bent, &form).unwrap();
            let verdict = verify(&all, &line).0;
            assert!(verdict.starts_with("reject"), "{name} {option}: {verdict}");
        }
    }
}
