//! Names of the group protocol: group, member and instance ids, as cheap-to-clone text.
//!
//! Why: all three are strings on the wire, and a member id looked up as an instance id must be a compile error.
//! Owns: the newtypes and the making of member ids. Does not own: their validation (see `validate`).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(Arc::from(name))
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(Arc::from(name))
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Name of a group (`group.id`).
    GroupId
);
name!(
    /// Identity of one member, given out by the coordinator; empty in the first request of a member.
    MemberId
);
name!(
    /// A static member's own name (`group.instance.id`, KIP-345), which outlives its member ids.
    InstanceId
);

impl MemberId {
    /// A new id as Kafka builds it: the instance id, or else the client id, a hyphen and a random UUID.
    pub(super) fn generate(client_id: &str, instance: Option<&InstanceId>, random: u128) -> Self {
        let prefix = instance.map_or(client_id, InstanceId::as_str);
        Self::from(format!("{prefix}-{}", Uuid(random)))
    }

    /// Whether the client did not know its id yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Renders 128 random bits as a version 4 UUID.
struct Uuid(u128);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = (self.0 & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
        let hex = format!("{bits:032x}");
        write!(
            f,
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }
}

/// The longest prefix of `text` of at most `bytes_max` bytes that ends on a character boundary.
pub(super) fn truncate(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_ids_are_prefix_and_version_4_uuid() {
        let id = MemberId::generate("app", None, 0);
        assert_eq!(id.as_str(), "app-00000000-0000-4000-8000-000000000000");
        let id = MemberId::generate("app", Some(&"node-1".into()), u128::MAX);
        assert_eq!(id.as_str(), "node-1-ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn truncation_keeps_characters_whole() {
        assert_eq!(truncate("häuser", 2), "h");
        assert_eq!(truncate("häuser", 3), "hä");
        assert_eq!(truncate("abc", 9), "abc");
    }
}
