//! The API over real sockets, with a hand-made switch behind it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinHandle;

use super::fixture::{self, Fixture};
use super::server::{Limits, serve};
use super::socket::{ControlSocket, bind_tcp};
use super::{Client, Service, client, router};

/// A switch that answers at a socket of its own.
struct Running {
    directory: TempDir,
    service: Arc<Service<Fixture>>,
    _socket: ControlSocket,
    server: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Running {
    async fn start(limits: Limits) -> Running {
        let directory = tempfile::tempdir().unwrap();
        let service = Service::new(Fixture::new(fixture::snapshot()));
        let path = directory.path().join("run/dcbridge/br0.sock");
        let (socket, listener) = ControlSocket::bind(&path).await.unwrap();
        let server = tokio::spawn(serve(listener, router(Arc::clone(&service)), limits));
        Running { directory, service, _socket: socket, server }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("run/dcbridge/br0.sock")
    }

    fn client(&self) -> Client {
        Client::new(&self.path())
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.client().get(path).await.unwrap()).unwrap()
    }

    /// Sends bytes as they are and reads until the server closes.
    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path()).await.unwrap();
        stream.write_all(request).await.unwrap();
        read_all(&mut stream).await
    }
}

async fn read_all(stream: &mut UnixStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
    // A reset after the answer is the server's right.
    let _ = read.await.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn every_path_answers_with_what_the_switch_says() {
    let switch = Running::start(Limits::default()).await;
    let state: crate::state::Snapshot = switch.client().state().await.unwrap();
    assert_eq!(serde_json::to_value(&state).unwrap(), serde_json::to_value(fixture::snapshot()).unwrap());
    assert_eq!(switch.json("/v1/ports").await[1]["name"], "tap1");
    assert_eq!(switch.json("/v1/ports/tap0").await["mtu"], 9000);
    assert_eq!(switch.json("/v1/config").await["bridge"]["name"], "br0");
    assert_eq!(switch.json("/v1/fdb").await["entries"][0]["mac"], "02:00:00:00:00:01");
    let version = switch.client().version().await.unwrap();
    assert_eq!((version.name.as_str(), version.pid), ("br0", std::process::id()));

    let drops = switch.client().drops().await.unwrap();
    let reasons: Vec<&str> = drops.iter().map(|row| row.drop.reason.as_str()).collect();
    assert_eq!(reasons, ["vlan_filtered", "queue_full"], "reasons that never happened are left out");

    let classes = switch.client().classes().await.unwrap();
    let smb = classes.iter().find(|row| row.class.name == "smb-direct" && row.port == "tap0").unwrap();
    assert_eq!((smb.queued_frames, smb.queued_bytes, smb.paused), (640, 640_000, 0b1000));
    assert_eq!(smb.measured_share, None, "no window has passed");

    for (path, _) in super::api::PATHS {
        let answer = switch.client().get(&path.replace("{name}", "tap0")).await;
        assert!(answer.is_ok_and(|body| !body.is_empty()), "{path} is listed and answers");
    }
}

#[tokio::test]
async fn shares_are_those_of_the_last_window() {
    let switch = Running::start(Limits::default()).await;
    let (earlier, later) = fixture::window();
    switch.service.source().set(Ok(earlier));
    let service = Arc::clone(&switch.service);
    let sampler = tokio::spawn(async move { service.measure_shares().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    switch.service.source().set(Ok(later));
    let measured = async {
        loop {
            let classes = switch.client().classes().await.unwrap();
            if let Some(share) = classes[0].measured_share {
                break share;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), measured).await, Ok(0.25));
    let metrics = String::from_utf8(switch.client().get("/metrics").await.unwrap().to_vec()).unwrap();
    let line = "dcbridge_class_share_measured_ratio{bridge=\"br0\",port=\"tap0\",class=\"smb-direct\",tc=\"3\"} 0.75";
    assert!(metrics.contains(line), "{metrics}");

    switch.service.source().set(Err("the worker has ended".to_owned()));
    let error = tokio::time::timeout(Duration::from_secs(5), sampler).await.unwrap().unwrap();
    assert_eq!(error.to_string(), "the worker has ended");
}

#[tokio::test]
async fn a_wrong_question_is_answered_with_the_right_ones() {
    let switch = Running::start(Limits::default()).await;
    let refused = |path: &'static str| {
        let client = switch.client();
        async move {
            match client.get(path).await {
                Err(client::Error::Refused(status, text)) => (status.as_u16(), text),
                other => panic!("{path}: {other:?}"),
            }
        }
    };
    assert_eq!(refused("/v2/state").await, (404, "nothing is at \"/v2/state\"; see `paths`".to_owned()));
    let (status, text) = refused("/v1/ports/tap9").await;
    assert_eq!((status, text.as_str()), (404, "no port is named \"tap9\"; ports of this switch: tap0, tap1"));
    assert_eq!(refused("/v1/ports/%ff").await.0, 400);

    let answer = switch.raw(b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    let paths: Vec<&str> = body["paths"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(paths, super::api::PATHS.iter().map(|(path, _)| *path).collect::<Vec<_>>());

    let answer = switch.raw(b"DELETE /v1/state HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.to_lowercase().contains("allow: get, head") && answer.contains("read-only"), "{answer}");
}

#[tokio::test]
async fn a_switch_that_has_ended_says_so() {
    let switch = Running::start(Limits::default()).await;
    switch.service.source().set(Err("the worker has ended".to_owned()));
    let error = switch.client().state().await.unwrap_err();
    assert_eq!(error.to_string(), "the switch answered 503: the worker has ended");
}

#[tokio::test]
async fn garbage_gets_400_and_heads_are_bounded() {
    let switch = Running::start(Limits::default()).await;
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], b"hello\r\n\r\n", b"GET /\r\n\r\n"]
    {
        let answer = switch.raw(garbage).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{garbage:?} got {answer:?}");
    }
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let answer = switch.raw_lenient(long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    let answer = switch.raw_lenient(many.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // And it still serves.
    assert_eq!(switch.client().state().await.unwrap().name, "br0");
}

impl Running {
    /// Like `raw`, for requests that the server may refuse before it has read all of them.
    async fn raw_lenient(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path()).await.unwrap();
        let _ = stream.write_all(request).await;
        read_all(&mut stream).await
    }
}

#[tokio::test]
async fn a_slow_client_is_let_go_in_time() {
    let limits = Limits { head_time: Duration::from_millis(200), ..Limits::default() };
    let switch = Running::start(limits).await;
    let began = Instant::now();
    switch.raw(b"GET /v1/state HT").await;
    switch.raw(b"").await;
    assert!(began.elapsed() < Duration::from_secs(5), "half a head and no head are both let go");
}

#[tokio::test]
async fn a_client_that_never_reads_is_let_go_in_time() {
    let limits = Limits {
        lifetime: Duration::from_millis(200),
        grace: Duration::from_millis(200),
        head_time: Duration::from_secs(30),
        ..Limits::default()
    };
    let switch = Running::start(limits).await;
    let mut big = fixture::snapshot();
    big.ports[0].down_reason = "x".repeat(4 << 20);
    switch.service.source().set(Ok(big));
    let mut stream = UnixStream::connect(switch.path()).await.unwrap();
    stream.write_all(b"GET /v1/state HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let got = read_all(&mut stream).await.len();
    assert!(got > 0 && got < 4 << 20, "cut off after what the socket held: {got}");
}

#[tokio::test]
async fn silent_clients_make_room_for_new_ones() {
    let switch = Running::start(Limits { connections: 4, ..Limits::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(UnixStream::connect(switch.path()).await.unwrap());
    }
    let began = Instant::now();
    assert_eq!(switch.client().state().await.unwrap().name, "br0");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(read_all(&mut silent[0]).await, "", "the oldest was closed");
}

#[tokio::test]
async fn clients_that_ask_at_once_share_a_snapshot() {
    let service = Service::new(Fixture::new(fixture::snapshot()));
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let service = Arc::clone(&service);
        set.spawn(async move { service.snapshot().await.unwrap() });
    }
    set.join_all().await;
    let asked = service.source().asked.load(Ordering::Relaxed);
    assert!((1..10).contains(&asked), "50 questions at once cost {asked} snapshots");
    service.snapshot().await.unwrap();
    assert_eq!(
        service.source().asked.load(Ordering::Relaxed),
        asked + 1,
        "a later question gets a later state"
    );
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_leaves_with_its_switch() {
    let switch = Running::start(Limits::default()).await;
    let path = switch.path();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    drop(switch);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_named() {
    let switch = Running::start(Limits::default()).await;
    let error = ControlSocket::bind(&switch.path()).await.unwrap_err();
    assert!(error.contains(&format!("the switch \"br0\" (process {})", std::process::id())), "{error}");
    assert!(error.contains("another `name`"), "{error}");
    assert_eq!(switch.client().state().await.unwrap().name, "br0", "the live one goes on");

    let stale = switch.directory.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    let (socket, _listener) = ControlSocket::bind(&stale).await.unwrap();
    drop(socket);
    assert!(!stale.exists());

    let file = switch.directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = ControlSocket::bind(&file).await.unwrap_err();
    assert!(error.contains("is no socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn a_socket_that_another_switch_put_there_since_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("br0.sock");
    let (first, _listener) = ControlSocket::bind(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let (_second, _listener2) = ControlSocket::bind(&path).await.unwrap();
    drop(first);
    assert!(path.exists());
}

#[tokio::test]
async fn a_taken_metrics_address_says_what_to_change() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind_tcp(address).await.unwrap_err();
    assert!(error.contains(&address.to_string()) && error.contains("`listen` under `[metrics]`"), "{error}");
}

#[tokio::test]
async fn without_a_switch_the_client_says_how_to_start_one() {
    let path = Path::new("/nonexistent/dcbridge/br0.sock");
    let error = Client::new(path).state().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no switch answers at /nonexistent/dcbridge/br0.sock; start one with `dcbridge run FILE`"
    );
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let switch = Running::start(Limits::default()).await;
    let answer = switch.raw(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("default-src 'none'"), "{head}");
    for elsewhere in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(elsewhere), "the page holds {elsewhere}");
    }
    assert!(!page.contains("innerHTML"), "names from the switch must not become markup");
}

#[test]
fn the_api_page_describes_every_path() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (path, _) in super::api::PATHS {
        assert!(page.contains(&format!("`{path}`")), "docs/api.md does not describe {path}");
    }
}
