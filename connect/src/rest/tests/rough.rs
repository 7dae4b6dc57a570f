//! What nobody should send, and somebody does.
use serde_json::{Value, json};

use super::{Heard, Served, ask, served, source};

const JSON: (&str, &str) = ("content-type", "application/json");

impl Served {
    async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Heard {
        ask(self.address, method, path, headers, Some(body)).await
    }

    async fn names(&self) -> Value {
        self.get("/connectors").await.json()
    }
}

/// An error is JSON with a code and a message, which repeats nothing of what may be a secret.
fn is_error(heard: &Heard, status: u16) {
    assert_eq!(heard.status, status, "{}", heard.text);
    assert_eq!(heard.json()["error_code"], status, "{}", heard.text);
    assert!(
        !heard.message().is_empty() && !heard.text.contains("geheim"),
        "{}",
        heard.text
    );
}

#[tokio::test]
async fn names_are_trimmed_long_foreign_or_refused() {
    let served = served(&[]).await;
    for name in [json!(""), json!("   "), json!(null), json!("a\u{1}b")] {
        let body = json!({"name": name, "config": source("x")["config"]});
        is_error(&served.send("POST", "/connectors", body).await, 400);
    }
    for name in [json!(["a"]), json!({"a": 1})] {
        let body = json!({"name": name, "config": source("x")["config"]});
        is_error(&served.send("POST", "/connectors", body).await, 500);
    }
    assert_eq!(served.names().await, json!([]));

    let long = "x".repeat(5_000);
    let cases = [
        (json!("  blanks  "), "blanks".to_owned(), "blanks".to_owned()),
        (json!(7), "7".to_owned(), "7".to_owned()),
        (json!(true), "true".to_owned(), "true".to_owned()),
        (
            json!("日本 語/ü"),
            "日本 語/ü".to_owned(),
            "%E6%97%A5%E6%9C%AC%20%E8%AA%9E%2F%C3%BC".to_owned(),
        ),
        (
            json!("../a?b#c;d=e"),
            "../a?b#c;d=e".to_owned(),
            "..%2Fa%3Fb%23c%3Bd%3De".to_owned(),
        ),
        (json!(long), long.clone(), long.clone()),
    ];
    for (given, name, path) in cases {
        let body = json!({"name": given, "config": source("x")["config"]});
        let made = served.send("POST", "/connectors", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        assert_eq!(made.json()["name"], *name);
        let place = made.header("location").unwrap();
        assert_eq!(place, format!("http://base/connectors/{path}"));
        for rest in [
            "",
            "/",
            "/status",
            "/status/",
            "/config/",
            "/tasks/",
            "/tasks/0/status/",
        ] {
            let heard = served.get(&format!("/connectors/{path}{rest}")).await;
            assert_eq!(heard.status, 200, "{path}{rest}: {}", heard.text);
        }
        let gone = ask(
            served.address,
            "DELETE",
            &format!("/connectors/{path}/"),
            &[],
            None,
        )
        .await;
        assert_eq!(gone.status, 204, "{}", gone.text);
    }
    assert_eq!(served.get("/connectors/%FF").await.status, 400);
}

#[tokio::test]
async fn bodies_that_are_none() {
    let served = served(&[]).await;
    let deep = "[".repeat(100_000);
    let deep_config = format!("{{\"name\":\"a\",\"config\":{}", "{\"a\":".repeat(100_000));
    for body in [
        "{",
        "nonsense",
        "{'name':'a'}",
        "{\"name\":\"a\",\"config\":{\"password\":\"geheim\"}} more",
        "\"geheim\"",
        "[]",
        "{\"name\":\"a\",\"config\":[\"geheim\"]}",
        "{\"name\":\"a\",\"config\":{\"password\":[\"geheim\"]}}",
        "{\"name\":\"a\",\"config\":{},\"geheim2\":1,\"unknown\":1}",
        &deep,
        &deep_config,
    ] {
        let heard = served.raw("POST", "/connectors", &[JSON], body).await;
        assert_eq!(
            heard.status,
            500,
            "{}: {}",
            &body[..body.len().min(60)],
            heard.text
        );
        assert!(!heard.text.contains("\"geheim\""), "{}", heard.text);
    }
    for body in ["", "null", "{}"] {
        is_error(&served.raw("POST", "/connectors", &[JSON], body).await, 400);
    }
    let huge = format!(
        "{{\"name\":\"a\",\"config\":{{\"x\":\"{}\"}}}}",
        "x".repeat(16 << 20)
    );
    is_error(&served.raw("POST", "/connectors", &[JSON], &huge).await, 413);
    assert_eq!(served.names().await, json!([]));
}

/// Numbers went through a float: `1.50` became `1.5`, and long ones lost their last digits.
#[tokio::test]
async fn configurations_stay_as_they_were_written() {
    let served = served(&[]).await;
    let body = "\u{feff}{\"name\":\"other\",\"name\":\"a\",\"config\":{\"connector.class\":\"FileStreamSource\",\"topic\":\"s\",\"topic\":\"t\",\
                \"x\":1.50,\"y\":1e3,\"z\":12345678901234567890123,\"flag\":false}}";
    let made = served.raw("POST", "/connectors", &[JSON], body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let expected = json!({"connector.class": "FileStreamSource", "name": "a", "topic": "t", "x": "1.50", "y": "1e3",
                          "z": "12345678901234567890123", "flag": "false"});
    assert_eq!(
        made.json()["config"],
        expected,
        "of a key given twice the last one counts"
    );
    assert_eq!(served.get("/connectors/a/config").await.json(), expected);
    let body = "{\"connector.class\":\"FileStreamSource\",\"topic\":\"t\",\"x\":0.10}";
    let put = served.raw("PUT", "/connectors/a/config", &[JSON], body).await;
    assert_eq!(put.json()["config"]["x"], "0.10");
}

#[tokio::test]
async fn wrong_methods_name_the_right_ones() {
    let served = served(&[]).await;
    let paths = [
        ("/", "HEAD,GET,OPTIONS"),
        ("/connectors", "HEAD,POST,GET,OPTIONS"),
        ("/connectors/a", "HEAD,GET,DELETE,OPTIONS"),
        ("/connectors/a/config/", "HEAD,GET,PUT,PATCH,OPTIONS"),
        ("/connectors/a/restart", "POST,OPTIONS"),
        ("/connectors/a/pause", "PUT,OPTIONS"),
        ("/connectors/a/offsets", "HEAD,GET,PATCH,DELETE,OPTIONS"),
        ("/connector-plugins/x/config/validate", "PUT,OPTIONS"),
        ("/admin/loggers/root", "HEAD,GET,PUT,OPTIONS"),
    ];
    for (path, allow) in paths {
        for method in ["TRACE", "FOO", "PUT", "POST", "PATCH", "DELETE", "GET"] {
            if allow.split(',').any(|allowed| allowed == method) {
                continue;
            }
            let heard = ask(served.address, method, path, &[], None).await;
            is_error(&heard, 405);
            assert_eq!(heard.header("allow"), Some(allow), "{method} {path}");
            assert_eq!(heard.message(), "HTTP 405 Method Not Allowed");
        }
        let options = ask(served.address, "OPTIONS", path, &[], None).await;
        assert_eq!((options.status, options.header("allow")), (200, Some(allow)));
        let head = ask(served.address, "HEAD", path, &[], None).await;
        assert_eq!(head.text, "", "HEAD {path}");
        assert_eq!(head.status == 405, !allow.contains("HEAD"), "HEAD {path}");
    }
    is_error(&ask(served.address, "OPTIONS", "/nope", &[], None).await, 404);
}

#[tokio::test]
async fn types_that_are_not_spoken() {
    let served = served(&[]).await;
    let body = source("a").to_string();
    for given in ["text/plain", "application/x-www-form-urlencoded", "nonsense", ""] {
        let heard = served
            .raw("POST", "/connectors", &[("content-type", given)], &body)
            .await;
        is_error(&heard, 415);
        assert_eq!(heard.message(), "HTTP 415 Unsupported Media Type");
    }
    is_error(&served.raw("POST", "/connectors", &[], &body).await, 415);
    for accept in ["text/html", "application/xml", "nonsense"] {
        let heard = ask(served.address, "GET", "/connectors", &[("accept", accept)], None).await;
        is_error(&heard, 406);
    }
    for accept in [
        "",
        "*/*",
        "application/*",
        "text/html, application/json;q=0.5",
        "APPLICATION/JSON",
    ] {
        let heard = ask(served.address, "GET", "/connectors", &[("accept", accept)], None).await;
        assert_eq!(heard.status, 200, "{accept}: {}", heard.text);
    }
    let typed = [("content-type", "APPLICATION/JSON; charset=UTF-8")];
    assert_eq!(served.raw("POST", "/connectors", &typed, &body).await.status, 201);
}

#[tokio::test]
async fn what_is_deleted_can_be_made_again_at_once_and_by_many() {
    let served = std::sync::Arc::new(served(&[]).await);
    for _ in 0..20 {
        assert_eq!(served.send("POST", "/connectors", source("a")).await.status, 201);
        let deleted = ask(served.address, "DELETE", "/connectors/a", &[], None).await;
        assert_eq!(deleted.status, 204);
    }
    // Of many at once one makes it, and all others are told so.
    let asking = (0..16).map(|_| {
        let served = std::sync::Arc::clone(&served);
        tokio::spawn(async move { served.send("POST", "/connectors", source("a")).await.status })
    });
    let mut made = Vec::new();
    for asked in asking.collect::<Vec<_>>() {
        made.push(asked.await.unwrap());
    }
    made.sort_unstable();
    assert_eq!((made[0], &made[1..]), (201, &[409; 15][..]));
}
