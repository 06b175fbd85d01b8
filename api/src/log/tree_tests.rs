use super::*;
use proptest::prelude::*;

/// The eight leaves that every implementation of RFC 6962 is tested with, and the roots of their first n.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

fn hex(h: &Hash) -> String {
    base16ct::lower::encode_string(h)
}

fn build(leaves: &[Hash]) -> (Frontier, InMemory) {
    let (mut frontier, mut tree) = (Frontier::default(), InMemory::default());
    for leaf in leaves {
        tree.keep(&frontier.append(*leaf));
    }
    (frontier, tree)
}

/// MTH as RFC 6962 writes it, and nothing else.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 => empty_root(),
        1 => leaves[0],
        n => {
            let k = n.next_power_of_two() / 2;
            node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
        }
    }
}

#[test]
fn the_roots_of_the_rfc_6962_leaves() {
    let starts_ends = [
        ("6e340b9c", "7afa01d"),
        ("fac54203", "e3c125"),
        ("aeb6bcfe", "e06e77"),
        ("d37ee418", "09614b7"),
        ("4e3bbb1f", "6264d4"),
        ("76e67dad", "2087ef"),
        ("ddb89be4", "a74c8c"),
        (
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            "4328",
        ),
    ];
    let mut frontier = Frontier::default();
    assert!(hex(&frontier.root()).starts_with("e3b0c442"));
    for (leaf, (start, end)) in LEAVES.iter().zip(starts_ends) {
        frontier.append(leaf_hash(leaf));
        let root = hex(&frontier.root());
        assert!(
            root.starts_with(start) && root.ends_with(end),
            "size {}: {root}",
            frontier.size()
        );
    }
}

#[test]
fn all_proofs_of_all_small_trees_verify_and_no_other() {
    let leaves: Vec<Hash> = (0_u8..40).map(|i| leaf_hash(&[i])).collect();
    let (_, tree) = build(&leaves);
    let root = |n: u64| mth(&leaves[..usize::try_from(n).unwrap()]);
    for new in 0..=40 {
        assert_eq!(root_at(&tree, new).unwrap(), root(new));
        for old in 0..=new {
            let proof = consistency_proof(&tree, old, new).unwrap();
            assert!(
                extends(old, &root(old), new, &root(new), &proof),
                "{old} {new}"
            );
            assert!(proof.len() <= MAX_PROOF);
            if old > 0 && old < new {
                assert!(!extends(old, &root(old - 1), new, &root(new), &proof));
                assert!(!extends(old, &root(old), new, &root(new - 1), &proof));
                assert!(!extends(old - 1, &root(old), new, &root(new), &proof) || old == 1);
                assert!(!extends(old, &root(old), new, &root(new), &proof[1..]));
                assert!(
                    !extends(new, &root(new), old, &root(old), &proof),
                    "backwards"
                );
            }
        }
        for index in 0..new {
            let proof = inclusion_proof(&tree, index, new).unwrap();
            let leaf = &leaves[usize::try_from(index).unwrap()];
            assert!(includes(leaf, index, new, &proof, &root(new)));
            assert!(!includes(&leaf_hash(b"x"), index, new, &proof, &root(new)));
            assert!(!includes(leaf, index + 1, new, &proof, &root(new)));
            assert!(!includes(leaf, new, new, &proof, &root(new)));
            let mut long = proof.clone();
            long.push([0; 32]);
            assert!(!includes(leaf, index, new, &long, &root(new)));
        }
    }
}

#[test]
fn i8_an_empty_or_equal_tree_needs_no_proof_and_takes_none() {
    let [a, b] = [[1; 32], [2; 32]];
    assert!(extends(0, &empty_root(), 3, &a, &[]));
    assert!(!extends(0, &a, 3, &a, &[]), "the empty tree has one root");
    assert!(!extends(0, &empty_root(), 3, &a, &[b]));
    assert!(extends(3, &a, 3, &a, &[]));
    assert!(!extends(3, &a, 3, &b, &[]));
    assert!(!extends(3, &a, 3, &a, &[b]));
    assert!(!extends(3, &a, 0, &empty_root(), &[]));
    assert!(!extends(3, &a, 4, &a, &[]));
    assert!(!extends(4, &a, 5, &b, &[]), "a power of two needs one too");
}

#[test]
fn i8_a_proof_that_stops_below_the_root_shows_nothing() {
    let [a, b] = [[1; 32], [2; 32]];
    assert!(includes(&a, 0, 1, &[], &a));
    assert!(!includes(&a, 0, 2, &[], &a));
    assert!(!includes(&a, 0, 3, &[b], &node_hash(&a, &b)));
}

proptest! {
    #[test]
    fn a_frontier_is_the_rfc_tree_and_survives_storage(leaves in prop::collection::vec(any::<Hash>(), 0..200)) {
        let (frontier, tree) = build(&leaves);
        prop_assert_eq!(frontier.root(), mth(&leaves));
        prop_assert_eq!(root_at(&tree, frontier.size()).unwrap(), mth(&leaves));
        prop_assert_eq!(Frontier::from_bytes(&frontier.to_bytes()).unwrap(), frontier);
    }

    #[test]
    fn stored_frontiers_of_the_wrong_length_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(f) = Frontier::from_bytes(&bytes) {
            prop_assert_eq!(f.to_bytes(), bytes);
        }
    }

    #[test]
    fn one_bit_in_a_proof_ends_it(old in 1_u64..60, more in 1_u64..60, bit in 0_usize..256, at in any::<prop::sample::Index>()) {
        let new = old + more;
        let leaves: Vec<Hash> = (0..new).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let (_, tree) = build(&leaves);
        let (old_root, new_root) = (root_at(&tree, old).unwrap(), root_at(&tree, new).unwrap());
        let mut proof = consistency_proof(&tree, old, new).unwrap();
        prop_assert!(extends(old, &old_root, new, &new_root, &proof));
        let at = at.index(proof.len());
        proof[at][bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!extends(old, &old_root, new, &new_root, &proof));
    }

    #[test]
    fn checks_never_panic(a in any::<u64>(), b in any::<u64>(), proof in prop::collection::vec(any::<Hash>(), 0..70)) {
        prop_assert!(!includes(&[0; 32], a, b, &proof, &[1; 32]));
        prop_assert!(!extends(a, &[2; 32], b, &[1; 32], &proof));
    }
}
