//! What an account may do, by `SHOW GRANTS`.
use super::server::{Flavour, Version};
use super::{Client, ClientError};

/// The privileges of an account and of its active roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    grants: Vec<Grant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    /// MySQL takes privileges back for single databases (`partial_revokes`).
    revoked: bool,
    /// In capital letters; `ALL PRIVILEGES` is one of them. Those for columns alone are left out.
    privileges: Vec<String>,
    scope: Scope,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Global,
    /// A pattern with `%` and `_`.
    Database(String),
    Table(String, String),
}

impl Grants {
    /// What lines of `SHOW GRANTS` say.
    ///
    /// ```
    /// use millstream_connectors::mysql::client::grants::Grants;
    ///
    /// let grants = Grants::parse(["GRANT RELOAD, REPLICATION SLAVE ON *.* TO `m`@`%`", "GRANT SELECT ON `shop`.* TO `m`@`%`"]);
    /// assert!(grants.global("REPLICATION SLAVE"));
    /// assert!(grants.on_table("SELECT", "shop", "orders"));
    /// assert!(!grants.on_table("SELECT", "hr", "people"));
    /// ```
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            grants: lines.into_iter().filter_map(parse_line).collect(),
        }
    }

    /// Whether it may do this anywhere.
    #[must_use]
    pub fn global(&self, privilege: &str) -> bool {
        self.grants
            .iter()
            .any(|grant| !grant.revoked && grant.scope == Scope::Global && grant.has(privilege))
    }

    /// Whether it may do this in a whole database.
    #[must_use]
    pub fn on_database(&self, privilege: &str, database: &str) -> bool {
        let in_database =
            |grant: &&Grant| matches!(&grant.scope, Scope::Database(pattern) if like(pattern, database));
        let revoked = self
            .grants
            .iter()
            .filter(in_database)
            .any(|grant| grant.revoked && grant.has(privilege));
        let own = self
            .grants
            .iter()
            .filter(in_database)
            .any(|grant| !grant.revoked && grant.has(privilege));
        own || (self.global(privilege) && !revoked)
    }

    /// Whether it may do this with a table.
    #[must_use]
    pub fn on_table(&self, privilege: &str, database: &str, table: &str) -> bool {
        let own = |grant: &Grant| {
            matches!(&grant.scope, Scope::Table(of, name) if of == database && name == table)
                && !grant.revoked
                && grant.has(privilege)
        };
        self.on_database(privilege, database) || self.grants.iter().any(own)
    }

    pub(super) async fn read(client: &mut Client) -> Result<Self, ClientError> {
        let what = "asking what the account may do";
        let mut lines = first_column(client.query_for(what, "SHOW GRANTS").await?);
        let has_roles = match client.flavour() {
            Flavour::MySql => client.version() >= Version::new(8, 0, 0),
            Flavour::MariaDb => client.version() >= Version::new(10, 0, 5),
        };
        if has_roles {
            let role = client.query_for(what, "SELECT CURRENT_ROLE()").await?;
            let role = role.first().and_then(|row| row.text(0));
            let statement = match (client.flavour(), role) {
                (_, None) => None,
                (Flavour::MySql, Some(role)) if role == "NONE" => None,
                (Flavour::MySql, Some(roles)) => {
                    Some(format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}"))
                }
                (Flavour::MariaDb, Some(_)) => Some("SHOW GRANTS FOR CURRENT_ROLE".to_owned()),
            };
            if let Some(statement) = statement {
                lines.extend(first_column(client.query_for(what, &statement).await?));
            }
        }
        Ok(Self::parse(lines.iter().map(String::as_str)))
    }
}

fn first_column(rows: Vec<super::Row>) -> Vec<String> {
    rows.iter().filter_map(|row| row.text(0)).collect()
}

impl Grant {
    fn has(&self, privilege: &str) -> bool {
        let all = |own: &str| own == "ALL PRIVILEGES" || own == "ALL";
        self.privileges.iter().any(|own| own == privilege || all(own))
    }
}

/// `GRANT SELECT, INSERT (a, b) ON db.table TO …`; roles that are granted have no ON.
fn parse_line(line: &str) -> Option<Grant> {
    let (revoked, rest) = match line.strip_prefix("GRANT ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("REVOKE ")?),
    };
    let end = if revoked { " FROM " } else { " TO " };
    let (privileges, rest) = split_outside(rest, " ON ")?;
    let (on, _) = split_outside(rest, end)?;
    let mut privileges: Vec<String> = split_list(privileges)
        .into_iter()
        .filter(|privilege| !privilege.contains('('))
        .map(|privilege| privilege.trim().to_ascii_uppercase())
        .collect();
    privileges.dedup();
    let (database, table) = split_outside(on.trim(), ".")?;
    let scope = match (unquote(database).as_str(), unquote(table).as_str()) {
        ("*", "*") => Scope::Global,
        (database, "*") => Scope::Database(database.to_owned()),
        (database, table) => Scope::Table(database.to_owned(), table.to_owned()),
    };
    Some(Grant {
        revoked,
        privileges,
        scope,
    })
}

/// What is before and behind the first `separator` that is not within quotes.
fn split_outside<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut quote = None;
    for (at, char) in text.char_indices() {
        match (quote, char) {
            (None, '`' | '\'' | '"') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            (None, _) if text[at..].starts_with(separator) => {
                return Some((&text[..at], &text[at + separator.len()..]));
            }
            _ => {}
        }
    }
    None
}

/// The parts between commas that are not within parentheses or quotes.
fn split_list(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0, false);
    for (at, char) in text.char_indices() {
        match char {
            '`' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquote(name: &str) -> String {
    let name = name.trim();
    match name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) {
        Some(name) => name.replace("``", "`"),
        None => name.to_owned(),
    }
}

/// SQL's LIKE: `%` is any text, `_` any character, and a backslash takes their meaning.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Where the last `%` stands, and how much of the text it has taken.
    let (mut at, mut read, mut any) = (0, 0, None);
    loop {
        let (needed, width) = match pattern.get(at) {
            Some('%') => {
                any = Some((at + 1, read));
                at += 1;
                continue;
            }
            Some('_') => (text.get(read).copied(), 1),
            Some('\\') if at + 1 < pattern.len() => (Some(pattern[at + 1]), 2),
            Some(char) => (Some(*char), 1),
            None if read == text.len() => return true,
            None => (None, 0),
        };
        if needed.is_some() && text.get(read).copied() == needed {
            (at, read) = (at + width, read + 1);
            continue;
        }
        match any {
            Some((behind, taken)) if taken < text.len() => {
                any = Some((behind, taken + 1));
                (at, read) = (behind, taken + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_servers_say_what_may_be_done() {
        let table: [(&str, &str, bool); 12] = [
            (
                "GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION",
                "SELECT",
                true,
            ),
            ("GRANT USAGE ON *.* TO `m`@`%`", "SELECT", false),
            ("GRANT SELECT ON `shop`.* TO `m`@`%`", "SELECT", true),
            ("GRANT SELECT ON `sh\\_op`.* TO `m`@`%`", "SELECT", false),
            ("GRANT SELECT ON `s%p`.* TO `m`@`%`", "SELECT", true),
            ("GRANT SELECT ON `sh_p`.* TO `m`@`%`", "SELECT", true),
            ("GRANT SELECT ON `shop`.`orders` TO `m`@`%`", "SELECT", true),
            ("GRANT SELECT ON `shop`.`other` TO `m`@`%`", "SELECT", false),
            (
                "GRANT SELECT (`a`, `b`), INSERT ON `shop`.`orders` TO `m`@`%`",
                "SELECT",
                false,
            ),
            (
                "GRANT SELECT (`a`, `b`), INSERT ON `shop`.`orders` TO `m`@`%`",
                "INSERT",
                true,
            ),
            ("GRANT `reader`@`%` TO `m`@`%`", "SELECT", false),
            (
                "GRANT RELOAD, SELECT ON *.* TO 'a ON b TO c'@'%' IDENTIFIED BY PASSWORD '*AB'",
                "SELECT",
                true,
            ),
        ];
        for (line, privilege, expected) in table {
            let grants = Grants::parse([line]);
            assert_eq!(grants.on_table(privilege, "shop", "orders"), expected, "{line}");
        }
    }

    #[test]
    fn what_is_taken_back_for_a_database_is_not_there() {
        let grants = Grants::parse([
            "GRANT SELECT ON *.* TO `m`@`%`",
            "REVOKE SELECT ON `mysql`.* FROM `m`@`%`",
        ]);
        assert!(grants.global("SELECT") && grants.on_table("SELECT", "shop", "orders"));
        assert!(!grants.on_table("SELECT", "mysql", "user"));
    }
}
