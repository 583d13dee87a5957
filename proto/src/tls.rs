//! TLS 1.3 with pinned certificates.
//!
//! There is no certificate authority: the directory holds the fingerprint of every party's self-signed certificate, and
//! a connection is with that party or is refused. Names and dates in certificates mean nothing. Every handshake is
//! complete: sessions are not resumed, so that every connection has shown its certificate and its key.

use std::{collections::HashMap, fmt, sync::Arc};

use hippodrome_core::ids::Party;
use hippodrome_crypto::hash::{Digest, Hasher};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
    version::TLS13,
};
use zeroize::{Zeroize, Zeroizing};

/// The protocol inside TLS.
const ALPN: &[u8] = b"h2";

/// BLAKE3 digest of a certificate's DER: what the directory pins.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub Digest);

impl Fingerprint {
    /// The fingerprint of a DER certificate.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Hasher::new("hippodrome v1 certificate").bytes(certificate).finish())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:?})", self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Digest> for Fingerprint {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

/// Whose certificate has which fingerprint.
pub type Pins = HashMap<Fingerprint, Party>;

/// Why TLS cannot be set up from a certificate: always the owner's own files or library, never a peer.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// Certificate and key do not go together, or are not what they should be.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A node's certificate with its private key, an Ed25519 key that serves nothing but TLS.
///
/// The key is wiped on drop; the copy that the TLS library makes of it for its own use is not.
pub struct NodeCertificate {
    certificate: CertificateDer<'static>,
    key: Zeroizing<Vec<u8>>,
}

impl NodeCertificate {
    /// Makes a key and a certificate for it, with the system's randomness.
    pub fn generate() -> Result<Self, TlsError> {
        Self::of(KeyPair::generate_for(&PKCS_ED25519)?)
    }

    /// Makes a key that is known to all who know `seed`, and a certificate for it: for networks that are only measured, so
    /// that they are the same each time.
    pub fn for_testbed(seed: &[u8; 32]) -> Result<Self, TlsError> {
        // A PKCS#8 key of RFC 8410 up to the secret.
        const PREFIX: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        let key = PrivatePkcs8KeyDer::from([PREFIX, seed].concat());
        Self::of(KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519)?)
    }

    fn of(mut key_pair: KeyPair) -> Result<Self, TlsError> {
        let certificate = CertificateParams::new([SERVER_NAME.to_owned()])?.self_signed(&key_pair)?;
        let key = Zeroizing::new(key_pair.serialize_der());
        key_pair.zeroize();
        Ok(Self { certificate: certificate.der().clone(), key })
    }

    /// Takes a stored certificate (DER) and its key (PKCS#8 DER), which must go together.
    pub fn from_der(certificate: &[u8], key: Zeroizing<Vec<u8>>) -> Result<Self, TlsError> {
        let own = Self { certificate: CertificateDer::from(certificate.to_vec()), key };
        own.server_config(Arc::new(Pins::new()), Anonymous::Refused)?;
        Ok(own)
    }

    /// The certificate as DER: public.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The private key as PKCS#8 DER: secret.
    pub fn expose_key_der(&self) -> &[u8] {
        &self.key
    }

    /// What others pin.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Shows this certificate, and takes pinned ones; connections without one as `anonymous` says.
    pub(crate) fn server_config(&self, pins: Arc<Pins>, anonymous: Anonymous) -> Result<ServerConfig, TlsError> {
        let provider = provider();
        let verifier = PinnedClients { pins, anonymous, provider: Arc::clone(&provider) };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(self.chain(), self.private_key().into())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    fn private_key(&self) -> PrivatePkcs8KeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_vec())
    }
}

impl fmt::Debug for NodeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeCertificate({})", self.fingerprint())
    }
}

/// The name in certificates and handshakes, where the formats want one.
const SERVER_NAME: &str = "hippodrome.invalid";

/// The name that a handshake asks for.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from(SERVER_NAME).expect("the constant is a DNS name")
}

/// What to do with connections that show no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anonymous {
    /// Take them: clients come here.
    Taken,
    /// Refuse them in the handshake.
    Refused,
}

/// Takes exactly the certificate `expected`, and shows `own`, if there is one.
pub(crate) fn client_config(own: Option<&NodeCertificate>, expected: Fingerprint) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let verifier = PinnedServer { expected, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match own {
        Some(own) => builder.with_client_auth_cert(own.chain(), own.private_key().into())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

/// Named here for every configuration, so that nothing depends on a default of the whole process.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Not pinned: the alert says that access is denied.
fn unpinned() -> rustls::Error {
    CertificateError::ApplicationVerificationFailure.into()
}

/// Whether a handshake failed because the other end's certificate is not the pinned one.
pub(crate) fn is_unpinned(error: &rustls::Error) -> bool {
    *error == unpinned()
}

#[derive(Debug)]
struct PinnedServer {
    expected: Fingerprint,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct PinnedClients {
    pins: Arc<Pins>,
    anonymous: Anonymous,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if Fingerprint::of(end_entity) == self.expected { Ok(ServerCertVerified::assertion()) } else { Err(unpinned()) }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PinnedClients {
    fn client_auth_mandatory(&self) -> bool {
        self.anonymous == Anonymous::Refused
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.pins.contains_key(&Fingerprint::of(end_entity)) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(unpinned())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn only_tls13() -> rustls::Error {
    rustls::Error::General("only TLS 1.3 is spoken here".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::{
        TlsAcceptor, TlsConnector,
        rustls::sign::{CertifiedKey, SingleCertAndKey},
    };

    use super::*;

    fn generate() -> NodeCertificate {
        NodeCertificate::generate().expect("a certificate")
    }

    /// Shakes hands and says a word each way: a refused client learns so only when it reads.
    async fn shake_hands(server: ServerConfig, client: ClientConfig) -> (io::Result<()>, io::Result<()>) {
        let (near, far) = duplex(1 << 16);
        let serving = async {
            let mut tls = TlsAcceptor::from(Arc::new(server)).accept(near).await?;
            tls.write_all(b"x").await?;
            tls.flush().await
        };
        let asking = async {
            let mut tls = TlsConnector::from(Arc::new(client)).connect(server_name(), far).await?;
            tls.read_exact(&mut [0; 1]).await.map(drop)
        };
        tokio::join!(serving, asking)
    }

    fn pins_of(certificate: &NodeCertificate) -> Arc<Pins> {
        Arc::new(Pins::from([(certificate.fingerprint(), Party::Coordinator)]))
    }

    fn refusal(result: io::Result<()>) -> rustls::Error {
        let error = result.expect_err("the handshake is refused");
        error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).expect("a TLS error").clone()
    }

    /// The certificate of one with the key of another, past the check that the library makes of its owner.
    fn stolen(certificate: &NodeCertificate, key: &NodeCertificate) -> Arc<SingleCertAndKey> {
        let key = provider().key_provider.load_private_key(key.private_key().into()).expect("a good key");
        Arc::new(SingleCertAndKey::from(CertifiedKey::new(certificate.chain(), key)))
    }

    #[tokio::test]
    async fn pinned_parties_shake_hands() {
        let (server, client) = (generate(), generate());
        let serving = server.server_config(pins_of(&client), Anonymous::Refused).expect("a configuration");
        let asking = client_config(Some(&client), server.fingerprint()).expect("a configuration");
        let (served, asked) = shake_hands(serving, asking).await;
        served.expect("the server agrees");
        asked.expect("the client agrees");
    }

    #[tokio::test]
    async fn certificates_that_are_not_pinned_are_refused_on_both_sides() {
        let (server, client, other) = (generate(), generate(), generate());
        for anonymous in [Anonymous::Taken, Anonymous::Refused] {
            let serving = server.server_config(pins_of(&other), anonymous).expect("a configuration");
            let asking = client_config(Some(&client), server.fingerprint()).expect("a configuration");
            let (served, asked) = shake_hands(serving, asking).await;
            assert!(is_unpinned(&refusal(served)));
            asked.expect_err("the client learns it");
        }
        let serving = server.server_config(pins_of(&client), Anonymous::Refused).expect("a configuration");
        let asking = client_config(Some(&client), other.fingerprint()).expect("a configuration");
        let (_, asked) = shake_hands(serving, asking).await;
        assert!(is_unpinned(&refusal(asked)));
    }

    #[tokio::test]
    async fn anonymous_clients_come_in_only_where_they_may() {
        let server = generate();
        for anonymous in [Anonymous::Taken, Anonymous::Refused] {
            let serving = server.server_config(pins_of(&server), anonymous).expect("a configuration");
            let asking = client_config(None, server.fingerprint()).expect("a configuration");
            let (served, _) = shake_hands(serving, asking).await;
            assert_eq!(served.is_ok(), anonymous == Anonymous::Taken);
        }
    }

    #[tokio::test]
    async fn a_pinned_certificate_without_its_key_is_refused_on_both_sides() {
        let (server, client, thief) = (generate(), generate(), generate());
        let serving = server.server_config(pins_of(&client), Anonymous::Refused).expect("a configuration");
        let mut asking = client_config(Some(&client), server.fingerprint()).expect("a configuration");
        asking.client_auth_cert_resolver = stolen(&client, &thief);
        let (served, _) = shake_hands(serving, asking).await;
        assert_eq!(refusal(served), CertificateError::BadSignature.into());

        let mut serving = server.server_config(pins_of(&client), Anonymous::Refused).expect("a configuration");
        serving.cert_resolver = stolen(&server, &thief);
        let asking = client_config(Some(&client), server.fingerprint()).expect("a configuration");
        let (_, asked) = shake_hands(serving, asking).await;
        assert_eq!(refusal(asked), CertificateError::BadSignature.into());
    }

    #[test]
    fn stored_certificates_come_back_only_with_their_own_key() {
        let (one, other) = (generate(), generate());
        let key = |of: &NodeCertificate| Zeroizing::new(of.expose_key_der().to_vec());
        let back = NodeCertificate::from_der(one.certificate_der(), key(&one)).expect("its own key");
        assert_eq!(back.fingerprint(), one.fingerprint());
        assert!(matches!(NodeCertificate::from_der(one.certificate_der(), key(&other)), Err(TlsError::Unusable(_))));
        assert!(NodeCertificate::from_der(b"garbage", key(&one)).is_err());
        assert!(NodeCertificate::from_der(one.certificate_der(), Zeroizing::new(vec![1, 2, 3])).is_err());
    }

    #[test]
    fn the_private_key_is_not_printed() {
        let own = generate();
        assert_eq!(format!("{own:?}"), format!("NodeCertificate({})", own.fingerprint()));
    }
}
