//! What tests of several modules begin with.

use hippodrome_crypto::{hash::Hasher, signing::SigningKey};

use crate::{
    directory::{Directory, DirectoryDraft, ServerEntry},
    params::NetworkParams,
};

/// Keys that follow from small numbers, the first of them `seed`.
pub(crate) fn keys(count: u32, seed: u8) -> Vec<SigningKey> {
    (0..count as u8).map(|index| SigningKey::from_seed(&[seed + index; 32])).collect()
}

/// A network of the servers that have these keys.
pub(crate) fn found(params: NetworkParams, servers: &[SigningKey]) -> Directory {
    let certificate = |number: u64| Hasher::new("certificate of a test").number(number).finish();
    let entry = |(number, key): (u64, &SigningKey)| ServerEntry {
        name: format!("server-{number}"),
        key: key.public(),
        certificate: certificate(number),
    };
    let draft =
        DirectoryDraft { params, servers: (1..).zip(servers).map(entry).collect(), coordinator: certificate(0) };
    let signatures: Vec<_> = servers.iter().map(|key| draft.sign(key)).collect();
    draft.verify(&signatures).expect("a good directory")
}
