//! Coming in, and not.
use std::time::Duration;

use millstream_connect::plugin::{ErrorKind, PluginError};
use millstream_connectors::mysql::client::{Client, ClientError};
use millstream_connectors::mysql::config::TlsMode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::servers::{KINDS, Kind, Server, tls_file};

async fn user(server: &Server, name: &str, identified: &str) {
    let mut root = server.root().await;
    root.execute(&format!("CREATE USER {name}@localhost {identified}"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_said_without_saying_it() {
    for kind in KINDS {
        let server = Server::shared(kind);
        user(server, "wrong_password", "IDENTIFIED BY 'right secret'").await;
        Client::connect(&server.config("wrong_password", "right secret"))
            .await
            .unwrap();
        for (name, password) in [
            ("wrong_password", "bad secret"),
            ("wrong_password", ""),
            ("nobody_at_all", "bad secret"),
        ] {
            let error = Client::connect(&server.config(name, password)).await.unwrap_err();
            assert!(
                matches!(&error, ClientError::AccessDenied { user, code: 1045, .. } if user == name),
                "{error:?}"
            );
            let told = PluginError::from(error);
            assert_eq!(told.kind(), ErrorKind::UserConfig);
            let text = told.to_string();
            assert!(
                text.contains(name) && text.contains("database.password") && !text.contains("secret"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn passwords_are_proved_with_and_without_tls() {
    let server = Server::shared(Kind::MySql97);
    let long = "ä".repeat(60);
    for (name, password) in [("sha2_short", "p"), ("sha2_empty", ""), ("sha2_long", &*long)] {
        user(
            server,
            name,
            &format!("IDENTIFIED WITH caching_sha2_password BY '{password}'"),
        )
        .await;
        let mut config = server.config(name, password);
        // The server does not know the password yet: all of it is sent, sealed with its public key; then a proof is enough.
        for (mode, encrypted) in [
            (TlsMode::Disabled, false),
            (TlsMode::Disabled, false),
            (TlsMode::Required, true),
        ] {
            config.tls.mode = mode;
            let client = Client::connect(&config).await.unwrap();
            assert_eq!(client.is_encrypted(), encrypted, "{name}");
        }
        config.password.push('x');
        let error = Client::connect(&config).await.unwrap_err();
        assert!(matches!(error, ClientError::AccessDenied { .. }), "{error:?}");
        let mut root = server.root().await;
        // Forgotten again, so that all of it is sent over TLS.
        root.execute("FLUSH PRIVILEGES").await.unwrap();
        config.password.pop();
        assert!(Client::connect(&config).await.unwrap().is_encrypted());
    }
    for kind in [Kind::MySql56, Kind::MariaDb] {
        let server = Server::shared(kind);
        user(server, "native", "IDENTIFIED BY 'some password'").await;
        let client = Client::connect(&server.config("native", "some password"))
            .await
            .unwrap();
        assert!(!client.is_encrypted());
    }
}

#[tokio::test]
async fn tls_promises_what_the_mode_says() {
    let own = Server::shared(Kind::MySql97);
    let own_ca = own.data("ca.pem");
    let options = [
        format!("--ssl-ca={}", tls_file("ca.pem").display()),
        format!("--ssl-cert={}", tls_file("server.pem").display()),
        format!("--ssl-key={}", tls_file("server.pem").display()),
    ];
    let options = options.each_ref().map(String::as_str);
    let named = Server::start(Kind::MariaDb, &options);
    let ca = tls_file("ca.pem");
    let named97 = Server::start(Kind::MySql97, &options);
    // The certificate that MySQL makes for itself is from its own authority, and has no name.
    let table = [
        (own, TlsMode::Preferred, None, Ok(())),
        (own, TlsMode::Required, None, Ok(())),
        (own, TlsMode::VerifyCa, Some(&own_ca), Ok(())),
        (own, TlsMode::VerifyCa, None, Err("database.ssl.ca")),
        (own, TlsMode::VerifyCa, Some(&ca), Err("database.ssl.ca")),
        (own, TlsMode::VerifyIdentity, Some(&own_ca), Err("subjectAltName")),
        (&named, TlsMode::VerifyIdentity, Some(&ca), Ok(())),
        (&named, TlsMode::VerifyIdentity, None, Err("database.ssl.ca")),
        (&named97, TlsMode::VerifyIdentity, Some(&ca), Ok(())),
        (&named97, TlsMode::VerifyCa, Some(&own_ca), Err("database.ssl.ca")),
        (
            Server::shared(Kind::MySql56),
            TlsMode::Required,
            None,
            Err("preferred"),
        ),
    ];
    for (server, mode, ca, expected) in table {
        let mut config = server.config("root", "");
        config.tls.mode = mode;
        config.tls.ca = ca.cloned();
        match (Client::connect(&config).await, expected) {
            (Ok(client), Ok(())) => assert!(client.is_encrypted()),
            (Err(error @ ClientError::Tls { .. }), Err(remedy)) => {
                assert!(error.to_string().contains(remedy), "{error}");
                assert_eq!(error.kind(), ErrorKind::UserConfig);
            }
            (result, _) => panic!("{:?} {mode:?} {ca:?}: {result:?}", server.kind),
        }
    }
    for server in [&named, &named97] {
        user(server, "certified", "IDENTIFIED BY 'x' REQUIRE X509").await;
        let mut config = server.config("certified", "x");
        let error = Client::connect(&config).await.unwrap_err();
        assert!(matches!(error, ClientError::AccessDenied { .. }), "{error:?}");
        config.tls.identity = Some((tls_file("client.pem"), tls_file("client.pem")));
        assert!(Client::connect(&config).await.unwrap().is_encrypted());
        config.tls.identity = Some((tls_file("client.pem"), tls_file("ca.pem")));
        let error = Client::connect(&config).await.unwrap_err();
        assert!(error.to_string().contains("private key"), "{error}");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_told() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = Server::shared(Kind::MariaDb).config("root", "");
    config.host = "nowhere.invalid".to_owned();
    let error = Client::connect(&config).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::UnknownHost { host, .. } if host == "nowhere.invalid"),
        "{error:?}"
    );
    assert!(error.is_disconnected());

    config.host = "127.0.0.1".to_owned();
    config.port = silent.local_addr().unwrap().port();
    config.connect_timeout = Duration::from_millis(50);
    let error = Client::connect(&config).await.unwrap_err();
    assert!(
        matches!(
            &error,
            ClientError::TimedOut {
                key: "connect.timeout.ms",
                ..
            }
        ),
        "{error:?}"
    );

    drop(silent);
    config.connect_timeout = Duration::from_secs(60);
    let error = Client::connect(&config).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

/// What says `greeting`, and to what comes then `answer`.
async fn double(greeting: &'static [u8], answer: &'static [u8]) -> ClientError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = Server::shared(Kind::MariaDb).config("root", "a long password");
    config.port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(greeting).await.unwrap();
        let mut head = [0; 4];
        if socket.read_exact(&mut head).await.is_ok() {
            let mut rest = vec![0; usize::from(head[0])];
            socket.read_exact(&mut rest).await.unwrap();
            socket.write_all(answer).await.unwrap();
        }
    });
    let error = Client::connect(&config).await.unwrap_err();
    task.await.unwrap();
    error
}

/// Of MySQL 5.7, without TLS: version, connection 8, the first 8 bytes of a nonce, capabilities, collation, status, length, the rest, plugin.
const GREETING: &[u8] = b"\x4a\0\0\0\x0a5.7.40\0\x08\0\0\0abcdefgh\0\xff\xf7\x08\x02\0\xff\x81\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0";

const GREETING_WITH_TLS: &[u8] = b"\x4a\0\0\0\x0a5.7.40\0\x08\0\0\0abcdefgh\0\xff\xff\x08\x02\0\xff\x81\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0";

#[tokio::test]
async fn what_is_no_server_or_wants_what_is_not_known_is_told() {
    for other in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x05\0\0\0HELLO",
    ] {
        let error = double(other, b"").await;
        assert!(error.to_string().contains("is this MySQL or MariaDB?"), "{error}");
    }
    let error = double(b"\x17\0\0\0\xff\x10\x04Too many connections", b"").await;
    assert!(
        matches!(&error, ClientError::Server { code: 1040, message, .. } if message == "Too many connections"),
        "{error:?}"
    );
    assert!(error.is_disconnected());
    let error = double(GREETING, b"\x08\0\0\x02\xfedialog\0").await;
    assert!(error.to_string().contains("its account uses dialog"), "{error}");
    let error = double(GREETING, b"\x01\0\0\x02\xfe").await;
    assert!(error.to_string().contains("mysql_old_password"), "{error}");
    let error = double(GREETING, b"\x17\0\0\x02\xfemysql_clear_password\0\0").await;
    assert!(error.to_string().contains("only sent over TLS"), "{error}");
    let error = double(GREETING, b"\x01\0\0\x02\x07").await;
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    let error = double(GREETING, b"").await;
    assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
    // Who dies while TLS is set up comes back; another configuration does not help.
    let error = double(GREETING_WITH_TLS, b"").await;
    assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
    assert!(error.is_disconnected());
    let error = double(GREETING_WITH_TLS, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(matches!(error, ClientError::Tls { .. }), "{error:?}");
}
