//! Conditions on links, and when what is sent arrives.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

use crate::{preset::Link, seeds::Seed};

/// Bytes of a TCP segment on an Ethernet.
const SEGMENT: usize = 1448;
/// What a sender needs to notice a loss, besides a round trip.
const NOTICE: Duration = Duration::from_millis(10);

/// The links between all places. A place is a node or the clients.
#[derive(Clone, Debug)]
pub struct Links {
    /// The link where none of its own is named.
    pub usual: Link,
    /// Where each place is; the usual link for those that are nowhere.
    pub regions: BTreeMap<String, String>,
    /// One-way delays between regions, milliseconds, in place of the usual link's.
    pub delays_ms: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Links {
    /// The link from one place to another.
    pub fn between(&self, from: &str, to: &str) -> Link {
        let delay = || {
            let (from, to) = (self.regions.get(from)?, self.regions.get(to)?);
            let of = |a: &str, b: &str| self.delays_ms.get(a)?.get(b).copied();
            of(from, to).or_else(|| of(to, from))
        };
        delay().map_or(self.usual, |delay_ms| Link { delay_ms, ..self.usual })
    }
}

/// When what is sent in one direction of a connection arrives.
pub struct Schedule {
    link: Link,
    rng: ChaCha20Rng,
    /// When the line is free again.
    free: Instant,
    /// When what was sent last arrives.
    last: Instant,
}

impl Schedule {
    /// A line that is free from now on.
    pub fn new(link: Link, seed: &Seed, now: Instant) -> Self {
        Self { link, rng: seed.rng(), free: now, last: now }
    }

    /// When `len` bytes arrive whose last one is handed to the line `now`: never before anything that was sent earlier.
    pub fn arrival(&mut self, now: Instant, len: usize) -> Instant {
        let Link { delay_ms, jitter_ms, rate_mbit, .. } = self.link;
        let sending = if rate_mbit > 0.0 { len as f64 * 8.0 / (rate_mbit * 1e6) } else { 0.0 };
        self.free = self.free.max(now) + Duration::from_secs_f64(sending);
        let on_the_way = (delay_ms + jitter_ms * self.uniform()) / 1000.0;
        let arrival = self.free + Duration::from_secs_f64(on_the_way) + self.retransmission(len);
        self.last = self.last.max(arrival);
        self.last
    }

    /// What lost segments cost: those of one piece are sent again together.
    fn retransmission(&mut self, len: usize) -> Duration {
        let loss = self.link.loss;
        let is_lost = (0..len.div_ceil(SEGMENT)).fold(false, |lost, _| (self.uniform() < loss) | lost);
        match is_lost {
            true => NOTICE + Duration::from_secs_f64(2.0 * self.link.delay_ms / 1000.0),
            false => Duration::ZERO,
        }
    }

    fn uniform(&mut self) -> f64 {
        self.rng.next_u32() as f64 / 2_f64.powi(32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Seed {
        Seed::master(1)
    }

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn what_is_sent_arrives_after_its_delay_and_in_order() {
        let now = Instant::now();
        let link = Link { delay_ms: 30.0, jitter_ms: 20.0, ..Link::default() };
        let mut schedule = Schedule::new(link, &seed(), now);
        let arrivals: Vec<Instant> = (0..200).map(|step| schedule.arrival(now + ms(step), 100)).collect();
        assert!(arrivals.is_sorted());
        for (step, arrival) in (0..).zip(&arrivals) {
            assert!((ms(30)..=ms(51)).contains(&(*arrival - (now + ms(step)))) || step > 0, "{step}");
            assert!(*arrival >= now + ms(step) + ms(30));
        }
        assert!(arrivals[0] > now + ms(30), "there is jitter");
    }

    #[test]
    fn a_line_is_as_fast_as_its_rate() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Link { rate_mbit: 8.0, ..Link::default() }, &seed(), now);
        // A megabyte a second.
        let last = (0..100).map(|_| schedule.arrival(now, 10_000)).last().expect("some");
        assert!((ms(999)..=ms(1001)).contains(&(last - now)));
    }

    #[test]
    fn losses_cost_a_round_trip_each_about_as_often_as_the_link_says() {
        let now = Instant::now();
        let link = Link { delay_ms: 50.0, loss: 0.1, ..Link::default() };
        let mut schedule = Schedule::new(link, &seed(), now);
        let is_late = |step: u64| {
            // So far apart that none waits for the one before.
            let sent = now + ms(1000 * step);
            schedule.arrival(sent, SEGMENT) - sent > ms(100)
        };
        let late = (0..2000).map(is_late).filter(|late| *late).count();
        assert!((150..=250).contains(&late), "{late}");
    }

    #[test]
    fn a_seed_gives_the_same_arrivals() {
        let now = Instant::now();
        let arrivals = |seed: &Seed| {
            let link = Link { delay_ms: 5.0, jitter_ms: 5.0, rate_mbit: 10.0, loss: 0.1 };
            let mut schedule = Schedule::new(link, seed, now);
            (0..100).map(|step| schedule.arrival(now + ms(step), 5000) - now).collect::<Vec<_>>()
        };
        assert_eq!(arrivals(&seed()), arrivals(&seed()));
        assert_ne!(arrivals(&seed()), arrivals(&seed().of("other", 0)));
    }

    #[test]
    fn places_in_regions_have_the_delays_between_them() {
        let regions = [("server-0", "paris"), ("server-1", "tokyo"), ("server-2", "paris")];
        let regions = regions.map(|(place, region)| (place.to_owned(), region.to_owned())).into();
        let of_paris = [("paris".to_owned(), 1.0), ("tokyo".to_owned(), 110.0)].into();
        let usual = Link { delay_ms: 20.0, rate_mbit: 100.0, ..Link::default() };
        let links = Links { usual, regions, delays_ms: [("paris".to_owned(), of_paris)].into() };
        let delay = |from, to| links.between(from, to).delay_ms;
        assert_eq!([delay("server-0", "server-1"), delay("server-1", "server-0")], [110.0, 110.0]);
        assert_eq!([delay("server-0", "server-2"), delay("server-0", "clients")], [1.0, 20.0]);
        assert_eq!(links.between("server-0", "server-1").rate_mbit, 100.0);
    }
}
