//! Known answers, and a real TPM (swtpm) as the judge: only `TPM2_ActivateCredential` can say that a credential is right.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{
    AesBits, Credential, CredentialError, EndorsementKey, NameAlg, Random, kdf_a, kdf_e,
    make_credential, tpm2b,
};
use assay_attest::codec::tpm::{Attributes, Public};
use assay_attest::key::PublicKey;

const SECRET: [u8; 32] = *b"thirty-two bytes nobody can know";

fn hex(text: &str) -> Vec<u8> {
    base16ct::lower::decode_vec(text).unwrap()
}

fn os_random(bytes: &mut [u8]) -> Result<(), CredentialError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| CredentialError::NoRandomness)
}

// Values of go-tpm's tpm2/test/testvectors (Apache-2.0), checked there against the reference implementation.

#[test]
fn kdf_a_gives_the_known_answer_over_several_blocks() {
    let key = hex("e38573d849a5cfc9973f58b4535e42b7c08ef28b1b3e775375b5c66b9644be");
    let want = "968f349b066ed26be3bd4e78333eb5c5b51c26ea376efe5dfaf061a2cf7f5eb82e4fcc2a30736e30f12b48ab17efd10576a4cf33450324b3f2\
                0011628df7a07c411f8c0f6c";
    assert_eq!(
        *kdf_a(
            NameAlg::Sha256,
            &key,
            b"STORAGE",
            &hex("00586dccbebc998087e4"),
            &[],
            69
        ),
        hex(want)
    );
}

#[test]
fn kdf_e_gives_the_known_answer_over_several_blocks() {
    let (z, u, v) = (
        hex("6cbfdee9e66367b676"),
        hex("c303fe79ff"),
        hex("79e34519a8a32f13d400"),
    );
    let want = "e59560660988b3d66e3a76bcc96110cc199bfa0418dca315f7070619e04fa0b6cdb2912db3786aaa34f2cad7dcee560eed2b4c3f7566e533e4\
                a3bba9c9364397dd2ce45a0b85dde5c83fea27b4fb20bb0125346d24e5d9321f81b2";
    assert_eq!(
        *kdf_e(NameAlg::Sha256, &z, b"STORAGE", &u, &v, 91),
        hex(want)
    );
}

#[test]
fn an_ecc_seed_is_sent_as_the_known_ephemeral_point() {
    for (hash, scalar, x, y, seed, sent) in [
        (
            NameAlg::Sha256,
            "85e55f8e90f1ca33eb4fc4b2e347e6062127d4975bc48c520afdbcdd49b1c6d7",
            "f126562cedff2fa344c6234085de4250112ecf72d0714336970de012ba977da9",
            "17436ee1160921fdd2ed033e11ba04ed0cedf2ca462246118a359f8eb469b531",
            "88d8f97b4b8fd8bd1751ca32b5a3aa14c91163ad984b5c732e400572a8525edc",
            "00200173de00ffb1981886c1fd3039b2de4e6dd1eb34634be4d9ce27a46455633606002083ba87eb7c9a032cc36ab674fc48266c4255aeb312d0\
             69893b6ea74fbcb21c3f",
        ),
        (
            NameAlg::Sha384,
            "7ba4cdd8a7d50d482a2c22274e4db5b7ddf8008889008a5e9996053ebcabf9d1",
            "72d51078654c85db5fd8fe42e9eca7dff3f5ca464fbf1117370e47da8670da8d",
            "d4d7f00a210e4c58537829023e2bc5be7c910a663e461d3d69c96b8061f813f2",
            "9193a5751446fb0bb3b16104094cb1c2f1c7104af795f44c0d43c481c61936c3fb62f1a776848ec22e7b0218c48ef70e",
            "00202a2747ae88e664fd1266aacf8d1b438c1226ffdba416708367efc171af2937c60020cd8467bda798ee3a2d731c075096ae431ee88a099746\
             450dbc0180254711ac88",
        ),
    ] {
        let point = [vec![4], hex(x), hex(y)].concat();
        let mut fixed = |out: &mut [u8]| {
            out.copy_from_slice(&hex(scalar));
            Ok(())
        };
        let (got_seed, got_sent) =
            super::ecc_seed(hash, &aws_lc_rs::agreement::ECDH_P256, &point, &mut fixed).unwrap();
        assert_eq!((got_seed.to_vec(), got_sent), (hex(seed), hex(sent)));
    }
}

#[test]
fn keys_and_names_that_are_none_are_refused() {
    let name = [&[0x00, 0x0b][..], &[7; 32]].concat();
    let make = |key: &PublicKey, name: &[u8], random: &mut Random<'_>| {
        make_credential(
            EndorsementKey {
                key,
                name_alg: NameAlg::Sha256,
                symmetric: AesBits::Aes128,
            },
            name,
            &SECRET,
            random,
        )
    };
    let rsa = |bytes: usize, last: u8| {
        let mut modulus = vec![0xc3; bytes];
        *modulus.last_mut().unwrap() = last;
        PublicKey::Rsa {
            modulus,
            exponent: vec![1, 0, 1],
        }
    };
    let off_curve = PublicKey::P256(Box::new({
        let mut point = [9; 65];
        point[0] = 4;
        point
    }));
    assert_eq!(
        make(&PublicKey::Ed25519([1; 32]), &name, &mut os_random),
        Err(CredentialError::Unsupported)
    );
    assert_eq!(
        make(&rsa(128, 1), &name, &mut os_random),
        Err(CredentialError::Unsupported)
    );
    assert_eq!(
        make(&rsa(513, 1), &name, &mut os_random),
        Err(CredentialError::Unsupported)
    );
    assert_eq!(
        make(&rsa(256, 2), &name, &mut os_random),
        Err(CredentialError::NotAKey)
    );
    assert_eq!(
        make(&off_curve, &name, &mut os_random),
        Err(CredentialError::NotAKey)
    );

    let good = rsa(256, 1);
    for bad in [
        &name[..33],
        &[0x00, 0x0c],
        &[],
        &[&[0x00, 0x04][..], &[7; 32]].concat(),
        &[&name[..], &[0]].concat(),
    ] {
        assert_eq!(
            make(&good, bad, &mut os_random),
            Err(CredentialError::NotAName),
            "{bad:?}"
        );
    }
    let mut dry = |_: &mut [u8]| Err(CredentialError::NoRandomness);
    assert_eq!(
        make(&good, &name, &mut dry),
        Err(CredentialError::NoRandomness)
    );
    let mut zeros = |bytes: &mut [u8]| {
        bytes.fill(0);
        Ok(())
    };
    let p256 = PublicKey::P256(Box::new([4; 65]));
    assert_eq!(
        make(&p256, &name, &mut zeros),
        Err(CredentialError::NoRandomness)
    );
}

/// A swtpm of its own, killed when dropped.
struct Tpm {
    folder: tempfile::TempDir,
    process: Child,
}

impl Tpm {
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args(["--tpmstate", &format!("dir={}", path(""))])
            .args(["--server", &format!("type=unixio,path={}", path("s"))])
            .args(["--ctrl", &format!("type=unixio,path={}", path("s.ctrl"))])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let tools = Command::new("tpm2_createek").arg("--version").output();
        let (Ok(process), Ok(_)) = (process, tools) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "swtpm and tpm2-tools are needed in CI"
            );
            println!("skipped: swtpm or tpm2-tools is not installed");
            return None;
        };
        let tpm = Self { folder, process };
        let up = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            tpm.file("s.ctrl").exists()
        });
        assert!(up, "swtpm did not open its socket within five seconds");
        Some(tpm)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a tool in the TPM's folder, then empties the TPM of what it loaded (no resource manager stands before it).
    fn run(&self, line: &str) -> bool {
        let tool = |line: &str| {
            let mut words = line.split(' ');
            Command::new(words.next().unwrap())
                .args(words)
                .current_dir(self.folder.path())
                .env(
                    "TPM2TOOLS_TCTI",
                    format!("swtpm:path={}", self.file("s").display()),
                )
                .env("TSS2_LOG", "all+NONE")
                .output()
                .unwrap()
                .status
                .success()
        };
        let worked = tool(line);
        assert!(tool("tpm2_flushcontext -t"));
        worked
    }

    /// The secret that the TPM gives back for `credential` and the AK in `ak`, if it does.
    fn activate(&self, policy: bool, ak: &str, credential: &Credential) -> Option<Vec<u8>> {
        // tpm2-tools' file: magic, version, then the two TPM2B.
        let header = [0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1];
        std::fs::write(
            self.file("cred"),
            [
                &header,
                &credential.id_object[..],
                &credential.encrypted_secret,
            ]
            .concat(),
        )
        .unwrap();
        let _ = std::fs::remove_file(self.file("out"));
        let mut line = format!("tpm2_activatecredential -c {ak} -C ek.ctx -i cred -o out");
        if policy {
            assert!(self.run("tpm2_startauthsession --policy-session -S session.ctx"));
            assert!(self.run("tpm2_policysecret -S session.ctx -c e"));
            line.push_str(" -P session:session.ctx");
        }
        let worked = self.run(&line);
        if policy {
            assert!(self.run("tpm2_flushcontext session.ctx"));
        }
        worked.then(|| std::fs::read(self.file("out")).unwrap())
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The TPM2B_PUBLIC that tpm2-tools wrote.
fn public_of(path: &Path) -> Public {
    Public::parse_sized(&std::fs::read(path).unwrap()).unwrap()
}

fn activates(algorithm: &str, name_alg: NameAlg, symmetric: AesBits, policy: bool) {
    let Some(tpm) = Tpm::start() else { return };
    assert!(tpm.run(&format!("tpm2_createek -G {algorithm} -c ek.ctx -u ek.pub")));
    assert!(
        tpm.run("tpm2_createak -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub -n ak.name")
    );
    assert!(tpm.run(
        "tpm2_createak -C ek.ctx -c other.ctx -G ecc -g sha256 -s ecdsa -u other.pub -n other.name"
    ));
    let public = public_of(&tpm.file("ek.pub"));
    let name = std::fs::read(tpm.file("ak.name")).unwrap();
    let ek = EndorsementKey::of(&public).unwrap();
    assert_eq!((ek.name_alg, ek.symmetric), (name_alg, symmetric));
    let ak = public_of(&tpm.file("ak.pub"));
    assert_eq!(
        EndorsementKey::of(&ak).unwrap_err(),
        CredentialError::NotAnEk
    );
    let credential = make_credential(ek, &name, &SECRET, &mut os_random).unwrap();
    assert_ne!(
        credential,
        make_credential(ek, &name, &SECRET, &mut os_random).unwrap()
    );

    assert_eq!(
        tpm.activate(policy, "ak.ctx", &credential).as_deref(),
        Some(&SECRET[..])
    );
    assert_eq!(
        tpm.activate(policy, "other.ctx", &credential),
        None,
        "another AK of the same TPM"
    );

    let mut changed = credential.clone();
    *changed.id_object.last_mut().unwrap() ^= 1;
    assert_eq!(
        tpm.activate(policy, "ak.ctx", &changed),
        None,
        "a changed credential"
    );
    let mut changed = credential;
    *changed.encrypted_secret.last_mut().unwrap() ^= 1;
    assert_eq!(
        tpm.activate(policy, "ak.ctx", &changed),
        None,
        "a changed seed"
    );
}

#[test]
fn a_tpm_activates_what_was_made_for_its_rsa_2048_ek() {
    activates("rsa", NameAlg::Sha256, AesBits::Aes128, true);
}

#[test]
fn a_tpm_activates_what_was_made_for_its_p256_ek() {
    activates("ecc", NameAlg::Sha256, AesBits::Aes128, true);
}

#[test]
fn a_tpm_activates_what_was_made_for_its_p384_ek() {
    activates("ecc384", NameAlg::Sha384, AesBits::Aes256, false);
}

#[test]
fn another_tpm_does_not_activate_a_credential() {
    let (Some(ours), Some(other)) = (Tpm::start(), Tpm::start()) else {
        return;
    };
    for tpm in [&ours, &other] {
        assert!(tpm.run("tpm2_createek -G ecc -c ek.ctx -u ek.pub"));
        assert!(tpm.run(
            "tpm2_createak -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub -n ak.name"
        ));
    }
    let public = public_of(&ours.file("ek.pub"));
    let ek = EndorsementKey::of(&public).unwrap();
    let name = std::fs::read(other.file("ak.name")).unwrap();
    let credential = make_credential(ek, &name, &SECRET, &mut os_random).unwrap();
    assert_eq!(other.activate(true, "ak.ctx", &credential), None);
}

/// The EK of one of go-tpm's vectors, ECC P-256, SHA-256, AES-128: restricted and decrypt, attributes as given.
fn area(name_alg: u16, attributes: u32, symmetric: &[u8]) -> Vec<u8> {
    let x = "f126562cedff2fa344c6234085de4250112ecf72d0714336970de012ba977da9";
    let y = "17436ee1160921fdd2ed033e11ba04ed0cedf2ca462246118a359f8eb469b531";
    let head = [
        &[0x00, 0x23][..],
        &name_alg.to_be_bytes(),
        &attributes.to_be_bytes(),
        &[0, 0],
        symmetric,
    ];
    let tail = [
        &[0x00, 0x10, 0x00, 0x03, 0x00, 0x10, 0, 32][..],
        &hex(x),
        &[0, 32],
        &hex(y),
    ];
    [head.concat(), tail.concat()].concat()
}

#[test]
fn only_what_can_be_an_ek_is_taken_for_one() {
    let good = Attributes::FIXED_TPM
        | Attributes::FIXED_PARENT
        | Attributes::SENSITIVE_DATA_ORIGIN
        | Attributes::RESTRICTED
        | Attributes::DECRYPT;
    let aes_128: &[u8] = &[0, 6, 0, 0x80, 0, 0x43];
    let of = |name_alg, attributes, symmetric: &[u8]| {
        let public = Public::parse(&area(name_alg, attributes, symmetric)).unwrap();
        EndorsementKey::of(&public).map(|ek| (ek.name_alg, ek.symmetric))
    };
    assert_eq!(
        of(0x000b, good, aes_128),
        Ok((NameAlg::Sha256, AesBits::Aes128))
    );
    assert_eq!(
        of(0x000c, good, &[0, 6, 1, 0, 0, 0x43]),
        Ok((NameAlg::Sha384, AesBits::Aes256))
    );
    for bit in [1, 4, 5, 16, 17] {
        assert_eq!(
            of(0x000b, good & !(1 << bit), aes_128),
            Err(CredentialError::NotAnEk),
            "bit {bit}"
        );
    }
    assert_eq!(
        of(0x000b, good | Attributes::SIGN, aes_128),
        Err(CredentialError::NotAnEk)
    );
    for (name_alg, symmetric) in [
        (0x000d, aes_128),
        (0x000b, &[0, 6, 0, 0xc0, 0, 0x43]),
        (0x000b, &[0, 6, 0, 0x80, 0, 0x42]),
        (0x000b, &[0, 0x13, 0, 0x80, 0, 0x43]),
        (0x000b, &[0, 0x10]),
    ] {
        assert_eq!(
            of(name_alg, good, symmetric),
            Err(CredentialError::Unsupported),
            "{symmetric:?}"
        );
    }
}

#[test]
fn a_tpm2b_begins_with_its_length() {
    assert_eq!(tpm2b(&[1, 2, 3]), [0, 3, 1, 2, 3]);
}
