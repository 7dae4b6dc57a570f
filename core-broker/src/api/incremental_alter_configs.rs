//! IncrementalAlterConfigs (44): sets, unsets, and adds to or takes from lists (KIP-339).

use std::sync::Arc;

use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::config_change::{Refusal, Target, Values, apply, invalid, repeated, target, twice};
use super::error_code::ErrorCode;
use super::shape::{Kind, Shape, all};
use super::{Fault, Request, Started, blocking, text};
use crate::broker::BrokerState;
use crate::config::{self, ConfigType};
use crate::topic::config::topic_key;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 1,
    fields: &[
        all(Kind::Array(&[
            all(Kind::Fixed(1)),
            all(Kind::Text),
            all(Kind::Array(&[
                all(Kind::Text),
                all(Kind::Fixed(1)),
                all(Kind::Text),
            ])),
        ])),
        all(Kind::Fixed(1)),
    ],
};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: IncrementalAlterConfigsRequest = request.decode()?;
    Started::later(async move {
        let mut response = IncrementalAlterConfigsResponse::default();
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
    apply(broker, &target, validate_only, |present| {
        let mut values = present.clone();
        for config in &asked.configs {
            change(broker, &target, &mut values, config)?;
        }
        Ok(values)
    })
}

fn change(
    broker: &BrokerState,
    target: &Target<'_>,
    values: &mut Values,
    config: &AlterableConfig,
) -> Result<(), Refusal> {
    let name = &*config.name;
    let operation = config.config_operation;
    if operation == DELETE {
        values.remove(name);
        return Ok(());
    }
    let Some(value) = config.value.as_deref().map(str::trim) else {
        return Err(invalid(format!(
            "config {name:?} has no value; the operation to unset it is DELETE"
        )));
    };
    let value = match operation {
        SET => value.to_owned(),
        APPEND | SUBTRACT => {
            let items = list(broker, target, values, name)?;
            let given: Vec<&str> = value
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .collect();
            let mut items: Vec<&str> = items
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .collect();
            if operation == APPEND {
                for item in given {
                    if !items.contains(&item) {
                        items.push(item);
                    }
                }
            } else {
                items.retain(|item| !given.contains(item));
            }
            items.join(",")
        }
        other => {
            return Err(invalid(format!(
                "operation {other} on config {name:?} is unknown: 0 sets, 1 unsets, 2 appends, 3 subtracts"
            )));
        }
    };
    values.insert(name.to_owned(), value);
    Ok(())
}

/// The present value of a list.
fn list(broker: &BrokerState, target: &Target<'_>, values: &Values, name: &str) -> Result<String, Refusal> {
    let effective = broker.live.load();
    let found = match target {
        Target::Topic(_) => topic_key(name).map(|key| (key.kind, Some((key.default)(&effective)))),
        Target::Broker(_) => {
            let key = config::KEYS.iter().find(|key| key.name == name);
            key.map(|key| (key.kind, (key.get)(&effective)))
        }
    };
    match found {
        Some((ConfigType::List, default)) => Ok(values.get(name).cloned().or(default).unwrap_or_default()),
        Some(_) => Err(Refusal {
            code: ErrorCode::InvalidConfig,
            message: format!(
                "config {name} is not a list: it can be set and unset, but not appended to or subtracted from"
            ),
        }),
        None => Err(Refusal {
            code: ErrorCode::InvalidConfig,
            message: format!("unknown config {name:?}"),
        }),
    }
}
