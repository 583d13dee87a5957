//! What servers may have others keep of traces.

use super::*;
use crate::mixer::blame::tests::{Onion, World, intact, place};

#[test]
fn steps_for_accusations_that_nobody_has_made_take_little_room() {
    let world = World::with_noise(0);
    let chain = world.run(Onion::WrongTag(2), intact);
    let at = place(0, 1);
    let (context, from) = (world.context_of(world.server(place(0, 0))), world.server(at));
    let mut traces = Traces::default();
    let mut flood = |number: u8, records: usize| {
        let mut step = world.honest_step(&chain, 1);
        step.accusation = Digest([number; 32]);
        let record = step.shown.records[0].clone();
        step.shown.records = vec![record; records];
        if traces.has_room(&context, from, &step) {
            traces.steps.insert((at, step.accusation), Arc::new(step));
        }
        traces.steps.values().map(|step| step.len_bytes()).sum::<usize>()
    };
    assert!(flood(0, 1) > 0);
    let kept = (1..=100).map(|number| flood(number, 2000)).max().expect("some");
    assert!(kept <= MAX_EARLY_LEN && traces.steps.len() <= most_traces(&context), "{kept}");
}
