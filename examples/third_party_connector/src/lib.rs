//! An example of connectors in a crate of their own: lines from and to HTTP servers. docs/connectors.md explains it.
//!
//! * [`HttpLinesSource`] follows a text that grows on an HTTP server, such as a log file that nginx serves: a record a line;
//! * [`HttpLinesSink`] posts the lines of topics to a URL;
//! * `http` is what both need of HTTP, so that the example needs no other crate than the plugin API.
mod http;
mod sink;
mod source;

pub use sink::HttpLinesSink;
pub use source::HttpLinesSource;

use millstream_connect::plugin::Registry;

/// The same plugins and those of this crate.
#[must_use]
pub fn register(plugins: Registry) -> Registry {
    plugins.with_source(HttpLinesSource).with_sink(HttpLinesSink)
}
