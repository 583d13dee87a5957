//! The directory: who the servers are, with the keys that everybody pins.
//!
//! There is one version. Its digest is the network's identity, and every server signs it.

use hippodrome_crypto::{
    hash::{Digest, Hasher},
    signing::{PublicKey, Signature, SigningKey},
};

use crate::{
    ids::{Party, ServerId},
    params::{BadParameter, NetworkParams},
};

/// A mix server as the directory has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEntry {
    /// A name for people.
    pub name: String,
    /// The key that signs what the server says.
    pub key: PublicKey,
    /// Fingerprint of the certificate that its connections show.
    pub certificate: Digest,
}

/// Parameters and parties of a network, not yet signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryDraft {
    /// The network's parameters.
    pub params: NetworkParams,
    /// The servers; a server's id is its place.
    pub servers: Vec<ServerEntry>,
    /// Fingerprint of the coordinator's certificate.
    pub coordinator: Digest,
}

impl DirectoryDraft {
    /// The network's identity: digest of parameters, servers and coordinator.
    pub fn network_id(&self) -> Digest {
        let hasher = Hasher::new("hippodrome v1 directory")
            .digest(&self.params.digest())
            .digest(&self.coordinator)
            .number(self.servers.len() as u64);
        self.servers
            .iter()
            .fold(hasher, |hasher, server| {
                hasher.bytes(server.name.as_bytes()).bytes(server.key.as_bytes()).digest(&server.certificate)
            })
            .finish()
    }

    /// A server's signature on the directory.
    pub fn sign(&self, key: &SigningKey) -> Signature {
        key.sign(&signed_digest(&self.network_id()))
    }

    /// Checks one server's signature.
    pub fn verify_one(&self, key: &PublicKey, signature: &Signature) -> bool {
        key.verify(&signed_digest(&self.network_id()), signature).is_ok()
    }

    /// Checks parameters, keys and the signatures of all servers, given in the servers' order.
    pub fn verify(self, signatures: &[Signature]) -> Result<Directory, DirectoryError> {
        self.params.check(self.servers.len())?;
        if signatures.len() != self.servers.len() {
            return Err(DirectoryError::SignatureCount { got: signatures.len(), expected: self.servers.len() });
        }
        for (index, server) in self.servers.iter().enumerate() {
            let earlier = &self.servers[..index];
            if earlier.iter().any(|other| other.key == server.key || other.certificate == server.certificate)
                || server.certificate == self.coordinator
            {
                return Err(DirectoryError::Repeated { server: server.name.clone() });
            }
        }
        let id = self.network_id();
        let signed = signed_digest(&id);
        for (server, signature) in self.servers.iter().zip(signatures) {
            let bad = |_| DirectoryError::BadSignature { server: server.name.clone() };
            server.key.verify(&signed, signature).map_err(bad)?;
        }
        Ok(Directory { id, draft: self })
    }
}

fn signed_digest(network_id: &Digest) -> Digest {
    Hasher::new("hippodrome v1 directory signature").digest(network_id).finish()
}

/// A directory that all its servers have signed.
#[derive(Clone, Debug)]
pub struct Directory {
    id: Digest,
    draft: DirectoryDraft,
}

impl Directory {
    /// The network's identity.
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// The network's parameters.
    pub fn params(&self) -> &NetworkParams {
        &self.draft.params
    }

    /// The servers in order of their ids.
    pub fn servers(&self) -> &[ServerEntry] {
        &self.draft.servers
    }

    /// Ids of all servers.
    pub fn server_ids(&self) -> impl ExactSizeIterator<Item = ServerId> + Clone {
        (0..self.draft.servers.len() as u16).map(ServerId)
    }

    /// A server's key, if there is such a server.
    pub fn server_key(&self, server: ServerId) -> Option<&PublicKey> {
        self.draft.servers.get(usize::from(server.0)).map(|entry| &entry.key)
    }

    /// Fingerprint of a party's certificate, if there is such a party.
    pub fn certificate(&self, party: Party) -> Option<&Digest> {
        match party {
            Party::Coordinator => Some(&self.draft.coordinator),
            Party::Server(server) => self.draft.servers.get(usize::from(server.0)).map(|entry| &entry.certificate),
        }
    }

    /// The server that signs with `key`.
    pub fn server_of(&self, key: &PublicKey) -> Option<ServerId> {
        self.draft.servers.iter().position(|server| &server.key == key).map(|index| ServerId(index as u16))
    }

    /// How many servers must sign an epoch or an amendment.
    pub fn quorum(&self) -> usize {
        self.params().quorum(self.servers().len())
    }

    /// Checks one signature for each of `signers`, in order, over one digest.
    pub fn verify_each(
        &self,
        digest: &Digest,
        signers: &[ServerId],
        signatures: &[Signature],
    ) -> Result<(), MissingSignature> {
        if signatures.len() != signers.len() {
            return Err(MissingSignature::Count { got: signatures.len(), expected: signers.len() });
        }
        signers.iter().zip(signatures).try_for_each(|(&signer, signature)| self.verify_one(digest, signer, signature))
    }

    /// Checks the signatures of a quorum over one digest, given by ascending servers.
    pub fn verify_quorum(&self, digest: &Digest, signatures: &[(ServerId, Signature)]) -> Result<(), MissingSignature> {
        let expected = self.quorum();
        if signatures.len() < expected {
            return Err(MissingSignature::Quorum { got: signatures.len(), expected });
        }
        if let Some(pair) = signatures.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(MissingSignature::Order(pair[1].0));
        }
        signatures.iter().try_for_each(|(signer, signature)| self.verify_one(digest, *signer, signature))
    }

    /// Checks one server's signature over a digest.
    pub fn verify_one(&self, digest: &Digest, signer: ServerId, signature: &Signature) -> Result<(), MissingSignature> {
        let bad = MissingSignature::Bad(signer);
        let key = self.server_key(signer).ok_or(bad.clone())?;
        key.verify(digest, signature).map_err(|_| bad)
    }
}

/// Why a statement is not signed by all who must sign it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingSignature {
    /// There are more or fewer signatures than servers that must sign.
    #[error("{got} signatures where all {expected} servers must sign")]
    Count {
        /// Signatures present.
        got: usize,
        /// Servers.
        expected: usize,
    },
    /// Too few servers have signed.
    #[error("{got} signatures where a quorum of {expected} servers must sign")]
    Quorum {
        /// Signatures present.
        got: usize,
        /// The quorum.
        expected: usize,
    },
    /// A signature is there twice, or out of order.
    #[error("the signature of {0} is there twice or out of order")]
    Order(ServerId),
    /// One signature does not hold.
    #[error("the signature of {0} does not hold")]
    Bad(ServerId),
}

/// Why a directory is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// A parameter that no network can have.
    #[error(transparent)]
    Parameter(#[from] BadParameter),
    /// There are more or fewer signatures than servers.
    #[error(
        "the directory has {got} signatures, but each of its {expected} servers must sign it (`hippodrome keys sign`)"
    )]
    SignatureCount {
        /// Signatures present.
        got: usize,
        /// Servers.
        expected: usize,
    },
    /// Two parties share a key or a certificate.
    #[error("server `{server}` has a key or certificate that another party has too")]
    Repeated {
        /// The later one's name.
        server: String,
    },
    /// A signature does not hold.
    #[error("the signature of server `{server}` on the directory does not hold: the file was changed after it signed")]
    BadSignature {
        /// The server's name.
        server: String,
    },
}
