//! Chains of CWTs after the Open Profile for DICE, built here: as Android has them, and every way to spoil them.

use assay_attest::codec::cbor::{self, Value};
use assay_attest::codec::open_dice::{CwtChain, Mode};
use assay_attest::key::PublicKey;
use assay_attest::refusal::Refusal;
use assay_checks::AwsLc;
use ed25519_dalek::{Signer as _, SigningKey};

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn public(number: u8) -> PublicKey {
    PublicKey::Ed25519(key(number).verifying_key().to_bytes())
}

fn map(entries: Vec<(i64, Value)>) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(label, value)| (Value::from(label), value))
            .collect(),
    )
}

fn cose_key(number: u8) -> Value {
    map(vec![
        (1, 1.into()),
        (3, (-8).into()),
        (4, Value::Array(vec![2.into()])),
        (-1, 6.into()),
        (
            -2,
            Value::Bytes(key(number).verifying_key().to_bytes().to_vec()),
        ),
    ])
}

/// One layer: who issued it, of whom it speaks, and what is different about it.
#[derive(Clone)]
struct Layer {
    issuer: u8,
    subject: u8,
    mode: Value,
    usage: u8,
    signer: u8,
}

impl Layer {
    fn new(issuer: u8) -> Self {
        Self {
            issuer,
            subject: issuer + 1,
            mode: Value::Bytes(vec![1]),
            usage: 0x20,
            signer: issuer,
        }
    }

    fn write(&self) -> Value {
        let payload = cbor::write(&map(vec![
            (1, Value::Text(format!("layer {}", self.issuer))),
            (2, Value::Text(format!("layer {}", self.subject))),
            (-4_670_545, Value::Bytes(vec![self.subject; 64])),
            (-4_670_548, Value::Bytes(vec![0xa0])),
            (-4_670_549, Value::Bytes(vec![9; 64])),
            (-4_670_551, self.mode.clone()),
            (
                -4_670_552,
                Value::Bytes(cbor::write(&cose_key(self.subject))),
            ),
            (-4_670_553, Value::Bytes(vec![self.usage])),
        ]));
        let protected = cbor::write(&map(vec![(1, (-8).into())]));
        let signed = cbor::write(&Value::Array(vec![
            "Signature1".into(),
            Value::Bytes(protected.clone()),
            Value::Bytes(Vec::new()),
            Value::Bytes(payload.clone()),
        ]));
        Value::Array(vec![
            Value::Bytes(protected),
            map(Vec::new()),
            Value::Bytes(payload),
            Value::Bytes(key(self.signer).sign(&signed).to_bytes().to_vec()),
        ])
    }
}

fn chain(layers: &[Layer]) -> Vec<u8> {
    let mut items = vec![cose_key(0)];
    items.extend(layers.iter().map(Layer::write));
    cbor::write(&Value::Array(items))
}

fn three() -> Vec<Layer> {
    (0..3).map(Layer::new).collect()
}

fn verify(bytes: &[u8]) -> Result<PublicKey, Refusal> {
    let parsed = CwtChain::parse(bytes)?;
    parsed.verify(&[public(0)], &AwsLc).cloned()
}

#[test]
fn a_chain_verifies_link_by_link_in_each_of_its_forms() {
    let good = chain(&three());
    assert_eq!(verify(&good), Ok(public(3)));
    let parsed = CwtChain::parse(&good).unwrap();
    assert_eq!(parsed.links().len(), 3);
    let inputs = parsed.links()[2].inputs.clone().unwrap();
    assert_eq!((inputs.mode, inputs.code_hash), (Mode::Normal, vec![3; 64]));

    let layers: Vec<Value> = three().iter().map(Layer::write).collect();
    let explicit = [
        vec![1.into(), Value::Bytes(cbor::write(&cose_key(0)))],
        layers.clone(),
    ]
    .concat();
    assert_eq!(verify(&cbor::write(&Value::Array(explicit))), Ok(public(3)));
    let inner = [vec![cose_key(0)], layers].concat();
    let handover = map(vec![
        (1, Value::Bytes(vec![0; 32])),
        (2, Value::Bytes(vec![0; 32])),
        (3, Value::Array(inner)),
    ]);
    assert_eq!(verify(&cbor::write(&handover)), Ok(public(3)));
    assert_eq!(
        CwtChain::parse(&good)
            .unwrap()
            .verify(&[public(1)], &AwsLc)
            .unwrap_err(),
        Refusal::ChainNoAnchor
    );
    // A UDS that signs for itself: the chain of one that devices without layers have.
    let mut alone = Layer::new(0);
    alone.subject = 0;
    assert_eq!(verify(&chain(&[alone])), Ok(public(0)));
}

#[test]
fn each_rule_refuses_by_its_own_code() {
    let but = |at: usize, change: fn(&mut Layer)| {
        let mut layers = three();
        change(&mut layers[at]);
        verify(&chain(&layers)).map(|_| ())
    };
    assert_eq!(
        but(1, |layer| layer.signer = 0),
        Err(Refusal::ChainSignature { index: 2 })
    );
    assert_eq!(
        but(1, |layer| layer.usage = 0x01),
        Err(Refusal::ChainKeyUsage { index: 2 })
    );
    assert_eq!(but(2, |layer| layer.usage = 0x01), Ok(()));
    assert_eq!(
        but(2, |layer| layer.issuer = 7),
        Err(Refusal::ChainName { index: 3 })
    );
    assert_eq!(
        but(2, |layer| layer.subject = 1),
        Err(Refusal::ChainDuplicate { index: 3 })
    );
    let mode = |mode: Value| {
        let mut layers = three();
        layers[0].mode = mode;
        CwtChain::parse(&chain(&layers)).map(|parsed| {
            let inputs = parsed.links()[0].inputs.as_ref();
            inputs.map(|inputs| inputs.mode)
        })
    };
    assert_eq!(mode(Value::Bytes(vec![2])).unwrap(), Some(Mode::Debug));
    assert_eq!(mode(3.into()).unwrap(), Some(Mode::Recovery));
    for none in [Value::Bytes(vec![4]), Value::Bytes(Vec::new()), 9.into()] {
        assert_eq!(mode(none).unwrap_err().code(), "evidence.malformed");
    }
    for dropped in 0..2 {
        let mut layers = three();
        layers.remove(dropped);
        assert!(verify(&chain(&layers)).is_err(), "{dropped}");
    }
    let mut swapped = three();
    swapped.swap(1, 2);
    assert!(verify(&chain(&swapped)).is_err());
    let repeated = [three(), vec![Layer::new(2)]].concat();
    assert!(verify(&chain(&repeated)).is_err());
    assert_eq!(verify(&chain(&[])).unwrap_err().code(), "chain.too_short");
}

#[test]
fn i2_each_one_bit_change_is_refused() {
    let good = chain(&three());
    for bit in 0..good.len() * 8 {
        let mut bent = good.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        // The UDS's key_ops and alg, which no signature covers and nothing reads.
        let unread = bent != good && CwtChain::parse(&bent).is_ok_and(|c| *c.root() == public(0));
        let first = bit / 8 < 60;
        match verify(&bent) {
            Err(_) => {}
            Ok(_) => assert!(first && unread, "bit {bit}"),
        }
    }
    for length in 0..good.len() {
        assert!(verify(&good[..length]).is_err(), "{length}");
    }
    assert!(verify(&[&good[..], &[0]].concat()).is_err());
}
