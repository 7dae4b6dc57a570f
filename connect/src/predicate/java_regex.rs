//! Java's regular expressions (`java.util.regex`), translated for the `regex` crate.
//!
//! What means the same in both stays; what is written differently is rewritten; what has no counterpart (look-around, back references,
//! possessive quantifiers, atomic groups) is refused by name. Matching takes time linear in the text, which Java's does not.
//!
//! Owns: the translation, and Java's replacement strings. Does not own: matching.
use std::iter::Peekable;
use std::str::Chars;

use regex::{Captures, Regex, RegexBuilder};

/// What all of a text has to match, as Java's `Matcher.matches` does; letters' case does not matter if so asked
/// (`Pattern.CASE_INSENSITIVE`).
///
/// # Errors
/// What is wrong with the pattern, or is not supported.
///
/// ```
/// use millstream_connect::predicate::java_regex;
///
/// let tables = java_regex::whole(r"shop\.(orders|\p{Alpha}+_log)", true).unwrap();
/// assert!(tables.is_match("Shop.ORDERS") && tables.is_match("shop.web_log"));
/// assert!(!tables.is_match("shop.orders2"));
/// assert!(java_regex::whole("(?=a)b", true).unwrap_err().contains("(?=a)b"));
/// ```
pub fn whole(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
    let translated = Translator::new(pattern).translate()?;
    compile(pattern, &format!("\\A(?:{translated})\\z"), ignore_case)
}

/// Compiles `text`, the translation of `pattern`.
fn compile(pattern: &str, text: &str, ignore_case: bool) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).case_insensitive(ignore_case).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("{pattern} needs more than {limit} bytes of memory; use smaller repetitions")
        }
        // The parser's message draws the pattern in several lines; its last one says what is wrong.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!(
                "{pattern} is not a regular expression: {}",
                last.trim_start_matches("error: ")
            )
        }
    })
}

/// A Java regular expression.
///
/// ```
/// use millstream_connect::transform::{JavaRegex, Replacement};
///
/// let regex = JavaRegex::new(r"(?<server>\w+)\.(.*)").unwrap();
/// let replacement = Replacement::new("${server}-$2", &regex).unwrap();
/// assert!(regex.matches("orders.eu"));
/// assert_eq!(regex.replace_first("orders.eu", &replacement), "orders-eu");
/// ```
#[derive(Debug, Clone)]
pub struct JavaRegex {
    /// Finds the first match.
    search: Regex,
    /// Whether all of a text is a match.
    whole: Regex,
}

impl JavaRegex {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let translated = Translator::new(pattern).translate()?;
        Ok(Self {
            search: compile(pattern, &translated, false)?,
            whole: compile(pattern, &format!("\\A(?:{translated})\\z"), false)?,
        })
    }

    /// A validator's answer for `pattern`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(pattern: &str) -> Result<(), String> {
        match Self::new(pattern.trim()) {
            Ok(_) => Ok(()),
            Err(wrong) => Err(format!("Invalid regex: {wrong}")),
        }
    }

    /// Whether all of `text` is a match (`Matcher.matches`).
    pub fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }

    /// `text` with its first match replaced (`Matcher.replaceFirst`).
    pub fn replace_first(&self, text: &str, replacement: &Replacement) -> String {
        let Some(captures) = self.search.captures(text) else {
            return text.to_owned();
        };
        let range = captures.get_match().range();
        let mut out = String::with_capacity(text.len() + 16);
        out.push_str(&text[..range.start]);
        replacement.expand(&captures, &mut out);
        out.push_str(&text[range.end..]);
        out
    }
}

/// A replacement string as Java reads it: `$1`, `${name}`, and backslashes before what stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// The replacement `text` for matches of `regex`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str, regex: &JavaRegex) -> Result<Self, String> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\\' => plain.push(chars.next().ok_or("a backslash at the end stands for nothing")?),
                '$' => {
                    let group = group(&mut chars, regex)?;
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Group(group));
                }
                other => plain.push(other),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    fn expand(&self, captures: &Captures<'_>, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(group) => out.push_str(captures.get(*group).map_or("", |its| its.as_str())),
            }
        }
    }
}

/// The group behind a `$`.
fn group(chars: &mut Peekable<Chars<'_>>, regex: &JavaRegex) -> Result<usize, String> {
    let groups = regex.search.captures_len();
    match chars.next() {
        Some('{') => {
            let mut name = String::new();
            loop {
                match chars.next() {
                    Some('}') => break,
                    Some(char) if char.is_ascii_alphanumeric() => name.push(char),
                    _ => return Err(format!("${{{name} is not closed by a brace")),
                }
            }
            let mut names = regex.search.capture_names();
            names
                .position(|its| its == Some(&*name))
                .ok_or_else(|| format!("the regular expression has no group named {name}"))
        }
        Some(digit) if digit.is_ascii_digit() => {
            let mut group = digit as usize - '0' as usize;
            if group >= groups {
                return Err(format!("the regular expression has no group {group}"));
            }
            // As many digits as still name a group.
            while let Some(digit) = chars.peek().and_then(|char| char.to_digit(10)) {
                let longer = group * 10 + digit as usize;
                if longer >= groups {
                    break;
                }
                group = longer;
                chars.next();
            }
            Ok(group)
        }
        _ => Err(
            "a $ must be followed by a group's number, or by its name in braces; \\$ is a dollar".to_owned(),
        ),
    }
}

/// Rewrites a pattern.
struct Translator<'a> {
    pattern: &'a str,
    chars: Peekable<Chars<'a>>,
    out: String,
    /// How many character classes are open.
    classes: usize,
}

impl<'a> Translator<'a> {
    fn new(pattern: &'a str) -> Self {
        Self {
            pattern,
            chars: pattern.chars().peekable(),
            out: String::with_capacity(pattern.len()),
            classes: 0,
        }
    }

    fn refuse<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{} has {what}, which is not supported", self.pattern))
    }

    fn translate(mut self) -> Result<String, String> {
        while let Some(char) = self.chars.next() {
            match char {
                '\\' => self.escape()?,
                '[' => {
                    self.classes += 1;
                    self.out.push('[');
                    if self.chars.next_if_eq(&'^').is_some() {
                        self.out.push('^');
                    }
                    // Java takes a bracket that closes at once as one that stands for itself, as the other does.
                    if self.chars.next_if_eq(&']').is_some() {
                        self.out.push_str("\\]");
                    }
                }
                ']' if self.classes > 0 => {
                    self.classes -= 1;
                    self.out.push(']');
                }
                '-' | '~' if self.classes > 0 => {
                    if self.chars.peek() == Some(&char) {
                        return self.refuse("two signs - or ~ in a row within a character class");
                    }
                    self.out.push(char);
                }
                _ if self.classes > 0 => self.out.push(char),
                '(' => self.group()?,
                '*' | '+' | '?' | '}' => {
                    self.out.push(char);
                    match self.chars.peek() {
                        Some('+') => return self.refuse("a possessive quantifier"),
                        Some('*') => return Err(format!("{} repeats a repetition", self.pattern)),
                        Some('?') => self.out.extend(self.chars.next()),
                        _ => {}
                    }
                }
                other => self.out.push(other),
            }
        }
        Ok(self.out)
    }

    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.chars.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        self.out.push('?');
        match self.chars.peek().copied() {
            Some('=' | '!') => self.refuse("a look-ahead"),
            Some('>') => self.refuse("an atomic group"),
            Some('<') => {
                self.out.extend(self.chars.next());
                match self.chars.peek() {
                    Some('=' | '!') => self.refuse("a look-behind"),
                    _ => Ok(()),
                }
            }
            Some(':') => Ok(()),
            _ => self.flags(),
        }
    }

    /// The flags of a group; those that change nothing for topics (Unicode's cases and classes, Unix lines) go.
    fn flags(&mut self) -> Result<(), String> {
        let (mut on, mut off, mut negative) = (String::new(), String::new(), false);
        while let Some(char) = self
            .chars
            .next_if(|char| char.is_ascii_alphabetic() || *char == '-')
        {
            match char {
                '-' => negative = true,
                'd' | 'u' | 'U' => {}
                'x' => return self.refuse("the flag x, for comments"),
                flag if negative => off.push(flag),
                flag => on.push(flag),
            }
        }
        self.out.push_str(&on);
        if !off.is_empty() {
            self.out.push('-');
            self.out.push_str(&off);
        }
        if on.is_empty() && off.is_empty() && self.chars.peek() == Some(&')') {
            // Nothing is left of `(?u)`: a group that is empty.
            self.out.push(':');
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        let Some(char) = self.chars.next() else {
            return Err(format!("{} ends with a backslash", self.pattern));
        };
        let in_class = self.classes > 0;
        let class = |inside: &str| match in_class {
            true => inside.to_owned(),
            false => format!("[{inside}]"),
        };
        let rewritten = match char {
            'd' => class("0-9"),
            'w' => class("a-zA-Z_0-9"),
            's' => class(r" \t\n\x0B\f\r"),
            'h' => class(r" \t\u00A0\u1680\u180E\u2000-\u200A\u202F\u205F\u3000"),
            'v' => class(r"\n\x0B\f\r\u0085\u2028\u2029"),
            'D' => "[^0-9]".to_owned(),
            'W' => "[^a-zA-Z_0-9]".to_owned(),
            'S' => r"[^ \t\n\x0B\f\r]".to_owned(),
            'H' => r"[^ \t\u00A0\u1680\u180E\u2000-\u200A\u202F\u205F\u3000]".to_owned(),
            'V' => r"[^\n\x0B\f\r\u0085\u2028\u2029]".to_owned(),
            'e' => r"\x1B".to_owned(),
            'Z' => r"\n?\z".to_owned(),
            'R' if !in_class => r"(?:\r\n|[\n\x0B\f\r\u0085\u2028\u2029])".to_owned(),
            'Q' => return self.quoted(),
            'p' | 'P' => return self.property(char),
            '0' => {
                let mut code = 0;
                let mut digits = 0;
                while let Some(digit) = self.chars.peek().and_then(|char| char.to_digit(8)) {
                    if digits == 3 || code * 8 + digit > 0o377 {
                        break;
                    }
                    (code, digits) = (code * 8 + digit, digits + 1);
                    self.chars.next();
                }
                if digits == 0 {
                    return Err(format!("{} has \\0 without an octal number", self.pattern));
                }
                format!(r"\x{{{code:X}}}")
            }
            'c' => match self.chars.next() {
                Some(letter) => format!(r"\x{{{:X}}}", u32::from(letter) ^ 64),
                None => return Err(format!("{} ends within \\c", self.pattern)),
            },
            '1'..='9' | 'k' => return self.refuse("a back reference"),
            'G' => return self.refuse("\\G"),
            'X' => return self.refuse("\\X"),
            'N' => return self.refuse("\\N"),
            't' | 'n' | 'r' | 'f' | 'a' | 'b' | 'B' | 'A' | 'z' | 'x' | 'u' => format!("\\{char}"),
            other if other.is_ascii_alphabetic() => {
                return Err(format!("{} has the unknown escape \\{other}", self.pattern));
            }
            other => regex::escape(other.encode_utf8(&mut [0; 4])),
        };
        self.out.push_str(&rewritten);
        Ok(())
    }

    /// Everything up to `\E` stands for itself.
    fn quoted(&mut self) -> Result<(), String> {
        while let Some(char) = self.chars.next() {
            if char == '\\' && self.chars.next_if_eq(&'E').is_some() {
                break;
            }
            self.out.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
        }
        Ok(())
    }

    /// `\p{…}`: POSIX classes are ASCII; scripts, categories and binary properties are Unicode's.
    fn property(&mut self, letter: char) -> Result<(), String> {
        let name = match self.chars.next() {
            Some('{') => {
                let mut name = String::new();
                loop {
                    match self.chars.next() {
                        Some('}') => break,
                        Some(char) => name.push(char),
                        None => {
                            return Err(format!("{} has \\{letter} without a closing brace", self.pattern));
                        }
                    }
                }
                name
            }
            Some(char) => char.to_string(),
            None => return Err(format!("{} ends within \\{letter}", self.pattern)),
        };
        let posix = match &*name {
            "Lower" => Some("a-z"),
            "Upper" => Some("A-Z"),
            "ASCII" => Some(r"\x00-\x7F"),
            "Alpha" => Some("a-zA-Z"),
            "Digit" => Some("0-9"),
            "Alnum" => Some("a-zA-Z0-9"),
            "Punct" => Some(r"!-/:-@\[-`\{-~"),
            "Graph" => Some("!-~"),
            "Print" => Some(" -~"),
            "Blank" => Some(r" \t"),
            "Cntrl" => Some(r"\x00-\x1F\x7F"),
            "XDigit" => Some("0-9a-fA-F"),
            "Space" => Some(r" \t\n\x0B\f\r"),
            _ => None,
        };
        match posix {
            Some(inside) => {
                let negated = if letter == 'P' { "^" } else { "" };
                self.out.push_str(&format!("[{negated}{inside}]"));
            }
            None if name.starts_with("java") || name.starts_with("In") => {
                return self.refuse(&format!("the property {name}"));
            }
            None => {
                let name = name.strip_prefix("Is").unwrap_or(&name);
                self.out.push_str(&format!("\\{letter}{{{name}}}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_no_counterpart_is_refused_by_name() {
        let cases = [
            ("(?=a)", "a look-ahead"),
            ("(?!a)", "a look-ahead"),
            ("(?<=a)", "a look-behind"),
            ("(?<!a)", "a look-behind"),
            ("(?>a)", "an atomic group"),
            ("(a)\\1", "a back reference"),
            ("(?<n>a)\\k<n>", "a back reference"),
            ("a*+", "a possessive quantifier"),
            ("a{2}+", "a possessive quantifier"),
            ("(?x) a", "the flag x"),
            ("\\p{javaLowerCase}", "the property javaLowerCase"),
            ("\\G", "\\G"),
            ("[a--b]", "two signs"),
        ];
        for (pattern, expected) in cases {
            let error = JavaRegex::new(pattern).unwrap_err();
            assert!(
                error.contains(expected) && error.contains("not supported"),
                "{error}"
            );
        }
        for pattern in [
            "\\",
            "\\y",
            "[",
            "(",
            "*",
            "a**",
            "\\p{",
            "\\p{Nothing}",
            "\\0",
            "a{99999999}",
        ] {
            assert!(JavaRegex::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn patterns_mean_what_they_do_in_java() {
        let cases = [
            ("\\d+", "12", true),
            ("\\d+", "\u{661}", false),
            ("[\\w&&[^\\d]]+", "ab_", true),
            ("[\\w&&[^\\d]]+", "ab1", false),
            ("\\Qa.b\\E+", "a.bb", true),
            ("\\Qa.b", "axb", false),
            ("(?iu)ABC", "abc", true),
            ("(?U)abc", "abc", true),
            ("a(?-i:B)", "ab", false),
            ("\\x41\\u0042\\0103\\cA", "ABC\u{1}", true),
            ("[]a]+", "]a", true),
            ("\\<a\\>", "<a>", true),
            ("a|ab", "ab", true),
            ("[^\\s]\\s\\h", "a \t", true),
            ("\\p{Alnum}\\P{Upper}\\p{L}", "1xé", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                JavaRegex::new(pattern).unwrap().matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(pattern in "[a-z\\\\\\[\\](){}*+?^$|.&<>:!=0-9QEpP-]{0,14}", replacement in "[a$\\\\{}0-9]{0,8}", text: String) {
            if let Ok(regex) = JavaRegex::new(&pattern) {
                regex.matches(&text);
                if let Ok(replacement) = Replacement::new(&replacement, &regex) {
                    regex.replace_first(&text, &replacement);
                }
            }
        }
    }
}
