//! The words of a statement, one after the other.
use std::sync::Arc;

use super::error::DdlError;
use crate::mysql::schema::TableId;
use crate::mysql::stream::ddl::Token;

/// A statement that is being read.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    tokens: Arc<[Token<'a>]>,
    at: usize,
    database: &'a str,
    lower_case: bool,
}

impl<'a> Reader<'a> {
    /// `database` is that of the session; with `lower_case`, names of tables are.
    pub(super) fn new(tokens: impl Iterator<Item = Token<'a>>, database: &'a str, lower_case: bool) -> Self {
        Self {
            tokens: tokens.collect(),
            at: 0,
            database,
            lower_case,
        }
    }

    pub(super) fn peek(&self) -> Option<&Token<'a>> {
        self.ahead(0)
    }

    fn ahead(&self, count: usize) -> Option<&Token<'a>> {
        self.tokens
            .get(self.at + count)
            .filter(|token| **token != Token::Sign(';'))
    }

    pub(super) fn is_end(&self) -> bool {
        self.peek().is_none()
    }

    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    /// Whether these keywords come next.
    pub(super) fn peek_is(&self, keywords: &[&str]) -> bool {
        let mut places = keywords.iter().enumerate();
        places.all(|(count, keyword)| self.ahead(count).is_some_and(|token| token.is(keyword)))
    }

    /// Whether one of these keywords comes next.
    pub(super) fn peek_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.peek_is(&[keyword]))
    }

    pub(super) fn peek_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    /// Passes over these keywords; whether they were there.
    pub(super) fn take(&mut self, keywords: &[&str]) -> bool {
        let found = self.peek_is(keywords);
        if found {
            self.at += keywords.len();
        }
        found
    }

    /// Passes over one of these keywords.
    pub(super) fn take_any(&mut self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.take(&[keyword]))
    }

    pub(super) fn take_sign(&mut self, sign: char) -> bool {
        let found = self.peek_sign(sign);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, keywords: &[&str]) -> Result<(), DdlError> {
        match self.take(keywords) {
            true => Ok(()),
            false => Err(self.unclear()),
        }
    }

    pub(super) fn expect_sign(&mut self, sign: char) -> Result<(), DdlError> {
        match self.take_sign(sign) {
            true => Ok(()),
            false => Err(self.unclear()),
        }
    }

    /// The next word without quotes, in capitals; it is not passed over.
    pub(super) fn word(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word.to_ascii_uppercase()),
            _ => None,
        }
    }

    /// A name.
    pub(super) fn name(&mut self) -> Result<String, DdlError> {
        match self.peek().and_then(Token::name).map(str::to_owned) {
            Some(name) => {
                self.skip();
                Ok(name)
            }
            None => Err(self.unclear()),
        }
    }

    /// A name of a character set or a collation, which may stand in quotes of every kind.
    pub(super) fn name_or_text(&mut self) -> Result<String, DdlError> {
        match self.peek() {
            Some(Token::Text(_)) => self.text(),
            _ => self.name(),
        }
    }

    /// A text; those that follow each other are one.
    pub(super) fn text(&mut self) -> Result<String, DdlError> {
        let mut whole = match self.peek() {
            Some(Token::Text(text)) => text.clone(),
            _ => return Err(self.unclear()),
        };
        self.skip();
        while let Some(Token::Text(text)) = self.peek() {
            whole.push_str(text);
            self.at += 1;
        }
        Ok(whole)
    }

    /// A whole number without a sign.
    pub(super) fn number(&mut self) -> Result<u64, DdlError> {
        match self.word().and_then(|word| word.parse().ok()) {
            Some(number) => {
                self.skip();
                Ok(number)
            }
            None => Err(self.unclear()),
        }
    }

    /// A table, with or without its database.
    pub(super) fn table(&mut self) -> Result<TableId, DdlError> {
        if self.take_sign('.') {
            let name = self.name()?;
            return Ok(self.named(self.database, &name));
        }
        let first = self.name()?;
        if self.take_sign('.') {
            let name = self.name()?;
            return Ok(self.named(&first, &name));
        }
        Ok(self.named(self.database, &first))
    }

    fn named(&self, database: &str, table: &str) -> TableId {
        match self.lower_case {
            true => TableId::new(&database.to_lowercase(), &table.to_lowercase()),
            false => TableId::new(database, table),
        }
    }

    /// Passes over `IF EXISTS`; whether it was there.
    pub(super) fn if_exists(&mut self) -> bool {
        self.take(&["IF", "EXISTS"])
    }

    /// Passes over `IF NOT EXISTS`; whether it was there.
    pub(super) fn if_not_exists(&mut self) -> bool {
        self.take(&["IF", "NOT", "EXISTS"])
    }

    /// Passes over what is in parentheses.
    pub(super) fn skip_parentheses(&mut self) -> Result<(), DdlError> {
        self.expect_sign('(')?;
        let mut depth = 1;
        while depth > 0 {
            match self.peek() {
                Some(Token::Sign('(')) => depth += 1,
                Some(Token::Sign(')')) => depth -= 1,
                Some(_) => {}
                None => return Err(DdlError::End),
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Passes over one word, text, sign or what is in parentheses.
    pub(super) fn skip_one(&mut self) -> Result<(), DdlError> {
        match self.peek() {
            Some(Token::Sign('(')) => self.skip_parentheses(),
            Some(_) => {
                self.at += 1;
                Ok(())
            }
            None => Err(DdlError::End),
        }
    }

    /// That what comes next is not understood.
    pub(super) fn unclear(&self) -> DdlError {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let shown: Vec<String> = rest
            .iter()
            .take(6)
            .map(|token| match token {
                Token::Word(word) => (*word).to_owned(),
                Token::Quoted(name) => format!("`{name}`"),
                Token::Text(text) => format!("'{text}'"),
                Token::Sign(sign) => sign.to_string(),
            })
            .collect();
        match shown.is_empty() {
            true => DdlError::End,
            false => DdlError::near(&shown.join(" ")),
        }
    }
}
