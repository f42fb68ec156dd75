//! The terminal: set up, written to, and given back whatever happens.
//!
//! Three ways lead out of the screens and all of them restore the terminal: the end of [`Screen`], a panic (the
//! hook restores before the message is printed), and a terminal that goes away (a thread of its own watches for
//! it, because the library that reads keys spins on a terminal that has hung up).
//!
//! Frames are written by a thread of their own. A terminal that does not read, behind a slow line or a paused
//! multiplexer, then holds up neither keys nor judging: while a frame is on its way no other is drawn, so nothing
//! queues up.

use crate::ui::theme::Depth;
use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{Command, queue};
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::{Frame, Terminal};
use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Why there are no screens.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// Standard input or output is a pipe or a file.
    #[error(
        "the screens need a terminal, and {0} is not one; use `exptap listen --no-tui`, or `exptap report` on a file; over SSH, `ssh -t`"
    )]
    NotATerminal(&'static str),
    /// The terminal refused to be set up.
    #[error("the terminal could not be set up: {0}")]
    Io(#[from] io::Error),
}

/// What the environment says about the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// How many colours it has.
    pub depth: Depth,
    /// It shows ASCII only.
    pub ascii_only: bool,
    /// It is at the other end of an SSH connection.
    pub remote: bool,
}

impl Abilities {
    /// Reads them from environment variables. What SSH does not carry over (COLORTERM, LANG) is not there to be
    /// read on a remote machine, so nothing is taken for granted: 16 colours, unless the terminal says more.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let depth = if set("NO_COLOR").is_some() || term == "dumb" || term.is_empty() {
            Depth::Mono
        } else if set("COLORTERM").is_some_and(|value| matches!(value.as_str(), "truecolor" | "24bit"))
            || term.ends_with("-direct")
        {
            Depth::True
        } else if term.contains("256color") {
            Depth::Indexed
        } else {
            Depth::Sixteen
        };
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase().replace('-', "");
        Self {
            depth,
            ascii_only: !locale.contains("utf8") || term == "dumb" || term == "linux",
            remote: set("SSH_CONNECTION").or_else(|| set("SSH_TTY")).is_some(),
        }
    }
}

/// Whether the terminal is in the hands of the screens. The panic hook has to know, and a hook reaches nothing
/// but statics.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Refuses where there is no terminal. Where standard input is what is read, keys come from the terminal all the same,
/// by its own name.
///
/// # Errors
///
/// Where standard output is not a terminal, or there is none that keys can come from.
pub fn require() -> Result<(), TerminalError> {
    if !io::stdin().is_terminal() && keyboard().is_none() {
        return Err(TerminalError::NotATerminal("standard input"));
    }
    if !io::stdout().is_terminal() {
        return Err(TerminalError::NotATerminal("standard output"));
    }
    Ok(())
}

/// The terminal by its own name, where standard input is something else.
fn keyboard() -> Option<std::fs::File> {
    std::fs::File::open("/dev/tty").ok()
}

fn sequence(commands: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = commands(&mut bytes);
    bytes
}

fn taking() -> Vec<u8> {
    sequence(|bytes| queue!(bytes, EnterAlternateScreen, Hide, EnableBracketedPaste))
}

/// Ends a synchronized update that a fault may have left open, resets the style, and leaves everything as found.
fn giving_back() -> Vec<u8> {
    let mut bytes = END_UPDATE.to_vec();
    bytes.extend(b"\x1b[0m");
    bytes.extend(sequence(|bytes| queue!(bytes, DisableBracketedPaste, Show, LeaveAlternateScreen)));
    bytes
}

const BEGIN_UPDATE: &[u8] = b"\x1b[?2026h";
const END_UPDATE: &[u8] = b"\x1b[?2026l";

/// Gives the terminal back at once, from wherever this runs.
fn give_back_now() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(&giving_back());
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}

/// Panics of other threads, kept until the screen is gone.
type Panics = Arc<Mutex<Vec<String>>>;

/// Restores the terminal before the message of a panic on this thread is printed. A panic elsewhere (one
/// connection's task, say) ends that task only: it is kept and told at the end, instead of being printed across
/// the screen.
fn install_panic_hook(panics: &Panics) {
    let screens = std::thread::current().id();
    let panics = Arc::clone(panics);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == screens || !TAKEN.load(Ordering::SeqCst) {
            give_back_now();
            usual(info);
        } else {
            panics.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
        }
    }));
}

/// Waits, on a thread of its own, for the terminal to go away, and then ends the program within a second even if
/// nothing else notices: reading keys from a terminal that has hung up never returns and never rests.
fn watch_for_hang_up(hung_up: &Arc<Notify>, over: &Arc<AtomicBool>) {
    let hung_up = Arc::clone(hung_up);
    let over = Arc::clone(over);
    let watch = move || {
        use rustix::event::{PollFd, PollFlags, poll};
        let stdin = io::stdin();
        // The end of a pipe is no hang-up.
        let keyboard = if stdin.is_terminal() { None } else { keyboard() };
        // No flag is asked for: a hang-up is reported all the same, and keys are not.
        let mut watched = [match &keyboard {
            Some(keyboard) => PollFd::new(keyboard, PollFlags::empty()),
            None => PollFd::new(&stdin, PollFlags::empty()),
        }];
        while let Err(rustix::io::Errno::INTR) = poll(&mut watched, None) {}
        if over.load(Ordering::SeqCst) {
            return;
        }
        hung_up.notify_one();
        std::thread::sleep(Duration::from_millis(700));
        std::process::exit(129);
    };
    // Without the thread the program still ends on SIGHUP.
    let _ = std::thread::Builder::new().name("hang-up".to_owned()).spawn(watch);
}

/// Bytes for the terminal, written by a thread of their own.
struct Outlet {
    frames: Sender<Vec<u8>>,
    state: Arc<OutletState>,
}

#[derive(Default)]
struct OutletState {
    busy: AtomicBool,
    broken: AtomicBool,
    rested: Notify,
}

impl Outlet {
    fn open() -> io::Result<Self> {
        let (frames, waiting) = channel::<Vec<u8>>();
        let state = Arc::new(OutletState::default());
        let shared = Arc::clone(&state);
        std::thread::Builder::new().name("terminal".to_owned()).spawn(move || {
            for bytes in waiting {
                let mut out = io::stdout().lock();
                if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
                    shared.broken.store(true, Ordering::SeqCst);
                }
                drop(out);
                shared.busy.store(false, Ordering::SeqCst);
                shared.rested.notify_one();
            }
        })?;
        Ok(Self { frames, state })
    }

    fn write(&self, bytes: Vec<u8>) {
        self.state.busy.store(true, Ordering::SeqCst);
        if self.frames.send(bytes).is_err() {
            self.state.broken.store(true, Ordering::SeqCst);
            self.state.busy.store(false, Ordering::SeqCst);
        }
    }

    fn is_resting(&self) -> bool {
        !self.state.busy.load(Ordering::SeqCst)
    }

    /// Waits until everything is written, but not for ever: a terminal that does not read must not keep the
    /// program from ending. Returns whether it is.
    fn drain(&self) -> bool {
        for _ in 0..100 {
            if self.is_resting() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

#[derive(Clone, Default)]
struct Sink(Rc<RefCell<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The usual backend, silent where a frame changes nothing: the library resets colours and hides the cursor
/// after every frame, and an idle screen must not send a byte.
struct QuietBackend {
    inner: CrosstermBackend<Sink>,
    cursor: Option<Position>,
    cursor_shown: bool,
}

impl Backend for QuietBackend {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut content = content.peekable();
        if content.peek().is_none() {
            return Ok(());
        }
        self.cursor = None;
        self.inner.draw(content)
    }
    fn hide_cursor(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.cursor_shown, false) { self.inner.hide_cursor() } else { Ok(()) }
    }
    fn show_cursor(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.cursor_shown, true) { Ok(()) } else { self.inner.show_cursor() }
    }
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.cursor.unwrap_or_default())
    }
    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let position = position.into();
        if self.cursor.replace(position) == Some(position) { Ok(()) } else { self.inner.set_cursor_position(position) }
    }
    fn clear(&mut self) -> io::Result<()> {
        self.inner.clear()
    }
    fn clear_region(&mut self, clear_type: ClearType) -> io::Result<()> {
        self.inner.clear_region(clear_type)
    }
    fn size(&self) -> io::Result<Size> {
        self.inner.size()
    }
    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.inner.window_size()
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The terminal while the screens have it.
pub struct Screen {
    terminal: Terminal<QuietBackend>,
    sink: Sink,
    outlet: Outlet,
    hung_up: Arc<Notify>,
    over: Arc<AtomicBool>,
    panics: Panics,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// Where there is none, or it refuses.
    pub fn take() -> Result<Self, TerminalError> {
        require()?;
        let outlet = Outlet::open()?;
        let panics = Panics::default();
        install_panic_hook(&panics);
        let hung_up = Arc::new(Notify::new());
        let over = Arc::new(AtomicBool::new(false));
        watch_for_hang_up(&hung_up, &over);
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        outlet.write(taking());
        let sink = Sink::default();
        let backend = QuietBackend { inner: CrosstermBackend::new(sink.clone()), cursor: None, cursor_shown: false };
        let terminal = Terminal::new(backend)?;
        Ok(Self { terminal, sink, outlet, hung_up, over, panics })
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        self.terminal.size().map(|size| (size.width, size.height)).unwrap_or((0, 0))
    }

    /// Draws a frame and hands on what changed; returns how many bytes that is.
    ///
    /// # Errors
    ///
    /// Where the terminal's size cannot be read any more.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<usize> {
        self.terminal.draw(render)?;
        let drawn = std::mem::take(&mut *self.sink.0.borrow_mut());
        if drawn.is_empty() {
            return Ok(0);
        }
        let mut bytes = Vec::with_capacity(drawn.len() + BEGIN_UPDATE.len() + END_UPDATE.len());
        bytes.extend(BEGIN_UPDATE);
        bytes.extend(drawn);
        bytes.extend(END_UPDATE);
        let length = bytes.len();
        self.outlet.write(bytes);
        Ok(length)
    }

    /// Whether the last frame has been written, so that another makes sense.
    pub fn is_ready(&self) -> bool {
        self.outlet.is_resting()
    }

    /// Waits until [`Screen::is_ready`] may have become true.
    pub async fn rested(&self) {
        self.outlet.state.rested.notified().await;
    }

    /// Waits until the terminal goes away.
    pub async fn hung_up(&self) {
        self.hung_up.notified().await;
    }

    /// Whether writing to the terminal failed.
    pub fn is_broken(&self) -> bool {
        self.outlet.state.broken.load(Ordering::SeqCst)
    }

    /// Paints everything anew with the next frame.
    ///
    /// # Errors
    ///
    /// Where the terminal's size cannot be read any more.
    pub fn repaint(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Hands a text to the terminal's clipboard (OSC 52). Whether it takes it, nobody can know.
    pub fn copy(&mut self, text: &str) {
        struct Copy<'a>(&'a str);
        impl Command for Copy<'_> {
            fn write_ansi(&self, out: &mut impl std::fmt::Write) -> std::fmt::Result {
                use base64::Engine;
                write!(out, "\x1b]52;c;{}\x07", base64::engine::general_purpose::STANDARD.encode(self.0))
            }
        }
        self.outlet.write(sequence(|bytes| queue!(bytes, Copy(text))));
    }

    /// Gives the terminal to the shell, stops, and takes it again when continued.
    ///
    /// # Errors
    ///
    /// Where the terminal refuses to be taken again.
    pub fn suspend(&mut self) -> io::Result<()> {
        self.give_back();
        // The whole group stops, as it does when the terminal's driver handles the key itself; otherwise a wrapper
        // such as `cargo run` would go on waiting in front of the shell.
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::STOP);
        self.take_again()
    }

    /// Takes the terminal again after the program was stopped and continued.
    ///
    /// # Errors
    ///
    /// Where the terminal refuses.
    pub fn take_again(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        self.outlet.write(taking());
        self.terminal.backend_mut().cursor_shown = false;
        self.repaint()
    }

    fn give_back(&mut self) {
        if TAKEN.swap(false, Ordering::SeqCst) {
            self.outlet.drain();
            self.outlet.write(giving_back());
            self.outlet.drain();
            let _ = disable_raw_mode();
        }
    }

    /// Gives the terminal back for good.
    pub fn leave(mut self) -> Left {
        self.give_back();
        let panics = std::mem::take(&mut *self.panics.lock().unwrap_or_else(PoisonError::into_inner));
        Left { takes_text: self.outlet.is_resting(), panics }
    }
}

/// What is left when the screens are gone.
pub struct Left {
    /// Whether the terminal takes what is written to it. Whoever writes to one that does not, waits.
    pub takes_text: bool,
    /// The panics of other threads, held back until now.
    pub panics: Vec<String>,
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abilities(variables: &[(&str, &str)]) -> Abilities {
        Abilities::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_terminal_is_not_taken_to_have_more_colours_than_it_says() {
        assert_eq!(abilities(&[("TERM", "xterm"), ("LANG", "en_US.UTF-8")]).depth, Depth::Sixteen);
        assert_eq!(abilities(&[("TERM", "xterm-256color")]).depth, Depth::Indexed);
        assert_eq!(abilities(&[("TERM", "xterm"), ("COLORTERM", "truecolor")]).depth, Depth::True);
        assert_eq!(abilities(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]).depth, Depth::Mono);
        assert_eq!(abilities(&[("TERM", "xterm"), ("NO_COLOR", "")]).depth, Depth::Sixteen);
        assert_eq!(abilities(&[("TERM", "dumb"), ("COLORTERM", "truecolor")]).depth, Depth::Mono);
        assert_eq!(abilities(&[]).depth, Depth::Mono);
    }

    #[test]
    fn a_locale_that_is_not_utf_8_gets_ascii() {
        assert!(!abilities(&[("TERM", "xterm"), ("LANG", "de_DE.utf8")]).ascii_only);
        assert!(!abilities(&[("TERM", "xterm"), ("LC_ALL", "C.UTF-8")]).ascii_only);
        assert!(abilities(&[("TERM", "xterm"), ("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]).ascii_only);
        assert!(abilities(&[("TERM", "xterm"), ("LANG", "POSIX")]).ascii_only);
        assert!(abilities(&[("TERM", "xterm")]).ascii_only);
    }

    #[test]
    fn an_ssh_connection_is_noticed() {
        assert!(abilities(&[("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")]).remote);
        assert!(!abilities(&[("TERM", "xterm")]).remote);
    }

    #[test]
    fn what_gives_the_terminal_back_undoes_all_that_took_it() {
        let taken = String::from_utf8_lossy(&taking()).into_owned();
        let given = String::from_utf8_lossy(&giving_back()).into_owned();
        for mode in ["?1049", "?2004"] {
            assert!(taken.contains(&format!("{mode}h")), "{taken:?}");
            assert!(given.contains(&format!("{mode}l")), "{given:?}");
        }
        assert!(taken.contains("?25l") && given.contains("?25h"));
    }
}
