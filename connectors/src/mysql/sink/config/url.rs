//! `connection.url`: as JDBC's drivers for MySQL and MariaDB know it, and as others write it.
use crate::mysql::config::{TlsConfig, TlsMode};

/// What a URL says. It may hold a password, so that no error repeats it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub host: String,
    pub port: u16,
    pub database: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub tls: TlsConfig,
    /// `sessionVariables`: `a=1,b='x'`.
    pub session_variables: Option<String>,
    pub connect_timeout_ms: Option<u64>,
    pub socket_timeout_ms: Option<u64>,
    /// What is there but has no effect here, and why.
    pub ignored: Vec<String>,
}

const SCHEMES: [&str; 4] = ["jdbc:mysql://", "jdbc:mariadb://", "mysql://", "mariadb://"];

/// Properties of JDBC's drivers that mean nothing to this sink, for it does what they ask for or has nothing of the kind.
const MEANINGLESS: [&str; 25] = [
    "allowpublickeyretrieval",
    "autoreconnect",
    "cacheprepstmts",
    "characterencoding",
    "connectioncollation",
    "connectiontimezone",
    "enabledtlsprotocols",
    "forceconnectiontimezonetosession",
    "maxreconnects",
    "prepstmtcachesize",
    "prepstmtcachesqllimit",
    "rewritebatchedstatements",
    "servertimezone",
    "sslsessioncache",
    "tcpkeepalive",
    "tcpnodelay",
    "tinyint1isbit",
    "useaffectedrows",
    "usebulkstmts",
    "uselegacydatetimecode",
    "useserverprepstmts",
    "useunicode",
    "zerodatetimebehavior",
    "timezone",
    "permitmysqlscheme",
];

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let scheme = SCHEMES.iter().find(|scheme| {
            text.len() >= scheme.len()
                && text.is_char_boundary(scheme.len())
                && text[..scheme.len()].eq_ignore_ascii_case(scheme)
        });
        let Some(scheme) = scheme else {
            return Err(match text.split_once("//") {
                Some((scheme, _)) if scheme.len() < 40 && !scheme.contains('@') => format!(
                    "this sink writes to MySQL and MariaDB; {scheme}// is another system's. It begins with jdbc:mysql://, jdbc:mariadb:// or mysql://"
                ),
                _ => "it is no URL such as jdbc:mysql://host:3306/database".to_owned(),
            });
        };
        let rest = &text[scheme.len()..];
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user_info, address) = match authority.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, authority),
        };
        let (host, port) = host_and_port(address)?;
        let (user, password) = match user_info.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            None => (None, None),
            Some((user, password)) => (
                Some(decoded(user)).filter(|user| !user.is_empty()),
                Some(decoded(password)).filter(|password| !password.is_empty()),
            ),
        };
        let mut url = Self {
            host,
            port,
            database: Some(decoded(database)).filter(|database| !database.is_empty()),
            user,
            password,
            tls: TlsConfig::default(),
            session_variables: None,
            connect_timeout_ms: None,
            socket_timeout_ms: None,
            ignored: Vec::new(),
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        if is_torn(user_info.is_some(), query) {
            return Err(
                "its user or password has a ?, & or @ that is not written as %3F, %26 or %40".to_owned(),
            );
        }
        url.properties(pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        }))?;
        Ok(url)
    }

    fn properties(&mut self, properties: impl Iterator<Item = (String, String)>) -> Result<(), String> {
        let (mut said, mut verifies) = (None, None);
        // The older properties.
        let mut modes: Vec<TlsMode> = Vec::new();
        for (name, value) in properties {
            let number = || value.parse::<u64>().map_err(|_| format!("{name} is no number"));
            let on = value.eq_ignore_ascii_case("true");
            match name.to_ascii_lowercase().as_str() {
                "user" => self.user = Some(value),
                "password" => self.password = Some(value),
                "sslmode" => said = Some(tls_mode(&value)?),
                "usessl" if on => modes.push(TlsMode::Preferred),
                "usessl" => modes.push(TlsMode::Disabled),
                "requiressl" if on => modes.push(TlsMode::Required),
                "requiressl" => {}
                "trustservercertificate" if on => modes.push(TlsMode::Required),
                "trustservercertificate" => {}
                "verifyservercertificate" => verifies = Some(on),
                "serversslcert" => self.tls.ca = Some(value.trim_start_matches("file://").into()),
                "connecttimeout" => self.connect_timeout_ms = Some(number()?),
                "sockettimeout" => self.socket_timeout_ms = Some(number()?),
                "sessionvariables" => self.session_variables = Some(value),
                "trustcertificatekeystoreurl"
                | "clientcertificatekeystoreurl"
                | "truststore"
                | "keystore" => {
                    return Err(format!(
                        "{name}: Java's key stores are not read; give PEM files by database.ssl.ca, database.ssl.cert and database.ssl.key"
                    ));
                }
                "usecompression" if on => self
                    .ignored
                    .push(format!("{name}: the protocol is not compressed")),
                known if MEANINGLESS.contains(&known) => {}
                // Whatever else it is may be a part of a password.
                _ if is_name(&name) => self.ignored.push(format!("{name}: not known here")),
                _ => self
                    .ignored
                    .push("a part that is no property: name=value".to_owned()),
            }
        }
        let strictest = modes.iter().copied().max_by_key(|mode| *mode as u8);
        self.tls.mode = match (said, verifies) {
            (Some(mode), _) => mode,
            (None, _) if modes.contains(&TlsMode::Disabled) => TlsMode::Disabled,
            (None, Some(true)) => TlsMode::VerifyCa,
            (None, _) => strictest.unwrap_or_default(),
        };
        Ok(())
    }
}

/// The modes of MySQL's and of MariaDB's drivers, and of `database.ssl.mode`.
pub(super) fn tls_mode(text: &str) -> Result<TlsMode, String> {
    Ok(
        match text.trim().to_ascii_lowercase().replace('-', "_").as_str() {
            "disabled" | "disable" | "false" | "0" => TlsMode::Disabled,
            "preferred" => TlsMode::Preferred,
            "required" | "trust" => TlsMode::Required,
            "verify_ca" => TlsMode::VerifyCa,
            "verify_identity" | "verify_full" | "true" | "1" => TlsMode::VerifyIdentity,
            _ => {
                return Err(
                    "a mode of TLS is disabled, preferred, required, verify_ca or verify_identity".to_owned(),
                );
            }
        },
    )
}

fn host_and_port(address: &str) -> Result<(String, u16), String> {
    if address.contains(',') || address.contains('(') {
        return Err("it names several hosts; give the one to write to".to_owned());
    }
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or("an address in brackets has no end")?;
            (host, behind.strip_prefix(':'))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = match port.filter(|port| !port.is_empty()) {
        None => 3306,
        Some(port) => port
            .parse()
            .map_err(|_| "its port is no number from 1 to 65535".to_owned())?,
    };
    let host = if host.is_empty() { "localhost" } else { host };
    Ok((host.to_owned(), port))
}

/// Whether what is behind the `?` is the rest of a password that has one in it, with the server's address behind.
fn is_torn(has_user: bool, query: &str) -> bool {
    let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
    let is_property = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let may_have_at = ["user", "password", "sessionvariables", "serversslcert"];
        is_name(name) && (!value.contains('@') || may_have_at.contains(&&*name.to_ascii_lowercase()))
    };
    !has_user && query.contains('@') && !pairs.all(is_property)
}

fn is_name(name: &str) -> bool {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !name.is_empty() && name.bytes().all(is_of_names)
}

/// A URL without the passwords in it. Of one that cannot be read, nothing but its scheme is shown.
pub(in crate::mysql::sink) fn shown_url(text: &str) -> String {
    if Url::read(text).is_err() {
        let scheme = SCHEMES.iter().find(|scheme| text.starts_with(**scheme));
        return format!("{}[hidden]", scheme.map_or("", |scheme| *scheme));
    }
    let (before, query) = text.split_once('?').unwrap_or((text, ""));
    let before = match (before.find("//"), before.rfind('@')) {
        (Some(begin), Some(end)) if begin < end => {
            let user = before[begin + 2..end].split(':').next().unwrap_or_default();
            format!("{}//{user}:[hidden]{}", &before[..begin], &before[end..])
        }
        _ => before.to_owned(),
    };
    if query.is_empty() {
        return before;
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=[hidden]"),
        Some((name, _)) if is_name(name) => pair.to_owned(),
        _ => "[hidden]".to_owned(),
    });
    let pairs: Vec<String> = pairs.collect();
    format!("{before}?{}", pairs.join("&"))
}

/// `%40` and its kin become what they stand for.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while place < bytes.len() {
        let code = text.get(place + 1..place + 3).filter(|_| bytes[place] == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                place += 3;
            }
            None => {
                out.push(bytes[place]);
                place += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_either_driver_are_read() {
        let url = Url::read("jdbc:mysql://db.example:3307/shop?useSSL=false&rewriteBatchedStatements=true")
            .unwrap();
        assert_eq!((url.host.as_str(), url.port), ("db.example", 3307));
        assert_eq!(url.database.as_deref(), Some("shop"));
        assert_eq!(url.tls.mode, TlsMode::Disabled);
        assert_eq!(url.ignored, Vec::<String>::new());
        let url = Url::read("JDBC:MariaDB://[::1]/?user=u&password=p%26&sslMode=verify-full&pool=1").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 3306));
        assert_eq!(url.database, None);
        assert_eq!(
            (url.user.as_deref(), url.password.as_deref()),
            (Some("u"), Some("p&"))
        );
        assert_eq!(url.tls.mode, TlsMode::VerifyIdentity);
        assert_eq!(url.ignored, ["pool: not known here"]);
        let url = Url::read("mysql://me:p%40ss@h/d%20b?useSSL=true&requireSSL=true").unwrap();
        assert_eq!(
            (url.user.as_deref(), url.password.as_deref()),
            (Some("me"), Some("p@ss"))
        );
        assert_eq!(url.database.as_deref(), Some("d b"));
        assert_eq!(url.tls.mode, TlsMode::Required);
        let url = Url::read("mysql://h/d?useSSL=true&verifyServerCertificate=true").unwrap();
        assert_eq!(url.tls.mode, TlsMode::VerifyCa);
        assert_eq!(Url::read("mysql://").unwrap().host, "localhost");
        let url = Url::read("mysql://h/d?user=me@x").unwrap();
        assert_eq!(url.user.as_deref(), Some("me@x"));
        let url = Url::read("mysql://h/d?secret!").unwrap();
        assert_eq!(url.ignored, ["a part that is no property: name=value"]);
    }

    #[test]
    fn a_url_is_shown_without_its_passwords() {
        assert_eq!(
            shown_url("mysql://me:p@ss@h:1/d?password=x&trustPassword=y&a=b"),
            "mysql://me:[hidden]@h:1/d?password=[hidden]&trustPassword=[hidden]&a=b"
        );
        assert_eq!(shown_url("jdbc:mysql://h/d"), "jdbc:mysql://h/d");
        // Characters of passwords that have to be encoded.
        for url in [
            "mysql://me:se?cret@h/d",
            "mysql://me:1?2secret@h/d",
            "mysql://me:1?2&secret=x@h/d",
            "mysql://me:1?secret=x@h:1/d?a=b",
        ] {
            assert_eq!(shown_url(url), "mysql://[hidden]");
        }
        assert_eq!(shown_url("mysql://h/d?secret&a=b"), "mysql://h/d?[hidden]&a=b");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (text, expected) in [
            ("jdbc:postgresql://u:secret@h/d", "another system's"),
            ("localhost:3306", "no URL"),
            ("mysql://u:secret@a,b/d", "several hosts"),
            ("mysql://u:secret@h:x/d", "port"),
            ("mysql://h/d?password=secret&sslMode=maybe", "mode of TLS"),
            ("mysql://h/d?password=secret&trustStore=x", "key stores"),
            ("mysql://h/d?password=secret&connectTimeout=x", "no number"),
            ("mysql://me:1?secret@h/d", "%3F"),
            ("mysql://me:1?a=b&secret=x@h/d", "%3F"),
        ] {
            let error = Url::read(text).err().unwrap();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
