//! XA transactions that are prepared when a source begins: their rows stand in the log before that place, and count from their commit on.
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::SourceError;
use crate::mysql::client::{Client, ClientError, Row};

/// How long XA transactions that were prepared before are waited for.
const PREPARED_PATIENCE: Duration = Duration::from_secs(60);
const PREPARED_PAUSE: Duration = Duration::from_millis(200);

/// Codes with which servers say that XA RECOVER may not be asked, or is not known. MySQL 8.0 says 1401 to who does not have XA_RECOVER_ADMIN.
const XA_REFUSED: [u16; 5] = [1044, 1142, 1227, 1064, 1401];

/// Waits until all XA transactions that are prepared now are committed or rolled back.
pub(super) async fn end_of_prepared(client: &mut Client) -> Result<(), SourceError> {
    let until = Instant::now() + PREPARED_PATIENCE;
    let mut waited: Option<Vec<String>> = None;
    loop {
        let now = match prepared(client).await {
            Ok(now) => now,
            Err(error) if error.code().is_some_and(|code| XA_REFUSED.contains(&code)) => {
                tracing::warn!(
                    %error,
                    "prepared XA transactions cannot be listed: rows of those that were prepared before now, and are committed later, are not told. \
                     GRANT XA_RECOVER_ADMIN ON *.* to the account of database.user"
                );
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let left: Vec<String> = match waited {
            None => now,
            Some(waited) => waited.into_iter().filter(|name| now.contains(name)).collect(),
        };
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            let names = left.join(", ");
            return Err(SourceError::Prepared { names });
        }
        waited = Some(left);
        sleep(PREPARED_PAUSE).await;
    }
}

/// The names of prepared XA transactions.
async fn prepared(client: &mut Client) -> Result<Vec<String>, ClientError> {
    let rows = client.query("XA RECOVER").await?;
    let name = |row: &Row| {
        let cell = |index| row.text(index).unwrap_or_default();
        format!("{}:{}", cell(0), cell(3))
    };
    Ok(rows.iter().map(name).collect())
}
