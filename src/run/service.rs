//! As a service under systemd: sockets that outlive a restart, telling how it goes, and the units themselves.

use crate::cli;
use crate::endpoint::{DEFAULT_PORT, ListenOn};
use crate::untrusted::Untrusted;
use sd_notify::NotifyState;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sockets that systemd listens on for us, and goes on listening on while we are restarted. Asked once, before there
/// are threads: the variables that say so are taken away, so that no child of ours believes they are its own.
///
/// # Errors
/// What stands in the way.
pub(super) fn inherited() -> Result<Vec<TcpListener>, String> {
    let mut sockets = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..sockets.len() {
        match sockets.take_tcp_listener(index) {
            Ok(Some(listener)) => listeners.push(listener),
            Ok(None) => {}
            Err(error) => {
                return Err(format!(
                    "socket {} of those systemd gives is no TCP socket that is listened on ({error}): the unit needs \
                     ListenStream=ADDR:PORT",
                    index + 1
                ));
            }
        }
    }
    Ok(listeners)
}

/// Tells whoever started us how it goes; nobody, where nobody asked.
pub(super) struct Notifier {
    watchdog: Option<Duration>,
}

impl Notifier {
    pub(super) fn new() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }

    /// How often to say that all is well: twice within the time after which it is not believed any more.
    pub(super) fn interval(&self) -> Duration {
        self.watchdog.map_or(Duration::from_secs(15), |watchdog| (watchdog / 2).max(Duration::from_millis(10)))
    }

    pub(super) fn ready(&self, status: &str) {
        Self::tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    pub(super) fn alive(&self, status: &str) {
        let states = [NotifyState::Status(status), NotifyState::Watchdog];
        Self::tell(if self.watchdog.is_some() { &states } else { states.get(..1).unwrap_or_default() });
    }

    pub(super) fn stopping(&self) {
        Self::tell(&[NotifyState::Stopping]);
    }

    fn tell(states: &[NotifyState<'_>]) {
        // A manager that has gone is no reason to stop.
        let _ = sd_notify::notify(states);
    }
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Something is wrong.
    Warning,
    /// What happens.
    Notice,
}

/// Writes to the log: for the journal with the level in front, as it takes it, and without the time, which it adds.
pub(super) fn log(level: Level, text: impl std::fmt::Display) {
    let prefix = match (std::env::var_os("JOURNAL_STREAM").is_some(), level) {
        (false, _) => "",
        (true, Level::Warning) => "<4>",
        (true, Level::Notice) => "<5>",
    };
    let mut stderr = io::stderr().lock();
    for line in text.to_string().lines() {
        let _ = writeln!(stderr, "{prefix}{}", Untrusted::from(line).display());
    }
}

/// The units of a service with these options. `program` is what is started.
pub(super) fn units(program: &Path, options: &cli::Collect) -> String {
    let streams = match options.receiving.listen {
        None => both(DEFAULT_PORT),
        Some(ListenOn::Loopback(port)) => both(port),
        Some(ListenOn::Address(address)) => format!("ListenStream={address}\n"),
    };
    format!(
        "\
# Two units of your own. Put each part into the file named above it, in ~/.config/systemd/user, and then:
#   systemctl --user daemon-reload
#   systemctl --user enable --now exptap.socket exptap.service
#   loginctl enable-linger                     so that it also runs while you are not logged in
#   journalctl --user -u exptap -f             what it says
# The socket unit holds the addresses while the service is restarted: what SDKs send meanwhile waits there.

# ~/.config/systemd/user/exptap.socket
[Unit]
Description=Addresses at which exptap takes LaunchDarkly events

[Socket]
{streams}
[Install]
WantedBy=sockets.target

# ~/.config/systemd/user/exptap.service
[Unit]
Description=exptap, collector of LaunchDarkly events
Requires=exptap.socket
After=exptap.socket

[Service]
Type=notify
ExecStart={command}
WatchdogSec=30
Restart=on-failure
RestartSec=1
TimeoutStopSec=20
MemoryMax=512M
LimitNOFILE=8192
UMask=0077
NoNewPrivileges=yes

[Install]
WantedBy=default.target
",
        command = command(program, options)
    )
}

fn both(port: u16) -> String {
    format!("ListenStream=127.0.0.1:{port}\nListenStream=[::1]:{port}\n")
}

/// The command with its options, as a unit writes it.
fn command(program: &Path, options: &cli::Collect) -> String {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string();
    let text = |text: &dyn std::fmt::Display| text.to_string();
    let bytes = |bytes: &u64| bytes.to_string();
    let seconds = |age: &Duration| format!("{}s", age.as_secs().max(1));
    let cli::Collect { receiving, tls, recording, feed, .. } = options;
    let mut words = vec![program.display().to_string(), "collect".to_owned()];
    let named = [
        ("--catalog", options.catalog.as_ref().map(absolute)),
        ("--mapping", options.mapping.as_ref().map(absolute)),
        ("--forward", receiving.forward.as_ref().map(|url| text(url))),
        ("--forward-mobile", receiving.forward_mobile.as_ref().map(|url| text(url))),
        ("--forward-segment", receiving.forward_segment.as_ref().map(|url| text(url))),
        ("--forward-flags", receiving.forward_flags.as_ref().map(|url| text(url))),
        ("--forward-stream", receiving.forward_stream.as_ref().map(|url| text(url))),
        ("--spool", receiving.spool.as_ref().map(absolute)),
        ("--spool-limit", receiving.spool.as_ref().map(|_| bytes(&receiving.spool_limit))),
        ("--segment-secret-file", receiving.segment_secret_file.as_ref().map(absolute)),
        ("--tls-cert", tls.tls_cert.as_ref().map(absolute)),
        ("--tls-key", tls.tls_key.as_ref().map(absolute)),
        ("--record", recording.record.as_ref().map(absolute)),
        ("--record-note", recording.record_note.clone()),
        ("--rotate", options.rotate.as_ref().map(bytes)),
        ("--rotate-every", options.rotate_every.as_ref().map(seconds)),
        ("--socket", feed.socket.as_ref().map(absolute)),
        ("--feed", feed.feed.as_ref().map(|address| text(address))),
        ("--token-file", feed.token_file.as_ref().map(absolute)),
        ("--backlog", Some(bytes(&feed.backlog))),
    ];
    for (name, value) in named {
        words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    }
    for name in &feed.feed_host {
        words.extend(["--feed-host".to_owned(), name.clone()]);
    }
    for name in &tls.tls_name {
        words.extend(["--tls-name".to_owned(), name.to_string()]);
    }
    for (name, is_given) in [("--public", receiving.public), ("--tls", tls.tls), ("--feed-tls", tls.feed_tls)] {
        if is_given {
            words.push(name.to_owned());
        }
    }
    let mut command = String::new();
    for (index, word) in words.iter().enumerate() {
        let _ = write!(command, "{}{}", if index == 0 { "" } else { " " }, quoted(word));
    }
    command
}

/// A word as systemd reads it back: nothing in it is a variable, a specifier or an escape.
fn quoted(word: &str) -> String {
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let is_plain = word.chars().all(|it| it.is_alphanumeric() || "/.:_-@+=,%$[]".contains(it)) && !word.is_empty();
    if is_plain { word } else { format!("\"{}\"", word.replace('\n', "\\n")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use clap::Parser;

    fn collect(words: &[&str]) -> cli::Collect {
        let cli = cli::Cli::try_parse_from(["exptap", "collect"].iter().chain(words)).unwrap();
        match cli.command {
            Some(cli::Command::Collect(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_units_hold_the_addresses_and_every_option_in_words_systemd_reads_back() {
        let options = collect(&[
            "--listen",
            "127.0.0.1:9033",
            "--record",
            "/var/a b/50%.exptap.zst",
            "--record-note",
            "say \"$HOME\"",
            "--rotate",
            "1MiB",
            "--rotate-every",
            "24h",
            "--feed",
            "127.0.0.1:8034",
            "--forward",
            "https://events.launchdarkly.com",
            "--public",
            "--tls",
            "--tls-name",
            "*.box.example",
            "--print-unit",
        ]);
        let units = units(Path::new("/opt/exptap"), &options);
        assert!(units.contains("\nListenStream=127.0.0.1:9033\n"), "{units}");
        let line = units.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        assert_eq!(
            line,
            "ExecStart=/opt/exptap collect --forward https://events.launchdarkly.com --record \"/var/a b/50%%.exptap.zst\" \
             --record-note \"say \\\"$$HOME\\\"\" --rotate 1048576 --rotate-every 86400s --feed 127.0.0.1:8034 \
             --backlog 67108864 --tls-name \"*.box.example\" --public --tls"
        );
        for wanted in ["Type=notify", "WatchdogSec=", "MemoryMax=", "LimitNOFILE=", "Requires=exptap.socket"] {
            assert!(units.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn every_option_of_collect_is_in_the_unit_or_known_not_to_be() {
        use clap::CommandFactory;
        // Where to listen is the socket's; since when was observed is another time at every start.
        let elsewhere = ["listen", "observed-from", "print-unit", "help"];
        let command = cli::Cli::command();
        let collect = command.get_subcommands().find(|command| command.get_name() == "collect").unwrap();
        let source = include_str!("service.rs");
        for option in collect.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(elsewhere.contains(&option) || source.contains(&format!("\"--{option}\"")), "{option}");
        }
    }
}
