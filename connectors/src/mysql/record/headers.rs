//! Headers of records whose key changed.
use std::sync::{Arc, LazyLock};

use millstream_connect::record::{Datum, Header};

/// Which row the deleted one became.
pub(super) fn new_key(key: Datum) -> Header {
    static NAME: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("__debezium.newkey"));
    header(&NAME, key)
}

/// Which row the created one was.
pub(super) fn old_key(key: Datum) -> Header {
    static NAME: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("__debezium.oldkey"));
    header(&NAME, key)
}

fn header(name: &Arc<str>, datum: Datum) -> Header {
    let name = Arc::clone(name);
    Header { name, datum }
}
