//! What many rounds tell.

use crate::{
    counts::{Atoms, sum},
    error::{PrivacyError, invalid},
    grid::Grid,
    noise::Noise,
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
    spectrum::{UNIT, convolve, fast_length},
};

/// Longest sequence that is transformed: some 800 MB of memory.
const MOST_POINTS: u64 = 1 << 25;

/// Points for the losses of a round beyond which a grid gets coarser.
const MOST_OF_ROUND: f64 = (1 << 22) as f64;

/// Points for the losses of all rounds beyond which it does.
const MOST_OF_ALL: f64 = (1 << 23) as f64;

/// Spreads that the losses of all rounds take, about.
const WINDOW: f64 = 18.0;

/// Chance that is left out on each side of the composition, as a power of e: 2·10^-16.
const TAIL: f64 = -36.0;

/// Largest loss of randomized response.
const MOST_LOSS: f64 = 100.0;

/// Roundoff of the masses of a normal loss.
const GAUSSIAN_ERROR: f64 = 1e-13;

/// Largest μ of a Gaussian mechanism over all rounds.
const MOST_MU: f64 = 1000.0;

/// How fine the grid is. Every grid gives an upper bound; a finer one a tighter one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// δ comes out some 0.05 % too high: for searches.
    Coarse,
    /// δ comes out some 0.003 % too high.
    Fine,
}

impl Resolution {
    /// Steps for the spread of one round's loss, and for that of all.
    fn steps(self) -> (f64, f64) {
        match self {
            Self::Coarse => (50.0, 400.0),
            Self::Fine => (200.0, 8000.0),
        }
    }
}

/// What is seen of somebody, part by part: kinds of counts, each with its rounds. Parts compose.
#[derive(Clone, Debug, Default)]
pub struct Account {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    source: Source,
    rounds: u64,
}

#[derive(Clone, Debug)]
enum Source {
    /// Pairs each of which may be the one of any round.
    Pairs(Vec<Atoms>),
    /// A normal loss in each round, so a normal loss of all rounds.
    Gaussian { mu: f64 },
}

impl Account {
    /// Nothing is seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// A count that the noise of `servers` honest servers hides is seen in `rounds` rounds; the stories move it by up to
    /// `shift`, up in some rounds and down in others.
    pub fn with_count(
        self,
        noise: &Noise,
        servers: Servers,
        shift: Shift,
        rounds: Rounds,
    ) -> Result<Self, PrivacyError> {
        Ok(self.with(Source::Pairs(noise.sum(servers)?.shifted(shift)), rounds))
    }

    /// Each round has a normal loss of parameter `mu`: the difference of the means over the standard deviation.
    pub fn with_gaussian(self, mu: f64, rounds: Rounds) -> Result<Self, PrivacyError> {
        if !(mu > 0.0 && mu * (rounds.count() as f64).sqrt() <= MOST_MU) {
            return Err(invalid("mu", mu, "a number above 0; times the root of the rounds at most 1000"));
        }
        Ok(self.with(Source::Gaussian { mu }, rounds))
    }

    /// Each round has the loss `+loss` or `−loss`: the truth about one bit with odds of `e^loss`.
    pub fn with_randomized_response(self, loss: f64, rounds: Rounds) -> Result<Self, PrivacyError> {
        if !(loss > 0.0 && loss <= MOST_LOSS) {
            return Err(invalid("loss", loss, "a number above 0, at most 100"));
        }
        // As large as roundoff may have it.
        let roundoff = 8.0 * UNIT * (1.0 + loss);
        let truth = (1.0 + roundoff) / (1.0 + (-loss).exp());
        let atoms = vec![(roundoff - loss, truth * (-loss).exp()), (loss + roundoff, truth)];
        Ok(self.with(Source::Pairs(vec![Atoms::new(atoms, 0.0)]), rounds))
    }

    fn with(mut self, source: Source, rounds: Rounds) -> Self {
        self.parts.push(Part { source, rounds: rounds.count() });
        self
    }

    /// The same parts, all seen in `rounds` rounds: nothing, if there are none.
    pub(crate) fn over(&self, rounds: u64) -> Self {
        let seen = |part: &Part| Part { source: part.source.clone(), rounds };
        Self { parts: if rounds == 0 { Vec::new() } else { self.parts.iter().map(seen).collect() } }
    }

    /// What both see: their parts compose.
    pub fn and(mut self, other: &Self) -> Self {
        self.parts.extend_from_slice(&other.parts);
        self
    }

    /// What is seen if the stories move each count the same way in every round, one account for each way: less than what an
    /// adversary sees who may choose the way round by round, where noise leans to one side.
    pub fn one_way(&self) -> Vec<Self> {
        let ways = self.parts.iter().map(|part| part.source.ways()).max().unwrap_or(0);
        let of = |way| Self { parts: self.parts.iter().map(|part| part.one_way(way)).collect() };
        (0..ways).map(of).collect()
    }

    /// The chance that some round has an infinite loss.
    pub(crate) fn infinite(&self) -> f64 {
        -self.parts.iter().map(|part| part.rounds as f64 * (-part.source.infinite()).ln_1p()).sum::<f64>().exp_m1()
    }

    /// Composes all rounds of all parts.
    ///
    /// # Errors
    /// [`PrivacyError::TooLarge`] beyond some 10^11 rounds, or where single losses are far larger than usual ones.
    pub fn compose(&self, resolution: Resolution) -> Result<Composed, PrivacyError> {
        if self.parts.is_empty() {
            return Err(invalid("account", "empty", "at least one part"));
        }
        let step = self.step(resolution)?;
        let parts = self.parts.iter().map(|part| part.on_grid(step)).collect::<Result<Vec<_>, _>>()?;
        Composed::new(step, &parts)
    }

    /// The step of the grid: as fine as is asked for, or as memory allows, but never coarser than what one round's losses
    /// are like.
    fn step(&self, resolution: Resolution) -> Result<f64, PrivacyError> {
        let times: f64 = self.parts.iter().map(|part| part.times() as f64).sum();
        let squares = self.parts.iter().map(|part| part.times() as f64 * part.mean_square());
        // Distributions whose losses are all 0, or that show the truth at once, get any grid.
        let of_all = sum(squares).sqrt().max(1e-9);
        let of_round = of_all / times.sqrt();
        let range = self.parts.iter().map(Part::range).fold(0.0, f64::max);
        let (per_round, per_all) = resolution.steps();
        let wanted = (of_round / per_round).min(of_all / per_all);
        let held = (range / MOST_OF_ROUND).max(WINDOW * of_all / MOST_OF_ALL);
        match held <= of_round {
            true => Ok(wanted.max(held)),
            false => Err(too_large("a grid as fine as the losses of a round", held / of_round * MOST_OF_ALL)),
        }
    }
}

/// A part on the grid.
struct Gridded {
    grid: Grid,
    /// μ of a normal loss.
    normal: Option<f64>,
    times: u64,
    /// Bound on the roundoff of making it, as far as its masses do not include it.
    error: f64,
}

impl Source {
    /// How many ways a round can go.
    fn ways(&self) -> usize {
        match self {
            Self::Pairs(pairs) => pairs.len(),
            Self::Gaussian { .. } => 1,
        }
    }

    /// The chance of an infinite loss in a round.
    fn infinite(&self) -> f64 {
        match self {
            Self::Pairs(pairs) => pairs.iter().map(|pair| pair.infinite).fold(0.0, f64::max),
            Self::Gaussian { .. } => 0.0,
        }
    }
}

impl Part {
    /// The part if every round goes the way of this number, or the last way there is.
    fn one_way(&self, way: usize) -> Self {
        let source = match &self.source {
            Source::Pairs(pairs) => Source::Pairs(vec![pairs[way.min(pairs.len() - 1)].clone()]),
            gaussian => gaussian.clone(),
        };
        Self { source, rounds: self.rounds }
    }

    /// How often the distribution on the grid is composed with itself.
    fn times(&self) -> u64 {
        match self.source {
            Source::Pairs(_) => self.rounds,
            Source::Gaussian { .. } => 1,
        }
    }

    /// μ of all rounds together.
    fn total(&self, mu: f64) -> f64 {
        mu * (self.rounds as f64).sqrt()
    }

    /// Mean square of the loss on the grid.
    fn mean_square(&self) -> f64 {
        match &self.source {
            Source::Pairs(pairs) => pairs.iter().map(Atoms::mean_square).fold(0.0, f64::max),
            Source::Gaussian { mu } => self.total(*mu).powi(2) + self.total(*mu).powi(4) / 4.0,
        }
    }

    /// How far the losses on the grid reach.
    fn range(&self) -> f64 {
        match &self.source {
            Source::Gaussian { mu } => 20.0 * self.total(*mu),
            Source::Pairs(pairs) => {
                let ends = pairs.iter().filter_map(|pair| Some((pair.finite.first()?.0, pair.finite.last()?.0)));
                let hull = |(low, high): (f64, f64), (first, last)| (low.min(first), high.max(last));
                let (low, high) = ends.fold((0.0, 0.0), hull);
                high - low
            }
        }
    }

    fn on_grid(&self, step: f64) -> Result<Gridded, PrivacyError> {
        check_points("the losses of a round", self.range() / step)?;
        let (grid, error, normal) = match &self.source {
            Source::Gaussian { mu } => {
                let mu = self.total(*mu);
                (Grid::gaussian(step, mu), GAUSSIAN_ERROR, Some(mu))
            }
            Source::Pairs(pairs) => {
                let (grid, error) = dominating(pairs.iter().map(|pair| Grid::new(step, pair)));
                (grid, error, None)
            }
        };
        Ok(Gridded { grid, normal, times: self.times(), error })
    }
}

impl Gridded {
    /// At least `ln Σ P(l)·e^(tl)` of the finite losses of a round.
    fn ln_moment(&self, t: f64) -> f64 {
        match self.normal {
            // The grid moves no loss by more than a step.
            Some(mu) => t * (t + 1.0) * mu * mu / 2.0 + t.abs() * self.grid.step,
            None => sum(self.grid.atoms().map(|(loss, mass)| mass * (t * loss).exp())).ln(),
        }
    }
}

/// A pair that dominates all of at least one, and a bound on the roundoff.
fn dominating(mut grids: impl Iterator<Item = Grid>) -> (Grid, f64) {
    let first = grids.next().expect("a shift has at least one direction");
    grids.fold((first, 0.0), |(grid, roundoff), other| {
        let (grid, more) = grid.dominating(&other);
        (grid, roundoff + more)
    })
}

fn check_points(what: &'static str, points: f64) -> Result<(), PrivacyError> {
    if points <= MOST_POINTS as f64 { Ok(()) } else { Err(too_large(what, points)) }
}

fn too_large(what: &'static str, points: f64) -> PrivacyError {
    PrivacyError::TooLarge { what, needed: points as u64, most: MOST_POINTS }
}

/// The loss of all rounds: answers δ for ε and ε for δ, each an upper bound with every error added.
#[derive(Clone, Debug)]
pub struct Composed {
    step: f64,
    /// The least loss, in steps.
    first: i64,
    mass: Vec<f64>,
    /// Chance of an infinite loss in some round.
    infinite: f64,
    /// Roundoff of curves and normal densities; that of masses and losses is in them.
    arithmetic: f64,
    /// Tails that were left out, and roundoff of the transforms.
    transform: f64,
    moments: Moments,
}

/// `ln Σ P(l)·e^(tl)` of all rounds' finite losses, for several t.
#[derive(Clone, Debug)]
struct Moments(Vec<(f64, f64)>);

impl Moments {
    /// For t from 1/8 to 64 standard deviations on both sides, and for some near 1, which bound losses that are rare and far
    /// larger than usual; those that overflow are left out.
    fn new(parts: &[Gridded], deviation: f64) -> Self {
        let usual = (0..=18).map(|i| 0.125 * 2_f64.powf(f64::from(i) / 2.0) / deviation);
        let sizes = usual.chain([0.5, 1.0, 2.0]);
        let each = |t: f64| (t, parts.iter().map(|part| part.times as f64 * part.ln_moment(t)).sum::<f64>());
        Self(sizes.flat_map(|t| [each(-t), each(t)]).filter(|(_, log)| log.is_finite()).collect())
    }

    /// Losses beyond which, on either side, lies less than the tail (Chernoff).
    fn window(&self) -> (f64, f64) {
        let reach = |(t, log): &(f64, f64)| (log - TAIL) / t;
        let up = self.0.iter().filter(|(t, _)| *t > 0.0).map(reach).fold(f64::INFINITY, f64::min);
        let down = self.0.iter().filter(|(t, _)| *t < 0.0).map(reach).fold(f64::NEG_INFINITY, f64::max);
        (down, up)
    }

    /// Bounds `(ln c, t, log)` on δ less the infinite part: `c·exp(log − t·ε)`, where c is the most that
    /// `(1 − e^(−z))·e^(−tz)` reaches. This is Rényi divergence of order 1 + t with its best conversion.
    fn bounds(&self) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
        let of = |&(t, log): &(f64, f64)| (t * (t / (1.0 + t)).ln() - t.ln_1p(), t, log);
        self.0.iter().filter(|(t, _)| *t > 0.0).map(of)
    }
}

impl Composed {
    fn new(step: f64, parts: &[Gridded]) -> Result<Self, PrivacyError> {
        let variance = sum(parts.iter().map(|part| part.times as f64 * part.grid.variance()));
        let moments = Moments::new(parts, variance.sqrt().max(step));
        let ends =
            |end: fn(&Grid) -> i64| parts.iter().map(|part| part.times as f64 * end(&part.grid) as f64).sum::<f64>();
        let (low, high) = moments.window();
        let low = (low / step).floor().max(ends(|grid| grid.first));
        let high = (high / step).ceil().min(ends(|grid| grid.first + grid.mass.len() as i64 - 1));
        check_points("the composition", high - low + 1.0)?;
        let first = low as i64;
        let length = fast_length((high - low + 1.0) as usize);
        let convolution = convolve(parts.iter().map(|part| (fold(&part.grid, length), part.times)).collect());
        let mut mass = convolution.values;
        // Index 0 holds what has as many steps as all firsts together, modulo the length.
        let base: i128 = parts.iter().map(|part| i128::from(part.grid.first) * i128::from(part.times)).sum();
        mass.rotate_left((i128::from(first) - base).rem_euclid(length as i128) as usize);
        let remaining: f64 = parts.iter().map(|part| part.times as f64 * (-part.grid.infinite).ln_1p()).sum();
        let arithmetic = parts.iter().map(|part| part.times as f64 * part.error).sum();
        let transform = convolution.total_error + 2.0 * TAIL.exp();
        Ok(Self { step, first, mass, infinite: -remaining.exp_m1(), arithmetic, transform, moments })
    }

    /// The bound on numerical errors that every δ includes: of transforms, tails and curves. Masses and losses of single
    /// rounds include their own.
    pub fn slack(&self) -> f64 {
        self.arithmetic + self.transform
    }

    /// The chance that some round has an infinite loss: no ε has a smaller δ.
    pub fn infinite(&self) -> Delta {
        Delta::bound(self.infinite)
    }

    /// δ for an ε: an upper bound.
    pub fn delta(&self, epsilon: Epsilon) -> Delta {
        let tight = self.tight(epsilon.value()) + self.slack();
        Delta::bound(tight.min(self.renyi_delta(epsilon).value()))
    }

    /// δ for an ε by Rényi divergences alone: looser where both are accurate, and better where δ is below what transforms
    /// can resolve.
    pub fn renyi_delta(&self, epsilon: Epsilon) -> Delta {
        let bounds = self.moments.bounds().map(|(ln_c, t, log)| (ln_c + log - t * epsilon.value()).exp());
        Delta::bound(self.infinite + self.arithmetic + bounds.fold(1.0, f64::min))
    }

    fn tight(&self, epsilon: f64) -> f64 {
        let above = (epsilon / self.step).floor() as i64 + 1 - self.first;
        let above = above.clamp(0, self.mass.len() as i64) as usize;
        let losses = (self.first + above as i64..).map(|place| place as f64 * self.step);
        let terms = losses.zip(&self.mass[above..]).map(|(loss, mass)| mass * -(epsilon - loss).exp_m1().min(0.0));
        self.infinite + sum(terms)
    }

    /// The least ε for a δ: an upper bound.
    ///
    /// # Errors
    /// [`PrivacyError::Unreachable`] if no finite ε is enough.
    pub fn epsilon(&self, delta: Delta) -> Result<Epsilon, PrivacyError> {
        let goal = delta.value();
        let tight = self.tight_epsilon(goal - self.slack());
        let room = goal - self.infinite - self.arithmetic;
        let by_moments = self.moments.bounds().map(|(ln_c, t, log)| (ln_c + log - room.ln()) / t);
        let by_moments = if room > 0.0 { by_moments.fold(f64::INFINITY, f64::min) } else { f64::INFINITY };
        let least = tight.unwrap_or(f64::INFINITY).min(by_moments);
        let unreachable =
            || PrivacyError::Unreachable { goal: delta, least: Delta::bound(self.infinite + self.slack()) };
        Epsilon::new(least.max(0.0)).map_err(|_| unreachable())
    }

    /// Where the curve comes down to the goal. From the top, by sums of positive terms; between grid points it is linear
    /// in e^ε.
    fn tight_epsilon(&self, goal: f64) -> Option<f64> {
        if self.infinite > goal {
            return None;
        }
        let (fall, growth) = ((-self.step).exp(), self.step.exp_m1());
        let (mut delta, mut slope) = (self.infinite, 0.0);
        for (index, mass) in self.mass.iter().enumerate().rev() {
            slope = fall * (slope + mass);
            let below = delta + growth * slope;
            let place = self.first + index as i64 - 1;
            if below > goal {
                let times = self.step.exp() - (goal - delta) / slope;
                return Some(place as f64 * self.step + times.ln());
            }
            if place <= 0 {
                return Some(0.0);
            }
            delta = below;
        }
        // Below the window the curve goes on with the same mass of Q.
        Some(self.first as f64 * self.step)
    }
}

/// A grid modulo the length of the transform.
fn fold(grid: &Grid, length: usize) -> Vec<f64> {
    let mut folded = vec![0.0; length];
    grid.mass.iter().enumerate().for_each(|(index, mass)| folded[index % length] += mass);
    folded
}
