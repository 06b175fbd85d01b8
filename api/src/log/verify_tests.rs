use super::super::{Actor, ActorKind, Decision, Entry, sign_checkpoint, tree};
use super::*;
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use std::convert::Infallible;

fn pair() -> (SigningKey, LogKey) {
    let secret = SigningKey::from_bytes(&[7; 32]);
    let key = LogKey::new("nexus.example/log", secret.verifying_key().as_bytes()).unwrap();
    (secret, key)
}

fn entry(index: u64) -> Vec<u8> {
    let entry = Entry {
        index,
        time_ms: Timestamp::from_millis(1_000 + index / 2),
        event: "operator.suspend".into(),
        actor: Actor {
            kind: ActorKind::Operator,
            id: "op-1".into(),
            kid: None,
        },
        tenant: Some("acme".into()),
        target: None,
        decision: Decision::Allowed,
        code: None,
        reason: None,
        request: None,
        client: None,
        rows: Vec::new(),
        details: [("n".to_owned(), index.to_string())].into(),
    };
    entry.to_bytes().unwrap()
}

fn checkpoint(end: &LogEnd) -> Item {
    let (secret, key) = pair();
    let made = sign_checkpoint::<NoteFault>(end.head(key.origin()), &key, |m| {
        Ok(secret.sign(m).to_bytes())
    });
    Item::Checkpoint(made.unwrap().text().to_owned())
}

/// A log of these batches, and the head after each.
fn log(batches: &[u64]) -> (Vec<Item>, Vec<Head>) {
    let (mut items, mut heads, mut end) = (Vec::new(), Vec::new(), LogEnd::default());
    for batch in batches {
        for _ in 0..*batch {
            let bytes = entry(end.size());
            let chain = end.append(&bytes).chain;
            items.push(Item::Entry { bytes, chain });
        }
        items.push(checkpoint(&end));
        heads.push(end.head("nexus.example/log"));
    }
    (items, heads)
}

fn run(items: &[Item], heads: &[Head]) -> Report {
    verify_log(
        items.iter().cloned().map(Ok::<_, Infallible>),
        &pair().1,
        heads,
    )
    .unwrap()
}

fn broken(items: &[Item], heads: &[Head]) -> (u64, &'static str) {
    match run(items, heads) {
        Report::Broken(b) => (b.index, b.fault.code()),
        Report::Valid(v) => panic!("valid: {v:?}"),
    }
}

/// Writes the chain hashes anew, as whoever may write to the database can.
fn rechain(items: &mut [Item]) {
    let mut end = LogEnd::default();
    for item in items {
        if let Item::Entry { bytes, chain } = item {
            *chain = end.append(bytes).chain;
        }
    }
}

#[test]
fn a_good_log_is_valid_and_says_what_it_was_held_against() {
    let (items, heads) = log(&[3, 1, 4]);
    let head = heads[2].clone();
    assert_eq!(
        run(&items, &[]),
        Report::Valid(Valid {
            head: head.clone(),
            checkpoints: 3,
            held_against: None
        })
    );
    assert_eq!(
        run(&items, &heads),
        Report::Valid(Valid {
            head,
            checkpoints: 3,
            held_against: Some(8)
        })
    );
}

#[test]
fn i8_an_edited_entry_is_found_and_named() {
    let (mut items, _) = log(&[3, 1, 4]);
    let Item::Entry { bytes, .. } = &mut items[4] else {
        panic!()
    };
    *bytes = String::from_utf8(bytes.clone())
        .unwrap()
        .replace("acme", "evil")
        .into_bytes();
    assert_eq!(broken(&items, &[]), (3, "log.edited"));
    rechain(&mut items);
    assert_eq!(
        broken(&items, &[]),
        (3, "log.root"),
        "also when the chain is written anew"
    );
}

#[test]
fn i8_a_removed_entry_is_found_and_named() {
    let (mut items, _) = log(&[3, 1, 4]);
    items.remove(1);
    assert_eq!(broken(&items, &[]), (1, "log.removed"));
    let (mut items, _) = log(&[3, 1, 4]);
    items.remove(2);
    assert_eq!(
        broken(&items, &[]),
        (2, "log.removed"),
        "the last of its batch, more follow"
    );
}

#[test]
fn i8_a_cut_tail_is_found_by_the_checkpoint_or_by_the_head() {
    let (mut items, heads) = log(&[3, 1, 4]);
    items.remove(9);
    assert_eq!(broken(&items, &[]), (7, "log.truncated"));
    items.truncate(9);
    assert_eq!(
        broken(&items, &[]),
        (4, "log.unsigned"),
        "the checkpoint is gone too"
    );
    items.truncate(6);
    assert!(
        matches!(run(&items, &[]), Report::Valid(_)),
        "cut at a batch: only a head tells"
    );
    assert_eq!(broken(&items, &heads), (4, "log.rolled_back"));
    assert_eq!(broken(&[], &[]), (0, "log.unsigned"), "nothing is no log");
}

#[test]
fn i8_reordered_entries_are_found_and_named() {
    let (mut items, _) = log(&[3, 1, 4]);
    items.swap(1, 2);
    assert_eq!(broken(&items, &[]), (1, "log.reordered"));
    let (mut items, _) = log(&[3, 1]);
    items[2] = items[1].clone();
    assert_eq!(
        broken(&items, &[]),
        (2, "log.reordered"),
        "one doubled over another"
    );
    let (mut items, _) = log(&[3, 1]);
    items.swap(2, 3);
    assert_eq!(broken(&items, &[]), (2, "log.checkpoint_order"));
    let (mut items, _) = log(&[3, 1]);
    items.swap(3, 4);
    assert_eq!(broken(&items, &[]), (4, "log.checkpoint_order"));
}

#[test]
fn i8_a_fork_is_found_by_the_head_even_when_the_log_key_signed_it() {
    let (_, heads) = log(&[3, 1, 4]);
    let mut end = LogEnd::default();
    let mut other: Vec<Item> = (0..8)
        .map(|i| {
            let bytes = String::from_utf8(entry(i))
                .unwrap()
                .replace("acme", "evil")
                .into_bytes();
            let chain = end.append(&bytes).chain;
            Item::Entry { bytes, chain }
        })
        .collect();
    other.push(checkpoint(&end));
    assert!(matches!(run(&other, &[]), Report::Valid(_)));
    assert_eq!(broken(&other, &heads[1..2]), (0, "log.forked"));
}

#[test]
fn a_checkpoint_by_another_key_and_another_logs_head_are_refused() {
    let (mut items, mut heads) = log(&[3]);
    let Item::Checkpoint(text) = &mut items[3] else {
        panic!()
    };
    *text = text.replace("\u{2014} nexus.example/log ", "\u{2014} nexus.example/lag ");
    assert_eq!(broken(&items, &[]), (3, "log.checkpoint_unsigned"));
    heads[0].origin = "other".into();
    assert_eq!(broken(&items, &heads), (0, "log.other"));
}

#[test]
fn time_does_not_run_backwards() {
    let (mut items, _) = log(&[4]);
    let Item::Entry { bytes, .. } = &mut items[3] else {
        panic!()
    };
    *bytes = String::from_utf8(bytes.clone())
        .unwrap()
        .replace("1001", "999")
        .into_bytes();
    rechain(&mut items);
    assert_eq!(broken(&items, &[]), (3, "log.time"));
}

#[test]
fn i8_a_new_head_must_have_grown_out_of_the_last_one_seen() {
    let (_, heads) = log(&[3, 1, 4]);
    let (mut frontier, mut nodes) = (tree::Frontier::default(), tree::InMemory::default());
    for i in 0..8 {
        nodes.keep(&frontier.append(tree::leaf_hash(&entry(i))));
    }
    let proof = tree::consistency_proof(&nodes, 4, 8).unwrap();
    assert_eq!(extends_head(&heads[1], &heads[2], &proof), Ok(()));
    assert_eq!(extends_head(&heads[1], &heads[1], &[]), Ok(()));
    assert_eq!(
        extends_head(&heads[2], &heads[1], &proof),
        Err(Fault::RolledBack { size: 8 })
    );
    assert_eq!(
        extends_head(&heads[1], &heads[2], &[]),
        Err(Fault::Forked { size: 4 })
    );
    let forked = Head {
        root: [1; 32],
        ..heads[1].clone()
    };
    assert_eq!(
        extends_head(&forked, &heads[1], &[]),
        Err(Fault::Forked { size: 4 })
    );
    assert_eq!(
        extends_head(&forked, &heads[2], &proof),
        Err(Fault::Forked { size: 4 })
    );
    let other = Head {
        origin: "other".into(),
        ..heads[2].clone()
    };
    assert_eq!(
        extends_head(&heads[1], &other, &proof),
        Err(Fault::OtherLog)
    );
}

#[test]
fn an_unreadable_source_is_no_verdict() {
    assert_eq!(verify_log([Err("disk")], &pair().1, &[]), Err("disk"));
}

proptest! {
    #[test]
    fn i8_any_one_bit_in_the_export_is_found(
        batches in prop::collection::vec(1_u64..4, 1..4), line in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0..8
    ) {
        let (items, _) = log(&batches);
        let mut lines: Vec<Vec<u8>> = items.iter().map(|item| match item {
            Item::Entry { bytes, chain } => super::super::entry_line(bytes, chain),
            Item::Checkpoint(text) => super::super::checkpoint_line(text),
            Item::Unreadable(_) => unreachable!(),
        }).collect();
        let line = line.index(lines.len());
        let at = at.index(lines[line].len());
        lines[line][at] ^= 1_u8 << bit;
        let items: Vec<Item> = lines.iter().map(|l| Item::of_line(l)).collect();
        prop_assert!(matches!(run(&items, &[]), Report::Broken(_)));
    }

    #[test]
    fn i8_any_rewrite_of_the_database_is_found(
        batches in prop::collection::vec(1_u64..4, 1..4), at in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0..8
    ) {
        let (mut items, _) = log(&batches);
        let entries: Vec<usize> = (0..items.len()).filter(|i| matches!(items[*i], Item::Entry { .. })).collect();
        let Item::Entry { bytes, .. } = &mut items[entries[at.index(entries.len())]] else { unreachable!() };
        let byte = byte.index(bytes.len());
        bytes[byte] ^= 1_u8 << bit;
        rechain(&mut items);
        prop_assert!(matches!(run(&items, &[]), Report::Broken(_)));
    }

    #[test]
    fn i8_any_removal_swap_or_cut_is_found_with_a_head(
        batches in prop::collection::vec(1_u64..4, 1..5), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), how in 0..3
    ) {
        let (good, heads) = log(&batches);
        let mut items = good.clone();
        let (a, b) = (a.index(items.len()), b.index(items.len()));
        match how {
            0 => drop(items.remove(a)),
            1 => items.swap(a, b),
            _ => items.truncate(a),
        }
        // A checkpoint in the middle may go: the next one covers all that it covered.
        let harmless = items == good || (how == 0 && matches!(good[a], Item::Checkpoint(_)) && a + 1 < good.len());
        prop_assert_eq!(matches!(run(&items, &heads), Report::Valid(_)), harmless);
    }
}
