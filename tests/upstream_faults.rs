//! Upstreams that are slow, lie, reset and hang up: what the SDK is told. It is told what the upstream said, or 503;
//! never a 4xx of exptap's own, after which it would send no more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use exptap::endpoint::{Limits, Options};
use exptap::envelope::{Answer as Answered, AnsweredBy};
use loopback::{Answer, Client, PATIENCE, Running, limits, loopback_options, post, post_chunked, start};
use rustix::net::sockopt::set_socket_linger;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// An upstream that does with each connection what it is told to: the number of the connection, and the connection.
struct Wild {
    address: SocketAddr,
    requests: Receiver<Answer>,
}

impl Wild {
    fn start(act: impl Fn(usize, Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, requests) = channel();
        let act = std::sync::Arc::new(act);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let stream = stream.unwrap();
                let client = Client::over(stream.try_clone().unwrap());
                let connection = Connection { stream, client, tell: tell.clone() };
                let act = std::sync::Arc::clone(&act);
                std::thread::spawn(move || act(number, connection));
            }
        });
        Self { address, requests }
    }

    fn options(&self) -> Options {
        Options { forward: Some(format!("http://{}", self.address).parse().unwrap()), ..loopback_options() }
    }

    fn request(&self) -> Answer {
        self.requests.recv_timeout(PATIENCE).expect("the upstream got no request")
    }
}

struct Connection {
    stream: TcpStream,
    client: Client,
    tell: std::sync::mpsc::Sender<Answer>,
}

impl Connection {
    /// Reads one request; false: there was none.
    fn read(&mut self) -> bool {
        let message = self.client.message();
        message.is_some_and(|message| self.tell.send(message).is_ok())
    }

    fn write(&mut self, bytes: &[u8]) {
        // Whoever is on the other side may have had enough.
        let _ = self.stream.write_all(bytes);
    }

    /// Closes it so that the other side gets a reset.
    fn reset(self) {
        set_socket_linger(&self.stream, Some(Duration::ZERO)).unwrap();
    }

    /// Waits until the other side has closed.
    fn wait_for_close(mut self) {
        let _ = self.stream.read_to_end(&mut Vec::new());
    }
}

#[track_caller]
fn is_told_to_try_again(running: &mut Running, request: &[u8]) -> String {
    let answer = running.ask(request);
    assert_eq!(answer.status(), 503, "{}", answer.text());
    let envelope = running.envelope();
    assert_eq!(envelope.answer, Some(Answered { status: 503, from: AnsweredBy::Local }));
    answer.text().to_owned()
}

#[test]
fn an_upstream_that_hangs_up_or_resets_without_an_answer_is_503_with_the_reason() {
    let upstream = Wild::start(|number, mut connection| {
        if number % 2 == 0 {
            connection.read();
            return connection.reset();
        }
        connection.read();
    });
    let mut running = start(upstream.options());
    for _ in 0..4 {
        let text = is_told_to_try_again(&mut running, &post("/bulk", "", b"[]"));
        assert!(text.contains("could not be reached"), "{text}");
    }
    assert_eq!(running.status.figures().upstream.unanswered, 4);
}

#[test]
fn an_answer_that_is_no_http_is_503() {
    let garbage: [&[u8]; 7] = [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nBad Header\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ];
    let upstream = Wild::start(move |number, mut connection| {
        connection.read();
        connection.write(garbage[number % garbage.len()]);
    });
    let mut running = start(upstream.options());
    for _ in 0..garbage.len() {
        is_told_to_try_again(&mut running, &post("/bulk", "", b"[]"));
    }
}

#[test]
fn a_body_shorter_than_announced_breaks_off_for_the_sdk_as_it_does_here_and_the_next_request_is_well() {
    let upstream = Wild::start(|number, mut connection| {
        connection.read();
        match number {
            0 => connection.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nshort"),
            1 => connection.write(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho"),
            2 => {
                connection.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nshort");
                connection.reset();
            }
            _ => connection.write(ACCEPTED),
        }
    });
    let mut running = start(upstream.options());
    for _ in 0..3 {
        let mut client = running.client();
        client.send(&post("/bulk", "", b"[]"));
        let head = client.head().unwrap();
        assert_eq!(head.status(), 202);
        assert!(client.rest().len() < 100);
        // The events are delivered: that is what its head says.
        assert_eq!(running.envelope().answer, Some(Answered { status: 202, from: AnsweredBy::Upstream }));
    }
    assert_eq!(running.ask(&post("/bulk", "", b"[]")).status(), 202);
}

#[test]
fn an_answer_longer_than_announced_ends_where_it_was_announced_and_its_rest_answers_nobody() {
    let upstream = Wild::start(|number, mut connection| {
        connection.read();
        if number == 0 {
            connection.write(
                b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
            );
            connection.wait_for_close();
        } else {
            connection.write(ACCEPTED);
        }
    });
    let running = start(upstream.options());
    let mut client = running.client();
    client.send(&post("/bulk", "", b"[1]"));
    assert_eq!((client.answer().status(), upstream.request().text()), (202, "[1]"));
    client.send(&post("/bulk", "", b"[2]"));
    assert_eq!((client.answer().status(), upstream.request().text()), (202, "[2]"));
}

#[test]
fn interim_answers_are_passed_over() {
    let upstream = Wild::start(|_, mut connection| {
        connection.read();
        connection.write(b"HTTP/1.1 100 Continue\r\n\r\n");
        connection.write(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
        connection.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok");
    });
    let running = start(upstream.options());
    let answer = running.ask(&post("/bulk", "", b"[]"));
    assert_eq!((answer.status(), answer.text()), (202, "ok"));
}

#[test]
fn an_upstream_that_takes_connections_and_says_nothing_is_503_after_its_time() {
    let upstream = Wild::start(|_, mut connection| {
        connection.read();
        connection.wait_for_close();
    });
    let limits = Limits { upstream: Duration::from_millis(50), ..limits() };
    let mut running = start(Options { limits, ..upstream.options() });
    let text = is_told_to_try_again(&mut running, &post("/bulk", "", b"[]"));
    assert!(text.contains("no answer within"), "{text}");
}

#[test]
fn a_slow_answer_comes_through_as_it_comes() {
    let (go_on, goes_on) = channel::<()>();
    let goes_on = std::sync::Mutex::new(goes_on);
    let upstream = Wild::start(move |_, mut connection| {
        connection.read();
        connection.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nhalf");
        goes_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        connection.write(b"half");
    });
    let running = start(upstream.options());
    let mut client = running.client();
    client.send(&post("/bulk", "", b"[]"));
    // The first half is here while the second has not been sent.
    assert_eq!(client.head().unwrap().status(), 202);
    assert_eq!(client.bytes(4), b"half");
    go_on.send(()).unwrap();
    assert_eq!(client.bytes(4), b"half");
}

#[test]
fn an_upstream_that_closes_its_half_after_the_answer_is_answered_for() {
    let upstream = Wild::start(|_, mut connection| {
        connection.read();
        connection.write(b"HTTP/1.1 202 Accepted\r\n\r\nuntil the end");
        connection.stream.shutdown(Shutdown::Write).unwrap();
        connection.wait_for_close();
    });
    let running = start(upstream.options());
    let answer = running.ask(&post("/bulk", "", b"[]"));
    assert_eq!((answer.status(), answer.text()), (202, "until the end"));
}

#[test]
fn an_answer_before_the_request_is_read_is_passed_on() {
    let upstream = Wild::start(|_, mut connection| {
        connection.client.head();
        connection.write(b"HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        connection.wait_for_close();
    });
    let running = start(upstream.options());
    assert_eq!(running.ask(&post("/bulk", "", &vec![b'x'; 1_000_000])).status(), 413);
}

/// Load balancers close connections that rest. Whether a request that meets such a one arrived nobody knows, but no
/// byte of an answer came: it is sent once more on a fresh connection. LaunchDarkly drops what it gets twice by the payload
/// id, and an SDK that is told 503 does nothing else.
#[test]
fn a_request_that_meets_a_connection_being_closed_is_sent_again_on_a_fresh_one() {
    for ends in [Connection::reset as fn(Connection), drop] {
        for request in [post("/bulk", "", b"[2]"), post_chunked("/bulk", "", &[b"[2]"])] {
            let upstream = Wild::start(move |number, mut connection| {
                connection.read();
                connection.write(ACCEPTED);
                if number == 0 {
                    // The next request reaches it, and it is too late.
                    connection.read();
                    return ends(connection);
                }
                while connection.read() {
                    connection.write(ACCEPTED);
                }
            });
            let mut running = start(upstream.options());
            let mut client = running.client();
            client.send(&post("/bulk", "", b"[1]"));
            assert_eq!(client.answer().status(), 202);
            assert_eq!(upstream.request().text(), "[1]");
            client.send(&request);
            assert_eq!(client.answer().status(), 202);
            assert_eq!((upstream.request().text(), upstream.request().text()), ("[2]", "[2]"));
            let answers = [running.envelope().answer, running.envelope().answer];
            assert_eq!(answers, [Some(Answered { status: 202, from: AnsweredBy::Upstream }); 2]);
        }
    }
}

#[test]
fn connections_to_the_upstream_are_used_again() {
    let (count, connections) = channel();
    let upstream = Wild::start(move |number, mut connection| {
        count.send(number).unwrap();
        while connection.read() {
            connection.write(ACCEPTED);
        }
    });
    let running = start(upstream.options());
    let mut client = running.client();
    for _ in 0..20 {
        client.send(&post("/bulk", "", b"[]"));
        assert_eq!(client.answer().status(), 202);
    }
    assert_eq!(connections.try_iter().count(), 1);
}
