//! Rounds as servers make them, and what is seen of them.

use rand_chacha::ChaCha20Rng;

use super::{Setting, below, mechanism::Sampler, shuffle};
use crate::{error::PrivacyError, links::Layers};

/// Numbers of records from each chain of a layer to each of the next.
#[derive(Clone, Debug)]
pub(super) struct Links {
    chains: usize,
    records: Vec<u32>,
}

impl Links {
    fn new(chains: usize) -> Self {
        Self { chains, records: vec![0; chains * chains] }
    }

    fn add(&mut self, from: usize, to: usize) {
        self.records[from * self.chains + to] += 1;
    }

    /// Records from one chain to each.
    pub(super) fn row(&self, from: usize) -> &[u32] {
        &self.records[from * self.chains..(from + 1) * self.chains]
    }
}

/// What the adversary sees of a round, all that it knows itself taken off.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Mailboxes with one and with two accesses on each output chain.
    pub(super) once: Vec<u32>,
    pub(super) twice: Vec<u32>,
    /// From input chains, to output chains or to middle ones.
    pub(super) first: Option<Links>,
    /// From middle chains to output chains.
    pub(super) second: Option<Links>,
}

impl Seen {
    /// Mailboxes with two accesses.
    pub(super) fn shared(&self) -> u32 {
        self.twice.iter().sum()
    }

    fn record(&mut self, input: usize, output: usize, rng: &mut ChaCha20Rng) {
        let Some(first) = &mut self.first else { return };
        match &mut self.second {
            Some(second) => {
                let middle = below(first.chains as u32, rng) as usize;
                first.add(input, middle);
                second.add(middle, output);
            }
            None => first.add(input, output),
        }
    }
}

/// Somebody who is not known to the adversary to be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// Its input chain.
    pub(super) input: usize,
}

/// Makes rounds.
pub(super) struct Simulator<'a> {
    setting: &'a Setting,
    sampler: Sampler,
}

impl<'a> Simulator<'a> {
    pub(super) fn new(setting: &'a Setting) -> Result<Self, PrivacyError> {
        Ok(Self { setting, sampler: Sampler::new(&setting.noise)? })
    }

    /// Somebody on an input chain that is as likely as any.
    pub(super) fn person(&self, rng: &mut ChaCha20Rng) -> Person {
        Person { input: below(self.setting.chains, rng) as usize }
    }

    /// How many slots of noise are shared in a round.
    pub(super) fn noise(&self, rng: &mut ChaCha20Rng) -> u32 {
        (0..self.setting.servers.count()).map(|_| self.sampler.draw(rng)).sum()
    }

    /// A round in which the first person talks with the one of this number, in all slots, or with nobody; the others
    /// are idle.
    pub(super) fn round(&self, people: &[Person], partner: Option<usize>, rng: &mut ChaCha20Rng) -> Seen {
        let chains = self.setting.chains as usize;
        let links = || self.setting.has_links().then(|| Links::new(chains));
        let second = if self.setting.layers == Layers::Three { links() } else { None };
        let mut seen = Seen { once: vec![0; chains], twice: vec![0; chains], first: links(), second };
        let mut records = Vec::new();
        (0..self.setting.servers.count()).for_each(|_| self.serve(&mut seen, &mut records, rng));
        for _ in 0..self.setting.shift.by() {
            self.access(&mut seen, people, partner, rng);
        }
        seen
    }

    /// Noise of one server: mailboxes on chains of their own, records dealt by one permutation.
    fn serve(&self, seen: &mut Seen, records: &mut Vec<usize>, rng: &mut ChaCha20Rng) {
        let slots = self.setting.noise.slots();
        let shared = self.sampler.draw(rng);
        records.clear();
        for slot in 0..slots {
            if slot < shared {
                let output = self.mailbox(&mut seen.twice, rng);
                records.extend([output, output]);
            } else {
                records.extend([self.mailbox(&mut seen.once, rng), self.mailbox(&mut seen.once, rng)]);
            }
        }
        if seen.first.is_some() {
            shuffle(records, rng);
            let per_chain = records.len() / self.setting.chains as usize;
            records.iter().enumerate().for_each(|(place, output)| seen.record(place / per_chain, *output, rng));
        }
    }

    /// One slot of everybody.
    fn access(&self, seen: &mut Seen, people: &[Person], partner: Option<usize>, rng: &mut ChaCha20Rng) {
        for (number, person) in people.iter().enumerate() {
            match partner {
                Some(partner) if number == partner => {}
                Some(partner) if number == 0 => {
                    let output = self.mailbox(&mut seen.twice, rng);
                    [*person, people[partner]].iter().for_each(|one| seen.record(one.input, output, rng));
                }
                _ => {
                    let output = self.mailbox(&mut seen.once, rng);
                    seen.record(person.input, output, rng);
                }
            }
        }
    }

    /// A fresh mailbox, counted on its chain.
    fn mailbox(&self, counts: &mut [u32], rng: &mut ChaCha20Rng) -> usize {
        let output = if counts.len() == 1 { 0 } else { below(counts.len() as u32, rng) as usize };
        counts[output] += 1;
        output
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::{
        attack::Mechanism,
        plan::Shape,
        quantity::{Servers, Shift},
    };

    fn setting(layers: Layers, chains: u32) -> Setting {
        let noise = Mechanism::Urn { slots: 30, shape: Shape { numerator: 1, denominator: 1 } };
        let (servers, shift) = (Servers::new(2).expect("some"), Shift::new(3).expect("some"));
        Setting::new(servers, layers, chains, shift, noise).expect("possible")
    }

    #[test]
    fn every_record_is_counted_once_in_every_layer() {
        for (layers, chains) in [(Layers::One, 1), (Layers::Two, 4), (Layers::Three, 5)] {
            let setting = setting(layers, chains);
            let simulator = Simulator::new(&setting).expect("possible");
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let people: Vec<Person> = (0..3).map(|_| simulator.person(&mut rng)).collect();
            for partner in [None, Some(2)] {
                let seen = simulator.round(&people, partner, &mut rng);
                let records = 2 * 2 * setting.noise().slots() + 3 * 3;
                let accessed: u32 = seen.once.iter().zip(&seen.twice).map(|(once, twice)| once + 2 * twice).sum();
                assert_eq!(accessed, records);
                let links: Vec<&Links> = [&seen.first, &seen.second].into_iter().flatten().collect();
                assert_eq!(links.len(), usize::from(u8::from(layers)) - 1);
                links.iter().for_each(|links| assert_eq!(links.records.iter().sum::<u32>(), records));
            }
        }
    }

    #[test]
    fn servers_fill_input_chains_equally_and_talk_is_one_shared_mailbox_a_slot() {
        let setting = setting(Layers::Two, 4);
        let simulator = Simulator::new(&setting).expect("possible");
        let people = [Person { input: 0 }, Person { input: 3 }];
        let seen = simulator.round(&people, None, &mut ChaCha20Rng::seed_from_u64(2));
        let talking = simulator.round(&people, Some(1), &mut ChaCha20Rng::seed_from_u64(2));
        let links = seen.first.as_ref().expect("links");
        let rows: Vec<u32> = (0..4).map(|chain| links.row(chain).iter().sum()).collect();
        assert_eq!(rows, [33, 30, 30, 33], "thirty of noise, and three of each person");
        assert_eq!(talking.shared(), seen.shared() + 3, "the same noise");
        let once = |seen: &Seen| seen.once.iter().sum::<u32>();
        assert_eq!(once(&talking) + 6, once(&seen));
    }
}
