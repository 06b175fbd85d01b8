//! The examples of RFC 9449, and the negative list of the OpenID Foundation's FAPI 2 suite as far as it concerns one proof.

use super::*;
use crate::checks::SoftwareChecks;
use crate::htu::Htu;
use crate::jose::{Compact, Json, build, encode};
use crate::signer::{Ed25519Signer, P256Signer, RequestSigner};
use assay_attest::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_secs(1_562_262_616);
const TOKEN_URL: &str = "https://server.example.com/token";

const FIGURE_1: &str = concat!(
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMi",
    "LCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19",
    ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ",
    ".2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
);

fn full_check(proof: &str, method: &str, url: &str, now: Timestamp) -> Result<Proof, DpopFault> {
    let parsed = UncheckedProof::parse(proof.as_bytes())?;
    let key = parsed.jwk().cloned().ok_or(DpopFault::NoKey)?;
    let targets = [Htu::parse(url).unwrap()];
    let expected = Expected {
        method,
        targets: &targets,
        now,
        window: Window::default(),
    };
    parsed
        .check_signature(&key, &SoftwareChecks)?
        .check_request(&expected)
}

#[test]
fn figure_1_of_rfc_9449_is_accepted() {
    let proof = full_check(FIGURE_1, "POST", TOKEN_URL, NOW).unwrap();
    assert_eq!(
        proof.thumbprint().to_string(),
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    );
    assert_eq!(proof.jti(), "-BwC3ESc6acc2lTc");
    assert_eq!(proof.replay_until(), NOW.plus_millis(75_000));
}

#[test]
fn the_resource_proof_of_rfc_9449_is_bound_to_its_token() {
    let header = FIGURE_1.split('.').next().unwrap();
    let claims = r#"{"jti":"e1j3V_bKic8-LAEB","htm":"GET","htu":"https://resource.example.org/protectedresource","iat":1562262618,"ath":"fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}"#;
    let sig =
        "2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let proof = format!("{header}.{}.{sig}", encode(claims.as_bytes()));
    let proof = full_check(
        &proof,
        "GET",
        "https://resource.example.org/protectedresource",
        NOW,
    )
    .unwrap();
    assert_eq!(
        proof.check_token("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
        Ok(())
    );
    assert_eq!(proof.check_token("another"), Err(DpopFault::Token));
    let unbound = full_check(FIGURE_1, "POST", TOKEN_URL, NOW).unwrap();
    assert_eq!(
        unbound.check_token("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
        Err(DpopFault::Token)
    );
}

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed(&[7; 32], None)
}

/// A proof with header and claims changed, properly signed.
fn forged(change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let signer = signer();
    let mut header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": signer.jwk()});
    let mut claims = json!({"jti": "j-1", "htm": "POST", "htu": TOKEN_URL, "iat": NOW.as_secs()});
    change(&mut header, &mut claims);
    build(
        header.to_string().as_bytes(),
        claims.to_string().as_bytes(),
        |m| signer.sign(m),
    )
    .unwrap()
}

fn outcome(change: impl FnOnce(&mut Value, &mut Value)) -> Result<(), DpopFault> {
    full_check(&forged(change), "POST", TOKEN_URL, NOW).map(|_| ())
}

#[test]
fn fapi_what_must_be_accepted() {
    let now = NOW.as_secs();
    assert_eq!(outcome(|_, _| ()), Ok(()));
    assert_eq!(
        outcome(|_, c| c["htu"] = json!("https://server.example.com/token?a=b#c")),
        Ok(()),
        "query and fragment"
    );
    assert_eq!(
        outcome(|_, c| c["htu"] = json!("HTTPS://SERVER.example.com/token")),
        Ok(()),
        "upper case"
    );
    assert_eq!(
        outcome(|_, c| c["htu"] = json!("https://server.example.com:443/token")),
        Ok(()),
        "default port"
    );
    assert_eq!(
        outcome(|h, c| (h["extra"], c["extra"]) = (json!(1), json!([{}]))),
        Ok(()),
        "what is not known"
    );
    for iat in [now - 60, now - 10, now + 8, now + 10, now + 15] {
        assert_eq!(outcome(|_, c| c["iat"] = json!(iat)), Ok(()), "{iat}");
    }
    assert_eq!(
        outcome(|_, c| c["iat"] = json!(1_562_262_600.75)),
        Ok(()),
        "a fraction is a number"
    );
    assert_eq!(
        outcome(|_, c| (c["exp"], c["nbf"]) = (json!(now + 60), json!(now - 10))),
        Ok(())
    );
    assert_eq!(
        outcome(|h, _| h["alg"] = json!("Ed25519")),
        Ok(()),
        "RFC 9864"
    );
    assert_eq!(outcome(|h, _| h["kid"] = json!("k-1")), Ok(()));
}

#[test]
fn fapi_what_must_be_refused() {
    use DpopFault::{Claim, Expired, Malformed, Method, NoKey, Signature, Target, Time, Type};
    let now = NOW.as_secs();
    assert_eq!(
        outcome(|h, _| drop(h.as_object_mut().unwrap().remove("typ"))),
        Err(Type)
    );
    for typ in [
        json!("dpop+jwt+wrongyousee"),
        json!("application/dpop+jwt"),
        json!("at+jwt"),
        json!("JWT"),
        json!(1),
    ] {
        assert_eq!(outcome(|h, _| h["typ"] = typ), Err(Type));
    }
    for alg in [
        json!("none"),
        json!("HS256"),
        json!("RS256"),
        json!("ES256"),
        json!("PS256"),
        json!(null),
        json!(["EdDSA"]),
    ] {
        assert_eq!(
            outcome(|h, _| h["alg"] = alg),
            Err(Malformed(JoseFault::Algorithm))
        );
    }
    assert_eq!(
        outcome(|h, _| drop(h.as_object_mut().unwrap().remove("alg"))),
        Err(Malformed(JoseFault::Algorithm))
    );
    assert_eq!(
        outcome(|h, _| drop(h.as_object_mut().unwrap().remove("jwk"))),
        Err(NoKey)
    );
    assert_eq!(
        outcome(|h, _| h["jwk"]["d"] = json!("AA")),
        Err(Malformed(JoseFault::PrivateKey))
    );
    assert_eq!(outcome(|h, _| h["jwk"] = json!("x")), Err(NoKey));
    for kid in [
        json!(""),
        json!("a b"),
        json!("../x"),
        json!("x".repeat(65)),
        json!(1),
    ] {
        assert_eq!(outcome(|h, _| h["kid"] = kid), Err(NoKey));
    }
    for claim in ["jti", "htm", "htu", "iat"] {
        assert_eq!(
            outcome(|_, c| drop(c.as_object_mut().unwrap().remove(claim))),
            Err(Claim(claim))
        );
        assert_eq!(outcome(|_, c| c[claim] = json!(true)), Err(Claim(claim)));
        assert_eq!(outcome(|_, c| c[claim] = json!("")), Err(Claim(claim)));
    }
    assert_eq!(
        outcome(|_, c| c["iat"] = json!(now.to_string())),
        Err(Claim("iat")),
        "a number, not its text"
    );
    for iat in [json!(-1), json!(0), json!(1e300), json!(u64::MAX)] {
        assert_eq!(outcome(|_, c| c["iat"] = iat), Err(Claim("iat")));
    }
    assert_eq!(
        outcome(|_, c| c["jti"] = json!("x".repeat(257))),
        Err(Claim("jti"))
    );
    for htm in ["PUT", "post", "POST "] {
        assert_eq!(outcome(|_, c| c["htm"] = json!(htm)), Err(Method));
    }
    for htu in [
        "https://other.example.com/token",
        "http://server.example.com/token",
        "https://server.example.com/token/",
        "https://server.example.com:444/token",
    ] {
        assert_eq!(outcome(|_, c| c["htu"] = json!(htu)), Err(Target));
    }
    assert_eq!(
        outcome(|_, c| c["htu"] = json!("/token")),
        Err(Claim("htu"))
    );
    assert_eq!(
        outcome(|_, c| c["htu"] = json!("https://u@server.example.com/token")),
        Err(Claim("htu"))
    );
    for iat in [now - 3600, now - 61, now + 16, now + 3600] {
        assert_eq!(outcome(|_, c| c["iat"] = json!(iat)), Err(Time), "{iat}");
    }
    assert_eq!(outcome(|_, c| c["exp"] = json!(now)), Err(Expired));
    assert_eq!(outcome(|_, c| c["nbf"] = json!(now + 16)), Err(Expired));
    assert_eq!(
        outcome(|_, c| c["exp"] = json!("soon")),
        Err(Claim("exp")),
        "a wrong type is not an absent claim"
    );
    for (claim, bad) in [
        ("ath", json!("AA")),
        ("ath", json!(1)),
        ("assay_dig", json!("x")),
        ("nonce", json!("a\"b")),
        ("nonce", json!(null)),
    ] {
        assert_eq!(outcome(|_, c| c[claim] = bad), Err(Claim(claim)));
    }
    let mut other = forged(|_, _| ());
    other.replace_range(
        other.len() - 9..other.len() - 8,
        if other.as_bytes()[other.len() - 9] == b'A' {
            "B"
        } else {
            "A"
        },
    );
    assert_eq!(full_check(&other, "POST", TOKEN_URL, NOW), Err(Signature));
}

#[test]
fn one_header_exactly() {
    let one = forged(|_, _| ());
    let of = |values: &[&str]| {
        UncheckedProof::from_headers(values.iter().map(|v| v.as_bytes())).map(|_| ())
    };
    assert_eq!(of(&[&one]), Ok(()));
    assert_eq!(of(&[]), Err(DpopFault::Missing));
    assert_eq!(of(&[&one, &one]), Err(DpopFault::Several));
    assert!(
        of(&[&format!("{one}, {one}")]).is_err(),
        "two joined by a comma"
    );
    assert!(of(&[""]).is_err());
}

#[test]
fn a_proof_by_another_key_does_not_pass_for_a_registered_one() {
    let proof = forged(|h, _| h["kid"] = json!("k-1"));
    let registered = P256Signer::from_scalar(&[9; 32], None).unwrap();
    let parsed = UncheckedProof::parse(proof.as_bytes()).unwrap();
    assert_eq!(
        parsed
            .clone()
            .check_signature(registered.jwk(), &SoftwareChecks),
        Err(DpopFault::OtherKey)
    );
    let named = forged(|h, _| {
        h["kid"] = json!("k-1");
        h.as_object_mut().unwrap().remove("jwk");
    });
    let parsed = UncheckedProof::parse(named.as_bytes()).unwrap();
    assert_eq!(parsed.kid(), Some("k-1"));
    assert_eq!(
        parsed
            .clone()
            .check_signature(registered.jwk(), &SoftwareChecks),
        Err(DpopFault::Signature)
    );
    assert!(
        parsed
            .check_signature(signer().jwk(), &SoftwareChecks)
            .is_ok()
    );
}

#[test]
fn what_we_make_we_accept_with_either_kind_of_key() {
    let (ed, ec) = (
        signer(),
        P256Signer::from_scalar(&[9; 32], Some("k-2".into())).unwrap(),
    );
    let target = Htu::parse(TOKEN_URL).unwrap();
    let digest = request_digest("a=b", b"{}", Some("because"));
    let both: [&dyn RequestSigner; 2] = [&ed, &ec];
    for signer in both {
        let request = Request {
            method: "POST",
            target: &target,
            now: NOW,
            jti: [1; 16],
            digest: Some(digest),
            nonce: Some("n-1"),
            token: Some("t"),
        };
        let made = prove(signer, &request).unwrap();
        let parsed = UncheckedProof::parse(made.as_bytes()).unwrap();
        assert_eq!(
            (parsed.kid(), parsed.jwk().is_some()),
            (signer.kid(), signer.kid().is_none())
        );
        let targets = [target.clone()];
        let expected = Expected {
            method: "POST",
            targets: &targets,
            now: NOW,
            window: Window::default(),
        };
        let proof = parsed
            .check_signature(signer.jwk(), &SoftwareChecks)
            .unwrap()
            .check_request(&expected)
            .unwrap();
        assert_eq!(
            (proof.nonce(), proof.check_token("t")),
            (Some("n-1"), Ok(()))
        );
        assert_eq!(proof.check_digest("a=b", b"{}", Some("because")), Ok(()));
        for (query, body, bypass) in [
            ("a=c", &b"{}"[..], Some("because")),
            ("", b"a=b{}", Some("because")),
            ("a=b", b"{ }", Some("because")),
            ("a=b", b"{}", Some("")),
            ("a=b", b"{}", None),
            ("a=b", b"{}because", None),
        ] {
            assert_eq!(
                proof.check_digest(query, body, bypass),
                Err(DpopFault::Digest)
            );
        }
    }
    let without = full_check(FIGURE_1, "POST", TOKEN_URL, NOW).unwrap();
    assert_eq!(
        without.check_digest("", b"", None),
        Err(DpopFault::Digest),
        "absent is not a digest of nothing"
    );
}

#[test]
fn only_faults_of_the_request_alone_are_told() {
    for (fault, told) in [
        (DpopFault::Time, true),
        (DpopFault::Signature, false),
        (DpopFault::OtherKey, false),
    ] {
        assert_eq!(fault.is_public(), told);
    }
}

proptest! {
    #[test]
    fn one_bit_in_the_proof_ends_it(at in 0..FIGURE_1.len(), bit in 0..8) {
        let mut bytes = FIGURE_1.as_bytes().to_vec();
        bytes[at] ^= 1_u8 << bit;
        let parsed = UncheckedProof::parse(&bytes);
        let refused = match parsed {
            Err(_) => true,
            Ok(p) => {
                let key = p.jwk().cloned();
                key.is_none_or(|k| p.check_signature(&k, &SoftwareChecks).is_err())
            }
        };
        prop_assert!(refused);
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), header in "\\PC{0,80}", claims in "\\PC{0,80}") {
        let _ = UncheckedProof::parse(&bytes);
        let _ = UncheckedProof::parse(format!("{}.{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()), encode(&[0; 64])).as_bytes());
    }

    #[test]
    fn any_json_as_header_and_claims_never_panics(typ in "\\PC{0,10}", jti in any::<f64>(), iat in any::<i64>()) {
        let header = json!({"typ": typ, "alg": "EdDSA", "jwk": {"kty": jti}}).to_string();
        let claims = json!({"jti": jti, "iat": iat}).to_string();
        let jws = format!("{}.{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()), encode(&[0; 64]));
        prop_assert!(UncheckedProof::parse(jws.as_bytes()).is_err());
        prop_assert!(Compact::parse(jws.as_bytes()).is_ok());
        prop_assert!(Json::parse(claims.as_bytes()).is_ok());
    }
}
