//! Two people on a real network: servers, coordinator and clients over TLS on loopback.

use crate::common::{Network, PATIENCE, Running, params};
use hippodrome_client::{
    person::{LineKind, Person, PersonEvent, TextState},
    swarm::Swarm,
    uplink::Uplink,
};
use hippodrome_crypto::signing::SigningKey;
use hippodrome_store::key_file::ClientKeys;
use tokio::time::timeout;

/// Longer than two frames.
fn long(text: &str) -> String {
    format!("{text}: {}", "all work and no play ".repeat(30))
}

fn own(person: &Person) -> Vec<(String, TextState)> {
    let history = person.history().expect("readable");
    let own = |kind| if let LineKind::Own { state, .. } = kind { Some(state) } else { None };
    history.into_iter().filter_map(|line| Some((line.text, own(line.kind)?))).collect()
}

fn theirs(person: &Person) -> Vec<(u64, String)> {
    let history = person.history().expect("readable");
    let seq = |kind| if let LineKind::Theirs { seq } = kind { Some(seq) } else { None };
    history.into_iter().filter_map(|line| Some((seq(line.kind)?, line.text))).collect()
}

fn numbered(texts: &[String]) -> Vec<(u64, String)> {
    (0..).zip(texts.iter().cloned()).collect()
}

async fn received(who: &mut Running, last: &str) {
    let is_last = |event| matches!(event, PersonEvent::Received { text, .. } if text == last).then_some(());
    who.wait("a text", is_last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_talk_and_one_is_killed_again_and_again() {
    let root = tempfile::tempdir().expect("a directory");
    let people = ["alice", "bob"].map(|name| root.path().join("people").join(name));
    let seats: Vec<_> =
        people.iter().zip(["alice", "bob"]).map(|(path, name)| Person::prepare(path, name).expect("made")).collect();
    let [alice_path, bob_path] = people;
    let mut network = Network::found(params(), &seats, root);
    let address = network.start_coordinator().await;
    let directory = network.directory.clone();

    let mut alice = Running::start(alice_path, &directory, &address);
    alice.wait("the servers", |event| matches!(event, PersonEvent::Waiting { servers: 3, .. }).then_some(())).await;
    network.start_servers(&address);
    let mut bob = Running::start(bob_path.clone(), &directory, &address);
    alice.wait("an epoch", |event| matches!(event, PersonEvent::Joined { .. }).then_some(())).await;

    let code = alice.person.invite().expect("there is an epoch");
    bob.person.accept(code.reveal()).expect("a good code");
    let safety = |event| if let PersonEvent::Established { safety } = event { Some(safety) } else { None };
    assert_eq!(alice.wait("keys", safety).await, bob.wait("keys", safety).await);

    let mut from_alice = vec![long("first from Alice")];
    let mut from_bob = vec![long("first from Bob")];
    alice.person.say(&from_alice[0]).expect("queued");
    bob.person.say(&from_bob[0]).expect("queued");
    received(&mut bob, &from_alice[0]).await;
    received(&mut alice, &from_bob[0]).await;

    for attempt in 0..3 {
        from_alice.push(long(&format!("to Bob, who is killed, {attempt}")));
        from_bob.push(long(&format!("from Bob, who is killed, {attempt}")));
        alice.person.say(from_alice.last().expect("pushed")).expect("queued");
        bob.person.say(from_bob.last().expect("pushed")).expect("queued");
        for _ in 0..=attempt {
            bob.wait("a round", |event| matches!(event, PersonEvent::Submitted { .. }).then_some(())).await;
        }
        let counted = bob.person.budget().expect("open").submitted;
        bob.kill().await;
        bob = Running::start(bob_path.clone(), &directory, &address);
        let kept = bob.person.budget().expect("open").submitted;
        assert!(kept >= counted && counted > attempt, "{kept} rounds are counted after a death, {counted} before");
    }
    from_alice.push("last from Alice".into());
    from_bob.push("last from Bob".into());
    let ids = (alice.person.say(&from_alice[4]).expect("queued"), bob.person.say(&from_bob[4]).expect("queued"));
    let delivered = |wanted| move |event| (event == PersonEvent::Delivered { id: wanted }).then_some(());
    bob.wait("its delivery", delivered(ids.1)).await;
    alice.wait("its delivery", delivered(ids.0)).await;

    assert_eq!(theirs(&bob.person), numbered(&from_alice));
    assert_eq!(theirs(&alice.person), numbered(&from_bob));
    let all_delivered =
        |texts: Vec<String>| texts.into_iter().map(|text| (text, TextState::Delivered)).collect::<Vec<_>>();
    assert_eq!(own(&alice.person), all_delivered(from_alice));
    assert_eq!(own(&bob.person), all_delivered(from_bob));
    alice.kill().await;
    bob.kill().await;
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_clients_share_a_connection_and_get_their_echoes() {
    let root = tempfile::tempdir().expect("a directory");
    let clients: Vec<ClientKeys> = (0..40).map(|_| ClientKeys::generate("idle").expect("keys")).collect();
    let seats: Vec<_> = clients.iter().map(ClientKeys::public).collect();
    let mut network = Network::found(params(), &seats, root);
    let address = network.start_coordinator().await;
    network.start_servers(&address);
    let uplink = Uplink::connect(network.directory.clone(), &address).await.expect("it listens");
    let mut swarm = Swarm::new(uplink.clone());
    let tallies: Vec<_> = clients.iter().map(|keys| swarm.add_idle(keys.signing_key())).collect();

    let echoes = async {
        while tallies.iter().any(|tally| tally.echoes() < 2) {
            assert!(tallies.iter().all(|tally| tally.broken() == 0), "nobody breaks a reply");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, echoes).await.expect("every client gets its echoes");
    let status = uplink.status().await.expect("an answer");
    assert!(status.rounds_completed >= 2 && status.servers_up == [true; 3], "{status:?}");

    let stranger = SigningKey::from_seed(&[7; 32]);
    swarm.add_idle(stranger);
    let refused = timeout(PATIENCE, swarm.ended()).await.expect("in time").expect("it ends").expect_err("no seat");
    assert!(refused.to_string().contains("is not registered in epoch 1"), "{refused}");
    assert_eq!(swarm.len(), 40);
    swarm.stop().await.expect("nobody had an error");
    network.stop().await;
}
