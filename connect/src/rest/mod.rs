//! Kafka Connect's REST API.
//!
//! Calls, status codes, headers and bodies are those of Kafka Connect 4.2, so that its clients and tools work unchanged. A request's path is
//! read by `route`, its body by `body`, and a handler asks the [`Herder`](crate::herder::Herder); `answers` says what it looks like.
//! Beyond Kafka's calls there is `GET /metrics`.
//!
//! Owns: listeners, HTTP. Does not own: what the calls do ([`herder`](crate::herder)).
mod answers;
mod body;
mod config;
mod cors;
mod forward;
mod handlers;
mod route;
mod server;

pub use config::{HeaderAction, HeaderRule, RestConfig};
pub use server::{Listeners, RestServer};

#[cfg(test)]
mod tests;
