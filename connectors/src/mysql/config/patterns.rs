//! Lists of Java's regular expressions, as Debezium's keys have them.
use millstream_connect::predicate::java_regex;
use regex::Regex;

use super::Patterns;

/// The parts of `list` between commas, but for those behind a backslash, and within brackets, braces, parentheses or `\Q…\E`.
pub(super) fn split(list: &str) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut class, mut braces, mut groups, mut literal) = (0_usize, 0_usize, 0_usize, false);
    let mut chars = list.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => match chars.next().map(|(_, char)| char) {
                Some('Q') if class == 0 => literal = true,
                Some('E') => literal = false,
                _ => {}
            },
            _ if literal => {}
            '[' => class += 1,
            ']' => class = class.saturating_sub(1),
            _ if class > 0 => {}
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            '(' => groups += 1,
            ')' => groups = groups.saturating_sub(1),
            ',' if braces == 0 && groups == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

/// One expression, which has to match all of a name.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    java_regex::whole(pattern, true).map_err(|wrong| format!("Invalid regex: {wrong}"))
}

/// A list of them.
pub(super) fn patterns(list: &str) -> Result<Patterns, String> {
    split(list)
        .into_iter()
        .map(compile)
        .collect::<Result<_, _>>()
        .map(Patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_divide_but_within_expressions() {
        let table: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("a, b ,,c", &["a", "b", "c"]),
            (r"shop\.t\d{1,3},hr\..*", &[r"shop\.t\d{1,3}", r"hr\..*"]),
            (r"a[,;]b,c", &["a[,;]b", "c"]),
            (r"a\,b,c", &[r"a\,b", "c"]),
            (r"(a,b|c),d", &["(a,b|c)", "d"]),
            (r"\Qa,b[\E,c", &[r"\Qa,b[\E", "c"]),
            (r"a\[,b", &[r"a\[", "b"]),
        ];
        for (list, expected) in table {
            assert_eq!(split(list), expected, "{list}");
        }
    }

    #[test]
    fn they_match_all_of_a_name_in_any_case() {
        let list = patterns(r"inventory\.(orders|customers), shop\.a.*").unwrap();
        for (name, expected) in [
            ("inventory.orders", true),
            ("INVENTORY.Customers", true),
            ("inventory.orders2", false),
            ("xinventory.orders", false),
            ("shop.about", true),
        ] {
            assert_eq!(list.matches(name), expected, "{name}");
        }
        assert!(patterns("a,(b").unwrap_err().starts_with("Invalid regex: (b"));
    }
}
