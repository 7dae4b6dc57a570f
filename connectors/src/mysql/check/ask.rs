//! What is asked of a server before it is judged.
use crate::mysql::client::server::Facts;
use crate::mysql::client::{Client, ClientError};
use crate::mysql::config::Filters;
use crate::mysql::schema::TableId;
use crate::mysql::schema::describe::{self, Descriptions};

/// The server, and the tables that these filters let through, with that of signals.
///
/// # Errors
/// When the connection breaks.
pub async fn ask(client: &mut Client, filters: &Filters) -> Result<(Facts, Descriptions), ClientError> {
    let facts = client.facts().await?;
    let mut ids = describe::table_ids(client).await?;
    ids.retain(|id| captured(filters, id));
    let tables = describe::tables(client, &ids).await?;
    Ok((facts, tables))
}

fn captured(filters: &Filters, id: &TableId) -> bool {
    let name = id.to_string();
    let signal = filters.signal_table.as_ref().is_some_and(|table| *table == name);
    signal || (filters.databases.has(&id.database) && filters.tables.has(&name))
}
