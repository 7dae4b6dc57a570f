//! Names of tables among words.
use std::iter::Peekable;

use super::Touched;
use super::lexer::{Lexer, Token};
use crate::mysql::schema::TableId;

/// The words of a statement that are still to be read.
#[derive(Clone)]
pub(super) struct Words<'a> {
    lexer: Peekable<Lexer<'a>>,
    database: &'a str,
}

/// Words behind names of tables that are none of their aliases.
const NO_ALIASES: [&str; 14] = [
    "JOIN",
    "INNER",
    "CROSS",
    "LEFT",
    "RIGHT",
    "OUTER",
    "NATURAL",
    "STRAIGHT_JOIN",
    "ON",
    "USING",
    "SET",
    "WHERE",
    "ORDER",
    "LIMIT",
];

impl<'a> Words<'a> {
    pub(super) fn new(lexer: Lexer<'a>, database: &'a str) -> Self {
        Self {
            lexer: lexer.peekable(),
            database,
        }
    }

    /// The database that the statement ran in.
    pub(super) fn database(&self) -> &'a str {
        self.database
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        self.lexer.next()
    }

    /// Whether nothing follows but the end of the statement.
    pub(super) fn is_end(&mut self) -> bool {
        matches!(self.lexer.peek(), None | Some(Token::Sign(';')))
    }

    pub(super) fn peek_is(&mut self, keyword: &str) -> bool {
        self.lexer.peek().is_some_and(|token| token.is(keyword))
    }

    /// Passes over this keyword; whether it was there.
    pub(super) fn take(&mut self, keyword: &str) -> bool {
        let found = self.peek_is(keyword);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn take_sign(&mut self, sign: char) -> bool {
        let found = self.lexer.peek() == Some(&Token::Sign(sign));
        if found {
            self.next();
        }
        found
    }

    /// The next word, if it is one without quotes; empty otherwise.
    pub(super) fn keyword(&mut self) -> &'a str {
        match self.lexer.peek() {
            Some(Token::Word(word)) => {
                let word = *word;
                self.next();
                word
            }
            _ => "",
        }
    }

    pub(super) fn skip_modifiers(&mut self, keywords: &[&str]) {
        while keywords.iter().any(|keyword| self.take(keyword)) {}
    }

    pub(super) fn skip_if_exists(&mut self) {
        if self.take("IF") {
            self.skip_modifiers(&["NOT", "EXISTS"]);
        }
    }

    /// MariaDB's WAIT n and NOWAIT.
    pub(super) fn skip_wait(&mut self) -> &mut Self {
        if self.take("WAIT") {
            self.next();
        }
        self.take("NOWAIT");
        self
    }

    /// MariaDB's `SET STATEMENT variable = value, … FOR`, behind which is the statement itself.
    pub(super) fn skip_set_statement(&mut self) {
        let mut ahead = self.clone();
        if ahead.take("SET") && ahead.take("STATEMENT") {
            while !ahead.is_end() {
                if ahead.take("FOR") {
                    *self = ahead;
                    return;
                }
                ahead.next();
            }
        }
    }

    /// A name.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = self.lexer.peek()?.name()?.to_owned();
        self.next();
        Some(name)
    }

    /// A name, or nothing.
    pub(super) fn text(&mut self) -> String {
        self.name().unwrap_or_default()
    }

    /// A table, with or without its database.
    pub(super) fn table(&mut self) -> Option<TableId> {
        // `.t` is in the session's database.
        let first = if self.take_sign('.') {
            return Some(TableId::new(self.database, &self.name()?));
        } else {
            self.name()?
        };
        if self.take_sign('.') {
            return Some(TableId::new(&first, &self.name()?));
        }
        Some(TableId::new(self.database, &first))
    }

    /// Tables with commas between them; nothing if they cannot be read.
    pub(super) fn list(&mut self) -> Option<Vec<TableId>> {
        let mut tables = vec![self.table()?];
        while self.take_sign(',') {
            tables.push(self.table()?);
        }
        Some(tables)
    }

    /// All tables that a list with joins names, up to one of the keywords; any, if there are expressions in it.
    pub(super) fn tables_until(&mut self, ends: &[&str]) -> Touched {
        let mut tables = Vec::new();
        while !self.is_end() && !ends.iter().any(|end| self.peek_is(end)) {
            if self.lexer.peek() == Some(&Token::Sign('(')) {
                return Touched::Everything;
            }
            let keyword = ["FROM", "AS"]
                .iter()
                .chain(&NO_ALIASES)
                .any(|keyword| self.take(keyword));
            if keyword || self.take_sign(',') {
                continue;
            }
            match self.table() {
                Some(table) => tables.push(table),
                // `a.*` of a deletion from several tables, and conditions of joins.
                None => drop(self.next()),
            }
        }
        match tables.is_empty() {
            true => Touched::Everything,
            false => Touched::Tables(tables),
        }
    }
}
