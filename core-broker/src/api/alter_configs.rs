//! AlterConfigs (33): replaces all overrides of a topic or all alterations of the broker.
//!
//! Clients since Kafka 2.3 use IncrementalAlterConfigs; older ones read everything, change one value and write
//! everything back.

use std::sync::Arc;

use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::config_change::{Refusal, Values, apply, invalid, repeated, target, twice};
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started, blocking, text};
use crate::broker::BrokerState;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 2,
    fields: &[
        all(Kind::Array(&[
            all(Kind::Fixed(1)),
            all(Kind::Text),
            all(Kind::Array(&[all(Kind::Text), all(Kind::Text)])),
        ])),
        all(Kind::Fixed(1)),
    ],
};

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: AlterConfigsRequest = request.decode()?;
    Started::later(async move {
        let mut response = AlterConfigsResponse::default();
        let repeated = repeated(body.resources.iter().map(|r| (r.resource_type, &r.resource_name)));
        for resource in &body.resources {
            let result = match repeated.contains(&(resource.resource_type, &resource.resource_name)) {
                true => Err(invalid("each resource must appear at most once".to_owned())),
                false => {
                    let (broker, asked) = (Arc::clone(&request.broker), resource.clone());
                    blocking(move || alter(&broker, &asked, body.validate_only)).await?
                }
            };
            let answer = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_message(None);
            response.responses.push(match result {
                Ok(()) => answer,
                Err(refusal) => answer
                    .with_error_code(refusal.code.code())
                    .with_error_message(Some(text(refusal.message))),
            });
        }
        request.answer.reply(&response)
    })
}

fn alter(broker: &BrokerState, asked: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let target = target(broker, asked.resource_type, &asked.resource_name)?;
    if let Some(name) = twice(asked.configs.iter().map(|config| &config.name)) {
        return Err(invalid(format!("config {name:?} appears twice")));
    }
    let mut values = Values::new();
    for config in &asked.configs {
        let Some(value) = &config.value else {
            return Err(invalid(format!(
                "config {:?} has no value; leave it out to unset it",
                config.name
            )));
        };
        values.insert(config.name.to_string(), value.trim().to_owned());
    }
    apply(broker, &target, validate_only, |_| Ok(values))
}
