//! The demo's requests over real HTTP, on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use exptap::demo::sender::{Sender, Sent};
use exptap::demo::{DemoRequest, Shop};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Notify;

const START_MS: i64 = 1_795_248_000_000;

struct Received {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone)]
struct Listener {
    received: Arc<Mutex<Vec<Received>>>,
    enough: usize,
    answer: StatusCode,
    done: Arc<Notify>,
}

async fn receive(State(listener): State<Listener>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut received = listener.received.lock().unwrap();
    received.push(Received { path: uri.path().to_owned(), headers, body });
    if received.len() == listener.enough {
        listener.done.notify_one();
    }
    listener.answer
}

/// Runs the demo against a listener with this answer until it has received `enough` requests.
async fn run(enough: usize, answer: StatusCode) -> (Vec<Received>, Sent) {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let done = Arc::new(Notify::new());
    let listener = Listener { received: Arc::default(), enough, answer, done: Arc::clone(&done) };
    let router = axum::Router::new().fallback(receive).with_state(listener.clone());
    let server = tokio::spawn(async move { axum::serve(socket, router).await });
    let sender = Sender::new(address).unwrap();
    let sent = sender.run(Shop::new(1, START_MS), || START_MS + 1_000, done.notified()).await;
    server.abort();
    let received = std::mem::take(&mut *listener.received.lock().unwrap());
    (received, sent)
}

#[tokio::test]
async fn requests_arrive_in_order_with_the_headers_and_bytes_the_sdks_would_send() {
    let expected: Vec<DemoRequest> = Shop::new(1, START_MS).tick(START_MS + 1_000);
    let (received, sent) = run(expected.len(), StatusCode::ACCEPTED).await;

    // The last request is received before its answer comes back, which shutting down does not wait for.
    let expected_accepted = expected.len() as u64;
    assert!((expected_accepted - 1..=expected_accepted).contains(&sent.accepted), "{sent:?}");
    assert_eq!((sent.failed, sent.last_failure), (0, None));
    assert_eq!(received.len(), expected.len());
    for (received, expected) in received.iter().zip(&expected) {
        assert_eq!(received.path, expected.path);
        assert_eq!(received.body, expected.body);
        for (name, value) in &expected.headers {
            assert_eq!(received.headers.get(*name).unwrap().to_str().unwrap(), value, "{name}");
        }
        assert_eq!(received.headers.contains_key("transfer-encoding"), expected.chunked);
        assert_eq!(received.headers.contains_key("content-length"), !expected.chunked);
    }
    assert!(expected.iter().any(|request| request.chunked));
}

#[tokio::test]
async fn a_listener_that_refuses_is_noticed_and_the_demo_carries_on() {
    let (received, sent) = run(20, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(received.len() >= 20);
    assert!(sent.failed >= 19 && sent.accepted == 0, "{sent:?}");
    assert_eq!(sent.last_failure.as_deref(), Some("the listener answered 503 Service Unavailable"));
}

#[tokio::test]
async fn a_listener_that_is_not_there_is_noticed_and_shutting_down_ends_the_demo_at_once() {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    drop(socket);
    let asked = Arc::new(Notify::new());
    let mut calls = 0;
    let ask = Arc::clone(&asked);
    // The second time it is asked for the time, every request of the first has been tried.
    let now_ms = move || {
        calls += 1;
        if calls == 2 {
            ask.notify_one();
        }
        START_MS + 1_000
    };
    let sent = Sender::new(address).unwrap().run(Shop::new(1, START_MS), now_ms, asked.notified()).await;
    assert_eq!(sent.accepted, 0);
    assert_eq!(sent.failed, Shop::new(1, START_MS).tick(START_MS + 1_000).len() as u64);
    assert!(sent.last_failure.is_some());
}
