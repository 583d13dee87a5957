//! Every file under arbitrary and damaged text: a value or an error that says what is wrong, never a panic.

use std::{fs, path::Path};

use hippodrome_core::{directory::DirectoryDraft, params::NetworkParams};
use hippodrome_store::{
    key_file::{ClientKeys, CoordinatorKeys, ServerKeys},
    network_file::{
        self, NetworkFile, coordinator_text, parse_signature, read_coordinator_entry, read_server_entry, server_text,
        signature_text,
    },
    registry_file::{self, Registrant},
};
use proptest::{prelude::*, sample::Index};
use tempfile::TempDir;

use crate::networks_and_registries;

/// One thing done to a text.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, Index, String),
    Swap(Index, Index),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let piece = prop_oneof![
        "[ -~\\n]{0,12}",
        Just("99999999999999999999".to_owned()),
        Just("-1".to_owned()),
        Just("[[servers]]\n".to_owned()),
        Just("\u{0}\u{202e}é".to_owned()),
    ];
    let damage = prop_oneof![
        (any::<Index>(), any::<Index>(), piece).prop_map(|(from, to, with)| Damage::Replace(from, to, with)),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Damage::Swap(one, other)),
    ];
    prop::collection::vec(damage, 1..4)
}

fn damaged(good: &str, damages: &[Damage]) -> String {
    damages.iter().fold(good.to_owned(), |text, damage| match damage {
        Damage::Replace(from, to, with) => {
            let mut chars: Vec<char> = text.chars().collect();
            let (from, to) = (from.index(chars.len() + 1), to.index(chars.len() + 1));
            let span = from.min(to)..from.max(to).min(from.min(to) + 20);
            chars.splice(span, with.chars());
            chars.into_iter().collect()
        }
        Damage::Swap(one, other) => {
            let mut lines: Vec<&str> = text.lines().collect();
            if !lines.is_empty() {
                let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                lines.swap(one, other);
            }
            lines.join("\n")
        }
    })
}

/// Good texts of every file that there is.
struct Samples {
    directory: TempDir,
    network: String,
    texts: Vec<String>,
}

impl Samples {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let servers: Vec<ServerKeys> =
            ["one", "two", "three"].map(|name| ServerKeys::generate(name).expect("keys")).into();
        let coordinator = CoordinatorKeys::generate().expect("keys");
        let draft = DirectoryDraft {
            params: params(),
            servers: servers.iter().map(ServerKeys::public_entry).collect(),
            coordinator: coordinator.fingerprint().0,
        };
        let mut network = NetworkFile::new(draft, Some("coordinator.example:7700".to_owned()));
        let signature = network.sign(&servers[0]).expect("it is a server of the network");
        let client = ClientKeys::generate("a client").expect("keys");
        let path = |name: &str| directory.path().join(name);
        servers[0].create(&path("server.key")).expect("a file");
        coordinator.create(&path("coordinator.key")).expect("a file");
        client.create(&path("client.key")).expect("a file");
        let registrants = [Registrant { name: Some("a client".to_owned()), key: client.public() }];
        registry_file::save(&path("registry"), &registrants).expect("a file");
        let read = |name: &str| fs::read_to_string(path(name)).expect("it was written");
        let mut texts: Vec<String> = ["server.key", "coordinator.key", "client.key", "registry"].map(read).into();
        texts.push(server_text(&servers[0].public_entry()));
        texts.push(coordinator_text(coordinator.fingerprint(), Some("coordinator.example:7700")));
        texts.push(signature_text(&signature));
        let network = network.to_text();
        texts.push(network.clone());
        Self { directory, network, texts }
    }

    /// Reads a text as every kind of file.
    fn read(&self, text: &str) {
        let path = self.directory.path().join("damaged");
        let _ = fs::remove_file(&path);
        write_private(&path, text);
        let _ = ServerKeys::load(&path);
        let _ = CoordinatorKeys::load(&path);
        let _ = ClientKeys::load(&path);
        let _ = registry_file::load(&path);
        let _ = read_server_entry(&path);
        let _ = read_coordinator_entry(&path);
        let _ = network_file::Network::load(&path);
        let _ = parse_signature(text);
        if let Ok(network) = NetworkFile::parse(&path, text) {
            // What is read is checked, and can be written and read again.
            let _ = network.verify();
            assert!(NetworkFile::parse(&path, &network.to_text()).is_ok());
        }
    }
}

fn write_private(path: &Path, text: &str) {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file can be written");
}

fn params() -> NetworkParams {
    NetworkParams { name: "fuzzed".to_owned(), min_live: 4, epoch_ms: 3_600_000, ..networks_and_registries::params() }
}

#[test]
fn damaged_files_are_refused_or_are_files() {
    let samples = Samples::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
    runner
        .run(&(any::<Index>(), damages()), |(which, damages)| {
            samples.read(&damaged(&samples.texts[which.index(samples.texts.len())], &damages));
            Ok(())
        })
        .expect("no text makes a reader panic");
}

#[test]
fn arbitrary_text_is_refused_or_is_a_file() {
    let samples = Samples::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(200));
    runner
        .run(&"(?s).{0,400}", |text| {
            samples.read(&text);
            Ok(())
        })
        .expect("no text makes a reader panic");
    samples.read(&samples.network);
}
