use super::*;
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

fn pair() -> (SigningKey, LogKey) {
    let secret = SigningKey::from_bytes(&[7; 32]);
    let key = LogKey::new("nexus.example/log", secret.verifying_key().as_bytes()).unwrap();
    (secret, key)
}

fn signed(size: u64) -> Checkpoint {
    let (secret, key) = pair();
    let head = Head {
        origin: key.origin().into(),
        size,
        root: [9; 32],
    };
    sign_checkpoint::<NoteFault>(head, &key, |m| Ok(secret.sign(m).to_bytes())).unwrap()
}

/// The example key and note of golang.org/x/mod/sumdb/note, from which C2SP signed-note took its format.
#[test]
fn the_key_of_the_signed_note_documentation_reads() {
    let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let key = LogKey::parse(vkey).unwrap();
    assert_eq!(key.to_string(), vkey);
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let sig = Base64::decode_vec(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=",
    );
    let sig = sig.unwrap();
    assert_eq!(sig[..4], key.id);
    assert!(
        key.key
            .verify_strict(text.as_bytes(), &Signature::from_slice(&sig[4..]).unwrap())
            .is_ok()
    );
}

#[test]
fn keys_that_are_not_plain_are_refused() {
    let good = pair().1.to_string();
    assert_eq!(LogKey::parse(&good).unwrap(), pair().1);
    let (name, rest) = good.split_once('+').unwrap();
    let (id, key) = rest.split_once('+').unwrap();
    for bad in [
        format!("other+{id}+{key}"),
        format!("{name}+{}+{key}", id.to_uppercase()),
        format!("{name}+00000000+{key}"),
        format!("{name}+{id}+{key}="),
        format!("{name}+{id}+B{}", &key[1..]),
        format!("+{id}+{key}"),
        format!("na me+{id}+{key}"),
        good.replace('+', " "),
    ] {
        assert_eq!(LogKey::parse(&bad), Err(NoteFault::Key), "{bad}");
    }
    assert_eq!(LogKey::new("weak", &[0; 32]), Err(NoteFault::Key));
}

#[test]
fn a_checkpoint_reads_back() {
    let (_, key) = pair();
    let made = signed(42);
    assert!(made.text().starts_with("nexus.example/log\n42\nCQkJ"));
    assert_eq!(Checkpoint::verify(made.text(), &key).unwrap(), made);
}

#[test]
fn a_cosignature_is_passed_over_and_ours_must_be_there() {
    let (_, key) = pair();
    let text = signed(1).text().to_owned();
    let cosigned = format!(
        "{text}\u{2014} witness.example {}\n",
        Base64::encode_string(&[1; 76])
    );
    assert!(Checkpoint::verify(&cosigned, &key).is_ok());
    let start = cosigned.find("\n\n").unwrap() + 2;
    let ours_gone = format!(
        "{}{}",
        &cosigned[..start],
        cosigned[start..].split_once('\n').unwrap().1
    );
    assert_eq!(
        Checkpoint::verify(&ours_gone, &key),
        Err(NoteFault::Unsigned)
    );
}

#[test]
fn one_shape_only() {
    let text = signed(42).text().to_owned();
    for (bad, why) in [
        (text.replace("42", "042"), "leading zero"),
        (text.replace("42", "+42"), "sign"),
        (text.replace("42", "42\nextension"), "extension line"),
        (text.replace("CQk=", "CQl="), "loose bits"),
        (text.replace("CQk=\n", "CQk\n"), "no padding"),
        (text.replace('\n', "\r\n"), "carriage return"),
        (text.trim_end().to_owned(), "no last line break"),
        (format!("{text}\n"), "empty last line"),
        (text.replace('\u{2014}', "-"), "no dash"),
        (text.replace("\n\n", "\n"), "no empty line"),
        (text.replacen("nexus.example/log", "", 1), "no origin"),
        (
            text.replace("42", "18446744073709551616"),
            "size over 64 bits",
        ),
    ] {
        assert!(
            matches!(
                UncheckedCheckpoint::parse(&bad),
                Err(NoteFault::Malformed(_))
            ),
            "{why}"
        );
    }
    assert_eq!(
        UncheckedCheckpoint::parse(&"x".repeat(MAX_CHECKPOINT + 1)),
        Err(NoteFault::TooLarge)
    );
}

#[test]
fn another_logs_checkpoint_is_refused() {
    let (secret, key) = pair();
    let other = LogKey::new("other.example/log", secret.verifying_key().as_bytes()).unwrap();
    assert_eq!(
        Checkpoint::verify(signed(1).text(), &other),
        Err(NoteFault::Origin)
    );
    let head = Head {
        origin: "other.example/log".into(),
        size: 1,
        root: [9; 32],
    };
    assert_eq!(
        sign_checkpoint(head, &key, |m| Ok(secret.sign(m).to_bytes())),
        Err(NoteFault::Origin)
    );
}

#[test]
fn a_signature_by_another_key_is_not_handed_out() {
    let (_, key) = pair();
    let head = Head {
        origin: key.origin().into(),
        size: 1,
        root: [9; 32],
    };
    let other = SigningKey::from_bytes(&[8; 32]);
    assert_eq!(
        sign_checkpoint(head, &key, |m| Ok(other.sign(m).to_bytes())),
        Err(NoteFault::Signature)
    );
}

proptest! {
    #[test]
    fn one_bit_anywhere_is_refused(size in any::<u64>(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let (_, key) = pair();
        let mut bytes = signed(size).text().as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(Checkpoint::verify(&text, &key).is_err());
        }
    }

    #[test]
    fn never_panics(text in "(?s).{0,300}") {
        let _ = UncheckedCheckpoint::parse(&text);
        let _ = LogKey::parse(&text);
    }
}
