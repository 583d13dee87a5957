//! A Merkle tree over a batch: its root is what servers sign, a branch shows that one record is under it.
//!
//! BLAKE3 in keyed mode, one key for each kind of node, so that no node passes for a leaf or a root. A node without a
//! sibling moves up as it is; the root binds the number of leaves, which fixes the shape.

use std::{ops::Range, sync::LazyLock};

use rayon::prelude::*;

use crate::{group::ENCODED_LEN, hash::Digest, records::Records};

/// Nodes that one core hashes at a time.
const CHUNK: usize = 1024;

struct NodeKeys {
    body: [u8; 32],
    leaf: [u8; 32],
    node: [u8; 32],
    root: [u8; 32],
}

static KEYS: LazyLock<NodeKeys> = LazyLock::new(|| NodeKeys {
    body: blake3::derive_key("hippodrome v1 merkle body", &[]),
    leaf: blake3::derive_key("hippodrome v1 merkle leaf", &[]),
    node: blake3::derive_key("hippodrome v1 merkle node", &[]),
    root: blake3::derive_key("hippodrome v1 merkle root", &[]),
});

/// A branch that does not lead from the leaf to the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// There is no such leaf.
    #[error("leaf {index} of a tree of {count} leaves")]
    Index {
        /// The leaf asked for.
        index: u64,
        /// How many the tree has.
        count: u64,
    },
    /// The branch has the wrong length for this tree and leaf.
    #[error("the branch has {found} siblings, not {expected}")]
    Length {
        /// Siblings that the leaf's branch has.
        expected: usize,
        /// Siblings that came.
        found: usize,
    },
    /// The branch leads to another root.
    #[error("the branch does not lead to the root")]
    Root,
}

/// The hash of a record's body: beside the key it makes the leaf, so a list of keys and body hashes gives the root.
pub fn body_hash(body: &[u8]) -> Digest {
    keyed(&KEYS.body, body)
}

/// The leaf of a record: key, then hash of the body.
pub fn leaf(key: &[u8; ENCODED_LEN], body: &Digest) -> Digest {
    keyed(&KEYS.leaf, [*key, body.0].as_flattened())
}

/// The leaves of a batch of records, each a key and a body. Panics when the records are narrower than a key.
pub fn leaves(records: &Records) -> Vec<Digest> {
    assert!(records.width() >= ENCODED_LEN, "records begin with a key");
    let record_leaf = |record: &[u8]| {
        let (key, body) = record.split_first_chunk().expect("records begin with a key");
        leaf(key, &body_hash(body))
    };
    records.as_bytes().par_chunks(records.width()).with_min_len(CHUNK / 8).map(record_leaf).collect()
}

/// A tree with all its nodes: about 64 bytes a leaf.
#[derive(Debug)]
pub struct Tree {
    /// Leaves first, the single top last; empty without leaves.
    levels: Vec<Vec<Digest>>,
    root: Digest,
}

/// The siblings of a leaf's branch, from the bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof(pub Vec<Digest>);

/// The siblings of neighbouring leaves' branches that do not follow from those leaves, from the bottom and from the left:
/// at most two a level, however many leaves there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeProof(pub Vec<Digest>);

/// Most digests in a [`RangeProof`] of any tree with fewer than 2^32 leaves.
pub const RANGE_PROOF_LIMIT: usize = 64;

impl Tree {
    /// Builds all levels over the leaves.
    pub fn new(leaves: Vec<Digest>) -> Self {
        let count = leaves.len() as u64;
        let mut levels = Vec::new();
        let mut level = leaves;
        while level.len() > 1 {
            let next = parents(&level);
            levels.push(level);
            level = next;
        }
        let root = root(count, level.first());
        levels.push(level);
        Self { levels, root }
    }

    /// The root, which binds the number of leaves.
    pub fn root(&self) -> &Digest {
        &self.root
    }

    /// The leaves, in order.
    pub fn leaves(&self) -> &[Digest] {
        &self.levels[0]
    }

    /// How many leaves there are.
    pub fn len(&self) -> usize {
        self.levels[0].len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.levels[0].is_empty()
    }

    /// The branch of a leaf, if there is such a leaf.
    pub fn inclusion(&self, index: usize) -> Option<InclusionProof> {
        if index >= self.len() {
            return None;
        }
        let sibling = |(height, level): (usize, &Vec<Digest>)| level.get((index >> height) ^ 1).copied();
        Some(InclusionProof(self.levels.iter().enumerate().filter_map(sibling).collect()))
    }

    /// What shows that the leaves of `range` are under the root, if there are such leaves.
    pub fn range(&self, range: Range<usize>) -> Option<RangeProof> {
        if range.is_empty() || range.end > self.len() {
            return None;
        }
        let siblings = self.levels.iter().enumerate().flat_map(|(height, level)| {
            let (first, last) = (range.start >> height, (range.end - 1) >> height);
            let left = (first & 1 == 1).then(|| level[first - 1]);
            let right = if last & 1 == 0 { level.get(last + 1).copied() } else { None };
            [left, right].into_iter().flatten()
        });
        Some(RangeProof(siblings.collect()))
    }
}

/// Neighbouring leaves that are under a root, with the part of the tree that follows from them. Only
/// [`RangeProof::verify`] makes it.
#[derive(Debug)]
pub struct VerifiedRange {
    count: u64,
    start: u64,
    /// The nodes above the leaves at each height, with the siblings from the proof beside them: the first one's index,
    /// and the nodes.
    levels: Vec<(u64, Vec<Digest>)>,
    leaves: usize,
}

impl RangeProof {
    /// Checks that `leaves` are the leaves from `start` on, of the `count` leaves under `expected`.
    pub fn verify(
        &self,
        expected: &Digest,
        count: u64,
        start: u64,
        leaves: Vec<Digest>,
    ) -> Result<VerifiedRange, MerkleError> {
        let end = start.checked_add(leaves.len() as u64).filter(|&end| end <= count && start < end);
        end.ok_or(MerkleError::Index { index: start, count })?;
        let found = self.0.len();
        let mut siblings = self.0.iter().copied();
        let short = MerkleError::Length { expected: found + 1, found };
        let (mut first, mut nodes) = (start, leaves);
        let mut range = VerifiedRange { count, start, levels: Vec::new(), leaves: nodes.len() };
        for height in 0.. {
            let last_of_level = (count - 1) >> height;
            if first & 1 == 1 {
                nodes.insert(0, siblings.next().ok_or(short)?);
                first -= 1;
            }
            if (first + nodes.len() as u64) & 1 == 1 && first + (nodes.len() as u64) <= last_of_level {
                nodes.push(siblings.next().ok_or(short)?);
            }
            let next = parents(&nodes);
            range.levels.push((first, nodes));
            if last_of_level == 0 {
                break;
            }
            (first, nodes) = (first / 2, next);
        }
        let left = siblings.len();
        if left > 0 {
            return Err(MerkleError::Length { expected: found - left, found });
        }
        let top = range.levels.last().and_then(|(_, nodes)| nodes.first());
        if root(count, top) == *expected { Ok(range) } else { Err(MerkleError::Root) }
    }
}

impl VerifiedRange {
    /// The place of the first leaf.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The branch of one leaf of the range, by its index in the tree.
    pub fn inclusion(&self, index: u64) -> Option<InclusionProof> {
        let offset = index.checked_sub(self.start)?;
        if offset >= self.leaves as u64 {
            return None;
        }
        let sibling = |height: u32| {
            let (first, nodes) = &self.levels[height as usize];
            nodes[((index >> height ^ 1) - first) as usize]
        };
        Some(InclusionProof(sibling_heights(self.count, index).map(sibling).collect()))
    }
}

/// The root over leaves, without keeping the tree.
pub fn root_of(leaves: &[Digest]) -> Digest {
    let count = leaves.len() as u64;
    if leaves.len() < 2 {
        return root(count, leaves.first());
    }
    let mut level = parents(leaves);
    while level.len() > 1 {
        level = parents(&level);
    }
    root(count, level.first())
}

/// Checks that `leaf` is leaf `index` of the `count` leaves under `expected`.
pub fn verify(
    expected: &Digest,
    count: u64,
    index: u64,
    leaf: &Digest,
    proof: &InclusionProof,
) -> Result<(), MerkleError> {
    if index >= count {
        return Err(MerkleError::Index { index, count });
    }
    let expected_len = sibling_heights(count, index).count();
    if proof.0.len() != expected_len {
        return Err(MerkleError::Length { expected: expected_len, found: proof.0.len() });
    }
    let top = sibling_heights(count, index).zip(&proof.0).fold(*leaf, |node, (height, sibling)| {
        if (index >> height) & 1 == 0 { parent(&node, sibling) } else { parent(sibling, &node) }
    });
    if root(count, Some(&top)) == *expected { Ok(()) } else { Err(MerkleError::Root) }
}

/// The heights at which a leaf's branch meets a sibling. `count` is above `index`, hence above 0.
fn sibling_heights(count: u64, index: u64) -> impl Iterator<Item = u32> {
    // Each level halves the one below, rounding up: at height h the last node is (count − 1) >> h.
    let last = move |height: u32| (count - 1) >> height;
    (0..u64::BITS)
        .take_while(move |&height| last(height) > 0)
        .filter(move |&height| (index >> height) ^ 1 <= last(height))
}

fn parents(level: &[Digest]) -> Vec<Digest> {
    let pair = |pair: &[Digest]| match pair {
        [left, right] => parent(left, right),
        [single] => *single,
        _ => unreachable!("chunks of at most two"),
    };
    level.par_chunks(2).with_min_len(CHUNK).map(pair).collect()
}

fn parent(left: &Digest, right: &Digest) -> Digest {
    keyed(&KEYS.node, [left.0, right.0].as_flattened())
}

/// Hash of the count and the top node; an empty tree has no top.
fn root(count: u64, top: Option<&Digest>) -> Digest {
    let mut input = [0; 40];
    input[..8].copy_from_slice(&count.to_le_bytes());
    input[8..].copy_from_slice(&top.map_or([0; 32], |top| top.0));
    keyed(&KEYS.root, &input)
}

fn keyed(key: &[u8; 32], input: &[u8]) -> Digest {
    Digest(*blake3::keyed_hash(key, input).as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some_leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|index| leaf(&[index as u8; 32], &body_hash(&index.to_le_bytes()))).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_has_a_branch_to_the_root() {
        for count in 0..70 {
            let leaves = some_leaves(count);
            let tree = Tree::new(leaves.clone());
            assert_eq!(*tree.root(), root_of(&leaves));
            assert_eq!(tree.len(), count);
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = tree.inclusion(index).expect("a leaf of the tree");
                assert_eq!(verify(tree.root(), count as u64, index as u64, leaf, &proof), Ok(()));
            }
            assert_eq!(tree.inclusion(count), None);
        }
    }

    #[test]
    fn a_branch_holds_for_its_own_index_count_and_leaf_only() {
        for count in 1..20_u64 {
            let leaves = some_leaves(count as usize);
            let tree = Tree::new(leaves.clone());
            for index in 0..count {
                let proof = tree.inclusion(index as usize).expect("a leaf of the tree");
                let leaf = leaves[index as usize];
                for (other_count, other_index) in (0..40).flat_map(|count| (0..40).map(move |index| (count, index))) {
                    let holds = verify(tree.root(), other_count, other_index, &leaf, &proof).is_ok();
                    assert_eq!(holds, (other_count, other_index) == (count, index));
                }
                let other_leaf = Digest([9; 32]);
                assert_eq!(verify(tree.root(), count, index, &other_leaf, &proof), Err(MerkleError::Root));
            }
        }
    }

    #[test]
    fn branches_of_the_wrong_length_or_outside_the_tree_are_refused() {
        let tree = Tree::new(some_leaves(5));
        let leaf = some_leaves(5)[4];
        let proof = tree.inclusion(4).expect("a leaf of the tree");
        assert_eq!(proof.0.len(), 1, "the fifth of five leaves moves up without a sibling");
        let longer = InclusionProof([proof.0.as_slice(), &[leaf]].concat());
        let refused = MerkleError::Length { expected: 1, found: 2 };
        assert_eq!(verify(tree.root(), 5, 4, &leaf, &longer), Err(refused));
        let refused = MerkleError::Length { expected: 1, found: 0 };
        assert_eq!(verify(tree.root(), 5, 4, &leaf, &InclusionProof(vec![])), Err(refused));
        assert_eq!(verify(tree.root(), 5, 5, &leaf, &proof), Err(MerkleError::Index { index: 5, count: 5 }));
        assert_eq!(verify(tree.root(), 0, 0, &leaf, &proof), Err(MerkleError::Index { index: 0, count: 0 }));
        assert!(verify(tree.root(), u64::MAX, u64::MAX - 1, &leaf, &proof).is_err());
    }

    #[test]
    fn every_range_of_every_small_tree_leads_to_the_root_and_gives_each_leafs_branch() {
        for count in 1..34_usize {
            let leaves = some_leaves(count);
            let tree = Tree::new(leaves.clone());
            for (start, end) in (0..count).flat_map(|start| (start + 1..=count).map(move |end| (start, end))) {
                let proof = tree.range(start..end).expect("a range of the tree");
                let range = proof.verify(tree.root(), count as u64, start as u64, leaves[start..end].to_vec());
                let range = range.expect("the range is in the tree");
                for index in 0..count {
                    let branch = range.inclusion(index as u64);
                    assert_eq!(branch, tree.inclusion(index).filter(|_| (start..end).contains(&index)));
                }
            }
            assert_eq!(tree.range(0..count + 1), None);
            assert_eq!(tree.range(count..count), None);
        }
    }

    #[test]
    fn a_range_holds_for_its_own_place_count_and_leaves_only() {
        let leaves = some_leaves(13);
        let tree = Tree::new(leaves.clone());
        let proof = tree.range(3..6).expect("a range of the tree");
        let verify = |proof: &RangeProof, count, start, leaves: &[Digest]| {
            proof.verify(tree.root(), count, start, leaves.to_vec()).map(|_| ())
        };
        assert_eq!(verify(&proof, 13, 3, &leaves[3..6]), Ok(()));
        for (count, start) in (0..20).flat_map(|count| (0..20).map(move |start| (count, start))) {
            assert_eq!(verify(&proof, count, start, &leaves[3..6]).is_ok(), (count, start) == (13, 3));
        }
        assert!(verify(&proof, 13, 3, &leaves[3..5]).is_err());
        assert!(verify(&proof, 13, 3, &leaves[4..7]).is_err());
        assert!(verify(&proof, 13, 3, &[]).is_err());
        assert!(verify(&proof, u64::MAX, u64::MAX - 1, &leaves[3..6]).is_err());
        let longer = RangeProof([proof.0.as_slice(), &[leaves[0]]].concat());
        let shorter = RangeProof(proof.0[1..].to_vec());
        assert!(verify(&longer, 13, 3, &leaves[3..6]).is_err());
        assert!(verify(&shorter, 13, 3, &leaves[3..6]).is_err());
    }

    #[test]
    fn an_inner_node_passes_neither_for_a_leaf_nor_for_a_root() {
        let leaves = some_leaves(4);
        let nodes = [parent(&leaves[0], &leaves[1]), parent(&leaves[2], &leaves[3])];
        let tree = Tree::new(leaves.clone());
        // The classic second preimage: the tree over its own inner nodes.
        assert_ne!(root_of(&nodes), *tree.root());
        assert!(verify(tree.root(), 2, 0, &nodes[0], &InclusionProof(vec![nodes[1]])).is_err());
        assert_ne!(leaf(&leaves[0].0, &leaves[1]), nodes[0], "a record made of two nodes");
        assert_ne!(root_of(&[parent(&nodes[0], &nodes[1])]), *tree.root());
        assert_ne!(root_of(&[]), root_of(&[Digest([0; 32])]));
    }

    #[test]
    fn a_list_of_keys_and_body_hashes_gives_the_root_of_the_records() {
        let mut records = Records::new(50);
        (0..300_u32)
            .for_each(|index| records.push(&core::array::from_fn::<u8, 50, _>(|at| (index as usize * at) as u8)));
        let listed: Vec<Digest> = records
            .iter()
            .map(|record| leaf(record.first_chunk().expect("a key"), &body_hash(&record[32..])))
            .collect();
        assert_eq!(leaves(&records), listed);
        assert_eq!(root_of(&leaves(&records)), *Tree::new(listed).root());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_flipped_bit_of_a_large_trees_branch_is_refused(count in 1..5000_usize, index: u16, at: u16, bit in 0..256_usize) {
            let leaves = some_leaves(count);
            let index = usize::from(index) % count;
            let tree = Tree::new(leaves.clone());
            let mut proof = tree.inclusion(index).expect("a leaf of the tree");
            prop_assert_eq!(verify(tree.root(), count as u64, index as u64, &leaves[index], &proof), Ok(()));
            let siblings = proof.0.len();
            if siblings > 0 {
                proof.0[usize::from(at) % siblings].0[bit / 8] ^= 1 << (bit % 8);
                let refused = verify(tree.root(), count as u64, index as u64, &leaves[index], &proof);
                prop_assert_eq!(refused, Err(MerkleError::Root));
            }
        }
    }
}
