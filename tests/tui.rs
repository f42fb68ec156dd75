//! The screens in a real terminal: the binary runs in a pseudo-terminal, a terminal emulator reads what it draws,
//! and keys are typed. Every step waits for what must stand on the screen; nothing waits for time to pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod pty;

use pty::{CATALOG, Terminal, batch};
use std::io::Write;

#[test]
fn a_session_from_the_first_batch_to_the_farewell() {
    let mut terminal = Terminal::listening((120, 40), &[]);
    terminal.wait_for("Nothing has arrived yet");
    let port = terminal.port();
    terminal.wait_for(&format!("Config(sdk_key, events_uri='http://127.0.0.1:{port}')"));

    terminal.send(&batch());
    terminal.wait_for("counted → treatment");
    terminal.wait_for("✗  KIND  event-lacks");
    terminal.wait_for("✗  KEY  no-metric");
    terminal.wait_for("5 events");

    terminal.press("/code:event-lacks");
    terminal.wait_for("✗ column 6");
    terminal.press("-unit\r");
    terminal.wait_until_gone("counted → treatment");
    terminal.wait_for("─ 1 event ─");

    terminal.press("\r");
    terminal.wait_for("Why: event 2");
    terminal.wait_for("the event carries no device key");
    terminal.wait_for("What to change");
    terminal.press("q");
    terminal.wait_for("1 Live");
    terminal.press("\x1b");
    terminal.wait_for("counted → treatment");

    terminal.press("q");
    assert!(terminal.end().success());
    terminal.wait_until_restored();
    terminal.wait_for("it is not LaunchDarkly's result");
}

#[test]
fn a_catalog_that_is_written_anew_is_read_at_once_and_what_changed_is_marked() {
    let mut terminal = Terminal::listening((120, 40), &[]);
    terminal.wait_for("Nothing has arrived yet");
    terminal.send(&batch());
    terminal.wait_for("✗  KIND  event-lacks");
    terminal.write_catalog(&CATALOG.replace("randomization_unit", "randomisation_unit"));
    terminal.wait_for("catalog.toml:10:1: ");
    terminal.wait_for("✗  KIND  event-lacks");

    terminal.write_catalog(&CATALOG.replace("event_key = \"checkout\"", "event_key = \"Checkout\""));
    terminal.wait_for("catalog re-read: 3 verdicts changed");
    terminal.press("z");
    terminal.wait_for("✗  KEY  no-metric-for-key  revised");
    terminal.wait_until_gone("✗  KIND  event-lacks");
    terminal.press("q");
    assert!(terminal.end().success());
    terminal.wait_until_restored();
}

#[test]
fn a_recording_is_judged_again_where_it_stands_when_its_catalog_is_written_anew() {
    let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings/healthy.exptap");
    let mut terminal = Terminal::starting(&["replay", recording], (120, 40), &[]);
    // By devices nobody is exposed.
    terminal.wait_for("event-lacks-unit");
    terminal.wait_for("record 4 of 4");
    terminal.write_catalog(&CATALOG.replace("\"device\"\nvariations", "\"user\"\nvariations"));
    terminal.wait_for("catalog re-read: 130 verdicts changed");
    terminal.wait_until_gone("event-lacks-unit");
    terminal.press("q");
    assert!(terminal.end().success());
    terminal.wait_until_restored();
}

#[test]
fn text_from_events_cannot_write_to_the_terminal() {
    let mut terminal = Terminal::listening((120, 40), &[]);
    terminal.wait_for("Nothing has arrived yet");
    terminal.send(&batch());
    terminal.wait_for("x␛]0;owne…");
    terminal.wait_for("1 Live");
    terminal.press("z");
    terminal.wait_for("x␛]0;owned␇");
    terminal.press("\r");
    terminal.wait_for("Why: event 4");
    terminal.press("qy");
    terminal.wait_for("sent to the terminal");
    terminal.press("q");
    assert!(terminal.end().success());
    terminal.wait_until_restored();
}

#[test]
fn the_terminal_is_restored_when_the_program_is_told_to_end() {
    use rustix::process::Signal;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut terminal = Terminal::listening((80, 24), &[]);
        terminal.wait_for("Nothing has arrived yet");
        terminal.signal(signal);
        assert!(terminal.end().success(), "{signal:?}");
        terminal.wait_until_restored();
        terminal.wait_for("exptap: 0 events");
    }
}

#[test]
fn a_terminal_that_goes_away_ends_the_program() {
    let mut terminal = Terminal::listening((80, 24), &[]);
    terminal.wait_for("Nothing has arrived yet");
    terminal.close();
    // By the signal or by noticing: what matters is that it does not go on without a terminal.
    terminal.end();
}

#[test]
fn a_terminal_that_does_not_read_holds_up_no_sdk_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("held.exptap");
    let arguments = ["listen", "--listen", "127.0.0.1:0", "--record", recording.to_str().unwrap()];
    let mut terminal = Terminal::starting(&arguments, (200, 60), &[]);
    terminal.wait_for("Nothing has arrived yet");
    let port = terminal.port();
    let mut keys = terminal.keys();
    // Whole screens, and more of them than a terminal's buffer takes. Every request is answered, which is all an SDK
    // waits for.
    let mut send_many = || {
        for _ in 0..100 {
            keys.write_all(b"z").unwrap();
            (0..20).for_each(|_| pty::send(port, &batch()));
        }
    };
    let held = terminal.hold();
    send_many();
    drop(held);
    terminal.wait_for("000 dropped");
    let held = terminal.hold();
    send_many();
    terminal.signal(rustix::process::Signal::TERM);
    assert_eq!(terminal.end_while(held), Some(0));
    let recorded = std::fs::read_to_string(&recording).unwrap();
    assert_eq!(recorded.lines().filter(|line| line.contains("\"path\":\"/bulk\"")).count(), 4_000);
}

#[test]
fn ctrl_z_gives_the_terminal_back_and_fg_takes_it_again() {
    let mut terminal = Terminal::listening((80, 24), &[]);
    terminal.wait_for("Nothing has arrived yet");
    terminal.press("\x1a");
    terminal.wait_until_stopped();
    terminal.wait_until_restored();
    terminal.signal(rustix::process::Signal::CONT);
    terminal.wait("the screens again", |screen| screen.alternate_screen().then_some(()));
    terminal.wait_for("Nothing has arrived yet");
    terminal.press("q");
    assert!(terminal.end().success());
    terminal.wait_until_restored();
}

#[test]
fn a_tiny_terminal_says_what_it_needs_and_a_larger_one_shows_everything_again() {
    let mut terminal = Terminal::listening((80, 24), &[]);
    terminal.send(&batch());
    terminal.wait_for("event-lacks-unit");
    for tiny in [(1, 1), (20, 5), (59, 15)] {
        terminal.resize(tiny);
    }
    terminal.wait_for("exptap needs 60x15");
    terminal.resize((120, 40));
    terminal.wait_for("3 Experiments");
    terminal.wait_for("checkout-cta-test");
    terminal.press("q");
    assert!(terminal.end().success());
}

#[test]
fn without_colours_and_utf_8_everything_is_said_in_plain_characters() {
    let mut terminal = Terminal::listening((120, 40), &[("NO_COLOR", "1"), ("LANG", "C")]);
    terminal.send(&batch());
    terminal.wait_for("x  KIND  event-lacks");
    terminal.wait_for("+ counted > treatment");
    assert!(terminal.contents().is_ascii(), "{}", terminal.contents());
    let coloured = terminal.wait("the cells", |screen| {
        let cells = (0..40).flat_map(|row| (0..120).map(move |column| (row, column)));
        let coloured = cells.filter(|(row, column)| {
            screen
                .cell(*row, *column)
                .is_some_and(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default)
        });
        Some(coloured.count())
    });
    assert_eq!(coloured, 0);
    terminal.press("q");
    assert!(terminal.end().success());
}

#[test]
fn without_a_terminal_it_says_so_and_what_to_use_instead() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_exptap"))
        .args(["listen", "--listen", "127.0.0.1:0"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("need a terminal") && message.contains("exptap report"), "{message}");
}

/// The lines of a file in the folder the program runs in.
fn lines_of(terminal: &Terminal, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(terminal.folder().join(name)).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_recording_started_by_a_key_holds_what_was_on_screen_what_came_after_and_the_mark() {
    let mut terminal = Terminal::listening((120, 30), &[]);
    terminal.wait_for("Listening on");
    terminal.send(&batch());
    terminal.wait_for("no-metric");
    terminal.press("m");
    terminal.wait_for("nothing is being recorded");
    terminal.press("R");
    terminal.wait_for("Record to: exptap-2");
    terminal.press("\u{15}buy.exptap\r");
    terminal.wait_for("● REC buy.exptap");
    terminal.send(&batch());
    terminal.press("m");
    terminal.wait_for("Mark:");
    terminal.press("clicked Buy\r");
    terminal.wait_until_gone("Mark:");
    terminal.press("R");
    terminal.wait_for("recorded 2 requests to buy.exptap");
    terminal.wait_until_gone("● REC");
    let lines = lines_of(&terminal, "buy.exptap");
    assert!(lines[0].starts_with("{\"exptap\":1,") && lines[0].contains("checkout-cta-test"), "the catalog is in it");
    assert!(lines[1].contains("\"n\":1,") && lines[2].contains("\"n\":2,"), "{lines:?}");
    assert!(lines[3].ends_with("\"mark\":\"clicked Buy\"}") && lines.len() == 4, "{lines:?}");
    terminal.press("R");
    terminal.wait_for("Record to:");
    terminal.press("\u{15}catalog.toml\r");
    terminal.wait_for("not recorded: catalog.toml: there is such a file already");
    terminal.press("q");
    assert!(terminal.end().success());
}

#[test]
fn a_write_key_in_a_file_that_is_followed_is_in_no_byte_of_its_recording() {
    let folder = tempfile::tempdir().unwrap();
    let key = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY";
    let event = format!(
        r#"{{"type":"track","event":"Order","userId":"u","context":{{"page":{{"url":"http://h/?k={key}"}}}},"writeKey":"{key}"}}"#
    );
    std::fs::write(folder.path().join("events.ndjson"), format!("{event}\n{event}\n")).unwrap();
    let arguments = ["tail", "events.ndjson", "--record", "tail.exptap"];
    let mut terminal = Terminal::running((100, 24), &[], &arguments, folder);
    terminal.wait_for("2 events");
    terminal.press("q");
    assert!(terminal.end().success());
    let lines = lines_of(&terminal, "tail.exptap");
    let masked = exptap::envelope::Credential::mask(key);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| !line.contains(&key[4..])), "{lines:?}");
    assert!(lines[1..].iter().all(|line| line.contains(&event.replace(key, masked.as_str()))), "{lines:?}");
}

#[test]
fn a_recording_is_whole_however_the_screens_are_left() {
    use rustix::process::Signal;
    for signal in [Some(Signal::TERM), Some(Signal::HUP), None] {
        let mut terminal = Terminal::listening((80, 24), &[]);
        terminal.wait_for("Listening on");
        terminal.press("R");
        terminal.wait_for("Record to:");
        terminal.press("\u{15}left.exptap.zst\r");
        terminal.wait_for("● REC");
        terminal.send(&batch());
        terminal.wait_for("5 events");
        match signal {
            Some(signal) => terminal.signal(signal),
            None => terminal.press("q"),
        }
        terminal.end();
        let file = std::fs::read(terminal.folder().join("left.exptap.zst")).unwrap();
        let index = exptap::recording::frames::FrameIndex::read(&mut std::io::Cursor::new(&file)).unwrap();
        assert!(!index.is_rebuilt, "the table is there: {signal:?}");
        let text = zstd::stream::decode_all(file.as_slice()).unwrap();
        assert_eq!(text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{\"t\"")).count(), 1);
    }
}

#[test]
fn who_does_not_get_through_is_on_the_first_page_at_once_though_nothing_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let arguments = ["listen", "--tls", "--listen", "127.0.0.1:0"];
    let terminal = Terminal::running((140, 30), &[("XDG_DATA_HOME", &data)], &arguments, folder);
    terminal.wait_for("Listening on https://127.0.0.1:");
    terminal.wait_for("the CA /");
    terminal.wait_for("SHA-256");
    let uri = terminal.contents();
    let port: u16 = uri
        .split("https://127.0.0.1:")
        .nth(1)
        .unwrap()
        .split(|it: char| !it.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut stream, b"POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]").unwrap();
    terminal.wait_for("127.0.0.1 speaks plain http, and this address speaks TLS");
}
