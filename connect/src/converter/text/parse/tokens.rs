//! Divides a text at its delimiters.

/// The tokens of a text: delimiters that are not escaped by a backslash, and what is between them.
pub(super) struct Tokens<'a> {
    text: &'a str,
    position: usize,
    /// The token that was looked at and not taken yet; it ends at `position`.
    next: Option<&'a str>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            position: 0,
            next: None,
        }
    }

    /// Where the next token begins.
    pub(super) fn mark(&self) -> usize {
        self.position - self.next.map_or(0, str::len)
    }

    /// Goes back to where [`Self::mark`] was called.
    pub(super) fn rewind(&mut self, mark: usize) {
        self.position = mark;
        self.next = None;
    }

    pub(super) fn has_next(&self) -> bool {
        self.next.is_some() || self.position < self.text.len()
    }

    /// The next token; empty at the end.
    pub(super) fn next(&mut self) -> &'a str {
        match self.next.take() {
            Some(token) => token,
            None => self.read(),
        }
    }

    /// The next `count` tokens as they stand in the text, if there are so many.
    pub(super) fn next_of(&mut self, count: usize) -> Option<&'a str> {
        let start = self.mark();
        for _ in 0..count {
            if !self.has_next() {
                self.rewind(start);
                return None;
            }
            self.next();
        }
        Some(&self.text[start..self.position])
    }

    /// Takes the next token if it is `expected`, whatever blanks are around it.
    pub(super) fn can_consume(&mut self, expected: &str) -> bool {
        if self.next.is_none() {
            if !self.has_next() {
                return false;
            }
            self.next = Some(self.read());
        }
        let blank = |token: &str| token.chars().all(|c: char| c <= ' ');
        while self.next.is_some_and(blank) && self.position < self.text.len() {
            self.next = Some(self.read());
        }
        let found = self
            .next
            .is_some_and(|next| next.trim_matches(|c: char| c <= ' ') == expected);
        if found {
            self.next = None;
        }
        found
    }

    fn read(&mut self) -> &'a str {
        let start = self.position;
        let mut escaped = false;
        for (offset, byte) in self.text.bytes().enumerate().skip(start) {
            match byte {
                b'\\' => escaped = !escaped,
                b':' | b',' | b'{' | b'}' | b'[' | b']' | b'"' if !escaped => {
                    self.position = if start < offset { offset } else { offset + 1 };
                    return &self.text[start..self.position];
                }
                _ => escaped = false,
            }
        }
        self.position = self.text.len();
        &self.text[start..]
    }
}
