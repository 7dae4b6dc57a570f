//! Where a server is, as one word.

use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// `mysql://USER[:PASSWORD]@HOST[:PORT]`.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pub user: String,
    pub password: Option<String>,
    pub host: String,
    pub port: u16,
}

impl std::fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mysql://{}@{}:{}", self.user, self.host, self.port)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    /// What is wrong is told without the text, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let rest = ["mysql://", "mariadb://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or("it is mysql://USER[:PASSWORD]@HOST[:PORT]")?;
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (who, place) = rest
            .rsplit_once('@')
            .ok_or("it names no user: mysql://USER@HOST")?;
        let (user, password) = match who.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (who, None),
        };
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(|text| text.into_owned())
                .map_err(|_| "its %XX are no UTF-8".to_owned())
        };
        // Addresses of IPv6 stand in brackets.
        let (host, port) = match place.strip_prefix('[').and_then(|place| place.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        if user.is_empty() || host.is_empty() {
            return Err("it names no user or no host: mysql://USER@HOST".to_owned());
        }
        Ok(Self {
            user: decoded(user)?,
            password: password.map(decoded).transpose()?,
            host: host.to_owned(),
            port: match port {
                Some(port) => port.parse().map_err(|_| "its port is no number up to 65535")?,
                None => 3306,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_user_password_host_and_port() {
        type Parts = (&'static str, Option<&'static str>, &'static str, u16);
        let table: [(&str, Parts); 5] = [
            ("mysql://m@db", ("m", None, "db", 3306)),
            (
                "mariadb://m:p%40ss:w@db.internal:3307/shop?x=1",
                ("m", Some("p@ss:w"), "db.internal", 3307),
            ),
            ("mysql://m:@127.0.0.1", ("m", Some(""), "127.0.0.1", 3306)),
            ("mysql://m@[::1]:3308", ("m", None, "::1", 3308)),
            ("mysql://m:a@b@db", ("m", Some("a@b"), "db", 3306)),
        ];
        for (text, (user, password, host, port)) in table {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(
                (&*url.user, url.password.as_deref(), &*url.host, url.port),
                (user, password, host, port),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_none_is_told_without_its_text() {
        for text in [
            "db",
            "http://m@db",
            "mysql://secret",
            "mysql://:secret@db",
            "mysql://m:secret@db:99999",
            "mysql://m:%ff@db",
        ] {
            let error = text.parse::<ServerUrl>().unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        let url: ServerUrl = "mysql://m:secret@db".parse().unwrap();
        assert_eq!(format!("{url:?}"), "mysql://m@db:3306");
    }
}
