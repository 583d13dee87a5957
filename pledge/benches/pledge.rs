//! What a pledge costs its maker, its verifiers and an audit, on one thread.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hippodrome_crypto::hash::Digest;
use hippodrome_pledge::{Context, Counts, NoiseSeed, Pledge, Terms, verify_all};
use rayon::ThreadPoolBuilder;

/// Slots of each server: their records fit into 16 bits.
const SLOTS: u32 = 3_000;

/// Servers of the smallest network.
const SERVERS: u16 = 6;

fn terms(server: u16, chains: u16) -> Terms {
    let context = Context { network: Digest([1; 32]), epoch: 2, round: 3, server };
    Terms::new(context, &(0..chains).collect::<Vec<_>>(), SLOTS).expect("within limits")
}

/// All slots but one are lone.
fn counts(chains: u16) -> Counts {
    let (mut shared, mut lone) = (vec![0; chains.into()], vec![0; chains.into()]);
    shared[0] = 1;
    (0..2 * SLOTS as usize - 2).for_each(|record| lone[record % usize::from(chains)] += 1);
    Counts { shared, lone }
}

fn pledge(terms: &Terms, chains: u16) -> Pledge {
    Pledge::make(terms, &NoiseSeed::from_bytes([4; 32]), &counts(chains)).expect("counts of some noise")
}

fn one_server(criterion: &mut Criterion) {
    for chains in [3, 10, 100] {
        let (terms, seed, counts) = (terms(0, chains), NoiseSeed::from_bytes([4; 32]), counts(chains));
        let made = pledge(&terms, chains);
        let verified = made.clone().verify(&terms).expect("honest");
        println!("{chains} chains: {} bytes", Pledge::encoded_len(&terms));
        let mut group = criterion.benchmark_group("pledge");
        group.sample_size(20);
        let name = |what| BenchmarkId::new(what, chains);
        group.bench_function(name("make"), |bencher| bencher.iter(|| Pledge::make(&terms, &seed, &counts)));
        group.bench_function(name("verify"), |bencher| bencher.iter(|| made.clone().verify(&terms)));
        group.bench_function(name("opens"), |bencher| bencher.iter(|| verified.opens(&seed, &counts)));
        group.finish();
    }
}

fn whole_network(criterion: &mut Criterion) {
    let pledges: Vec<_> = (0..SERVERS).map(|server| terms(server, 3)).map(|terms| (terms, pledge(&terms, 3))).collect();
    criterion.bench_function("verify_all of 6 servers, 3 chains", |bencher| {
        bencher.iter(|| verify_all(pledges.clone()));
    });
}

fn on_one_thread(criterion: &mut Criterion) {
    ThreadPoolBuilder::new().num_threads(1).build_global().expect("no pool is there yet");
    one_server(criterion);
    whole_network(criterion);
}

criterion_group!(benches, on_one_thread);
criterion_main!(benches);
