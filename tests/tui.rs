//! The screens in a real terminal: the binary runs in a pseudo-terminal, a terminal emulator reads what it draws,
//! and keys are typed. Every step waits for what must stand on the screen; nothing waits for time to pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portable_pty::{CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Longer than any step takes on a busy machine; a step that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const CATALOG: &str = r#"
[[metrics]]
key = "checkout-conversion"
event_key = "checkout"
units = ["user", "device"]

[[experiments]]
key = "checkout-cta-test"
flag = "checkout-cta"
randomization_unit = "device"
variations = [ { index = 0, name = "control" }, { index = 1, name = "treatment" } ]
metrics = ["checkout-conversion"]
started_at = "2026-01-01T00:00:00Z"
"#;

/// Two contexts are exposed, one conversion counts, one lacks the unit, one key has no metric.
fn batch() -> String {
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let event = |text: &str| text.replace("NOW", &now_ms.to_string());
    let exposure = r#"{"kind":"feature","creationDate":NOW,"key":"checkout-cta","version":3,"variation":1,"value":true,
        "context":{"kind":"device","key":"d-9"},"reason":{"kind":"FALLTHROUGH","inExperiment":true}}"#;
    let counted = r#"{"kind":"custom","creationDate":NOW,"key":"checkout","context":{"kind":"device","key":"d-9"}}"#;
    let wrong_kind = r#"{"kind":"custom","creationDate":NOW,"key":"checkout","context":{"kind":"user","key":"u-1"}}"#;
    let wrong_key = r#"{"kind":"custom","creationDate":NOW,"key":"Checkout","context":{"kind":"device","key":"d-9"}}"#;
    let hostile = r#"{"kind":"custom","creationDate":NOW,"key":"x\u001b]0;owned\u0007\u001b[2J","context":{"kind":"device","key":"d-9"}}"#;
    format!("[{}]", [exposure, counted, wrong_kind, wrong_key, hostile].map(event).join(","))
}

fn some(number: u16) -> NonZero<u16> {
    NonZero::new(number).unwrap()
}

/// A screen as the emulator has it, and a signal that it changed.
struct Shown {
    parser: Mutex<vt100::Parser>,
    changed: Condvar,
    /// The emulator lets go of the terminal when it next reads.
    closing: AtomicBool,
}

struct Terminal {
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Box<dyn Write + Send>>,
    shown: Arc<Shown>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _folder: tempfile::TempDir,
}

impl Terminal {
    /// Starts `exptap listen` on a free port.
    fn listening(size: (u16, u16), environment: &[(&str, &str)]) -> Self {
        Self::starting(&["listen", "--listen", "127.0.0.1:0"], size, environment)
    }

    /// Starts exptap with the catalog.
    fn starting(arguments: &[&str], (columns, rows): (u16, u16), environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog: PathBuf = folder.path().join("catalog.toml");
        std::fs::write(&catalog, CATALOG).unwrap();
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_exptap"));
        command.args(arguments);
        command.arg("--catalog");
        command.arg(&catalog);
        command.cwd(folder.path());
        command.env_clear();
        for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("TZ", "UTC")].iter().chain(environment)
        {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let shown = Arc::new(Shown {
            parser: Mutex::new(vt100::Parser::new(some(rows), some(columns), 0)),
            changed: Condvar::new(),
            closing: AtomicBool::new(false),
        });
        let mut output = pair.master.try_clone_reader().unwrap();
        let emulator = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                if emulator.closing.load(Ordering::SeqCst) {
                    return;
                }
                emulator.parser.lock().unwrap().process(&bytes[..count]);
                emulator.changed.notify_all();
            }
            emulator.changed.notify_all();
        });
        let keys = pair.master.take_writer().unwrap();
        Self { master: Some(pair.master), keys: Some(keys), shown, child, _folder: folder }
    }

    fn press(&mut self, keys: &str) {
        let writer = self.keys.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    /// Writes the catalog anew as editors do it: a new file is put in the place of the old one.
    fn write_catalog(&self, text: &str) {
        let (new, catalog) = (self._folder.path().join("new"), self._folder.path().join("catalog.toml"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &catalog).unwrap();
    }

    /// Waits until the screen is as it must be, and reads something from it.
    fn wait<T>(&self, what: &str, read: impl Fn(&vt100::Screen) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut parser = self.shown.parser.lock().unwrap();
        loop {
            if let Some(value) = read(parser.screen()) {
                return value;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited for {what}; the screen was:\n{}", parser.screen().contents());
            (parser, _) = self.shown.changed.wait_timeout(parser, left).unwrap();
        }
    }

    fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text).then_some(()));
    }

    fn wait_until_gone(&self, text: &str) {
        self.wait(&format!("{text} to go"), |screen| (!screen.contents().contains(text)).then_some(()));
    }

    fn contents(&self) -> String {
        self.shown.parser.lock().unwrap().screen().contents()
    }

    /// The port it says it listens on.
    fn port(&self) -> u16 {
        self.wait("the port", |screen| {
            let contents = screen.contents();
            let after = contents.split(":").nth(1)?;
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
    }

    fn send(&self, body: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        write!(
            stream,
            "POST /bulk HTTP/1.1\r\nhost: localhost\r\nauthorization: sdk-fake-0000\r\nx-launchdarkly-event-schema: 4\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }

    fn resize(&self, (columns, rows): (u16, u16)) {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.shown.parser.lock().unwrap().screen_mut().set_size(some(rows), some(columns));
        self.master.as_ref().unwrap().resize(size).unwrap();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.process_id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Closes the terminal's window: nobody holds its other end any more.
    fn close(&mut self) {
        self.shown.closing.store(true, Ordering::SeqCst);
        // The emulator is waiting for output; the help is some.
        self.press("?");
        self.keys = None;
        self.master = None;
    }

    /// Waits until the program has stopped, as a shell does.
    fn wait_until_stopped(&self) {
        use rustix::process::{Pid, WaitOptions, waitpid};
        let id = Pid::from_raw(i32::try_from(self.child.process_id().unwrap()).unwrap()).unwrap();
        let (_, status) = waitpid(Some(id), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "{status:?}");
    }

    /// Waits for the program to end.
    fn end(&mut self) -> ExitStatus {
        let mut killer = self.child.clone_killer();
        let (ended, waiting) = channel();
        std::thread::scope(|scope| {
            let child = &mut self.child;
            scope.spawn(move || ended.send(child.wait().unwrap()).unwrap());
            match waiting.recv_timeout(PATIENCE) {
                Ok(status) => status,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    killer.kill().unwrap();
                    panic!("the program does not end");
                }
            }
        })
    }

    /// Waits until the terminal is as it was before.
    fn wait_until_restored(&self) {
        self.wait("the terminal to be restored", |screen| {
            (!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()).then_some(())
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing running.
        let _ = self.child.kill();
    }
}

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
    let text = std::fs::read_to_string(terminal._folder.path().join(name)).unwrap();
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
        let file = std::fs::read(terminal._folder.path().join("left.exptap.zst")).unwrap();
        let index = exptap::recording::frames::FrameIndex::read(&mut std::io::Cursor::new(&file)).unwrap();
        assert!(!index.is_rebuilt, "the table is there: {signal:?}");
        let text = zstd::stream::decode_all(file.as_slice()).unwrap();
        assert_eq!(text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{\"t\"")).count(), 1);
    }
}
