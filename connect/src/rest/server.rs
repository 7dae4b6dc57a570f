//! Listening, and what holds for every call.
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::answers::{Answer, plain_failure, typed, with_header};
use super::route::{NoRoute, Route};
use super::{RestConfig, body, cors, forward, handlers};
use crate::herder::Herder;

/// Which part of the API a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    All,
    AllButAdmin,
    Admin,
}

/// Sockets that are open and not yet served. They come first, so that the worker knows what others call it.
#[derive(Debug)]
pub struct Listeners {
    config: RestConfig,
    sockets: Vec<(TcpListener, Serves)>,
}

impl Listeners {
    /// Opens them.
    ///
    /// # Errors
    /// Which address cannot be had, and why.
    pub async fn bind(config: &RestConfig) -> Result<Self, String> {
        let main = match &config.admin_listeners {
            None => Serves::All,
            Some(_) => Serves::AllButAdmin,
        };
        let all = config.listeners.iter().map(|address| (address, main));
        let admin = config.admin_listeners.iter().flatten();
        let all = all.chain(admin.map(|address| (address, Serves::Admin)));
        let mut sockets = Vec::new();
        for (address, serves) in all {
            let socket = TcpListener::bind(address.as_str()).await;
            let socket = socket.map_err(|error| {
                format!("cannot listen on {address}: {error}; name another address with listeners=http://HOST:PORT")
            })?;
            sockets.push((socket, serves));
        }
        let config = config.clone();
        Ok(Self { config, sockets })
    }

    /// The addresses that are listened on, those of `listeners` first.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.sockets.iter();
        sockets
            .filter_map(|(socket, _)| socket.local_addr().ok())
            .collect()
    }

    /// What others call this worker: `HOST:PORT`.
    pub fn worker_id(&self) -> String {
        let first = self.addresses().first().copied();
        let first = first.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let (host, port) = &self.config.advertised;
        let own = match first.ip() {
            ip if ip.is_unspecified() => host_name().unwrap_or_else(|| Ipv4Addr::LOCALHOST.to_string()),
            ip => SocketAddr::new(ip, 0)
                .to_string()
                .trim_end_matches(":0")
                .to_owned(),
        };
        let host = host.clone().unwrap_or(own);
        format!("{host}:{}", port.unwrap_or_else(|| first.port()))
    }

    /// Answers calls from now on.
    pub fn serve(self, herder: Arc<dyn Herder>) -> RestServer {
        let addresses = self.addresses();
        let (stop, stopped) = watch::channel(false);
        let config = Arc::new(self.config);
        let serving = self.sockets.into_iter().map(|(socket, serves)| {
            let api = Api {
                herder: Arc::clone(&herder),
                config: Arc::clone(&config),
                serves,
            };
            let router: Router = Router::new().fallback(answer).with_state(api);
            let mut stopped = stopped.clone();
            let until = async move { drop(stopped.wait_for(|stop| *stop).await) };
            tokio::spawn(async move {
                if let Err(error) = axum::serve(socket, router).with_graceful_shutdown(until).await {
                    warn!(%error, "a listener of the REST API ended");
                }
            })
        });
        RestServer {
            serving: serving.collect(),
            addresses,
            stop,
        }
    }
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The API, being served.
#[derive(Debug)]
pub struct RestServer {
    serving: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
}

impl RestServer {
    /// The addresses that are listened on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more calls. Those that are being answered have a moment to end.
    pub async fn stop(self) {
        const GRACE: std::time::Duration = std::time::Duration::from_secs(3);
        self.stop.send_replace(true);
        for mut serving in self.serving {
            if tokio::time::timeout(GRACE, &mut serving).await.is_err() {
                serving.abort();
            }
        }
    }
}

/// What every call needs.
#[derive(Clone)]
struct Api {
    herder: Arc<dyn Herder>,
    config: Arc<RestConfig>,
    serves: Serves,
}

async fn answer(State(api): State<Api>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.clone();
    if let Some(answer) = cors::preflight(&api.config, &parts.method, &headers) {
        return answer;
    }
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let answer = dispatch(&api, parts, body).await;
    debug!(%method, path, status = answer.status().as_u16(), "a call was answered");
    let date = jiff::Timestamp::now()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    cors::decorated(answer, &api.config, &headers, &date)
}

async fn dispatch(api: &Api, mut parts: axum::http::request::Parts, body: Body) -> Answer {
    let route = match Route::of(parts.uri.path()) {
        Ok(route) => route,
        Err(NoRoute::Unknown) => return plain_failure(StatusCode::NOT_FOUND),
        Err(NoRoute::Malformed) => return plain_failure(StatusCode::BAD_REQUEST),
    };
    let served = match api.serves {
        Serves::All => true,
        Serves::AllButAdmin => !route.is_admin(),
        Serves::Admin => route.is_admin(),
    };
    if !served {
        return plain_failure(StatusCode::NOT_FOUND);
    }
    if parts.method == Method::OPTIONS {
        let allow = route.allow();
        let shown = typed(StatusCode::OK, "text/plain", allow.replace(',', ", "));
        return with_header(shown, header::ALLOW, &allow);
    }
    // The server leaves the body of an answer to HEAD out.
    if parts.method == Method::HEAD {
        parts.method = Method::GET;
    }
    if !route.methods().contains(&parts.method) {
        let refused = plain_failure(StatusCode::METHOD_NOT_ALLOWED);
        return with_header(refused, header::ALLOW, &route.allow());
    }
    let media_type = match route {
        Route::Metrics => "text/plain",
        _ => "application/json",
    };
    if !body::accepts(&parts.headers, media_type) {
        return plain_failure(StatusCode::NOT_ACCEPTABLE);
    }
    let value = match body::json_body(&parts.headers, body).await {
        Ok(value) => value,
        Err(answer) if parts.method != Method::GET => return *answer,
        Err(_) => serde_json::Value::Null,
    };
    if let Some(answer) = forward::elsewhere(&*api.herder, &route, &parts, &value).await {
        return answer;
    }
    handlers::call(Arc::clone(&api.herder), route, &parts, value).await
}
