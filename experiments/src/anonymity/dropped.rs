//! What is left of noise where nothing is verified and servers drop what they can.
//!
//! Noise that is missing in the input of a layer ends the round before that layer lets anything out, in every mode. So
//! what is left to drop is noise on its way through the last layer: a corrupt server that comes before the chain's
//! honest one drops records, the honest one mixes what it gets, and the mailboxes are seen before anybody misses a
//! reply. The round is lost, and nobody is named. With proofs the honest server would not have let its batch out.
//!
//! * One layer: the first server knows the author of every record. It drops all noise.
//! * Two layers: it knows the chain that every record comes from. All that Alice and Bob do comes from their two
//!   chains, so it drops what comes from others. A slot of noise still hides something if both of its records came from
//!   these two.
//! * Three layers: the chain in the middle is each record's own secret, so which chain it comes from tells nothing.

use hippodrome_privacy::links::Layers;

/// What is left of each honest server's noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing that servers could drop is known not to be Alice's or Bob's.
    All,
    /// So many slots of which both records are left: the mean, rounded up. Servers deal records by one permutation, so
    /// such slots are shared by the urn's law for as many slots.
    Slots(u32),
    /// Nothing.
    Nothing,
}

/// Of `slots` slots, dealt to `chains` input chains, the ones that Alice and Bob use being two of them.
pub(super) fn left(slots: u32, layers: Layers, chains: u32) -> Left {
    match layers {
        Layers::One => Left::Nothing,
        Layers::Two if chains > 2 => {
            let records = 2.0 * f64::from(slots);
            let kept = records * 2.0 / f64::from(chains);
            let both = kept * (kept - 1.0).max(0.0) / (records * (records - 1.0));
            Left::Slots((f64::from(slots) * both).ceil().max(1.0) as u32)
        }
        Layers::Two | Layers::Three => Left::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_slots_are_left_as_often_as_by_enumeration() {
        // Two slots of records {0, 1} and {2, 3}; four chains get one record each, two of them are kept.
        let kept = (0..4).flat_map(|a| (0..a).map(move |b| (b, a)));
        let whole = kept.clone().filter(|pair| [(0, 1), (2, 3)].contains(pair)).count();
        let mean = whole as f64 / kept.count() as f64;
        assert_eq!(left(2, Layers::Two, 4), Left::Slots(mean.ceil() as u32));
        // Six of twelve records: 6 · (6·5)/(12·11) = 1.36.
        assert_eq!(left(6, Layers::Two, 4), Left::Slots(2));
        // A thousand slots on three chains: two thirds of two thirds.
        assert_eq!(left(1200, Layers::Two, 3), Left::Slots(534));
    }

    #[test]
    fn authors_are_known_in_one_layer_and_origins_in_two() {
        assert_eq!(left(100, Layers::One, 1), Left::Nothing);
        assert_eq!(left(100, Layers::Two, 2), Left::All);
        assert_eq!(left(100, Layers::Three, 10), Left::All);
    }
}
