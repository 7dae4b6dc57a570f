//! Partial updates: JSON by its differences (`binlog_row_value_options=PARTIAL_JSON`).
use std::borrow::Cow;

use super::tree::{Tree, key_order};
use crate::mysql::binlog::Damage;
use crate::mysql::binlog::cursor::{Cursor, utf8};

const WHAT: &str = "differences of JSON";
const REPLACE: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;

/// A step from a value into it.
#[derive(Debug, PartialEq)]
enum Leg<'a> {
    Member(Cow<'a, str>),
    Element(usize),
}

fn invalid(rule: &'static str, value: u64) -> Damage {
    Damage::Invalid {
        what: WHAT,
        value,
        rule,
    }
}

/// Applies differences in their order.
pub(crate) fn apply<'a>(tree: &mut Tree<'a>, differences: &'a [u8]) -> Result<(), Damage> {
    let mut cursor = Cursor::new(differences);
    while !cursor.is_empty() {
        let operation = cursor.u8(WHAT)?;
        if operation > REMOVE {
            return Err(invalid(
                "neither replacement (0), insertion (1) nor removal (2)",
                u64::from(operation),
            ));
        }
        let path = legs(utf8(cursor.packed_bytes(WHAT)?, WHAT)?)?;
        let value = if operation == REMOVE {
            None
        } else {
            Some(Tree::read(cursor.packed_bytes(WHAT)?)?)
        };
        change(tree, operation, &path, value)?;
    }
    Ok(())
}

fn change<'a>(
    tree: &mut Tree<'a>,
    operation: u8,
    path: &[Leg<'a>],
    value: Option<Tree<'a>>,
) -> Result<(), Damage> {
    let Some((last, parents)) = path.split_last() else {
        return match value {
            Some(value) if operation == REPLACE => {
                *tree = value;
                Ok(())
            }
            _ => Err(invalid(
                "a change of the whole document that replaces nothing",
                u64::from(operation),
            )),
        };
    };
    let mut parent = tree;
    for leg in parents {
        parent = child(parent, leg)?;
    }
    match (operation, value) {
        (REPLACE, Some(value)) => *child(parent, last)? = value,
        (INSERT, Some(value)) => insert(parent.expand()?, last, value)?,
        _ => remove(parent.expand()?, last)?,
    }
    Ok(())
}

fn absent() -> Damage {
    invalid("a path that the document before does not have", 0)
}

fn child<'t, 'a>(tree: &'t mut Tree<'a>, leg: &Leg<'_>) -> Result<&'t mut Tree<'a>, Damage> {
    match (tree.expand()?, leg) {
        (Tree::Object(members), Leg::Member(key)) => {
            let index = members
                .binary_search_by(|(other, _)| key_order(other, key))
                .map_err(|_| absent())?;
            Ok(&mut members[index].1)
        }
        (Tree::Array(elements), Leg::Element(index)) => elements.get_mut(*index).ok_or_else(absent),
        _ => Err(absent()),
    }
}

fn insert<'a>(tree: &mut Tree<'a>, leg: &Leg<'a>, value: Tree<'a>) -> Result<(), Damage> {
    match (tree, leg) {
        (Tree::Object(members), Leg::Member(key)) => {
            match members.binary_search_by(|(other, _)| key_order(other, key)) {
                Ok(_) => Err(invalid("an insertion of a member that is there", 0)),
                Err(index) => {
                    members.insert(index, (key_of(key), value));
                    Ok(())
                }
            }
        }
        (Tree::Array(elements), Leg::Element(index)) => {
            elements.insert((*index).min(elements.len()), value);
            Ok(())
        }
        _ => Err(absent()),
    }
}

fn key_of<'a>(key: &Cow<'a, str>) -> Cow<'a, str> {
    key.clone()
}

fn remove(tree: &mut Tree<'_>, leg: &Leg<'_>) -> Result<(), Damage> {
    match (tree, leg) {
        (Tree::Object(members), Leg::Member(key)) => {
            let index = members
                .binary_search_by(|(other, _)| key_order(other, key))
                .map_err(|_| absent())?;
            members.remove(index);
            Ok(())
        }
        (Tree::Array(elements), Leg::Element(index)) if *index < elements.len() => {
            elements.remove(*index);
            Ok(())
        }
        _ => Err(absent()),
    }
}

/// A path as the server writes it: `$.name."other name"[3]`.
fn legs(path: &str) -> Result<Vec<Leg<'_>>, Damage> {
    let bad = || Damage::Text {
        what: "a path in differences of JSON",
        charset: "JSON paths",
    };
    let mut rest = path.strip_prefix('$').ok_or_else(bad)?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (digits, after) = index.split_once(']').ok_or_else(bad)?;
            legs.push(Leg::Element(digits.parse().map_err(|_| bad())?));
            rest = after;
        } else if let Some(quoted) = rest.strip_prefix(".\"") {
            let end = quoted_end(quoted).ok_or_else(bad)?;
            legs.push(Leg::Member(unquoted(&quoted[..end]).ok_or_else(bad)?));
            rest = &quoted[end + 1..];
        } else {
            let name = rest.strip_prefix('.').ok_or_else(bad)?;
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return Err(bad());
            }
            legs.push(Leg::Member(Cow::Borrowed(&name[..end])));
            rest = &name[end..];
        }
        if legs.len() > super::DEPTH_MAX {
            return Err(bad());
        }
    }
    Ok(legs)
}

/// Where the quote is that ends a name.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    })
}

fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let (mut plain, mut chars) = (String::with_capacity(text.len()), text.chars());
    while let Some(char) = chars.next() {
        if char != '\\' {
            plain.push(char);
            continue;
        }
        plain.push(match chars.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let digits: String = chars.by_ref().take(4).collect();
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            other => other,
        });
    }
    Some(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_members_and_elements() {
        let member = |name: &'static str| Leg::Member(Cow::Borrowed(name));
        assert_eq!(legs("$").unwrap(), []);
        assert_eq!(
            legs("$.a[10].b").unwrap(),
            [member("a"), Leg::Element(10), member("b")]
        );
        assert_eq!(
            legs(r#"$."a.b"."\"\u0001\\"[0]"#).unwrap(),
            [member("a.b"), member("\"\u{1}\\"), Leg::Element(0)]
        );
        for path in ["", "a", "$.", "$[", "$[x]", "$.\"a", "$..a", "$x"] {
            assert!(legs(path).is_err(), "{path}");
        }
    }
}
