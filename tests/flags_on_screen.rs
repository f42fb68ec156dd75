//! Flags that pass by while the screens show: what is held is judged by them at once, and the Sources pane says what came.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;
mod pty;

use loopback::Client;
use loopback::upstream::Upstream;
use pty::Terminal;
use std::net::{Ipv4Addr, SocketAddr};

const FLAGS: &str = include_str!("bucket_proof/flags.json");

#[test]
fn a_conversion_nobody_could_judge_is_judged_when_the_flags_come_by() {
    let upstream =
        Upstream::start(|_| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{FLAGS}", FLAGS.len()).into_bytes());
    let forward = format!("http://{}", upstream.address);
    let arguments = ["listen", "--listen", "127.0.0.1:0", "--forward-flags", &forward];
    let mut terminal = Terminal::starting(&arguments, (120, 40), &[]);
    terminal.wait_for("Nothing has arrived yet");
    let now_ms = jiff::Timestamp::now().as_millisecond();
    terminal.send(&format!(
        r#"[{{"kind":"custom","creationDate":{now_ms},"key":"checkout","context":{{"kind":"device","key":"d-1"}}}}]"#
    ));
    terminal.wait_for("checkout");
    terminal.press("5");
    terminal.wait_for("no flags seen yet");
    let mut client = Client::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, terminal.port())));
    client.send(
        b"GET /sdk/latest-all HTTP/1.1\r\nHost: x\r\nAuthorization: sdk-00000000-1111-2222-3333-44444444f1a9\r\n\r\n",
    );
    assert_eq!(client.answer().text(), FLAGS);
    terminal.wait_for("flags seen: 1 verdict changed");
    terminal.wait_for("3 flags seen ");
    terminal.wait_for(", 1 experiment");
    terminal.press("1");
    terminal.wait_for("unit-not-allocated");
    terminal.press("q");
    assert!(terminal.end().success());
    terminal.wait_until_restored();
}
