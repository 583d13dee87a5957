//! What nodes keep in files, in the encoding of the wire.

use hippodrome_core::{
    coordinator::CoordinatorState,
    message::{AmendmentStart, EpochStart},
};
use prost::Message as _;

use crate::{
    convert::{Wire, WireError, fields::required},
    pb,
};

/// The bytes of what a coordinator keeps.
pub fn encode_state(state: &CoordinatorState) -> Vec<u8> {
    let amendment = state.amendment.as_ref();
    let state = pb::CoordinatorState {
        epoch: Some(state.epoch.header()),
        epoch_body: state.epoch.body().into_owned().into(),
        amendment: amendment.map(Wire::header),
        amendment_body: amendment.map_or_else(Vec::new, |amendment| amendment.body().into_owned()).into(),
    };
    state.encode_to_vec()
}

/// What a coordinator kept, from its bytes; whether it holds is for the machine to say.
pub fn decode_state(bytes: &[u8]) -> Result<CoordinatorState, WireError> {
    let state = pb::CoordinatorState::decode(bytes).map_err(|_| WireError::UnknownKind)?;
    let amendment_body = Vec::from(state.amendment_body);
    Ok(CoordinatorState {
        epoch: EpochStart::decode(required("epoch", state.epoch)?, state.epoch_body.into())?,
        amendment: state.amendment.map(|start| AmendmentStart::decode(start, amendment_body)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Sampler;

    #[test]
    fn what_is_kept_comes_back_and_cut_bytes_do_not() {
        let mut sampler = Sampler::new(40);
        let (epoch, amendment) = (sampler.epoch_start(3), sampler.amendment_start());
        for amendment in [None, Some(amendment)] {
            let state = CoordinatorState { epoch: epoch.clone(), amendment };
            let bytes = encode_state(&state);
            let decoded = decode_state(&bytes).expect("what was encoded");
            assert_eq!(format!("{decoded:?}"), format!("{state:?}"));
            assert!(decode_state(&bytes[..bytes.len() / 2]).is_err());
        }
        assert!(decode_state(&[]).is_err());
    }
}
