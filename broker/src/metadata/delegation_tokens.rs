use std::collections::BTreeMap;

use crate::model::Timestamp;
use crate::protocol::internal_records::metadata::{
    DelegationTokenRecord, RemoveDelegationTokenRecord,
};

/// One delegation token, without its secret. Source: KIP-48, KIP-900.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationToken {
    /// Whom it stands for.
    pub owner: String,
    /// Who asked for it.
    pub requester: String,
    /// Who may renew it.
    pub renewers: Vec<String>,
    /// When it was made.
    pub issued: Timestamp,
    /// After this it cannot be renewed.
    pub latest_expiration: Timestamp,
    /// When it ends unless it is renewed.
    pub expiration: Timestamp,
}

/// All delegation tokens, by token id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelegationTokensImage {
    pub(super) tokens: BTreeMap<String, DelegationToken>,
}

impl DelegationTokensImage {
    /// All tokens, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &DelegationToken)> {
        self.tokens.iter()
    }

    pub(super) fn set(&mut self, record: &DelegationTokenRecord) {
        let token = DelegationToken {
            owner: record.owner.clone(),
            requester: record.requester.clone(),
            renewers: record.renewers.clone(),
            issued: record.issue_timestamp,
            latest_expiration: record.max_timestamp,
            expiration: record.expiration_timestamp,
        };
        self.tokens.insert(record.token_id.clone(), token);
    }

    pub(super) fn remove(&mut self, record: &RemoveDelegationTokenRecord) {
        self.tokens.remove(&record.token_id);
    }
}
