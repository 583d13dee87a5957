//! The vector of a layer's inputs, signed by every active server: it closes all chains of the layer before any of them lets
//! anything out, so that nothing seen in one chain can still enter another.

use std::collections::BTreeMap;

use hippodrome_crypto::{hash::Digest, signing::Signature};

use super::{context::RoundContext, input::SignedInput};
use crate::{
    evidence::{SignedStatement, Statement},
    ids::{ChainId, Layer, ServerId},
    message::{Awaited, Confirmation, InputCommitment, Missing},
    statement,
};

/// A layer's inputs and confirmations as they come in.
#[derive(Debug)]
pub(crate) struct Confirming {
    layer: Layer,
    inputs: BTreeMap<ChainId, SignedInput>,
    vectors: BTreeMap<ServerId, (Digest, Signature)>,
}

/// Two different signed statements where there may be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction(pub(crate) Box<[SignedStatement; 2]>);

/// A layer whose vector of inputs all active servers have signed. Only [`Confirming::confirmed`] makes it.
#[derive(Clone, Debug)]
pub(crate) struct ConfirmedLayer {
    layer: Layer,
    inputs: Vec<InputCommitment>,
}

impl ConfirmedLayer {
    /// The layer's inputs, in the order of their chains.
    pub(crate) fn inputs(&self) -> &[InputCommitment] {
        &self.inputs
    }

    /// Whether this layer's vector holds that input.
    pub(crate) fn holds(&self, input: &SignedInput) -> bool {
        self.layer == input.commitment().stage.layer && self.inputs.contains(input.commitment())
    }
}

impl Confirming {
    pub(crate) fn new(layer: Layer) -> Self {
        Self { layer, inputs: BTreeMap::new(), vectors: BTreeMap::new() }
    }

    /// Takes a chain's input. A different one signed by all members means that all of them signed twice.
    pub(crate) fn add_input(&mut self, context: &RoundContext, input: SignedInput) -> Result<(), Contradiction> {
        let stage = input.commitment().stage;
        let signed = |input: &SignedInput| SignedStatement {
            signer: context.first_of(stage),
            statement: Statement::Input(*input.commitment()),
            signature: input.agreed().signatures[0],
        };
        match self.inputs.insert(stage.chain, input.clone()) {
            Some(earlier) if earlier.commitment() != input.commitment() => {
                Err(Contradiction(Box::new([signed(&earlier), signed(&input)])))
            }
            _ => Ok(()),
        }
    }

    /// The input of a chain, once it has come.
    pub(crate) fn input(&self, chain: ChainId) -> Option<&SignedInput> {
        self.inputs.get(&chain)
    }

    /// The vector to sign, once every open chain's input has come.
    pub(crate) fn vector(&self, context: &RoundContext) -> Option<Digest> {
        self.complete(context).map(|inputs| statement::vector(context.digest(), self.layer, &inputs))
    }

    fn complete(&self, context: &RoundContext) -> Option<Vec<InputCommitment>> {
        let all = self.inputs.len() == context.open(self.layer).len();
        all.then(|| self.inputs.values().map(|input| *input.commitment()).collect())
    }

    /// Takes a server's confirmation; one that is not signed by it is ignored.
    pub(crate) fn add_confirmation(
        &mut self,
        context: &RoundContext,
        from: ServerId,
        confirmation: &Confirmation,
    ) -> Result<(), Contradiction> {
        let Confirmation { vector, signature, .. } = confirmation;
        if !self.is_signed(context, from, vector, signature) {
            return Ok(());
        }
        let signed = |(vector, signature)| {
            let statement = Statement::Confirmation { layer: self.layer, vector };
            SignedStatement { signer: from, statement, signature }
        };
        match self.vectors.insert(from, (*vector, *signature)) {
            Some(earlier) if earlier.0 != *vector => {
                Err(Contradiction(Box::new([signed(earlier), signed((*vector, *signature))])))
            }
            _ => Ok(()),
        }
    }

    /// Everybody's signatures on the vector that each has seen.
    pub(crate) fn signatures(&self) -> BTreeMap<ServerId, Signature> {
        self.vectors.iter().map(|(server, (_, signature))| (*server, *signature)).collect()
    }

    /// Whether a server has signed some vector.
    pub(crate) fn has_signed(&self, server: ServerId) -> bool {
        self.vectors.contains_key(&server)
    }

    fn is_signed(&self, context: &RoundContext, from: ServerId, vector: &Digest, signature: &Signature) -> bool {
        context.signed_by(from, &statement::confirmation(context.digest(), self.layer, vector), signature)
    }

    /// The layer, once all active servers have confirmed the vector that we see ourselves.
    pub(crate) fn confirmed(&self, context: &RoundContext) -> Option<ConfirmedLayer> {
        let vector = self.vector(context)?;
        let all = context
            .active()
            .iter()
            .all(|server| self.vectors.get(server).is_some_and(|(confirmed, _)| *confirmed == vector));
        let inputs = self.complete(context)?;
        all.then_some(ConfirmedLayer { layer: self.layer, inputs })
    }

    /// What is missing of the layer's inputs, or of their confirmations.
    pub(crate) fn missing(&self, context: &RoundContext) -> Missing {
        match self.vector(context) {
            None => {
                let open = context.open(self.layer).iter().filter(|chain| !self.inputs.contains_key(chain));
                let from = the_one(open.map(|&chain| context.first_of(context.stage(self.layer, chain))));
                Missing { what: Awaited::Inputs, from }
            }
            Some(vector) => {
                let active = context.active().iter().copied();
                let from = the_one(
                    active.filter(|server| self.vectors.get(server).is_none_or(|(signed, _)| *signed != vector)),
                );
                Missing { what: Awaited::Confirmations, from }
            }
        }
    }
}

/// The server that all of these are; none if there are several, or none at all.
pub(crate) fn the_one(mut servers: impl Iterator<Item = ServerId>) -> Option<ServerId> {
    let first = servers.next()?;
    servers.all(|server| server == first).then_some(first)
}
