//! ListTransactions (66): transactional ids, filtered by state, producer and (v1, KIP-994) age (KIP-664).
//!
//! Version 2 filters by a regular expression of a dialect that is not offered here.

use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    ListTransactionsRequest, ListTransactionsResponse, ProducerId as WireProducerId, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::shape::{Kind, Shape, all, since};
use super::{Fault, Request, Started, text};
use crate::ids::ProducerId;
use crate::transaction::{TransactionFilter, TransactionManager, TransactionState};

pub(crate) const SHAPE: Shape = Shape {
    flexible: 0,
    fields: &[
        all(Kind::TextArray),
        all(Kind::FixedArray(8)),
        since(1, Kind::Fixed(8)),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: ListTransactionsRequest = request.decode()?;
    let response = list(&request.broker.transactions, body);
    request.answer.ready(&response)
}

fn list(manager: &TransactionManager, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let (known, unknown): (Vec<StrBytes>, Vec<StrBytes>) = request
        .state_filters
        .into_iter()
        .partition(|name| TransactionState::named(name).is_some());
    let filter = TransactionFilter {
        states: known
            .iter()
            .filter_map(|name| TransactionState::named(name))
            .collect(),
        producer_ids: request
            .producer_id_filters
            .iter()
            .map(|id| ProducerId(id.0))
            .collect(),
        older_than_ms: (request.duration_filter >= 0).then_some(request.duration_filter),
    };
    // Only names that mean nothing: nothing is in such a state.
    let listed = if filter.states.is_empty() && !unknown.is_empty() {
        Vec::new()
    } else {
        manager.list(&filter)
    };
    let listed = listed.into_iter().map(|listing| {
        Listed::default()
            .with_transactional_id(TransactionalId(text(&listing.transactional_id)))
            .with_producer_id(WireProducerId(listing.producer_id.0))
            .with_transaction_state(StrBytes::from_static_str(listing.state.as_str()))
    });
    ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown)
        .with_transaction_states(listed.collect())
}
