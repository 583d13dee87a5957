//! What a coordinator may say of epochs, amendments and rounds, and must get nowhere with.

use hippodrome_core::{
    ids::{Party, Round, ServerId},
    message::{Amendment, AmendmentProposal, AmendmentStart, EpochPlan, EpochStart, Ground, Message, SeedCall, Strike},
    params::NetworkParams,
    roster::Roster,
};

use super::cheat::{Scene, Trick};

/// Epochs of this number and beyond are nobody's but the cheat's.
const FALSE_EPOCHS: u64 = 1_000;
/// Amendments of this number and beyond are nobody's but the cheat's.
const FALSE_AMENDMENTS: u32 = 60_000;
/// A server that no network of the simulation has.
const NOBODY: ServerId = ServerId(999);

/// With every announcement, calls for epochs that no server may commit to, and one that nobody has signed: too few
/// live servers, as after an eviction; a stranger among them; a key twice; a round far ahead of every clock; rounds off
/// the grid; an epoch that has been.
pub(super) fn false_epochs() -> Trick {
    Box::new(|scene, message| {
        match message {
            Message::SeedCommitment(said) if said.epoch >= FALSE_EPOCHS => {
                scene.broken.push(format!("{} commits to an epoch that may not be", scene.from));
            }
            Message::Announcement(_) => {
                let (latest, roster) = scene.known.latest()?;
                let plans = impossible_plans(&scene.known.params, roster, latest);
                let calls = plans.into_iter().map(|plan| Message::SeedCall(SeedCall { plan }));
                let said: Vec<Message> = calls.chain([unsigned_epoch(roster, latest)]).collect();
                return Some(after(scene, message, said));
            }
            _ => {}
        }
        None
    })
}

/// The cheat's words on their way before the right one.
fn after(scene: &mut Scene<'_>, message: &Message, said: Vec<Message>) -> Vec<Message> {
    let to = scene.to;
    scene.besides.extend(said.into_iter().map(|message| (Party::Coordinator, to, message)));
    vec![message.clone()]
}

/// A plan that could be, for an epoch that begins soon.
fn next_plan(roster: &Roster, latest: Round) -> EpochPlan {
    let first_round = Round(latest.0 + 8);
    let start_ms = roster.epoch().window_start_ms(first_round);
    EpochPlan { number: FALSE_EPOCHS, first_round, start_ms, ..roster.epoch().plan().clone() }
}

fn impossible_plans(params: &NetworkParams, roster: &Roster, latest: Round) -> Vec<EpochPlan> {
    let next = next_plan(roster, latest);
    let far = Round(1 << 36);
    let changes: [&dyn Fn(&mut EpochPlan); 6] = [
        &|plan| plan.live.truncate(usize::from(params.min_live) - 1),
        &|plan| plan.live.push(NOBODY),
        &|plan| plan.registry.extend(plan.registry.first().cloned()),
        &|plan| (plan.first_round, plan.start_ms) = (far, roster.epoch().window_start_ms(far)),
        &|plan| plan.start_ms = u64::MAX,
        &|plan| plan.standings.truncate(1),
    ];
    let mut plans: Vec<EpochPlan> = Vec::new();
    for (number, change) in (FALSE_EPOCHS..).zip(changes) {
        let mut plan = EpochPlan { number, ..next.clone() };
        change(&mut plan);
        plans.push(plan);
    }
    let was = EpochPlan { number: roster.epoch().plan().number, ..next };
    plans.push(was);
    plans
}

fn unsigned_epoch(roster: &Roster, latest: Round) -> Message {
    let plan = next_plan(roster, latest);
    let shares = vec![[7; 32]; plan.live.len()];
    Message::EpochStart(EpochStart { plan, shares, signatures: Vec::new() })
}

/// With every announcement, amendments that no server may sign, and one with too few signatures: they strike too many,
/// a stranger, nobody, the same twice, or are of another epoch.
pub(super) fn false_amendments() -> Trick {
    Box::new(|scene, message| {
        match message {
            Message::AmendmentSignature(said) if said.roster.amendment >= FALSE_AMENDMENTS => {
                scene.broken.push(format!("{} signs an amendment that may not be", scene.from));
            }
            Message::Announcement(_) => {
                let (_, roster) = scene.known.latest()?;
                let amendments = impossible_amendments(&scene.known.params, roster);
                let proposals =
                    amendments.into_iter().map(|amendment| Message::AmendmentProposal(AmendmentProposal { amendment }));
                let said = proposals.chain([too_few_signatures(scene, roster)]).collect();
                return Some(after(scene, message, said));
            }
            _ => {}
        }
        None
    })
}

fn strikes(servers: &[ServerId]) -> Vec<Strike> {
    servers.iter().map(|&server| Strike { server, ground: Ground::Silent }).collect()
}

fn impossible_amendments(params: &NetworkParams, roster: &Roster) -> Vec<Amendment> {
    let live = &roster.epoch().plan().live;
    let too_many = live.len() + 1 - usize::from(params.min_live);
    let amendment =
        |struck: &[ServerId]| Amendment { epoch: roster.id().epoch, number: FALSE_AMENDMENTS, struck: strikes(struck) };
    vec![
        amendment(&live[..too_many]),
        amendment(&[live[0], NOBODY]),
        amendment(&[]),
        amendment(&[live[0], live[0]]),
        amendment(&[live[1], live[0]]),
        Amendment { epoch: roster.id().epoch + 1, ..amendment(&live[..1]) },
        Amendment { number: 1 << 20, ..amendment(&live[..1]) },
    ]
}

/// The amendment strikes one server, and the cheat has signed it again and again.
fn too_few_signatures(scene: &Scene<'_>, roster: &Roster) -> Message {
    let victim = roster.active().iter().copied().find(|server| *server != scene.me).unwrap_or(NOBODY);
    let amendment = Amendment { epoch: roster.id().epoch, number: FALSE_AMENDMENTS, struck: strikes(&[victim]) };
    let signature = amendment.sign(roster.epoch(), scene.known.key(scene.me));
    let signatures = vec![(scene.me, signature); usize::from(scene.known.servers())];
    Message::AmendmentStart(AmendmentStart { amendment, signatures })
}

/// One server is not told that the round begins.
pub(super) fn withheld_announcement() -> Trick {
    Box::new(|scene, message| match message {
        Message::Announcement(_) if scene.to == Party::Server(scene.me) => Some(Vec::new()),
        _ => None,
    })
}
