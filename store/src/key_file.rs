//! Key files: what makes a server, a client or the coordinator who it is.
//!
//! A key file is short TOML text that only its owner can read; it is never overwritten. What is secret in it is wiped
//! from memory when dropped, and no error message quotes a line of it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER_PERMISSIVE;
use hippodrome_core::directory::ServerEntry;
use hippodrome_crypto::{
    hash::{Hasher, hex},
    signing::{PublicKey, SigningKey},
};
use hippodrome_proto::tls::{Fingerprint, NodeCertificate, TlsError};
use rand::{TryRng, rngs::SysRng};
use zeroize::Zeroizing;

use crate::file::{self, ReadError, Source, WriteError};

/// Key files are a few hundred bytes; a longer file is something else.
const MAX_LEN: u64 = 32 << 10;
/// Only its owner reads a key file.
const MODE: u32 = 0o600;
/// Most bytes of a name.
const MAX_NAME: usize = 64;

/// Whose key file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mix server.
    Server,
    /// A client, on its seat.
    Client,
    /// The coordinator.
    Coordinator,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Coordinator => "coordinator",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Server => "the key file of a server (`hippodrome keys` makes one)",
            Self::Client => "the key file of a client (`hippodrome keys` makes one)",
            Self::Coordinator => "the key file of a coordinator (`hippodrome keys` makes one)",
        }
    }

    fn fields(self) -> &'static str {
        match self {
            Self::Server => {
                "`version = 1`, `kind = \"server\"`, `name`, `seed` (64 hexadecimal digits), `certificate` and \
                 `certificate_key` (hexadecimal digits)"
            }
            Self::Client => "`version = 1`, `kind = \"client\"`, `name` and `seed` (64 hexadecimal digits)",
            Self::Coordinator => {
                "`version = 1`, `kind = \"coordinator\"`, `certificate` and `certificate_key` (hexadecimal digits)"
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why keys cannot be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Others than the owner can read or change the file.
    #[error("others can read {0}, which holds secret keys; run `chmod 600 {0}`", path.display())]
    Exposed {
        /// The path.
        path: PathBuf,
    },
    /// The file is not what it should be. Its contents are not quoted: they may be secret.
    #[error("{}, line {line}: this is not {}: expected exactly {}", path.display(), kind.expected(), kind.fields())]
    Malformed {
        /// The path.
        path: PathBuf,
        /// Number of the first line that is wrong, or of the first line of all if something is missing.
        line: usize,
        /// What it should be.
        kind: Kind,
    },
    /// A key file of somebody else.
    #[error("{} is the key file of a {found}; expected {}", path.display(), expected.expected())]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// Whose it is.
        found: Kind,
        /// Whose it should be.
        expected: Kind,
    },
    /// Certificate and key do not go together.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// The path.
        path: PathBuf,
        /// What TLS says.
        source: TlsError,
    },
    /// A certificate cannot be made.
    #[error(transparent)]
    Generate(#[from] TlsError),
    /// Not a name.
    #[error("`{0}` is not a name: expected 1 to {MAX_NAME} bytes without quotes, backslashes or control characters")]
    Name(String),
    /// The system has no randomness.
    #[error("the system gives no random bytes: {0}")]
    Randomness(rand::rngs::SysError),
}

/// Secret bytes that an Ed25519 key is made of.
struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    fn generate() -> Result<Self, KeyFileError> {
        let mut seed = Self(Zeroizing::new([0; 32]));
        SysRng.try_fill_bytes(&mut *seed.0).map_err(KeyFileError::Randomness)?;
        Ok(seed)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut seed = Self(Zeroizing::new([0; 32]));
        (bytes.len() == seed.0.len()).then(|| {
            seed.0.copy_from_slice(bytes);
            seed
        })
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(&self.0)
    }
}

/// Where new keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// The system's randomness.
    System,
    /// A number that everybody may know: keys of networks that are only measured, the same each time.
    Testbed(u64),
}

impl KeySource {
    /// Keys of a mix server.
    pub fn server(&self, name: &str) -> Result<ServerKeys, KeyFileError> {
        let (seed, certificate) = (self.seed("server", name)?, self.certificate("server", name)?);
        Ok(ServerKeys { name: check_name(name)?, seed, certificate })
    }

    /// Keys of a coordinator.
    pub fn coordinator(&self) -> Result<CoordinatorKeys, KeyFileError> {
        Ok(CoordinatorKeys { certificate: self.certificate("coordinator", "")? })
    }

    /// The key of a client's seat.
    pub fn client(&self, name: &str) -> Result<ClientKeys, KeyFileError> {
        Ok(ClientKeys { name: check_name(name)?, seed: self.seed("client", name)? })
    }

    fn seed(&self, kind: &str, name: &str) -> Result<Seed, KeyFileError> {
        match self {
            Self::System => Seed::generate(),
            Self::Testbed(number) => Ok(Seed(Zeroizing::new(known(*number, "signing", kind, name)))),
        }
    }

    fn certificate(&self, kind: &str, name: &str) -> Result<NodeCertificate, KeyFileError> {
        Ok(match self {
            Self::System => NodeCertificate::generate()?,
            Self::Testbed(number) => NodeCertificate::for_testbed(&known(*number, "certificate", kind, name))?,
        })
    }
}

/// The secret of a testbed's key.
fn known(number: u64, purpose: &str, kind: &str, name: &str) -> [u8; 32] {
    let hasher = Hasher::new("hippodrome v1 testbed key").number(number);
    [purpose, kind, name].into_iter().fold(hasher, |hasher, part| hasher.bytes(part.as_bytes())).finish().0
}

/// The keys of a mix server.
pub struct ServerKeys {
    name: String,
    seed: Seed,
    certificate: NodeCertificate,
}

impl ServerKeys {
    /// Makes keys with the system's randomness.
    pub fn generate(name: &str) -> Result<Self, KeyFileError> {
        KeySource::System.server(name)
    }

    /// Reads a server's key file.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let secret = Secret::read(path, Kind::Server)?;
        let mut fields = secret.fields()?;
        let keys = Self { name: fields.name()?, seed: fields.seed()?, certificate: fields.certificate()? };
        fields.finish()?;
        Ok(keys)
    }

    /// Writes a new key file; a file that exists is never overwritten.
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        Writing::new(Kind::Server).name(&self.name).seed(&self.seed).certificate(&self.certificate).create(path)
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What everybody may know, and the directory pins. [`crate::network_file::server_text`] makes text of it.
    pub fn public_entry(&self) -> ServerEntry {
        let key = self.signing_key().public();
        ServerEntry { name: self.name.clone(), key, certificate: self.certificate.fingerprint().0 }
    }

    /// The key that signs what the server says.
    pub fn signing_key(&self) -> SigningKey {
        self.seed.signing_key()
    }

    /// The certificate that the server's connections show.
    pub fn certificate(&self) -> &NodeCertificate {
        &self.certificate
    }

    /// Keeps the certificate alone.
    pub fn into_certificate(self) -> NodeCertificate {
        self.certificate
    }
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerKeys({})", self.name)
    }
}

/// The keys of the coordinator, which has no say in anything and signs nothing: its certificate.
pub struct CoordinatorKeys {
    certificate: NodeCertificate,
}

impl CoordinatorKeys {
    /// Makes keys with the system's randomness.
    pub fn generate() -> Result<Self, KeyFileError> {
        KeySource::System.coordinator()
    }

    /// Reads a coordinator's key file.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let secret = Secret::read(path, Kind::Coordinator)?;
        let mut fields = secret.fields()?;
        let keys = Self { certificate: fields.certificate()? };
        fields.finish()?;
        Ok(keys)
    }

    /// Writes a new key file; a file that exists is never overwritten.
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        Writing::new(Kind::Coordinator).certificate(&self.certificate).create(path)
    }

    /// What the directory pins. [`crate::network_file::coordinator_text`] makes text of it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    /// The certificate that the coordinator's connections show.
    pub fn certificate(&self) -> &NodeCertificate {
        &self.certificate
    }

    /// Keeps the certificate alone.
    pub fn into_certificate(self) -> NodeCertificate {
        self.certificate
    }
}

impl fmt::Debug for CoordinatorKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CoordinatorKeys({})", self.fingerprint())
    }
}

/// The key of a client's seat.
pub struct ClientKeys {
    name: String,
    seed: Seed,
}

impl ClientKeys {
    /// Makes a key with the system's randomness.
    pub fn generate(name: &str) -> Result<Self, KeyFileError> {
        KeySource::System.client(name)
    }

    /// Reads a client's key file.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let secret = Secret::read(path, Kind::Client)?;
        let mut fields = secret.fields()?;
        let keys = Self { name: fields.name()?, seed: fields.seed()? };
        fields.finish()?;
        Ok(keys)
    }

    /// Writes a new key file; a file that exists is never overwritten.
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        Writing::new(Kind::Client).name(&self.name).seed(&self.seed).create(path)
    }

    /// The seat's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the registry lists.
    pub fn public(&self) -> PublicKey {
        self.signing_key().public()
    }

    /// The key that signs submissions.
    pub fn signing_key(&self) -> SigningKey {
        self.seed.signing_key()
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKeys({})", self.name)
    }
}

/// Whether a text is fit to be the name of a server or seat.
pub(crate) fn is_name(name: &str) -> bool {
    let odd = |c: char| c.is_control() || c == '"' || c == '\\';
    (1..=MAX_NAME).contains(&name.len()) && !name.contains(odd)
}

fn check_name(name: &str) -> Result<String, KeyFileError> {
    if is_name(name) { Ok(name.to_owned()) } else { Err(KeyFileError::Name(name.to_owned())) }
}

/// Composes the text of a key file in one piece of memory that is wiped.
struct Writing(Zeroizing<String>);

impl Writing {
    fn new(kind: Kind) -> Self {
        // All of it fits: text that grows would leave copies of secrets behind.
        let mut text = Self(Zeroizing::new(String::with_capacity(MAX_LEN as usize)));
        text.0.push_str("# Whoever reads this file can act in its owner's name. Never share it.\n");
        text.0.push_str("version = 1\n");
        text.field("kind", kind.word());
        text
    }

    fn field(&mut self, key: &str, value: &str) {
        [key, " = \"", value, "\"\n"].into_iter().for_each(|part| self.0.push_str(part));
    }

    fn name(mut self, name: &str) -> Self {
        self.field("name", name);
        self
    }

    fn seed(mut self, seed: &Seed) -> Self {
        self.field("seed", &Zeroizing::new(hex(&*seed.0)));
        self
    }

    fn certificate(mut self, certificate: &NodeCertificate) -> Self {
        self.field("certificate", &hex(certificate.certificate_der()));
        self.field("certificate_key", &Zeroizing::new(hex(certificate.expose_key_der())));
        self
    }

    fn create(self, path: &Path) -> Result<(), KeyFileError> {
        Ok(file::create(path, MODE, &self.0)?)
    }
}

/// Text of a key file in memory.
struct Secret<'a> {
    path: &'a Path,
    kind: Kind,
    text: Zeroizing<String>,
}

impl<'a> Secret<'a> {
    fn read(path: &'a Path, kind: Kind) -> Result<Self, KeyFileError> {
        let source = Source::open(path, kind.expected())?;
        if source.mode()? & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path: path.to_owned() });
        }
        Ok(Self { path, kind, text: source.read(MAX_LEN)? })
    }

    /// Its lines as fields. A parser of all of TOML would keep copies of what it reads, so this one takes only lines
    /// `key = "value"`, `version = 1` and comments, which is all that a key file has.
    fn fields(&self) -> Result<Fields<'_>, KeyFileError> {
        let mut fields = Fields { path: self.path, kind: self.kind, lines: Vec::new() };
        for (index, line) in self.text.lines().enumerate() {
            let line_text = line.trim();
            if line_text.is_empty() || line_text.starts_with('#') {
                continue;
            }
            let (key, value) = line_text.split_once('=').ok_or_else(|| fields.malformed(index + 1))?;
            fields.lines.push(Field { line: index + 1, key: key.trim(), value: value.trim() });
        }
        fields.check_kind()?;
        Ok(fields)
    }
}

/// One line of a key file.
struct Field<'a> {
    line: usize,
    key: &'a str,
    value: &'a str,
}

/// The fields of a key file that nobody has taken yet.
struct Fields<'a> {
    path: &'a Path,
    kind: Kind,
    lines: Vec<Field<'a>>,
}

impl<'a> Fields<'a> {
    fn check_kind(&mut self) -> Result<(), KeyFileError> {
        let version = self.take("version")?;
        if version.value != "1" {
            return Err(self.malformed(version.line));
        }
        let kind = self.take("kind")?;
        let word = unquoted(kind.value);
        match [Kind::Server, Kind::Client, Kind::Coordinator].into_iter().find(|kind| word == Some(kind.word())) {
            Some(found) if found == self.kind => Ok(()),
            Some(found) => Err(KeyFileError::WrongKind { path: self.path.to_owned(), found, expected: self.kind }),
            None => Err(self.malformed(kind.line)),
        }
    }

    fn take(&mut self, key: &str) -> Result<Field<'a>, KeyFileError> {
        let place = self.lines.iter().position(|field| field.key == key).ok_or_else(|| self.malformed(1))?;
        Ok(self.lines.remove(place))
    }

    fn name(&mut self) -> Result<String, KeyFileError> {
        let field = self.take("name")?;
        let name = unquoted(field.value).filter(|name| is_name(name)).ok_or_else(|| self.malformed(field.line))?;
        Ok(name.to_owned())
    }

    fn bytes(&mut self, key: &str) -> Result<(usize, Zeroizing<Vec<u8>>), KeyFileError> {
        let field = self.take(key)?;
        let bytes = unquoted(field.value).and_then(|text| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok());
        Ok((field.line, Zeroizing::new(bytes.ok_or_else(|| self.malformed(field.line))?)))
    }

    fn seed(&mut self) -> Result<Seed, KeyFileError> {
        let (line, bytes) = self.bytes("seed")?;
        Seed::decode(&bytes).ok_or_else(|| self.malformed(line))
    }

    fn certificate(&mut self) -> Result<NodeCertificate, KeyFileError> {
        let (_, certificate) = self.bytes("certificate")?;
        let (_, key) = self.bytes("certificate_key")?;
        let unusable = |source| KeyFileError::Certificate { path: self.path.to_owned(), source };
        NodeCertificate::from_der(&certificate, key).map_err(unusable)
    }

    /// Nothing is left over: no field twice, none that is unknown.
    fn finish(self) -> Result<(), KeyFileError> {
        self.lines.first().map_or(Ok(()), |field| Err(self.malformed(field.line)))
    }

    fn malformed(&self, line: usize) -> KeyFileError {
        KeyFileError::Malformed { path: self.path.to_owned(), line, kind: self.kind }
    }
}

fn unquoted(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}
