//! Where and how the REST API is served.
use crate::config::worker::{WorkerMode, worker_def};
use crate::config::{Config, ConfigErrors, ConfigMap};

/// What `listeners`, `admin.listeners`, `rest.advertised.*`, `access.control.*` and `response.http.headers.config` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestConfig {
    /// Addresses to listen on, `HOST:PORT`.
    pub listeners: Vec<String>,
    /// Addresses that `/admin` is served on; none is on those of `listeners`, an empty list is nowhere.
    pub admin_listeners: Option<Vec<String>>,
    /// The name and port that others reach this worker by, where they were given.
    pub advertised: (Option<String>, Option<u16>),
    /// What `Access-Control-Allow-Origin` may say: `*` is everybody, none is nobody.
    pub allowed_origins: Vec<String>,
    /// Methods that other origins may use.
    pub allowed_methods: Vec<String>,
    /// Headers that each answer gets.
    pub headers: Vec<HeaderRule>,
}

/// A header that answers get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRule {
    /// What is done.
    pub action: HeaderAction,
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What is done with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderAction {
    /// It replaces others.
    Set,
    /// It comes beside others.
    Add,
    /// It is set if it is not there.
    SetDate,
    /// It is added as a date.
    AddDate,
}

impl RestConfig {
    /// What a worker's configuration says.
    ///
    /// # Errors
    /// Everything that is wrong with these keys.
    pub fn parse(given: &ConfigMap) -> Result<Self, ConfigErrors> {
        const KEYS: [&str; 7] = [
            "listeners",
            "admin.listeners",
            "rest.advertised.host.name",
            "rest.advertised.port",
            "access.control.allow.origin",
            "access.control.allow.methods",
            "response.http.headers.config",
        ];
        let all = worker_def(WorkerMode::Standalone);
        let keys = KEYS.iter().filter_map(|name| all.key(name).cloned());
        let def = keys.fold(crate::config::ConfigDef::new(), crate::config::ConfigDef::with);
        let parsed = def.parse(given)?;
        let mut errors = Vec::new();
        let config = Self {
            listeners: addresses("listeners", &parsed, &mut errors),
            admin_listeners: parsed
                .has("admin.listeners")
                .then(|| addresses("admin.listeners", &parsed, &mut errors)),
            advertised: (
                parsed
                    .optional_string("rest.advertised.host.name")
                    .map(str::to_owned),
                advertised_port(&parsed, &mut errors),
            ),
            allowed_origins: words(parsed.string("access.control.allow.origin")),
            allowed_methods: words(parsed.string("access.control.allow.methods")),
            headers: header_rules(parsed.string("response.http.headers.config"), &mut errors),
        };
        match errors.is_empty() {
            true => Ok(config),
            false => Err(ConfigErrors(errors)),
        }
    }
}

type Errors = Vec<(String, String)>;

fn words(list: &str) -> Vec<String> {
    let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

fn advertised_port(parsed: &Config, errors: &mut Errors) -> Option<u16> {
    let port = parsed.optional_long("rest.advertised.port")?;
    match u16::try_from(port) {
        Ok(port) => Some(port),
        Err(_) => {
            let wrong = format!("{port} is no port; give a number from 0 to 65535");
            errors.push(("rest.advertised.port".to_owned(), wrong));
            None
        }
    }
}

/// `http://HOST:PORT` as `HOST:PORT`; without a host it is every address.
fn addresses(key: &str, parsed: &Config, errors: &mut Errors) -> Vec<String> {
    let mut all = Vec::new();
    for url in parsed.list(key) {
        match address(url) {
            Ok(address) => all.push(address),
            Err(wrong) => errors.push((key.to_owned(), wrong)),
        }
    }
    if all.is_empty() && errors.is_empty() && key == "listeners" {
        errors.push((
            key.to_owned(),
            "name at least one, such as http://localhost:8083".to_owned(),
        ));
    }
    all
}

fn address(url: &str) -> Result<String, String> {
    let wrong = |what: &str| format!("{url}: {what}; give http://HOST:PORT");
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it is no URL"))?;
    if scheme.eq_ignore_ascii_case("https") {
        let remedy = "put a proxy that speaks TLS before an http listener";
        return Err(format!("{url}: https is not served by this program; {remedy}"));
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(wrong("the scheme is not http"));
    }
    let rest = rest.trim_end_matches('/');
    let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("it has no port"))?;
    let port: u16 = port
        .parse()
        .map_err(|_| wrong("the port is no number up to 65535"))?;
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    Ok(format!("{host}:{port}"))
}

/// Rules such as `set X-Frame-Options: DENY, "add Cache-Control: no-cache, no-store"`.
fn header_rules(text: &str, errors: &mut Errors) -> Vec<HeaderRule> {
    let mut rules = Vec::new();
    for rule in quoted_parts(text) {
        match header_rule(&rule) {
            Some(rule) => rules.push(rule),
            None => {
                let wrong = format!("{rule}: give [set|add|setDate|addDate] NAME: VALUE");
                errors.push(("response.http.headers.config".to_owned(), wrong));
            }
        }
    }
    rules
}

/// Parts between commas that are not within quotes.
fn quoted_parts(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    for char in text.chars() {
        match char {
            '"' => quoted = !quoted,
            ',' if !quoted => parts.push(std::mem::take(&mut part)),
            _ => part.push(char),
        }
    }
    parts.push(part);
    let parts = parts.iter().map(|part| part.trim().to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

fn header_rule(rule: &str) -> Option<HeaderRule> {
    let (head, value) = rule.split_once(':')?;
    let (action, name) = head.trim().split_once(' ')?;
    let action = match action {
        "set" => HeaderAction::Set,
        "add" => HeaderAction::Add,
        "setDate" => HeaderAction::SetDate,
        "addDate" => HeaderAction::AddDate,
        _ => return None,
    };
    let name = name.trim().to_ascii_lowercase();
    let value = value.trim().to_owned();
    let good = axum::http::HeaderName::try_from(name.as_str()).is_ok()
        && axum::http::HeaderValue::try_from(value.as_str()).is_ok();
    good.then_some(HeaderRule { action, name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(key: &str, value: &str) -> Result<RestConfig, ConfigErrors> {
        RestConfig::parse(&ConfigMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn listeners_are_urls() {
        assert_eq!(
            parsed("listeners", "http://:8083").unwrap().listeners,
            ["0.0.0.0:8083"]
        );
        let two = parsed("listeners", "http://localhost:1, HTTP://[::1]:2/").unwrap();
        assert_eq!(two.listeners, ["localhost:1", "[::1]:2"]);
        for wrong in [
            "https://a:1",
            "a:1",
            "http://a",
            "http://a:99999",
            "ftp://a:1",
            "",
        ] {
            assert!(parsed("listeners", wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            parsed("admin.listeners", "").unwrap().admin_listeners,
            Some(Vec::new())
        );
        assert_eq!(parsed("listeners", "http://a:1").unwrap().admin_listeners, None);
    }

    #[test]
    fn headers_may_hold_commas_in_quotes() {
        let text = "set X-Frame-Options: DENY, \"add Cache-Control: no-cache, no-store\"";
        let rules = parsed("response.http.headers.config", text).unwrap().headers;
        assert_eq!(rules.len(), 2);
        assert_eq!(
            (rules[1].name.as_str(), rules[1].value.as_str()),
            ("cache-control", "no-cache, no-store")
        );
        assert_eq!(rules[1].action, HeaderAction::Add);
        assert!(parsed("response.http.headers.config", "frob X: y").is_err());
    }
}
