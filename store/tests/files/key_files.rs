//! Key files are kept from everybody else, and refused if they are anything but what they should be.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use hippodrome_crypto::hash::Hasher;
use hippodrome_store::{
    file::{ReadError, WriteError},
    key_file::{ClientKeys, CoordinatorKeys, KeyFileError, Kind, ServerKeys},
};
use tempfile::TempDir;

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path("written.key");
        fs::write(&path, text).expect("written");
        set_mode(&path, 0o600);
        path
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions set");
}

fn server_text() -> String {
    let place = Place::new();
    let path = place.path("server.key");
    ServerKeys::generate("alpha").expect("keys").create(&path).expect("created");
    fs::read_to_string(path).expect("read")
}

fn refused(text: impl AsRef<[u8]>) -> KeyFileError {
    ServerKeys::load(&Place::new().write(text)).expect_err("a malformed key file")
}

fn refused_line(text: &str) -> usize {
    match refused(text) {
        KeyFileError::Malformed { line, kind: Kind::Server, .. } => line,
        other => panic!("refused as {other}"),
    }
}

#[test]
fn keys_come_back_from_their_files() {
    let place = Place::new();
    let statement = Hasher::new("test").finish();

    let server = ServerKeys::generate("alpha 1").expect("keys");
    server.create(&place.path("server.key")).expect("created");
    let loaded = ServerKeys::load(&place.path("server.key")).expect("loaded");
    assert_eq!(loaded.public_entry(), server.public_entry());
    assert_eq!(loaded.name(), "alpha 1");
    let signature = loaded.signing_key().sign(&statement);
    assert_eq!(server.public_entry().key.verify(&statement, &signature), Ok(()));
    assert_eq!(loaded.into_certificate().fingerprint(), server.certificate().fingerprint());

    let client = ClientKeys::generate("Ana María").expect("keys");
    client.create(&place.path("client.key")).expect("created");
    let loaded = ClientKeys::load(&place.path("client.key")).expect("loaded");
    assert_eq!((loaded.name(), loaded.public()), (client.name(), client.public()));

    let coordinator = CoordinatorKeys::generate().expect("keys");
    coordinator.create(&place.path("coordinator.key")).expect("created");
    let loaded = CoordinatorKeys::load(&place.path("coordinator.key")).expect("loaded");
    assert_eq!(loaded.fingerprint(), coordinator.fingerprint());
}

#[test]
fn every_key_is_new() {
    let [one, other] = [(); 2].map(|()| ServerKeys::generate("alpha").expect("keys").public_entry());
    assert_ne!(one.key, other.key);
    assert_ne!(one.certificate, other.certificate);
}

#[test]
fn only_the_owner_can_read_what_is_created() {
    let place = Place::new();
    let path = place.path("client.key");
    ClientKeys::generate("alice").expect("keys").create(&path).expect("created");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
    let names: Vec<_> = fs::read_dir(place.directory.path()).expect("listed").collect();
    assert_eq!(names.len(), 1, "nothing else is left beside it");
}

#[test]
fn never_overwrites_a_key_file() {
    let place = Place::new();
    let path = place.path("client.key");
    let first = ClientKeys::generate("alice").expect("keys");
    first.create(&path).expect("created");
    let again = ClientKeys::generate("alice").expect("keys").create(&path).expect_err("the file exists");
    assert!(matches!(again, KeyFileError::Write(WriteError::Exists { .. })), "{again}");
    assert_eq!(ClientKeys::load(&path).expect("still there").public(), first.public());
    assert_eq!(fs::read_dir(place.directory.path()).expect("listed").count(), 1, "no temporary file stays");
}

#[test]
fn refuses_to_write_where_there_is_no_directory() {
    let place = Place::new();
    let path = place.path("missing").join("client.key");
    let refused = ClientKeys::generate("alice").expect("keys").create(&path).expect_err("no directory");
    assert!(matches!(refused, KeyFileError::Write(WriteError::Io { .. })), "{refused}");
}

#[test]
fn refuses_a_missing_file() {
    let path = Place::new().path("server.key");
    let refused = ServerKeys::load(&path).expect_err("no file");
    assert!(matches!(refused, KeyFileError::Read(ReadError::Missing { .. })));
    let said = refused.to_string();
    assert!(said.contains("server.key does not exist; expected the key file of a server"), "{said}");
}

#[test]
fn refuses_a_directory() {
    let place = Place::new();
    let refused = ServerKeys::load(place.directory.path()).expect_err("a directory");
    assert!(matches!(refused, KeyFileError::Read(ReadError::NotAFile { .. })), "{refused}");
}

#[test]
fn refuses_a_file_that_others_can_read_and_says_what_to_run() {
    let place = Place::new();
    let path = place.write(server_text());
    for mode in [0o640, 0o604, 0o660, 0o602, 0o610, 0o644, 0o777] {
        set_mode(&path, mode);
        let refused = ServerKeys::load(&path).expect_err("a file that others can read");
        assert!(matches!(refused, KeyFileError::Exposed { .. }), "{mode:o}: {refused}");
        assert!(refused.to_string().ends_with(&format!("run `chmod 600 {}`", path.display())), "{refused}");
    }
    for mode in [0o600, 0o400] {
        set_mode(&path, mode);
        assert!(ServerKeys::load(&path).is_ok(), "{mode:o}");
    }
}

#[test]
fn refuses_the_key_file_of_somebody_else() {
    let place = Place::new();
    let path = place.path("client.key");
    ClientKeys::generate("alice").expect("keys").create(&path).expect("created");
    let refused = ServerKeys::load(&path).expect_err("a client's file");
    let is_wrong_kind = matches!(refused, KeyFileError::WrongKind { found: Kind::Client, expected: Kind::Server, .. });
    assert!(is_wrong_kind, "{refused}");
    assert!(refused.to_string().contains("is the key file of a client; expected the key file of a server"));
    let path = place.write(server_text());
    assert!(matches!(ClientKeys::load(&path), Err(KeyFileError::WrongKind { found: Kind::Server, .. })));
    assert!(matches!(CoordinatorKeys::load(&path), Err(KeyFileError::WrongKind { found: Kind::Server, .. })));
}

#[test]
fn refuses_every_missing_doubled_and_unknown_line() {
    let text = server_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "a comment and six fields");
    for place in 1..lines.len() {
        let mut without = lines.clone();
        without.remove(place);
        assert_eq!(refused_line(&without.join("\n")), 1, "without {place}");
        let mut doubled = lines.clone();
        doubled.push(lines[place]);
        assert_eq!(refused_line(&doubled.join("\n")), 8, "{place} twice");
    }
    assert_eq!(refused_line(&format!("{text}nonce = \"00\"\n")), 8);
    assert_eq!(refused_line(&format!("{text}nonsense\n")), 8);
}

#[test]
fn refuses_values_that_are_not_what_they_should_be_and_quotes_none() {
    let text = server_text();
    let (seed_line, seed) = text.lines().enumerate().find(|(_, line)| line.starts_with("seed")).expect("a seed");
    let replaced = |value: String| text.replace(seed, &format!("seed = {value}"));
    let digits = "5e".repeat(32);
    for value in [
        String::new(),
        "\"\"".to_owned(),
        digits.clone(),
        format!("\"{}\"", &digits[2..]),
        format!("\"{digits}5e\""),
        format!("\"{}zz\"", &digits[2..]),
        format!("'{digits}'"),
    ] {
        let refused = refused(replaced(value.clone()));
        assert!(matches!(refused, KeyFileError::Malformed { line, .. } if line == seed_line + 1), "{value}: {refused}");
        let said = refused.to_string();
        assert!(said.contains("`seed` (64 hexadecimal digits)"), "{said}");
        assert!(!said.contains("5e5e") && !format!("{refused:?}").contains("5e5e"), "a secret is quoted: {said}");
    }
    assert!(ServerKeys::load(&Place::new().write(replaced(format!("\"{digits}\"")))).is_ok());
    assert_eq!(refused_line(&text.replace("version = 1", "version = 2")), 2);
    assert_eq!(refused_line(&text.replace("\"server\"", "\"dragon\"")), 3);
    assert_eq!(refused_line(&text.replace("\"alpha\"", "\"\"")), 4);
    assert_eq!(refused_line(&text.replace("\"alpha\"", "\"al\\npha\"")), 4);
}

#[test]
fn refuses_a_certificate_that_does_not_go_with_its_key() {
    let (text, other) = (server_text(), server_text());
    let line_of = |text: &str| text.lines().find(|line| line.starts_with("certificate_key")).map(str::to_owned);
    let (own, foreign) = (line_of(&text).expect("a key"), line_of(&other).expect("a key"));
    let mixed = refused(text.replace(&own, &foreign));
    assert!(matches!(mixed, KeyFileError::Certificate { .. }), "{mixed}");
    let garbage = refused(text.replace(&own, "certificate_key = \"00ff\""));
    assert!(matches!(garbage, KeyFileError::Certificate { .. }), "{garbage}");
}

#[test]
fn refuses_what_is_no_text_or_far_too_long() {
    let binary = refused([0xff, 0xfe, 0x00]);
    assert!(matches!(binary, KeyFileError::Read(ReadError::NotText { .. })), "{binary}");
    let long = refused("#\n".repeat(1 << 20));
    assert!(matches!(long, KeyFileError::Read(ReadError::TooLong { .. })), "{long}");
    assert_eq!(refused_line(""), 1);
}

#[test]
fn refuses_names_that_would_not_come_back() {
    for name in ["", "a\"b", "a\\b", "a\nb", "\u{7}", &"x".repeat(65)] {
        assert!(matches!(ServerKeys::generate(name), Err(KeyFileError::Name(_))), "{name:?}");
        assert!(matches!(ClientKeys::generate(name), Err(KeyFileError::Name(_))), "{name:?}");
    }
}

#[test]
fn keys_are_not_printed() {
    let text = server_text();
    let keys = ServerKeys::load(&Place::new().write(&text)).expect("loaded");
    assert_eq!(format!("{keys:?}"), "ServerKeys(alpha)");
}
