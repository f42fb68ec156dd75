//! `collect` and `attach` as a person runs them: the real programs, in terminals where they need one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod pty;

use pty::{CATALOG, PATIENCE, Terminal, batch, send};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

/// A collector at a socket in a folder.
struct Collector {
    child: Child,
    said: BufReader<ChildStderr>,
    port: u16,
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exptap"));
    command.current_dir(folder).env_clear().env("XDG_RUNTIME_DIR", folder).env("XDG_CONFIG_HOME", folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Collector {
    fn start(folder: &Path, options: &[&str]) -> Self {
        let mut command = command(folder);
        command.args(["collect", "--listen", "127.0.0.1:0"]).args(options);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let mut collector = Self { child, said, port: 0 };
        let line = collector.line_with("listening on http://");
        collector.port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
        collector.line_with("viewers at");
        collector
    }

    /// Reads what it says up to a line with a text.
    fn line_with(&mut self, text: &str) -> String {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "waited for {text}; it said:\n{said}");
            if line.contains(text) {
                return line;
            }
            said.push_str(&line);
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; the exit code and what it still said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn catalog(folder: &Path) -> String {
    let path = folder.join("catalog.toml");
    std::fs::write(&path, CATALOG).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Attaches in a terminal of its own. The folder of the collector stays the caller's.
fn attach(folder: &Path, arguments: &[&str]) -> Terminal {
    let place = folder.to_str().unwrap();
    let environment = [("XDG_RUNTIME_DIR", place), ("XDG_CONFIG_HOME", place), ("PATH", "/usr/bin:/bin")];
    let arguments: Vec<&str> = ["attach"].iter().chain(arguments).copied().collect();
    Terminal::running((140, 30), &environment, &arguments, tempfile::tempdir().unwrap())
}

/// What is printed when the screens are gone, up to where it was made.
fn farewell(terminal: &mut Terminal) -> String {
    terminal.press("q");
    assert!(terminal.end().success());
    terminal.wait_until_restored();
    terminal.wait_for("it is not LaunchDarkly's result");
    terminal.contents()
}

#[test]
fn who_is_attached_sees_what_the_listener_sees_and_both_end_in_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path());
    let environment = [("XDG_RUNTIME_DIR", folder.path().to_str().unwrap())];
    let arguments = ["listen", "--share", "--listen", "127.0.0.1:0", "--catalog", &catalog];
    let mut listening = Terminal::running((140, 30), &environment, &arguments, tempfile::tempdir().unwrap());
    listening.wait_for("Nothing has arrived yet");
    listening.send(&batch());
    listening.wait_for("5 events");
    // One comes later, and has the backlog and the catalog from the other.
    let mut attached = attach(folder.path(), &[]);
    attached.wait_for("collector.sock attached");
    attached.wait_for("counted → treatment");
    listening.send(&batch().replace("d-9", "d-10"));
    listening.wait_for("10 events");
    attached.wait_for("10 events");
    assert_eq!(farewell(&mut attached), farewell(&mut listening));
}

#[test]
fn a_collector_that_is_killed_and_started_again_is_found_again_and_the_hole_is_on_screen() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path());
    let collector = Collector::start(folder.path(), &["--catalog", &catalog]);
    send(collector.port, &batch());
    let mut terminal = attach(folder.path(), &["--record", "seen.exptap"]);
    terminal.wait_for("counted → treatment");
    terminal.wait_for("5 events");
    collector.signal(Signal::KILL);
    let (code, _) = collector.end();
    assert_eq!(code, None, "it was killed");
    terminal.wait_for("reconnecting in");
    // The socket that was left behind is taken over.
    let again = Collector::start(folder.path(), &["--catalog", &catalog]);
    terminal.wait_for("what was sent here is not known: the collector was started anew");
    terminal.wait_for("collector.sock attached");
    send(again.port, &batch());
    terminal.wait_for("10 events");
    // It ends as it is asked to, and says so.
    again.signal(Signal::TERM);
    let (code, said) = again.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("received 1 requests, lost 0"), "{said}");
    terminal.wait_for("reconnecting");
    terminal.press("q");
    assert!(terminal.end().success());
    let recorded = std::fs::read_to_string(terminal.folder().join("seen.exptap")).unwrap();
    let kinds: Vec<&str> = recorded
        .lines()
        .map(|line| if line.contains("\"gap\":{\"lost\":0") { "gap" } else { &line[..line.len().min(4)] })
        .collect();
    assert_eq!(kinds, ["{\"ex", "{\"t\"", "gap", "{\"t\""]);
}

#[test]
fn what_came_before_the_backlog_is_a_row_with_the_exact_number_and_is_lost_in_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path());
    let collector = Collector::start(folder.path(), &["--catalog", &catalog, "--backlog", "5kB"]);
    for _ in 0..20 {
        send(collector.port, &batch());
    }
    let mut terminal = attach(folder.path(), &[]);
    terminal.wait_for(" lost");
    // It is followed, and the hole is far above.
    terminal.press("g");
    terminal.wait_for("requests are missing here: the collector keeps only the newest");
    let missing: u64 = terminal.wait("the number", |screen| {
        let contents = screen.contents();
        let before = contents.split(" requests are missing here").next()?.rsplit(['⚠', ' ']).next()?.to_owned();
        before.parse().ok()
    });
    terminal.wait_for(&format!("{} events", (20 - missing) * 5));
    assert!((1..20).contains(&missing), "{missing}");
    terminal.wait_for(&format!("{missing} lost"));
    farewell(&mut terminal);
    terminal.wait_for(&format!("at least {missing} requests were lost before anything could be looked at"));
}

#[test]
fn only_a_part_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(folder.path(), &[]);
    let terminal = attach(folder.path(), &["--only", "unit:device/d-10"]);
    terminal.wait_for("PART ONLY: unit:device/d-10, 0 not sent");
    send(collector.port, &batch());
    terminal.wait_for("1 not sent");
    send(collector.port, &batch().replace("d-9", "d-10"));
    terminal.wait_for("5 events");
    terminal.wait_for("1 lost");
}

/// Something that takes ssh's place: what it would run on another machine runs here.
fn fake_ssh(folder: &Path) -> PathBuf {
    let path = folder.join("ssh");
    let script = "#!/bin/sh\necho \"$@\" >> asked\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nexec \"$@\"\n";
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[test]
fn by_ssh_a_relay_on_the_other_machine_passes_everything_on() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(folder.path(), &[]);
    send(collector.port, &batch());
    let ssh = fake_ssh(folder.path());
    let arguments =
        ["ssh://me@staging:2222", "--ssh", ssh.to_str().unwrap(), "--remote-program", env!("CARGO_BIN_EXE_exptap")];
    let mut terminal = attach(folder.path(), &arguments);
    terminal.wait_for("ssh://me@staging:2222 attached");
    terminal.wait_for("5 events");
    // The collector goes, and the relay with it; ssh is run again, and must ask nothing now.
    collector.signal(Signal::KILL);
    terminal.wait_for("no collector serves");
    let again = Collector::start(folder.path(), &[]);
    terminal.wait_for("what was sent here is not known");
    send(again.port, &batch());
    terminal.wait_for("10 events");
    terminal.press("q");
    assert!(terminal.end().success());
    let asked = std::fs::read_to_string(terminal.folder().join("asked")).unwrap();
    let program = env!("CARGO_BIN_EXE_exptap");
    let mut asked = asked.lines();
    assert_eq!(asked.next().unwrap(), format!("-T -p 2222 -- me@staging {program} attach --stdio"));
    assert_eq!(asked.next().unwrap(), format!("-T -o BatchMode=yes -p 2222 -- me@staging {program} attach --stdio"));
}

#[test]
fn by_websocket_with_the_token_that_the_collector_made_and_with_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.args(["collect", "--listen", "127.0.0.1:0", "--feed", "127.0.0.1:0", "--socket", "s.sock"]);
    let mut collector = Collector::of(command);
    let line = collector.line_with("viewers at ws://");
    let url = line.split(' ').find(|word| word.starts_with("ws://")).unwrap().trim_end_matches(',').to_owned();
    let token = folder.path().join("exptap").join("token");
    assert_eq!(std::fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    send(collector.port, &batch());
    let mut terminal = attach(folder.path(), &[&url]);
    terminal.wait_for(&format!("{url} attached"));
    terminal.wait_for("5 events");
    terminal.press("q");
    assert!(terminal.end().success());
    // One plain line, and no second attempt.
    std::fs::write(&token, "another-token-of-somebody\n").unwrap();
    let mut refused = attach(folder.path(), &[&url]);
    assert_eq!(refused.end().exit_code(), 3);
    refused.wait_for("does not take this token");
    assert_eq!(refused.contents().trim().lines().count(), 1, "{}", refused.contents());
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    let mut open = attach(folder.path(), &[&url]);
    assert_eq!(open.end().exit_code(), 2);
    open.wait_for("chmod 600");
}

#[test]
fn by_wss_with_the_ca_that_the_collector_made_and_with_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("XDG_DATA_HOME", folder.path()).args(["collect", "--listen", "127.0.0.1:0", "--socket", "s.sock"]);
    command.args(["--feed", "127.0.0.1:0", "--feed-tls", "--tls-name", "box.example"]);
    // SDKs go on sending to http://, which this waits for.
    let mut collector = Collector::of(command);
    let line = collector.line_with("viewers at wss://");
    let url = line.split(' ').find(|word| word.starts_with("wss://")).unwrap().trim_end_matches(',').to_owned();
    let ca = folder.path().join("exptap/tls/ca.pem");
    assert!(collector.line_with("devices must trust the CA").contains(ca.to_str().unwrap()));
    send(collector.port, &batch());
    let mut terminal = attach(folder.path(), &[&url, "--ca", ca.to_str().unwrap()]);
    terminal.wait_for(&format!("{url} attached"));
    terminal.wait_for("5 events");
    terminal.press("q");
    assert!(terminal.end().success());
    // One plain line each, and no second attempt.
    for (arguments, code, words) in [
        (vec![url.as_str()], 3, "with --ca FILE"),
        (vec![&url.replacen("wss", "ws", 1)], 3, "speaks TLS: attach with wss://"),
        (vec![&url, "--ca", "/nowhere/ca.pem"], 2, "--ca /nowhere/ca.pem: No such file"),
        (vec!["ws://127.0.0.1:1", "--ca", ca.to_str().unwrap()], 2, "--ca is for wss://"),
    ] {
        let mut refused = attach(folder.path(), &arguments);
        assert_eq!(refused.end().exit_code(), code, "{arguments:?}");
        refused.wait_for(words);
    }
}

#[test]
fn who_looks_after_a_collector_is_told_whether_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let asked = || command(folder.path()).arg("healthcheck").output().unwrap();
    let output = asked();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("no collector serves "));
    let collector = Collector::start(folder.path(), &[]);
    let output = asked();
    assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(0), 0, 0));
    drop(collector);
    assert_eq!(asked().status.code(), Some(1));
}

#[test]
fn a_collector_says_who_speaks_tls_to_it_wrongly_and_tls_options_that_mean_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(folder.path(), &[]);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", collector.port)).unwrap();
    std::io::Write::write_all(&mut stream, &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    collector.signal(Signal::TERM);
    let (code, said) = collector.end();
    assert_eq!(code, Some(0));
    assert!(said.contains("127.0.0.1 speaks TLS, and this address speaks plain http"), "{said}");
    for (options, words) in [
        (&["--tls-cert", "a.pem", "--tls-key", "a.key"][..], "--tls"),
        (&["--tls", "--tls-cert", "a.pem"], "--tls-key"),
        (&["--feed-tls"], "--feed <ADDR:PORT>"),
        (&["--tls", "--tls-name", "https://box"], "is no host name and no address"),
        (&["--tls", "--tls-cert", "a.pem", "--tls-key", "a.key"], "--tls-cert a.pem: No such file"),
        (&["--tls"], "set XDG_DATA_HOME or HOME"),
    ] {
        let output =
            command(folder.path()).args(["collect", "--listen", "127.0.0.1:0"]).args(options).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {said}");
        assert!(said.contains(words), "{options:?}: {said}");
    }
}

#[test]
fn a_second_collector_is_refused_and_names_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = Collector::start(folder.path(), &[]);
    let output = command(folder.path()).args(["collect", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    if cfg!(target_os = "linux") {
        assert!(said.contains(&format!("(process {})", first.child.id())), "{said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn nobody_there_and_nonsense_are_told_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, words) in [
        (vec![], 3, "start one with `exptap collect`"),
        (vec!["ws://127.0.0.1:1"], 3, "cannot be reached"),
        (vec!["--only", "verdict:dropped"], 2, "judges nothing"),
        (vec!["ssh://-oProxyCommand=id"], 2, "names no collector"),
    ] {
        let mut terminal = attach(folder.path(), &arguments);
        assert_eq!(terminal.end().exit_code(), code, "{arguments:?}");
        terminal.wait_for(words);
    }
    let relay = command(folder.path()).args(["attach", "--stdio"]).output().unwrap();
    assert_eq!((relay.status.code(), relay.stdout.len()), (Some(3), 0));
}

/// Starts a collector as systemd does, with a socket that is listened on already, and a place to tell how it goes.
fn activated(folder: &Path, listener: &TcpListener, notify: &Path) -> Command {
    use std::os::fd::AsRawFd;
    rustix::io::fcntl_setfd(listener, rustix::io::FdFlags::empty()).unwrap();
    let mut command = Command::new("bash");
    let script = format!(
        "exec 3<&{}; export LISTEN_PID=$$; exec {} collect --record all.exptap",
        listener.as_raw_fd(),
        env!("CARGO_BIN_EXE_exptap")
    );
    command.args(["-c", &script]).current_dir(folder).env("XDG_RUNTIME_DIR", folder).env("LISTEN_FDS", "1");
    command.env("NOTIFY_SOCKET", notify).env("WATCHDOG_USEC", "200000");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn with_sockets_that_outlive_it_a_restart_loses_no_event_and_says_how_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let notified = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    notified.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = |wanted: &str| {
        let mut bytes = [0; 1024];
        loop {
            let count = notified.recv(&mut bytes).unwrap();
            if String::from_utf8_lossy(&bytes[..count]).lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    let notify = folder.path().join("notify");
    let first = Collector::of(activated(folder.path(), &listener, &notify));
    assert_eq!(first.port, port);
    told("READY=1");
    told("WATCHDOG=1");
    send(port, &batch());
    first.signal(Signal::TERM);
    told("STOPPING=1");
    let (code, said) = first.end();
    assert_eq!(code, Some(0), "{said}");
    // An SDK sends while nothing runs: it waits for its answer, and gets it from the next one.
    let sending = std::thread::spawn(move || send(port, &batch().replace("d-9", "d-10")));
    let second = Collector::of(activated(folder.path(), &listener, &notify));
    sending.join().unwrap();
    second.signal(Signal::TERM);
    assert_eq!(second.end().0, Some(0));
    let recorded = std::fs::read_to_string(folder.path().join("all.exptap")).unwrap();
    assert_eq!(recorded.lines().filter(|line| line.starts_with("{\"t\":")).count(), 2, "{recorded}");
}

#[test]
fn a_recording_is_put_aside_and_its_parts_together_hold_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--record", "all.exptap", "--rotate", "8kB"];
    let collector = Collector::start(folder.path(), &options);
    for number in 0..40 {
        send(collector.port, &batch().replace("d-9", &format!("d-{number}")));
    }
    collector.signal(Signal::TERM);
    let (code, said) = collector.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("recorded 40 requests"), "{said}");
    let files: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let parts: Vec<&PathBuf> = files.iter().filter(|path| path.to_string_lossy().ends_with(".exptap")).collect();
    assert!(parts.len() > 2, "{files:?}");
    let mut report = command(folder.path());
    report.args(["report", "--format", "json"]).args(&parts);
    let output = report.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["totals"]["requests"], &report["totals"]["lost"]), (&40.into(), &0.into()));
}
