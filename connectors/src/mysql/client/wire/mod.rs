//! The protocol between client and server: packets, the handshake, logging in.
//!
//! Ours because no library can ask for a log with tagged GTIDs, hands compressed transactions on as they came, or gives rows and
//! events without copying each value. Owns: bytes. Does not own: what statements mean.
pub(super) mod answer;
pub(super) mod auth;
pub(super) mod handshake;
pub(super) mod link;
pub(super) mod rsa;
