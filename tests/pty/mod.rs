//! The real program in a pseudo-terminal: a terminal emulator reads what it draws, and keys are typed. Every step waits
//! for what must stand on the screen; nothing waits for time to pass.
#![allow(dead_code, unreachable_pub, reason = "every test program uses its own part of this")]

use portable_pty::{CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Longer than any step takes on a busy machine; a step that takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const CATALOG: &str = r#"
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
pub fn batch() -> String {
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

pub struct Terminal {
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Box<dyn Write + Send>>,
    shown: Arc<Shown>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    folder: tempfile::TempDir,
}

/// Keeps the terminal from reading.
pub struct Held<'a>(#[expect(dead_code, reason = "held, not read")] MutexGuard<'a, vt100::Parser>);

impl Terminal {
    /// Starts `exptap listen` on a free port.
    pub fn listening(size: (u16, u16), environment: &[(&str, &str)]) -> Self {
        Self::starting(&["listen", "--listen", "127.0.0.1:0"], size, environment)
    }

    /// Starts exptap with the catalog.
    pub fn starting(arguments: &[&str], size: (u16, u16), environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog: PathBuf = folder.path().join("catalog.toml");
        std::fs::write(&catalog, CATALOG).unwrap();
        let catalog = catalog.to_str().unwrap().to_owned();
        Self::running(size, environment, &[arguments, &["--catalog", &catalog]].concat(), folder)
    }

    /// Writes the catalog anew as editors do it: a new file is put in the place of the old one.
    pub fn write_catalog(&self, text: &str) {
        let (new, catalog) = (self.folder.path().join("new"), self.folder.path().join("catalog.toml"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &catalog).unwrap();
    }

    /// Starts exptap in a folder.
    pub fn running(
        (columns, rows): (u16, u16),
        environment: &[(&str, &str)],
        arguments: &[&str],
        folder: tempfile::TempDir,
    ) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_exptap"));
        command.args(arguments);
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
        Self { master: Some(pair.master), keys: Some(keys), shown, child, folder }
    }

    pub fn press(&mut self, keys: &str) {
        let writer = self.keys.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    /// Waits until the screen is as it must be, and reads something from it.
    pub fn wait<T>(&self, what: &str, read: impl Fn(&vt100::Screen) -> Option<T>) -> T {
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

    pub fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text).then_some(()));
    }

    pub fn wait_until_gone(&self, text: &str) {
        self.wait(&format!("{text} to go"), |screen| (!screen.contents().contains(text)).then_some(()));
    }

    pub fn contents(&self) -> String {
        self.shown.parser.lock().unwrap().screen().contents()
    }

    /// The port it says it listens on.
    pub fn port(&self) -> u16 {
        self.wait("the port", |screen| {
            let contents = screen.contents();
            let after = contents.split(":").nth(1)?;
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
    }

    pub fn send(&self, body: &str) {
        send(self.port(), body);
    }
}

/// Sends events to an endpoint of this machine.
pub fn send(port: u16, body: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
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

impl Terminal {
    /// The keyboard, for whoever types while the terminal is held.
    pub fn keys(&mut self) -> Box<dyn Write + Send> {
        self.keys.take().unwrap()
    }

    /// As after Ctrl-S, or behind a line that is stuck: nothing is read from the program while this is held.
    pub fn hold(&self) -> Held<'_> {
        Held(self.shown.parser.lock().unwrap())
    }

    /// Waits for the program to end, although its terminal reads nothing.
    pub fn end_while(&self, held: Held<'_>) -> Option<i32> {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let id = Pid::from_raw(i32::try_from(self.child.process_id().unwrap()).unwrap()).unwrap();
        let (ended, waiting) = channel();
        std::thread::spawn(move || {
            let status = waitid(WaitId::Pid(id), WaitIdOptions::EXITED).unwrap().unwrap();
            ended.send(status.exit_status()).unwrap();
        });
        let status = waiting.recv_timeout(PATIENCE).expect("the program does not end");
        drop(held);
        status
    }

    pub fn resize(&self, (columns, rows): (u16, u16)) {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.shown.parser.lock().unwrap().screen_mut().set_size(some(rows), some(columns));
        self.master.as_ref().unwrap().resize(size).unwrap();
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.process_id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Closes the terminal's window: nobody holds its other end any more.
    pub fn close(&mut self) {
        self.shown.closing.store(true, Ordering::SeqCst);
        // The emulator is waiting for output; the help is some.
        self.press("?");
        self.keys = None;
        self.master = None;
    }

    /// Waits until the program has stopped, as a shell does.
    pub fn wait_until_stopped(&self) {
        use rustix::process::{Pid, WaitOptions, waitpid};
        let id = Pid::from_raw(i32::try_from(self.child.process_id().unwrap()).unwrap()).unwrap();
        let (_, status) = waitpid(Some(id), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "{status:?}");
    }

    /// Waits for the program to end.
    pub fn end(&mut self) -> ExitStatus {
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
    pub fn wait_until_restored(&self) {
        self.wait("the terminal to be restored", |screen| {
            (!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()).then_some(())
        });
    }
}

impl Terminal {
    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing running.
        let _ = self.child.kill();
    }
}
