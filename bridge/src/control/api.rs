//! The HTTP interface: which path answers what. Read-only; the same on the Unix socket and on the TCP listener.
//!
//! Handlers only fetch and wrap; limits on connections are the server's affair.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Router, middleware};
use serde::Serialize;

use super::page;
use super::service::Service;
use super::source::StateSource;
use super::view;
use crate::runtime::Error;

/// Every path and what it answers, for people who ask for one that doesn't exist, and for the documentation.
pub const PATHS: &[(&str, &str)] = &[
    ("/", "a live page for the browser"),
    ("/metrics", "counters and gauges for Prometheus"),
    ("/v1/state", "everything of one moment: buffer, ports, priorities, classes, worker"),
    ("/v1/ports", "the ports"),
    ("/v1/ports/{name}", "one port"),
    ("/v1/classes", "the traffic classes of every port, with target and measured share"),
    ("/v1/queues", "the queues: one per port and priority"),
    ("/v1/fdb", "the forwarding database"),
    ("/v1/drops", "drop counters that are not zero, with their reasons"),
    ("/v1/lldp", "LLDP of every port that speaks it: counters and neighbours"),
    ("/v1/dcbx", "DCBX of every port: capability, local, peer and operational values, and why"),
    ("/v1/config", "the configuration that runs, with all defaults"),
    ("/v1/version", "program, version, name of the switch, process"),
];

/// All paths of one switch.
pub fn router<S: StateSource>(service: Arc<Service<S>>) -> Router {
    // Spelled out per route: a method that a path doesn't know is answered in JSON too.
    let route = |handler: MethodRouter<Arc<Service<S>>>| handler.fallback(wrong_method);
    Router::new()
        .route("/", route(get(page::index)))
        .route("/metrics", route(get(metrics::<S>)))
        .route("/v1/state", route(get(state::<S>)))
        .route("/v1/ports", route(get(ports::<S>)))
        .route("/v1/ports/{name}", route(get(port::<S>)))
        .route("/v1/classes", route(get(classes::<S>)))
        .route("/v1/queues", route(get(queues::<S>)))
        .route("/v1/fdb", route(get(fdb::<S>)))
        .route("/v1/drops", route(get(drops::<S>)))
        .route("/v1/lldp", route(get(lldp::<S>)))
        .route("/v1/dcbx", route(get(dcbx::<S>)))
        .route("/v1/config", route(get(config::<S>)))
        .route("/v1/version", route(get(version::<S>)))
        .fallback(unknown_path)
        .layer(middleware::map_response(harden))
        .with_state(service)
}

type Shared<S> = State<Arc<Service<S>>>;

async fn state<S: StateSource>(State(service): Shared<S>) -> Result<Response, Failure> {
    Ok(json(&*service.snapshot().await?))
}

async fn ports<S: StateSource>(State(service): Shared<S>) -> Result<Response, Failure> {
    Ok(json(&service.snapshot().await?.ports))
}

async fn port<S: StateSource>(
    State(service): Shared<S>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let Path(name) = name.map_err(|_| {
        Failure::new(
            StatusCode::BAD_REQUEST,
            "the port's name in the path is not UTF-8 after percent-decoding",
        )
    })?;
    let snapshot = service.snapshot().await?;
    let Some(port) = snapshot.ports.iter().find(|port| port.name == name) else {
        let names: Vec<&str> = snapshot.ports.iter().map(|port| port.name.as_str()).collect();
        let hint = if names.is_empty() { "it has none".to_owned() } else { names.join(", ") };
        let error = format!("no port is named {name:?}; ports of this switch: {hint}");
        return Err(Failure::new(StatusCode::NOT_FOUND, error));
    };
    Ok(json(port))
}

async fn classes<S: StateSource>(State(service): Shared<S>) -> Result<Response, Failure> {
    Ok(json(&service.classes().await?))
}

async fn queues<S: StateSource>(State(service): Shared<S>) -> Result<Response, Failure> {
    Ok(json(&view::queues(&*service.snapshot().await?)))
}

async fn fdb<S: StateSource>(State(service): Shared<S>) -> Result<Response, Failure> {
    Ok(json(&service.fdb().await?))
}

async fn drops<S: StateSource>(State(service): Shared<S>) -> Result<Response, Failure> {
    Ok(json(&view::drops(&*service.snapshot().await?)))
}

async fn lldp<S: StateSource>(State(service): Shared<S>) -> Result<Response, Failure> {
    Ok(json(&view::lldp(&*service.snapshot().await?)))
}

async fn dcbx<S: StateSource>(State(service): Shared<S>) -> Result<Response, Failure> {
    Ok(json(&view::dcbx(&*service.snapshot().await?)))
}

async fn config<S: StateSource>(State(service): Shared<S>) -> Response {
    json(&*service.source().config())
}

async fn version<S: StateSource>(State(service): Shared<S>) -> Response {
    json(&service.version())
}

async fn metrics<S: StateSource>(State(service): Shared<S>) -> Result<Response, Failure> {
    let text = service.metrics().await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

async fn unknown_path(uri: Uri) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, format!("nothing is at {:?}; see `paths`", uri.path()))
}

async fn wrong_method() -> Response {
    let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this interface is read-only; use GET");
    ([(header::ALLOW, "GET, HEAD")], failure).into_response()
}

/// An answer that is an error: a sentence for a person, and the paths for whoever got lost.
struct Failure {
    status: StatusCode,
    error: String,
}

#[derive(Serialize)]
struct FailureBody<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<&'static str>,
}

impl Failure {
    fn new(status: StatusCode, error: impl Into<String>) -> Failure {
        Failure { status, error: error.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let lost = matches!(self.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        let paths = if lost { PATHS.iter().map(|(path, _)| *path).collect() } else { Vec::new() };
        (self.status, json(&FailureBody { error: &self.error, paths })).into_response()
    }
}

/// JSON as a person can read it with curl: indented, a newline at the end.
fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec_pretty(value) {
        Ok(mut body) => {
            body.push(b'\n');
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            (StatusCode::INTERNAL_SERVER_ERROR, "{\"error\": \"the answer could not be written as JSON\"}\n")
                .into_response()
        }
    }
}

/// State is of the moment, and a browser shall neither guess types nor embed it elsewhere.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
