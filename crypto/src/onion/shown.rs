//! An onion whose author has shown its exponent: everybody can follow it through its chain, and its reply back.

use super::{
    client::{Path, ReplyLayer},
    kdf::HopKdf,
    layer,
};
use crate::{
    group::{ENCODED_LEN, Element, ShownScalar},
    hash::Digest,
    hop::{HopContext, HopPublic},
};

/// The way of one onion through one chain, as it follows from its exponent and the chain's published keys.
pub struct ShownOnion {
    kdfs: Vec<HopKdf>,
    path: Path,
}

/// An onion with a layer that is not what its author would have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the onion does not open at position {position} of the chain")]
pub struct BrokenOnion {
    /// The first hop whose layer does not open.
    pub position: u8,
}

impl ShownOnion {
    /// Computes the way; panics unless there are 1 to 255 hops.
    pub fn new(descriptor: &Digest, layer: u8, chain: u16, hops: &[HopPublic], exponent: &ShownScalar) -> Self {
        assert!((1..=usize::from(u8::MAX)).contains(&hops.len()), "a chain has 1 to 255 hops");
        let context = |position| HopContext { descriptor: *descriptor, layer, chain, position };
        let kdfs = (0..hops.len()).map(|position| HopKdf::new(&context(position as u8))).collect();
        Self { kdfs, path: Path::new(hops, exponent.scalar()) }
    }

    /// The key with which the onion enters the chain.
    pub fn first_key(&self) -> &Element {
        &self.path.first
    }

    /// The key with which it arrives at a hop; after the last hop, with which it leaves. Panics on other positions.
    pub fn key(&self, position: usize) -> &[u8; ENCODED_LEN] {
        assert!(position <= self.kdfs.len(), "a hop of the chain");
        self.path.key(position)
    }

    /// What each hop puts out of the body that enters the chain, first hop first; the last is the payload.
    pub fn open(&self, body: &[u8]) -> Result<Vec<Vec<u8>>, BrokenOnion> {
        let mut bodies: Vec<Vec<u8>> = Vec::with_capacity(self.kdfs.len());
        for (position, kdf) in self.kdfs.iter().enumerate() {
            let broken = BrokenOnion { position: position as u8 };
            let body = bodies.last().map_or(body, Vec::as_slice);
            let mut opened = vec![0; body.len().checked_sub(super::TAG_LEN).ok_or(broken)?];
            let (key, shared, blinded) =
                (self.path.key(position), self.path.shared(position), self.path.key(position + 1));
            layer::open_into(kdf, key, shared, blinded, body, &mut opened).map_err(|_| broken)?;
            bodies.push(opened);
        }
        Ok(bodies)
    }

    /// Takes off the layer that the hop at `position` puts on the reply; none if it has not sealed it so. Panics on a
    /// position that the chain does not have.
    pub fn open_reply(&self, position: usize, reply: &[u8]) -> Option<Vec<u8>> {
        let kdf = &self.kdfs[position];
        let (key, shared, blinded) = (self.path.key(position), self.path.shared(position), self.path.key(position + 1));
        let layer = ReplyLayer { key: kdf.return_key(key, shared, blinded), header: kdf.back };
        let mut text = reply.to_vec();
        layer.open(&mut text)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::{super::*, *};
    use crate::{group::SecretScalar, hop::HopSecret, key_list::KeyList, permutation::Permutation, records::Records};

    struct Chain {
        secrets: Vec<HopSecret>,
        publics: Vec<HopPublic>,
        descriptor: Digest,
    }

    fn chain(rng: &mut ChaCha20Rng) -> Chain {
        let (mut base, descriptor) = (Element::base(), Digest([5; 32]));
        let (secrets, publics): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (secret, public, _) = HopSecret::generate(&base, &descriptor, rng);
                base = public.blinding;
                (secret, public)
            })
            .unzip();
        Chain { secrets, publics, descriptor }
    }

    #[test]
    fn a_shown_exponent_gives_every_key_every_body_and_every_reply_layer() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let Chain { secrets, publics, descriptor } = chain(&mut rng);
        let x = SecretScalar::random(&mut rng);
        let onion = wrap(&descriptor, 1, 2, &publics, &x, b"a payload of some bytes");
        let shown = ShownOnion::new(&descriptor, 1, 2, &publics, &x.show());
        assert_eq!(shown.first_key(), &onion.key);
        let opened = shown.open(&onion.body).expect("an honest onion");

        let (mut key, mut body) = (onion.key, onion.body.clone());
        let mut returns = Vec::new();
        for (position, secret) in secrets.iter().enumerate() {
            assert_eq!(shown.key(position), key.encoded());
            let context = HopContext { descriptor, layer: 1, chain: 2, position: position as u8 };
            let records = Records::from_bytes(body.len(), body).expect("one record");
            let mixed = mix(secret, &context, &KeyList::new(vec![key]), records, &Permutation::random(1, &mut rng));
            assert!(mixed.failed.is_empty());
            (key, body) = (mixed.keys[0], mixed.bodies.into_bytes());
            assert_eq!(opened[position], body);
            returns.push((mixed.returns, context));
        }
        assert_eq!(shown.key(3), key.encoded());
        assert_eq!(body, b"a payload of some bytes");

        let mut reply = Records::from_bytes(5, b"reply".to_vec()).expect("one record");
        for (position, (returns, context)) in returns.into_iter().enumerate().rev() {
            let sealed = seal_replies(returns, &context, reply.clone(), Permutation::random(1, &mut rng));
            assert_eq!(shown.open_reply(position, sealed.as_bytes()).as_deref(), Some(reply.as_bytes()));
            let mut changed = sealed.as_bytes().to_vec();
            changed[0] ^= 1;
            assert_eq!(shown.open_reply(position, &changed), None);
            reply = sealed;
        }
    }

    #[test]
    fn a_changed_body_breaks_at_its_first_hop_and_another_exponent_opens_nothing() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let Chain { publics, descriptor, .. } = chain(&mut rng);
        let (x, other) = (SecretScalar::random(&mut rng), SecretScalar::random(&mut rng));
        let onion = wrap(&descriptor, 0, 0, &publics, &x, b"payload");
        let mut changed = onion.body.clone();
        changed[3] ^= 1;
        let shown = ShownOnion::new(&descriptor, 0, 0, &publics, &x.show());
        assert_eq!(shown.open(&changed), Err(BrokenOnion { position: 0 }));
        assert_eq!(shown.open(&[]), Err(BrokenOnion { position: 0 }));
        let foreign = ShownOnion::new(&descriptor, 0, 0, &publics, &other.show());
        assert_ne!(foreign.first_key(), &onion.key);
        assert_eq!(foreign.open(&onion.body), Err(BrokenOnion { position: 0 }));
    }
}
