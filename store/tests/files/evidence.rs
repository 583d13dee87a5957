//! Files of evidence.

use std::{collections::BTreeSet, fs, sync::Arc};

use hippodrome_core::{
    evidence::{Case, Evidence, RosterRecord, SignedStatement, Statement},
    ids::{Author, ClientId, Layer, Round, ServerId},
    message::{EpochPlan, EpochStart},
};
use hippodrome_crypto::{hash::Digest, signing::Signature};
use hippodrome_proto::convert::encode_case;
use hippodrome_store::evidence_file::{EvidenceDir, KeepError, load};

/// What a file holds; nobody has signed it.
fn case(round: u64) -> Case {
    let signed = |byte| SignedStatement {
        signer: ServerId(3),
        statement: Statement::Confirmation { layer: Layer(0), vector: Digest([byte; 32]) },
        signature: Signature([byte; 64]),
    };
    let plan = EpochPlan {
        number: 1,
        registry: Vec::new(),
        first_round: Round(1),
        start_ms: 1,
        live: vec![ServerId(3)],
        standings: Vec::new(),
    };
    let epoch = EpochStart { plan, shares: Vec::new(), signatures: Vec::new() };
    Case {
        record: RosterRecord { epoch, amendment: None },
        round: Round(round),
        keys: Vec::new(),
        pledges: Vec::new(),
        signatures: Vec::new(),
        evidence: Arc::new(Evidence::Equivocation(Box::new([signed(1), signed(2)]))),
    }
}

fn guilty(author: Author) -> BTreeSet<Author> {
    BTreeSet::from([author])
}

#[test]
fn evidence_is_kept_once_by_round_and_name_and_comes_back_as_it_was() {
    let state = tempfile::tempdir().expect("a temporary directory");
    let evidence = EvidenceDir::of(state.path());
    let server = guilty(Author::Server(ServerId(3)));
    let file = evidence.keep(&case(17), &server).expect("kept");
    assert_eq!(file, state.path().join("evidence/round-17-server-3.evidence"));
    assert_eq!(encode_case(&load(&file).expect("read")), encode_case(&case(17)));
    fs::write(&file, "what is there stays").expect("written");
    assert_eq!(evidence.keep(&case(17), &server).expect("kept before"), file);
    assert_eq!(fs::read(&file).expect("read"), b"what is there stays");
    let client = evidence.keep(&case(17), &guilty(Author::Client(ClientId(5)))).expect("kept");
    assert!(client.ends_with("evidence/round-17-client-5.evidence"), "{}", client.display());
}

#[test]
fn a_case_against_a_server_is_kept_whatever_clients_it_names_too() {
    let state = tempfile::tempdir().expect("a temporary directory");
    let evidence = EvidenceDir::of(state.path());
    let client = Author::Client(ClientId(3));
    evidence.keep(&case(17), &guilty(client)).expect("kept");
    let both = BTreeSet::from([client, Author::Server(ServerId(5))]);
    let file = evidence.keep(&case(17), &both).expect("kept");
    assert!(file.ends_with("evidence/round-17-server-5.evidence"), "{}", file.display());
    assert_eq!(evidence.against_servers(), 1);
}

#[test]
fn only_evidence_against_servers_is_counted() {
    let state = tempfile::tempdir().expect("a temporary directory");
    let evidence = EvidenceDir::of(state.path());
    assert_eq!(evidence.against_servers(), 0, "there is no directory yet");
    for (round, author) in
        [(1, Author::Server(ServerId(3))), (1, Author::Client(ClientId(3))), (2, Author::Server(ServerId(0)))]
    {
        evidence.keep(&case(round), &guilty(author)).expect("kept");
    }
    fs::write(state.path().join("evidence/notes-server-1.txt"), "mine").expect("written");
    assert_eq!(evidence.against_servers(), 2);
}

#[test]
fn a_directory_full_of_evidence_takes_no_more() {
    let state = tempfile::tempdir().expect("a temporary directory");
    let evidence = EvidenceDir::of(state.path());
    let server = guilty(Author::Server(ServerId(3)));
    let kept = (0..1000).map(|round| evidence.keep(&case(round), &server)).take_while(Result::is_ok).count();
    assert!((100..1000).contains(&kept), "{kept}");
    let refused = evidence.keep(&case(1000), &server).expect_err("full");
    assert!(matches!(refused, KeepError::Full { .. }) && refused.to_string().contains("move them"), "{refused}");
    evidence.keep(&case(0), &server).expect("it is there already");
}

#[test]
fn what_holds_no_evidence_is_refused_with_its_path() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let path = place.path().join("x.evidence");
    let refusal = || load(&path).expect_err("no evidence").to_string();
    assert!(refusal().contains("x.evidence does not exist; expected a file of evidence"), "{}", refusal());
    fs::write(&path, "guilty!").expect("written");
    assert!(refusal().contains("x.evidence: this is no file of evidence"), "{}", refusal());
    let whole = encode_case(&case(1));
    fs::write(&path, &whole[..whole.len() - 1]).expect("written");
    assert!(refusal().contains("x.evidence: "), "{}", refusal());
}
