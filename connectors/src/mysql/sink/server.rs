//! What of a server matters to statements.
use crate::mysql::client::server::{Flavour, Version};

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    pub flavour: Flavour,
    pub version: Version,
    /// `max_allowed_packet`.
    pub packet_bytes_max: usize,
}

impl Server {
    fn is(self, flavour: Flavour, major: u16, minor: u16, patch: u16) -> bool {
        self.flavour == flavour && self.version >= Version::new(major, minor, patch)
    }

    /// Whether new rows of an INSERT have a name for themselves. `VALUES()` is deprecated there.
    pub fn names_new_rows(self) -> bool {
        self.is(Flavour::MySql, 8, 0, 20)
    }

    /// Whether it has a type for JSON, or a name that is as good.
    pub fn has_json(self) -> bool {
        self.is(Flavour::MySql, 5, 7, 8) || self.is(Flavour::MariaDb, 10, 2, 7)
    }

    pub fn has_vectors(self) -> bool {
        self.is(Flavour::MySql, 9, 0, 0) || self.is(Flavour::MariaDb, 11, 7, 0)
    }

    /// How many characters of four bytes an index takes.
    pub fn key_chars_max(self) -> u32 {
        match self.is(Flavour::MySql, 5, 7, 7) || self.is(Flavour::MariaDb, 10, 2, 2) {
            true => 255,
            false => 191,
        }
    }

    /// The collation in which texts are equal only if they are the same.
    pub fn exact_collation(self) -> &'static str {
        if self.is(Flavour::MySql, 8, 0, 17) {
            "utf8mb4_0900_bin"
        } else if self.is(Flavour::MariaDb, 10, 2, 2) {
            "utf8mb4_nopad_bin"
        } else {
            "utf8mb4_bin"
        }
    }
}
