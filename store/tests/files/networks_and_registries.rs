//! Network and registry files: founded by hand, refused when anything in them is wrong.

use std::{
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use hippodrome_core::{
    directory::{DirectoryDraft, DirectoryError},
    ids::ServerId,
    noise::{Guarantee, NoiseParams, ReplyBudget},
    params::{NetworkParams, Verification},
};
use hippodrome_store::{
    file::ReadError,
    guarantee::{self, Overstated},
    key_file::{ClientKeys, CoordinatorKeys, ServerKeys},
    network_file::{
        Incomplete, Network, NetworkFile, NetworkFileError, SignError, coordinator_text, parse_signature,
        read_coordinator_entry, read_server_entry, server_text, signature_text,
    },
    registry_file::{self, Registrant, RegistryError},
};
use tempfile::TempDir;

pub(crate) fn params() -> NetworkParams {
    NetworkParams {
        name: "test".to_owned(),
        chains: 1,
        chain_len: 3,
        layers: 1,
        verification: Verification::Full,
        slots: 1,
        noise: NoiseParams::uniform(1),
        period_ms: 1_000,
        collect_ms: 500,
        deadline_ms: 3_000,
        max_batch: 1_000,
        bad_servers: 1,
        min_live: 3,
        failure_bits: 0,
        epoch_ms: 60_000,
    }
}

struct Founders {
    servers: Vec<ServerKeys>,
    coordinator: CoordinatorKeys,
}

impl Founders {
    fn new() -> Self {
        let names = ["alpha", "beta", "gamma"];
        Self {
            servers: names.iter().map(|name| ServerKeys::generate(name).expect("keys")).collect(),
            coordinator: CoordinatorKeys::generate().expect("keys"),
        }
    }

    fn draft(&self) -> NetworkFile {
        let servers = self.servers.iter().map(ServerKeys::public_entry).collect();
        let draft = DirectoryDraft { params: params(), servers, coordinator: self.coordinator.fingerprint().0 };
        NetworkFile::new(draft, Some("coordinator.example:7700".to_owned()))
    }

    fn signed(&self) -> NetworkFile {
        let mut file = self.draft();
        for keys in &self.servers {
            file.sign(keys).expect("listed");
        }
        file
    }
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("network.toml");
    (directory, path)
}

fn load_text(text: &str) -> Result<Network, NetworkFileError> {
    let (_directory, path) = place();
    fs::write(&path, text).expect("written");
    Network::load(&path)
}

#[test]
fn a_network_that_all_servers_signed_comes_back_from_its_file() {
    let (_directory, path) = place();
    let file = Founders::new().signed();
    file.save(&path).expect("saved");
    let network = Network::load(&path).expect("a network");
    assert_eq!(network.directory.id(), &file.draft().network_id());
    assert_eq!(network.directory.params(), &params());
    assert_eq!(network.coordinator_address.as_deref(), Some("coordinator.example:7700"));
    assert_eq!(NetworkFile::load(&path).expect("read").to_text(), file.to_text());
}

#[test]
fn a_network_is_founded_by_hand_from_texts_and_signatures() {
    let founders = Founders::new();
    let params = "[params]\nname = \"test\"\nchains = 1\nchain_len = 3\nlayers = 1\nverification = \"full\"\nslots = 1\n\
                  period_ms = 1000\ncollect_ms = 500\ndeadline_ms = 3000\nmax_batch = 1000\n\
                  bad_servers = 1\nmin_live = 3\nfailure_bits = 0\nepoch_ms = 60000\n\n\
                  [params.noise]\nslots = 1\nshape = \"1\"\n\n";
    let mut text = params.to_owned() + &coordinator_text(founders.coordinator.fingerprint(), None);
    founders.servers.iter().for_each(|keys| text += &server_text(&keys.public_entry()));
    let read = |text: &str| NetworkFile::parse(Path::new("draft.toml"), text).expect("a draft");
    let mut gathered = read(&text);
    assert_eq!(gathered.draft(), founders.draft().draft());
    // Each operator signs a copy of the draft, in any order, and only the signature travels.
    for (index, keys) in founders.servers.iter().enumerate().rev() {
        assert_eq!(gathered.unsigned().len(), index + 1);
        let signature = signature_text(&read(&text).sign(keys).expect("listed"));
        let signature = parse_signature(&signature).expect("what was printed");
        assert_eq!(gathered.add_signature(signature), Ok(ServerId(index as u16)));
    }
    assert_eq!(gathered.verify().expect("complete").id(), &founders.draft().draft().network_id());
}

#[test]
fn public_entries_come_back_from_their_files() {
    let (_directory, path) = place();
    let founders = Founders::new();
    let [alpha, beta] = [0, 1].map(|index: usize| founders.servers[index].public_entry());
    fs::write(&path, server_text(&alpha)).expect("written");
    assert_eq!(read_server_entry(&path).expect("an entry"), alpha);
    assert!(matches!(read_coordinator_entry(&path), Err(NetworkFileError::Text(_))), "a server's is no coordinator's");
    fs::write(&path, server_text(&alpha) + &server_text(&beta)).expect("written");
    let refused = read_server_entry(&path).expect_err("two entries").to_string();
    assert!(refused.contains("2 servers; expected one"), "{refused}");
    let certificate = founders.coordinator.fingerprint();
    fs::write(&path, coordinator_text(certificate, Some("a.example:1"))).expect("written");
    let (read, address) = read_coordinator_entry(&path).expect("an entry");
    assert_eq!((read, address.as_deref()), (certificate, Some("a.example:1")));
    assert!(matches!(read_server_entry(&path), Err(NetworkFileError::Text(_))), "a coordinator's is no server's");
}

#[test]
fn the_address_of_the_coordinator_is_no_part_of_the_identity() {
    let file = Founders::new().signed();
    let moved = file.to_text().replace("coordinator.example:7700", "elsewhere.example:1");
    let network = load_text(&moved).expect("still a network");
    assert_eq!(network.coordinator_address.as_deref(), Some("elsewhere.example:1"));
    assert_eq!(network.directory.id(), &file.draft().network_id());
}

#[test]
fn refuses_a_draft_and_names_who_has_not_signed() {
    let founders = Founders::new();
    let mut file = founders.draft();
    file.sign(&founders.servers[1]).expect("listed");
    assert_eq!(file.unsigned(), ["alpha", "gamma"]);
    let refused = load_text(&file.to_text()).expect_err("two have not signed").to_string();
    assert!(refused.contains("network.toml: not signed by alpha, gamma; "), "{refused}");
}

#[test]
fn refuses_signatures_of_another_version() {
    let founders = Founders::new();
    let text = founders.signed().to_text();
    for (old, new) in
        [("period_ms = 1000", "period_ms = 1001"), ("name = \"beta\"", "name = \"bela\""), ("slots = 1", "slots = 2")]
    {
        assert!(text.contains(old));
        let refused = load_text(&text.replace(old, new)).expect_err("changed after it was signed");
        let NetworkFileError::Refused {
            source: Incomplete::Directory(DirectoryError::BadSignature { server }), ..
        } = refused
        else {
            panic!("refused as {refused}");
        };
        assert_eq!(server, "alpha");
    }
}

#[test]
fn refuses_parameters_that_no_network_can_have() {
    let refused = load_text(&Founders::new().signed().to_text().replace("slots = 1", "slots = 0"));
    let said = refused.expect_err("no slots").to_string();
    assert!(said.contains("network.toml: network parameter `slots` is 0"), "{said}");
}

#[test]
fn refuses_unknown_missing_and_malformed_entries_with_their_lines() {
    let text = Founders::new().signed().to_text();
    let said = |text: &str| load_text(text).expect_err("malformed").to_string();
    let unknown = said(&text.replace("slots = 1\n", "slots = 1\nslotz = 2\n"));
    assert!(unknown.contains(", `slotz`: unknown field `slotz`"), "{unknown}");
    let unknown = said(&format!("{text}colour = \"red\"\n"));
    assert!(unknown.contains(&format!("line {}, `colour`: unknown field", text.lines().count() + 1)), "{unknown}");
    let unknown = said(&format!("quorum = 3\n{text}"));
    assert!(unknown.contains("line 1, `quorum`: unknown field"), "{unknown}");
    let missing = said(&text.replace("layers = 1\n", ""));
    assert!(missing.contains("missing field `layers`"), "{missing}");
    let verification = said(&text.replace("\"full\"", "\"most\""));
    assert!(
        verification.contains("unknown variant `most`, expected one of `full`, `aggregate`, `none`"),
        "{verification}"
    );
    let key_line = text.lines().find(|line| line.starts_with("key = ")).expect("a key");
    let short = said(&text.replace(key_line, "key = \"00ff\""));
    assert!(short.contains(", `key`: expected 64 hexadecimal digits"), "{short}");
    let weak = said(&text.replace(key_line, &format!("key = \"{}\"", "0".repeat(64))));
    assert!(weak.contains(", `key`: an Ed25519 public key of small order is refused"), "{weak}");
}

#[test]
fn refuses_a_missing_network_file() {
    let (_directory, path) = place();
    let refused = Network::load(&path).expect_err("no file");
    assert!(matches!(refused, NetworkFileError::Read(ReadError::Missing { .. })), "{refused}");
}

#[test]
fn signs_only_for_a_server_that_is_listed_as_it_is() {
    let founders = Founders::new();
    let mut file = founders.draft();
    let stranger = ServerKeys::generate("alpha").expect("keys");
    assert_eq!(file.sign(&stranger).err(), Some(SignError::NotListed));
    let mut altered = file.draft().clone();
    altered.servers[0].certificate = stranger.public_entry().certificate;
    let mut altered = NetworkFile::new(altered, None);
    assert_eq!(altered.sign(&founders.servers[0]).err(), Some(SignError::EntryDiffers));
    let elsewhere = altered.sign(&founders.servers[1]).expect("listed as it is");
    assert_eq!(file.add_signature(elsewhere), Err(SignError::NobodysSignature));
    assert_eq!(file.unsigned().len(), 3);
}

#[test]
fn refuses_signatures_that_are_no_hexadecimal_digits() {
    assert!(parse_signature(&"0a".repeat(64)).is_some());
    for text in [String::new(), "0a".repeat(63), "0a".repeat(65), "0x".repeat(64)] {
        assert!(parse_signature(&text).is_none(), "{text}");
    }
}

fn load_registry(text: &str) -> Result<Vec<Registrant>, RegistryError> {
    let (_directory, path) = place();
    fs::write(&path, text).expect("written");
    registry_file::load(&path)
}

fn registrants(count: usize) -> Vec<Registrant> {
    let registrant = |index| {
        let key = ClientKeys::generate("someone").expect("keys").public();
        Registrant { key, name: (index % 2 == 0).then(|| format!("client {index}")) }
    };
    (0..count).map(registrant).collect()
}

#[test]
fn a_registry_comes_back_from_its_file() {
    let (_directory, path) = place();
    let registrants = registrants(5);
    registry_file::save(&path, &registrants).expect("saved");
    assert_eq!(registry_file::load(&path).expect("loaded"), registrants);
    registry_file::save(&path, &registrants[..2]).expect("saved in its place");
    assert_eq!(registry_file::load(&path).expect("loaded"), registrants[..2]);
    assert_eq!(load_registry("# nobody\n\n").expect("an empty registry"), []);
}

#[test]
fn refuses_a_key_that_stands_twice_with_both_lines() {
    let (_directory, path) = place();
    let mut registrants = registrants(3);
    registrants.push(Registrant { name: Some("again".to_owned()), ..registrants[1].clone() });
    registry_file::save(&path, &registrants).expect("saved");
    let refused = registry_file::load(&path).expect_err("a key twice");
    assert!(matches!(refused, RegistryError::Repeated { line: 5, first: 3, .. }), "{refused}");
    assert!(refused.to_string().contains("line 5: the key of line 3 again"), "{refused}");
}

#[test]
fn refuses_lines_that_are_no_keys() {
    let weak = "0".repeat(64);
    for line in ["alice", "00ff", &"zz".repeat(32), &weak, &format!("{weak} alice")] {
        let refused = load_registry(&format!("# clients\n{line}\n")).expect_err("no key");
        assert!(matches!(refused, RegistryError::Malformed { line: 2, .. }), "{line}: {refused}");
    }
}

/// Noise of slots of shape 7/2 at three servers, one of them bad, that is said to hide a thousand rounds.
fn stating(slots: u32) -> NetworkParams {
    let guarantee = Guarantee { rounds: 1000, epsilon_millionths: 693_147, delta_billionths: 100_000, replies: None };
    let noise = NoiseParams { slots, shape: "7/2".parse().expect("a shape"), audit: None, guarantee: Some(guarantee) };
    NetworkParams { noise, max_batch: 1 << 20, ..params() }
}

#[test]
fn a_network_whose_noise_does_not_reach_what_it_states_is_neither_signed_nor_loaded() {
    let founders = Founders::new();
    let file = |params| {
        let servers = founders.servers.iter().map(ServerKeys::public_entry).collect();
        let draft = DirectoryDraft { params, servers, coordinator: founders.coordinator.fingerprint().0 };
        NetworkFile::new(draft, None)
    };
    let signed_by_all = |params| {
        // Servers that don't look at what they sign.
        let mut file = file(params);
        let signatures = founders.servers.iter().map(|keys| file.draft().sign(&keys.signing_key()));
        let signatures: Vec<_> = signatures.collect();
        for signature in signatures {
            file.add_signature(signature).expect("a server's");
        }
        file
    };
    // One honest server would need 935, two need fewer each.
    assert!(signed_by_all(stating(800)).verify().is_ok());
    assert!(file(stating(800)).sign(&founders.servers[0]).is_ok());
    for slots in [0, 50, 400] {
        let refused = signed_by_all(stating(slots)).verify().expect_err("too little noise");
        assert!(matches!(refused, Incomplete::Overstated(Overstated::TooLittle { honest: 2, .. })), "{refused}");
        assert!(matches!(file(stating(slots)).sign(&founders.servers[0]), Err(SignError::Overstated(_))));
    }
    let nobody = NetworkParams { bad_servers: 2, min_live: 3, ..stating(800) };
    assert!(signed_by_all(nobody).verify().is_err());
    let all_bad = NetworkParams { bad_servers: 3, ..stating(800) };
    assert!(matches!(guarantee::check(&all_bad), Err(Overstated::NobodyHonest { min_live: 3 })));
}

#[test]
fn rounds_whose_noise_is_opened_count_as_often_as_they_may_come() {
    // Nine servers, eight of them honest, on one chain: 171 slots of shape 1 are enough for these, 183 for seven.
    let of = |slots, bad_servers, audit: Option<u32>| {
        let mut params = stating(slots);
        params.noise.shape = "1".parse().expect("a shape");
        params.noise.audit = audit.and_then(NonZeroU32::new);
        guarantee::check(&NetworkParams { chains: 1, layers: 1, bad_servers, min_live: 9, ..params })
    };
    assert_eq!(of(171, 1, None), Ok(()));
    assert_eq!(of(178, 1, Some(60)), Ok(()), "what only the count of opened rounds reaches");
    assert!(of(178, 2, None).is_err(), "if one server fewer were relied on in every round it would not do");
    for (slots, audit) in [(171, 60), (178, 1)] {
        let refused = of(slots, 1, Some(audit)).expect_err("more is stated than is reached");
        assert!(matches!(refused, Overstated::TooLittle { honest: 8, .. }), "{refused}");
        assert!(refused.to_string().contains("opened now and then"), "{refused}");
    }
}

#[test]
fn what_may_be_said_of_spoiled_replies_counts_towards_what_a_network_states() {
    let speaking = |slots, limits, spread| {
        let mut params = stating(slots);
        let stated = params.noise.guarantee.as_mut().expect("it states one");
        stated.replies = Some(ReplyBudget { limits, spread });
        params
    };
    assert_eq!(guarantee::check(&stating(700)), Ok(()));
    // One limit of each server costs more than all that the network states.
    for (limits, spread) in [(1, 1), (1000, 100)] {
        let refused = guarantee::check(&speaking(700, limits, spread)).expect_err("more is spent than is stated");
        assert!(matches!(refused, Overstated::TooLittle { honest: 2, reached, .. } if reached > 1e-4), "{refused}");
        assert!(refused.to_string().contains("spoiled replies"), "{refused}");
    }
    assert_eq!(guarantee::check(&speaking(800, 2, 100)), Ok(()), "what is planned for is stated truly");
    // A client of four slots moves four times as many replies.
    let several = |spread| NetworkParams { slots: 4, ..speaking(3000, 2, spread) };
    assert!(guarantee::check(&several(10)).is_err() && guarantee::check(&several(400)).is_ok());
    let mut steep = speaking(800, 1, 1000);
    steep.noise.shape = "1/2".parse().expect("a shape");
    assert!(matches!(guarantee::check(&steep), Err(Overstated::Impossible(_))), "nothing is shown for such noise");
    assert_ne!(speaking(800, 2, 100).digest(), stating(800).digest());
    assert_ne!(speaking(800, 2, 100).digest(), speaking(800, 2, 101).digest());
}

#[test]
fn what_a_network_states_is_in_its_file_and_its_identity() {
    let file = |params| {
        let founders = Founders::new();
        let servers = founders.servers.iter().map(ServerKeys::public_entry).collect();
        NetworkFile::new(DirectoryDraft { params, servers, coordinator: founders.coordinator.fingerprint().0 }, None)
    };
    let stated = file(stating(800));
    let text = stated.to_text();
    assert!(text.contains("[params.noise.guarantee]\nrounds = 1000\n"), "{text}");
    let read = NetworkFile::parse(Path::new("network.toml"), &text).expect("it is well formed");
    assert_eq!(read.draft(), stated.draft());
    let mut unstated = stating(800);
    unstated.noise.guarantee = None;
    assert_ne!(stating(800).digest(), unstated.digest());
}
