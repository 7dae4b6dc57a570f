//! Connections and statements.
use crate::servers::{KINDS, Server};

#[tokio::test]
async fn rows_are_what_the_server_prints() {
    for kind in KINDS {
        let mut client = Server::shared(kind).root().await;
        let rows = client
            .query("SELECT 1, NULL, '', 'Ω', -1.50, @@time_zone, @@sql_mode")
            .await
            .unwrap();
        let row = &rows[0];
        let texts: Vec<_> = row
            .cells()
            .map(|cell| cell.map(|cell| String::from_utf8_lossy(cell).into_owned()))
            .collect();
        println!("{kind:?} {texts:?} {:?}", client.facts().await.unwrap());
        let table = millstream_connectors::mysql::schema::TableId::new("mysql", "user");
        println!(
            "{:?} {:?} {:?}",
            client.log_end().await,
            client.low_mark(&table).await,
            client.exact_snapshot().await
        );
    }
}
