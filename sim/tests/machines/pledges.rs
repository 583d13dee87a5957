//! Networks whose noise is pledged: rounds go on, and a pledge that does not hold, or does not come, costs its server.

use std::{cell::RefCell, num::NonZeroU32, sync::Arc};

use hippodrome_core::{
    descriptor::Descriptor,
    directory::Directory,
    epoch::EpochDraft,
    evidence::{Evidence, Offence},
    ids::{Author, Party, ServerId},
    message::{DescriptorProposal, DescriptorSignature, EpochStart, Keys, Message},
    noise::NoiseParams,
    params::NetworkParams,
    pledge::{NoisePledge, PledgeError},
    roster::Roster,
};
use hippodrome_crypto::signing::SigningKey;
use hippodrome_sim::{Behaviour, Network, Visitor, adversary::Informed, small_params};

const SERVERS: usize = 6;
const LIAR: ServerId = ServerId(2);

fn audited(one_in: u32) -> NetworkParams {
    let params = small_params();
    NetworkParams { noise: NoiseParams { audit: NonZeroU32::new(one_in), ..params.noise }, ..params }
}

fn network(params: NetworkParams) -> Network {
    let clients = [(); 2].map(|()| Box::new(Visitor) as Box<dyn Behaviour>);
    Network::new(params, SERVERS, clients.into(), 5)
}

/// Whether a server is to be struck, or was, in this epoch or one before it.
fn is_struck(network: &Network, server: ServerId) -> bool {
    let status = &network.coordinator().status().servers[usize::from(server.0)];
    status.struck.is_some() || status.strikes > 0
}

fn roster(directory: &Directory, start: &EpochStart) -> Arc<Roster> {
    let draft = EpochDraft::new(directory, start.plan.clone(), &start.shares).expect("a good plan");
    let epoch = draft.verify(directory, &start.signatures).expect("a quorum has signed");
    Arc::new(Roster::new(directory, Arc::new(epoch)))
}

#[test]
fn rounds_go_on_where_noise_is_pledged() {
    let mut network = network(audited(60));
    network.run(4, 60_000);
    assert_eq!((network.coordinator().status().rounds_failed, network.completed().len()), (0, 4));
    assert!(network.cases.is_empty() && network.coordinator().status().servers.iter().all(|it| it.struck.is_none()));
    let pledged =
        |message: &Message| matches!(message, Message::DescriptorProposal(all) if all.pledges.len() == SERVERS);
    assert!(network.delivered.iter().any(|(.., message)| pledged(message)));
}

#[test]
fn a_pledge_that_does_not_hold_convicts_its_server() {
    let mut network = network(audited(60));
    let (directory, key) =
        (Arc::clone(network.directory()), SigningKey::from_seed(&network.server_key(LIAR).expose_seed()));
    let honest: RefCell<Option<NoisePledge>> = RefCell::default();
    let seen = RefCell::new(None::<(Arc<Roster>, DescriptorProposal)>);
    let started = RefCell::new(None);
    let signed = move |proposal: &DescriptorProposal, roster: &Arc<Roster>| {
        let pledges = proposal.pledges.iter().map(NoisePledge::digest).collect();
        let descriptor = Descriptor::new(&directory, roster, proposal.round, &proposal.keys, pledges);
        descriptor.expect("the coordinator's").sign(&key)
    };
    let directory = Arc::clone(network.directory());
    network.set_adversary(Informed::of(&network, move |_, from, to, message| match message {
        Message::EpochStart(start) => {
            started.borrow_mut().get_or_insert_with(|| roster(&directory, start));
            vec![message.clone()]
        }
        Message::Keys(Keys { pledge: Some(pledge), .. }) if from == Party::Server(LIAR) => {
            *honest.borrow_mut() = Some(pledge.clone());
            let Message::Keys(mut keys) = message.clone() else { unreachable!("it is one") };
            // Somewhere in the proofs.
            keys.pledge.iter_mut().filter_map(|pledge| pledge.pledge.last_mut()).for_each(|byte| *byte ^= 1);
            vec![Message::Keys(keys)]
        }
        // The liar's machine sees the pledge that it has made, and the liar signs what everybody else sees.
        Message::DescriptorProposal(proposal) if to == Party::Server(LIAR) => {
            let mut shown = proposal.clone();
            let started = started.borrow();
            *seen.borrow_mut() = Some((Arc::clone(started.as_ref().expect("an epoch")), proposal.clone()));
            shown.pledges[usize::from(LIAR.0)] = honest.borrow().clone().expect("it was made");
            vec![Message::DescriptorProposal(shown)]
        }
        Message::DescriptorSignature(DescriptorSignature { round, .. }) if from == Party::Server(LIAR) => {
            let seen = seen.borrow();
            let (roster, proposal) = seen.as_ref().expect("it was proposed");
            vec![Message::DescriptorSignature(DescriptorSignature {
                round: *round,
                signature: signed(proposal, roster),
            })]
        }
        _ => vec![message.clone()],
    }));
    network.run(1, 30_000);
    let about = |case: &hippodrome_core::evidence::Case| matches!(*case.evidence, Evidence::BadPledge(_));
    let convicting: Vec<ServerId> =
        network.cases.iter().filter(|(_, case)| about(case)).map(|(server, _)| *server).collect();
    assert!((0..SERVERS as u16).map(ServerId).all(|id| id == LIAR || convicting.contains(&id)), "{convicting:?}");
    for (_, case) in network.cases.iter().filter(|(_, case)| about(case)) {
        let verdict = case.verify(network.directory()).expect("servers keep what convicts");
        assert_eq!(verdict.guilty().iter().collect::<Vec<_>>(), [&Author::Server(LIAR)]);
        assert!(matches!(verdict.offence(), Offence::BadPledge(PledgeError::Range { .. })), "{verdict}");
        // The same evidence about a server whose pledge holds shows nothing.
        let mut other = case.clone();
        if let Evidence::BadPledge(bad) = &*case.evidence {
            let bad = hippodrome_core::evidence::BadPledge { server: ServerId(1), ..(**bad).clone() };
            other.evidence = Arc::new(Evidence::BadPledge(Box::new(bad)));
        }
        assert!(other.verify(network.directory()).is_err());
        other = case.clone();
        other.pledges.swap(0, 1);
        assert!(other.verify(network.directory()).is_err(), "not the descriptor that was signed");
    }
    network.run_for(5_000);
    assert!(is_struck(&network, LIAR), "it is out");
}

#[test]
fn a_server_that_pledges_nothing_counts_as_silent() {
    let mut network = network(audited(60));
    network.set_adversary(Informed::of(&network, |_, from, _, message| match message {
        Message::Keys(keys) if from == Party::Server(LIAR) => {
            vec![Message::Keys(Keys { pledge: None, ..keys.clone() })]
        }
        _ => vec![message.clone()],
    }));
    network.run(3, 60_000);
    assert_eq!(network.completed().len(), 3, "the others go on without it");
    assert!(is_struck(&network, LIAR));
    assert!(network.cases.is_empty(), "silence is no evidence");
}
