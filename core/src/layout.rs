//! Which live servers form which chains: a function of the epoch's public seed.

use std::collections::BTreeMap;

use hippodrome_crypto::{
    hash::{Digest, Hasher},
    permutation::below,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::ids::{ChainId, Layer, Position, ServerId};

/// The chains of every layer of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `chains[layer][chain][position]`.
    chains: Vec<Vec<Vec<ServerId>>>,
}

/// A server's turn in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The layer.
    pub layer: Layer,
    /// The chain.
    pub chain: ChainId,
    /// The server's position in it.
    pub position: Position,
}

impl Layout {
    /// Draws the chains: servers are dealt from shuffled decks, so that no server has two more places than another; a
    /// server that a chain already has waits for the next chain; each chain is then turned to the order in which its
    /// members get the positions that they have had least.
    ///
    /// `servers` are the live ones. The deal treats all of them alike, so each chain by itself is a uniformly random set of servers, which is what
    /// the failure odds of the topology count.
    pub fn draw(seed: &Digest, servers: &[ServerId], layers: u8, chains: u16, chain_len: u8) -> Self {
        assert!(usize::from(chain_len) <= servers.len(), "checked with the network parameters");
        let mut rng = ChaCha20Rng::from_seed(Hasher::new("hippodrome v1 layout").digest(seed).finish().0);
        let mut deck = Deck { servers, cards: Vec::new() };
        let mut turns: BTreeMap<ServerId, Vec<u32>> =
            servers.iter().map(|&server| (server, vec![0; usize::from(chain_len)])).collect();
        let mut draw_chain = || {
            let mut members = Vec::with_capacity(usize::from(chain_len));
            (0..chain_len).for_each(|_| {
                let next = deck.deal(&members, &mut rng);
                members.push(next);
            });
            balance_positions(&mut members, &mut turns);
            members
        };
        let chains = (0..layers).map(|_| (0..chains).map(|_| draw_chain()).collect()).collect();
        Self { chains }
    }

    /// Members of a chain in order, if there is such a chain.
    pub fn members(&self, layer: Layer, chain: ChainId) -> Option<&[ServerId]> {
        self.chains.get(usize::from(layer.0))?.get(usize::from(chain.0)).map(Vec::as_slice)
    }

    /// The server at a position, if there is such a position.
    pub fn server_at(&self, turn: Turn) -> Option<ServerId> {
        self.members(turn.layer, turn.chain)?.get(usize::from(turn.position.0)).copied()
    }

    /// A server's position in a chain, if it is a member.
    pub fn position_of(&self, layer: Layer, chain: ChainId, server: ServerId) -> Option<Position> {
        let members = self.members(layer, chain)?;
        members.iter().position(|&member| member == server).map(|index| Position(index as u8))
    }

    /// Every turn of every chain, in order of layer, chain and position.
    pub fn turns(&self) -> impl Iterator<Item = (Turn, ServerId)> + '_ {
        self.chains.iter().enumerate().flat_map(|(layer, chains)| {
            chains.iter().enumerate().flat_map(move |(chain, members)| {
                members.iter().enumerate().map(move |(position, &server)| {
                    let turn = Turn {
                        layer: Layer(layer as u8),
                        chain: ChainId(chain as u16),
                        position: Position(position as u8),
                    };
                    (turn, server)
                })
            })
        })
    }

    /// The turns of one server.
    pub fn turns_of(&self, server: ServerId) -> impl Iterator<Item = Turn> + '_ {
        self.turns().filter(move |(_, member)| *member == server).map(|(turn, _)| turn)
    }
}

/// A deck of servers, shuffled anew when it runs out.
struct Deck<'a> {
    servers: &'a [ServerId],
    cards: Vec<ServerId>,
}

impl Deck<'_> {
    /// The next server that is not among `taken`; those passed over stay for the next chain.
    fn deal(&mut self, taken: &[ServerId], rng: &mut ChaCha20Rng) -> ServerId {
        if self.cards.iter().all(|card| taken.contains(card)) {
            let mut fresh = self.servers.to_vec();
            for last in (1..fresh.len()).rev() {
                fresh.swap(last, below(last as u32 + 1, rng) as usize);
            }
            self.cards.extend(fresh);
        }
        let next = self.cards.iter().position(|card| !taken.contains(card)).expect("a chain is shorter than a deck");
        self.cards.remove(next)
    }
}

/// Rotates a chain to where its members have been least, and counts the places that they get.
fn balance_positions(members: &mut [ServerId], turns: &mut BTreeMap<ServerId, Vec<u32>>) {
    let had = |server: ServerId, position: usize| turns.get(&server).map_or(0, |turns| turns[position]);
    let cost = |shift: usize| -> u32 {
        (0..members.len()).map(|position| had(members[(position + shift) % members.len()], position)).sum()
    };
    let best = (0..members.len()).min_by_key(|&shift| cost(shift)).unwrap_or(0);
    members.rotate_left(best);
    for (position, server) in members.iter().enumerate() {
        turns.entry(*server).and_modify(|turns| turns[position] += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(servers: u16) -> Vec<ServerId> {
        (0..servers).map(ServerId).collect()
    }

    fn seed(number: u64) -> Digest {
        Hasher::new("test seed").number(number).finish()
    }

    #[test]
    fn loads_are_equal_and_members_distinct() {
        for (number, (servers, layers, chains, len)) in
            [(6, 2, 3, 3), (3, 1, 1, 3), (7, 2, 5, 4), (100, 3, 100, 9), (1, 1, 1, 1), (5, 2, 7, 5)]
                .into_iter()
                .enumerate()
        {
            let layout = Layout::draw(&seed(number as u64), &ids(servers), layers, chains, len);
            let mut load = vec![0; usize::from(servers)];
            for (turn, server) in layout.turns() {
                load[usize::from(server.0)] += 1;
                assert_eq!(layout.position_of(turn.layer, turn.chain, server), Some(turn.position));
            }
            assert!(load.iter().max().expect("servers") - load.iter().min().expect("servers") <= 1, "{load:?}");
        }
    }

    #[test]
    fn every_set_of_servers_is_equally_likely_as_a_chain() {
        // 4 servers, chains of 3, the last of four chains: where the deck has run out in the middle of chains.
        let mut left_out = [0_u32; 4];
        for number in 0..4000 {
            let layout = Layout::draw(&seed(number), &ids(4), 1, 4, 3);
            let members = layout.members(Layer(0), ChainId(2)).expect("chain 2");
            (0..4).filter(|&id| !members.contains(&ServerId(id))).for_each(|id| left_out[usize::from(id)] += 1);
        }
        assert!(left_out.iter().all(|&count| (850..1150).contains(&count)), "{left_out:?}");
    }

    #[test]
    fn only_live_servers_are_drawn() {
        let live = [1, 4, 5, 900].map(ServerId);
        let layout = Layout::draw(&seed(3), &live, 2, 4, 3);
        let drawn: std::collections::BTreeSet<_> = layout.turns().map(|(_, server)| server).collect();
        assert!(drawn.into_iter().eq(live));
    }

    #[test]
    fn positions_are_spread() {
        let layout = Layout::draw(&seed(9), &ids(6), 2, 6, 3);
        for server in (0..6).map(ServerId) {
            let mut positions: Vec<_> = layout.turns_of(server).map(|turn| turn.position).collect();
            positions.dedup();
            assert!(positions.len() > 1, "{server} always stands at {positions:?}");
        }
    }
}
