//! A document that differences can change: only what they touch is taken apart.
use std::borrow::Cow;

use super::binary::Node;
use crate::mysql::binlog::Damage;

/// A value of a document.
#[derive(Debug)]
pub(crate) enum Tree<'a> {
    /// As it was stored.
    Node(Node<'a>),
    /// Members in MySQL's order: short keys first, then by their bytes.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
    Array(Vec<Tree<'a>>),
}

impl<'a> Tree<'a> {
    pub(crate) fn read(document: &'a [u8]) -> Result<Self, Damage> {
        Node::read(document).map(Tree::Node)
    }

    /// Takes a stored container apart, one level.
    pub(crate) fn expand(&mut self) -> Result<&mut Self, Damage> {
        match self {
            Self::Node(Node::Object(container)) => {
                let member = |index| {
                    Ok((
                        Cow::Borrowed(container.key(index)?),
                        Tree::Node(container.value(index)?),
                    ))
                };
                *self = Self::Object((0..container.len()).map(member).collect::<Result<_, Damage>>()?);
            }
            Self::Node(Node::Array(container)) => {
                let element = |index| container.value(index).map(Tree::Node);
                *self = Self::Array((0..container.len()).map(element).collect::<Result<_, Damage>>()?);
            }
            _ => {}
        }
        Ok(self)
    }
}

/// The order of members.
pub(crate) fn key_order(left: &str, right: &str) -> std::cmp::Ordering {
    left.len()
        .cmp(&right.len())
        .then_with(|| left.as_bytes().cmp(right.as_bytes()))
}
