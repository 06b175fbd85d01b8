//! The Canonical Event Log in its three encodings.

use assay_attest::codec::cbor::{self, Value};
use assay_attest::codec::cel::{CanonicalLog, Content, Encoding, Index, is_violation};
use assay_attest::codec::eventlog::EventType;
use assay_attest::digest::{HashAlg, hex};
use assay_attest::replay::Bank;

const EVENT: &[u8] = b"an event";
const TEMPLATE: &[u8] = b"template data";
const CONTAINER: &[u8] = b"an image";
const SHA256: Bank = Bank::Sha2(HashAlg::Sha256);

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], length.as_slice(), value].concat()
}

fn record(number: u8, index: (u8, u8), digest: &[u8], content: &[u8]) -> Vec<u8> {
    [
        item(0, &[0, 0, 0, 0, 0, 0, 0, number]),
        item(index.0, &[index.1]),
        item(3, &item(11, digest)),
        content.to_vec(),
    ]
    .concat()
}

fn event(data: &[u8]) -> Vec<u8> {
    let kind = item(0, &EventType::IPL.0.to_be_bytes());
    item(5, &[kind, item(1, data)].concat())
}

fn template() -> Vec<u8> {
    item(7, &[item(0, b"ima-ng"), item(1, TEMPLATE)].concat())
}

fn cos() -> Vec<u8> {
    item(80, &item(0, CONTAINER))
}

pub(super) fn tlv() -> Vec<u8> {
    let digest = |bytes: &[u8]| SHA256.hash(&[bytes]);
    [
        record(0, (1, 8), &digest(EVENT), &event(EVENT)),
        record(1, (1, 10), &digest(TEMPLATE), &template()),
        record(2, (108, 4), &digest(&cos()), &cos()),
    ]
    .concat()
}

fn map(entries: Vec<(u8, Value)>) -> Value {
    let entries = entries.into_iter();
    Value::Map(
        entries
            .map(|(key, value)| (Value::from(key), value))
            .collect(),
    )
}

fn cbor_record(number: u8, pcr: u8, measured: &[u8], kind: u8, content: Value) -> Value {
    let digest = map(vec![
        (0, Value::from(11)),
        (1, Value::Bytes(SHA256.hash(&[measured]))),
    ]);
    map(vec![
        (0, Value::from(number)),
        (1, Value::from(pcr)),
        (3, Value::Array(vec![digest])),
        (9, Value::from(kind)),
        (10, content),
    ])
}

fn cbor_records() -> Vec<Value> {
    let event = map(vec![
        (0, Value::from(EventType::IPL.0)),
        (1, Value::Bytes(EVENT.to_vec())),
    ]);
    let template = map(vec![
        (0, Value::Text("ima-ng".into())),
        (1, Value::Bytes(TEMPLATE.to_vec())),
    ]);
    vec![
        cbor_record(0, 8, EVENT, 5, event),
        cbor_record(1, 10, TEMPLATE, 7, template),
    ]
}

pub(super) fn cbor() -> Vec<u8> {
    cbor::write(&Value::Array(cbor_records()))
}

fn json_records() -> [String; 2] {
    let digest = |bytes: &[u8]| {
        let value = hex(&SHA256.hash(&[bytes]));
        format!(r#"[{{"hashAlg":"sha256","digest":"{value}"}}]"#)
    };
    [
        format!(
            r#"{{"recnum":0,"pcr":8,"digests":{},"content_type":"pcclient_std","content":{{"event_type":"EV_IPL","event_data":"{}"}}}}"#,
            digest(EVENT),
            hex(EVENT)
        ),
        format!(
            r#"{{"recnum":1,"pcr":10,"digests":{},"content_type":"ima_template","content":{{"template_name":"ima-ng","template_data":"{}"}}}}"#,
            digest(TEMPLATE),
            hex(TEMPLATE)
        ),
    ]
}

pub(super) fn json() -> String {
    format!("[{}]", json_records().join(","))
}

fn parse(bytes: &[u8]) -> CanonicalLog {
    CanonicalLog::parse(bytes).unwrap()
}

#[test]
fn the_encodings_say_the_same() {
    let tlv = parse(&tlv());
    assert_eq!(tlv.encoding, Encoding::Tlv);
    assert_eq!(tlv.records[2].index, Index::Ccmr(4));
    assert!(tlv.records.iter().all(|record| record.is_covered()));
    let first = &tlv.records[..2];
    let cbor = parse(&cbor());
    assert_eq!(
        (cbor.encoding, cbor.records.as_slice()),
        (Encoding::Cbor, first)
    );
    let sequence: Vec<u8> = cbor_records().iter().flat_map(cbor::write).collect();
    assert_eq!(parse(&sequence), cbor);
    let json = parse(json().as_bytes());
    assert_eq!(
        (json.encoding, json.records.as_slice()),
        (Encoding::Json, first)
    );
    let [one, two] = json_records();
    for text in [
        format!("{one}\n{two}\n"),
        format!("\u{1e}{one}\n\u{1e}{two}\n"),
        format!("[\n{one},\n{two}]\n"),
    ] {
        assert_eq!(parse(text.as_bytes()).records, first);
    }
    let replay = tlv.replay(false);
    assert_eq!(replay, cbor.replay(false));
    let pcr8 = SHA256.hash(&[&[0; 32], &SHA256.hash(&[EVENT])]);
    assert_eq!(replay.value(SHA256, 8).unwrap(), pcr8);
    assert_eq!(replay.value(SHA256, 4), None, "4 is no pcr here");
    assert!(tlv.replay(true).value(SHA256, 4).is_some());
}

#[test]
fn systemds_log_reads() {
    let digest = hex(&SHA256.hash(&[b"machine-id:1"]));
    let text = format!(
        "\u{1e}{{\"pcr\":15,\"digests\":[{{\"hashAlg\":\"sha256\",\"digest\":\"{digest}\"}}],\
         \"content_type\":\"systemd\",\"content\":{{\"string\":\"machine-id:1\",\"eventType\":\"machine-id\"}}}}\n"
    );
    let log = parse(text.as_bytes());
    assert_eq!(
        log.records[0].content,
        Content::Systemd("machine-id:1".into())
    );
    assert!(log.records[0].is_covered());
}

#[test]
fn what_does_not_fit_is_refused() {
    let code = |bytes: &[u8]| CanonicalLog::parse(bytes).unwrap_err().code();
    let good = SHA256.hash(&[EVENT]);
    // A template and a container event measure what they say; the rest is the reporter's word.
    let other = record(0, (1, 10), &good, &template());
    assert_eq!(code(&other), "log.entry_digest");
    let other = record(0, (108, 4), &good, &cos());
    assert_eq!(code(&other), "log.entry_digest");
    let word = parse(&record(0, (1, 8), &good, &event(b"another")));
    assert!(!word.records[0].is_covered());
    // Out of sequence, no such register, no such digest, lengths that lie, nothing at all.
    for bad in [
        record(7, (1, 8), &good, &event(EVENT)),
        record(0, (1, 24), &good, &event(EVENT)),
        record(0, (9, 8), &good, &event(EVENT)),
        record(0, (1, 8), &good[..31], &event(EVENT)),
        record(0, (1, 8), &[], &event(EVENT)),
        vec![],
        b"[]".to_vec(),
        b"[1]".to_vec(),
        b"{}".to_vec(),
        b"text".to_vec(),
        vec![0x80],
        vec![0x81, 0xa0],
    ] {
        assert_eq!(code(&bad), "evidence.malformed", "{bad:?}");
    }
    let huge = [&[0, 0xff, 0xff, 0xff, 0xff], [0; 8].as_slice()].concat();
    assert_eq!(code(&huge), "evidence.too_large");
    for bytes in [tlv(), cbor(), json().into_bytes()] {
        let replay = parse(&bytes).replay(false);
        for cut in 0..bytes.len() {
            if let Ok(short) = CanonicalLog::parse(&bytes[..cut]) {
                assert!(short.replay(false) != replay || short.records.len() < 3);
            }
        }
        assert!(CanonicalLog::parse(&[bytes.as_slice(), &[0]].concat()).is_err());
    }
}

#[test]
fn a_violation_is_seen() {
    let digest = item(3, &item(11, &[0xff; 32]));
    let log = [item(0, &[0; 8]), item(1, &[10]), digest, template()].concat();
    let log = parse(&log);
    assert!(is_violation(&log.records[0]));
}
