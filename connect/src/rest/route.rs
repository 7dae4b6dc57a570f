//! What paths mean.
use axum::http::Method;
use percent_encoding::percent_decode_str;

/// A path of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Root,
    Health,
    Metrics,
    Connectors,
    Connector(String),
    Config(String),
    Status(String),
    Tasks(String),
    TaskStatus(String, u32),
    TaskRestart(String, i64),
    TaskSignals(String, u32),
    Signals(String),
    Restart(String),
    Pause(String),
    Resume(String),
    Stop(String),
    Topics(String),
    TopicsReset(String),
    Offsets(String),
    Fence(String),
    Plugins,
    PluginConfig(String),
    Validate(String),
    Loggers,
    Logger(String),
}

/// Why a path means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// There is nothing there.
    Unknown,
    /// It is not well written.
    Malformed,
}

impl Route {
    /// The meaning of a path as it stands in a request. Each part is decoded by itself, so that `%2F` belongs to a name; an empty
    /// part at the end (a trailing slash) is nothing.
    pub(super) fn of(path: &str) -> Result<Self, NoRoute> {
        let mut parts = Vec::new();
        for part in path.trim_start_matches('/').split('/') {
            let decoded = percent_decode_str(part).decode_utf8();
            parts.push(decoded.map_err(|_| NoRoute::Malformed)?.into_owned());
        }
        while parts.last().is_some_and(String::is_empty) {
            parts.pop();
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Self::of_parts(&parts).ok_or(NoRoute::Unknown)
    }

    fn of_parts(parts: &[&str]) -> Option<Self> {
        let route = match parts {
            [] => Self::Root,
            ["health"] => Self::Health,
            ["metrics"] => Self::Metrics,
            ["connectors"] => Self::Connectors,
            ["connectors", name, rest @ ..] if !name.is_empty() => {
                return Self::of_connector((*name).to_owned(), rest);
            }
            ["connector-plugins"] => Self::Plugins,
            ["connector-plugins", plugin, "config"] => Self::PluginConfig((*plugin).to_owned()),
            ["connector-plugins", plugin, "config", "validate"] => Self::Validate((*plugin).to_owned()),
            ["admin", "loggers"] => Self::Loggers,
            ["admin", "loggers", logger] => Self::Logger((*logger).to_owned()),
            _ => return None,
        };
        Some(route)
    }

    fn of_connector(name: String, rest: &[&str]) -> Option<Self> {
        let route = match rest {
            [] => Self::Connector(name),
            ["config"] => Self::Config(name),
            ["status"] => Self::Status(name),
            ["tasks"] => Self::Tasks(name),
            ["tasks", task, "status"] => Self::TaskStatus(name, task.parse().ok()?),
            ["tasks", task, "restart"] => Self::TaskRestart(name, task.parse().ok()?),
            ["tasks", task, "signals"] => Self::TaskSignals(name, task.parse().ok()?),
            ["restart"] => Self::Restart(name),
            ["signals"] => Self::Signals(name),
            ["pause"] => Self::Pause(name),
            ["resume"] => Self::Resume(name),
            ["stop"] => Self::Stop(name),
            ["topics"] => Self::Topics(name),
            ["topics", "reset"] => Self::TopicsReset(name),
            ["offsets"] => Self::Offsets(name),
            ["fence"] => Self::Fence(name),
            _ => return None,
        };
        Some(route)
    }

    /// The methods it has, beside HEAD (where it has GET) and OPTIONS.
    pub(super) fn methods(&self) -> &'static [Method] {
        const GET: &[Method] = &[Method::GET];
        const PUT: &[Method] = &[Method::PUT];
        const POST: &[Method] = &[Method::POST];
        match self {
            Self::Connectors | Self::Tasks(_) => &[Method::POST, Method::GET],
            Self::Connector(_) => &[Method::GET, Method::DELETE],
            Self::Config(_) => &[Method::GET, Method::PUT, Method::PATCH],
            Self::Offsets(_) => &[Method::GET, Method::PATCH, Method::DELETE],
            Self::Logger(_) => &[Method::GET, Method::PUT],
            Self::Restart(_) | Self::TaskRestart(..) | Self::Signals(_) | Self::TaskSignals(..) => POST,
            Self::Pause(_) | Self::Resume(_) | Self::Stop(_) | Self::TopicsReset(_) => PUT,
            Self::Fence(_) | Self::Validate(_) => PUT,
            _ => GET,
        }
    }

    /// All its methods, as `Allow` shows them.
    pub(super) fn allow(&self) -> String {
        let methods = self.methods();
        let head = methods.contains(&Method::GET).then_some("HEAD");
        let its = methods.iter().map(Method::as_str);
        let all: Vec<&str> = head.into_iter().chain(its).chain(["OPTIONS"]).collect();
        all.join(",")
    }

    /// Whether it is served by `admin.listeners` where there are some.
    pub(super) fn is_admin(&self) -> bool {
        matches!(self, Self::Loggers | Self::Logger(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let connector = |name: &str| Ok(Route::Connector(name.to_owned()));
        assert_eq!(Route::of("/connectors/a%20b%2Fc%25"), connector("a b/c%"));
        assert_eq!(Route::of("/connectors/%C3%A9/"), connector("é"));
        assert_eq!(Route::of("/connectors/a+b"), connector("a+b"));
        assert_eq!(Route::of("/connectors/status"), connector("status"));
        assert_eq!(
            Route::of("/connectors/100%/status"),
            Ok(Route::Status("100%".to_owned()))
        );
        assert_eq!(Route::of("/connectors/%FF"), Err(NoRoute::Malformed));
    }

    #[test]
    fn trailing_slashes_are_nothing_and_unknown_paths_are_unknown() {
        assert_eq!(Route::of(""), Ok(Route::Root));
        assert_eq!(Route::of("/connectors/"), Ok(Route::Connectors));
        assert_eq!(Route::of("/admin/loggers//"), Ok(Route::Loggers));
        assert_eq!(
            Route::of("/connectors/a/tasks/7/restart/"),
            Ok(Route::TaskRestart("a".to_owned(), 7))
        );
        for path in [
            "/nope",
            "/connectors/a/nope",
            "/connectors/a/tasks/x/status",
            "/connectors//a",
            "/admin",
        ] {
            assert_eq!(Route::of(path), Err(NoRoute::Unknown), "{path}");
        }
    }
}
