//! Network files: parameters and parties of a network as TOML text, signed by all its servers.
//!
//! How a network is founded by hand: every server's operator makes a key file and hands out [`server_text`]; the
//! coordinator's hands out [`coordinator_text`]; somebody puts `[params]` before them. That is a draft. Each operator
//! reads it, signs it ([`NetworkFile::sign`]) and hands back the signature; when all are in
//! ([`NetworkFile::add_signature`]), it is a network. Any change to parameters or parties makes all signatures void.

use std::path::{Path, PathBuf};

use hippodrome_core::{
    directory::{Directory, DirectoryDraft, DirectoryError, ServerEntry},
    ids::ServerId,
    params::NetworkParams,
};
use hippodrome_crypto::{
    hash::{Digest, hex},
    signing::{SIGNATURE_LEN, Signature},
};
use hippodrome_proto::tls::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::{
    config::{self, TextError},
    file::{self, ReadError, Source, WriteError},
    guarantee::{self, Overstated},
    hex::{Hex, KeyHex, decode},
    key_file::ServerKeys,
};

/// Longest network file.
const MAX_LEN: u64 = 16 << 20;
/// Nothing in a network file is secret.
const MODE: u32 = 0o644;

/// Why a network file is refused.
#[derive(Debug, thiserror::Error)]
pub enum NetworkFileError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Something in it is not understood.
    #[error(transparent)]
    Text(#[from] TextError),
    /// It is understood, but is no network.
    #[error("{}: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Incomplete,
    },
}

/// What is missing before a draft is a network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Incomplete {
    /// Servers have not signed.
    #[error("not signed by {}; each server's operator signs with `hippodrome keys sign`", .0.join(", "))]
    Unsigned(Vec<String>),
    /// A parameter, a party or a signature is wrong.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The noise does not hide what it is said to hide.
    #[error(transparent)]
    Overstated(#[from] Overstated),
}

/// Why a signature is not added.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SignError {
    /// The key is in no entry.
    #[error("no server of the network file has this key: is this the right key file?")]
    NotListed,
    /// The entry has the key, but another name or certificate.
    #[error("the network file has this server's key with another name or certificate: give its operator's text anew")]
    EntryDiffers,
    /// No server has made this signature of this network.
    #[error("this is no server's signature of this network: it was made of another version of the file")]
    NobodysSignature,
    /// What would be signed is not so.
    #[error(transparent)]
    Overstated(#[from] Overstated),
}

/// A network file in memory; its servers may not have signed it yet.
#[derive(Clone, Debug)]
pub struct NetworkFile {
    draft: DirectoryDraft,
    coordinator_address: Option<String>,
    signatures: Vec<Option<Signature>>,
}

/// A network that all its servers have signed.
#[derive(Clone, Debug)]
pub struct Network {
    /// Who takes part, and how.
    pub directory: Directory,
    /// `host:port` where the coordinator is said to be. A hint that nobody signs: the certificate is what is pinned.
    pub coordinator_address: Option<String>,
}

impl Network {
    /// Reads a network file and checks everything in it, signatures included.
    pub fn load(path: &Path) -> Result<Self, NetworkFileError> {
        let file = NetworkFile::load(path)?;
        let refused = |source| NetworkFileError::Refused { path: path.to_owned(), source };
        Ok(Self { directory: file.verify().map_err(refused)?, coordinator_address: file.coordinator_address })
    }
}

impl NetworkFile {
    /// A network that nobody has signed.
    pub fn new(draft: DirectoryDraft, coordinator_address: Option<String>) -> Self {
        let signatures = vec![None; draft.servers.len()];
        Self { draft, coordinator_address, signatures }
    }

    /// Reads a network file; its signatures are not checked.
    pub fn load(path: &Path) -> Result<Self, NetworkFileError> {
        let text = Source::open(path, "a network file")?.read(MAX_LEN)?;
        Ok(Self::parse(path, &text)?)
    }

    /// Reads the text of a network file; `path` is for error messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, TextError> {
        config::parse::<NetworkText>(path, text).map(Self::from)
    }

    /// Writes the file in place of what is there.
    pub fn save(&self, path: &Path) -> Result<(), NetworkFileError> {
        Ok(file::replace(path, MODE, self.to_text())?)
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        config::print(&NetworkText::from(self))
    }

    /// What the servers sign.
    pub fn draft(&self) -> &DirectoryDraft {
        &self.draft
    }

    /// `host:port` where the coordinator is said to be; nobody signs it.
    pub fn coordinator_address(&self) -> Option<&str> {
        self.coordinator_address.as_deref()
    }

    /// Names of the servers that have not signed.
    pub fn unsigned(&self) -> Vec<&str> {
        let servers = self.draft.servers.iter().zip(&self.signatures);
        servers.filter(|(_, signature)| signature.is_none()).map(|(server, _)| server.name.as_str()).collect()
    }

    /// Signs for a server that is listed exactly as its key file says, if the noise reaches the stated guarantee.
    pub fn sign(&mut self, keys: &ServerKeys) -> Result<Signature, SignError> {
        let own = keys.public_entry();
        let listed = self.draft.servers.iter().position(|server| server.key == own.key).ok_or(SignError::NotListed)?;
        if self.draft.servers[listed] != own {
            return Err(SignError::EntryDiffers);
        }
        guarantee::check(&self.draft.params)?;
        let signature = self.draft.sign(&keys.signing_key());
        self.signatures[listed] = Some(signature);
        Ok(signature)
    }

    /// Adds a signature that a server's operator has made elsewhere, and says whose it is.
    pub fn add_signature(&mut self, signature: Signature) -> Result<ServerId, SignError> {
        let holds = |server: &ServerEntry| self.draft.verify_one(&server.key, &signature);
        let server = self.draft.servers.iter().position(holds).ok_or(SignError::NobodysSignature)?;
        self.signatures[server] = Some(signature);
        Ok(ServerId(server as u16))
    }

    /// The directory, if parameters, parties and all signatures are right, and the noise reaches the stated guarantee.
    pub fn verify(&self) -> Result<Directory, Incomplete> {
        let signatures: Option<Vec<Signature>> = self.signatures.iter().copied().collect();
        let unsigned = || Incomplete::Unsigned(self.unsigned().into_iter().map(str::to_owned).collect());
        let directory = self.draft.clone().verify(&signatures.ok_or_else(unsigned)?)?;
        guarantee::check(directory.params())?;
        Ok(directory)
    }
}

/// What a server's operator hands out: its entry in a network file.
pub fn server_text(server: &ServerEntry) -> String {
    config::print(&ServersText { servers: vec![ServerText::new(server, None)] })
}

/// What the coordinator's operator hands out: its entry in a network file.
pub fn coordinator_text(certificate: Fingerprint, address: Option<&str>) -> String {
    let coordinator = CoordinatorText { address: address.map(str::to_owned), certificate: Hex(certificate.0.0) };
    config::print(&OnlyCoordinatorText { coordinator })
}

/// Reads a file with what [`server_text`] made, of one server.
pub fn read_server_entry(path: &Path) -> Result<ServerEntry, NetworkFileError> {
    let expected = "a server's public entry (`hippodrome keys show` prints it)";
    let text = Source::open(path, expected)?.read(MAX_LEN)?;
    let servers = config::parse::<ServersText>(path, &text)?.servers;
    let [server] = <[ServerText; 1]>::try_from(servers).map_err(|servers| {
        let message = format!("{} servers; expected one, as in {expected}", servers.len());
        TextError { path: path.to_owned(), line: 1, key: None, message }
    })?;
    Ok(server.into())
}

/// Reads a file with what [`coordinator_text`] made.
pub fn read_coordinator_entry(path: &Path) -> Result<(Fingerprint, Option<String>), NetworkFileError> {
    let text =
        Source::open(path, "the coordinator's public entry (`hippodrome keys show` prints it)")?.read(MAX_LEN)?;
    let CoordinatorText { address, certificate } = config::parse::<OnlyCoordinatorText>(path, &text)?.coordinator;
    Ok((Fingerprint(Digest(certificate.0)), address))
}

/// A signature as text for another machine.
pub fn signature_text(signature: &Signature) -> String {
    hex(&signature.0)
}

/// Reads what [`signature_text`] made; none if it is not 128 hexadecimal digits.
pub fn parse_signature(text: &str) -> Option<Signature> {
    decode::<SIGNATURE_LEN>(text.trim()).map(Signature)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkText {
    params: NetworkParams,
    coordinator: CoordinatorText,
    servers: Vec<ServerText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServersText {
    servers: Vec<ServerText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlyCoordinatorText {
    coordinator: CoordinatorText,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CoordinatorText {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    certificate: Hex<32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerText {
    name: String,
    key: KeyHex,
    certificate: Hex<32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Hex<SIGNATURE_LEN>>,
}

impl ServerText {
    fn new(server: &ServerEntry, signature: Option<Signature>) -> Self {
        Self {
            name: server.name.clone(),
            key: KeyHex(server.key),
            certificate: Hex(server.certificate.0),
            signature: signature.map(|signature| Hex(signature.0)),
        }
    }
}

impl From<ServerText> for ServerEntry {
    fn from(server: ServerText) -> Self {
        Self { name: server.name, key: server.key.0, certificate: Digest(server.certificate.0) }
    }
}

impl From<&NetworkFile> for NetworkText {
    fn from(file: &NetworkFile) -> Self {
        let NetworkFile { draft, coordinator_address, signatures } = file;
        let servers = draft.servers.iter().zip(signatures);
        Self {
            params: draft.params.clone(),
            coordinator: CoordinatorText {
                address: coordinator_address.clone(),
                certificate: Hex(draft.coordinator.0),
            },
            servers: servers.map(|(server, signature)| ServerText::new(server, *signature)).collect(),
        }
    }
}

impl From<NetworkText> for NetworkFile {
    fn from(text: NetworkText) -> Self {
        let signatures = text.servers.iter().map(|server| server.signature.map(|hex| Signature(hex.0))).collect();
        let draft = DirectoryDraft {
            params: text.params,
            servers: text.servers.into_iter().map(ServerEntry::from).collect(),
            coordinator: Digest(text.coordinator.certificate.0),
        };
        Self { draft, coordinator_address: text.coordinator.address, signatures }
    }
}
