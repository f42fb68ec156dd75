//! Themes: every colour by role.
//!
//! A theme is a TOML file: a palette, styles by role, and the theme it inherits from, so that it need only say what
//! differs. Nothing in it can stop the program: what cannot be understood is left as inherited and reported.
//! [`Depth`] is the one place where a colour becomes what the terminal can show.

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::str::FromStr;

macro_rules! roles {
    ($( $role:ident $name:literal $meaning:literal; )*) => {
        /// What a colour stands for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Role { $( #[doc = $meaning] $role, )* }

        impl Role {
            /// Every role with its name in a theme file.
            pub const ALL: &[(Role, &'static str)] = &[ $( (Role::$role, $name), )* ];
        }
    };
}

roles! {
    Text "text" "Ordinary text, and the background of the whole screen.";
    Muted "muted" "What matters less.";
    Strong "strong" "What matters more.";
    Accent "accent" "Names the eye looks for: keys on the keyboard, arms.";
    Border "border" "Borders.";
    BorderFocused "border.focused" "The border of the focused pane.";
    Title "title" "Titles.";
    TitleFocused "title.focused" "The title of the focused pane.";
    Selection "selection" "The selected row of the focused pane.";
    SelectionIdle "selection.idle" "The selected row of another pane.";
    Counted "counted" "An event that counts.";
    Exposure "exposure" "An evaluation that puts a unit in an arm.";
    Pending "pending" "Not decided yet.";
    Unknown "unknown" "Cannot be decided.";
    Dropped "dropped" "An event that does not count.";
    DroppedKind "dropped.kind" "Dropped: the context kind does not fit the experiment.";
    DroppedUnmatched "dropped.unmatched" "Dropped: no metric knows the event key.";
    NotAbout "not-about" "No experiment asks about it.";
    Duplicate "duplicate" "Received before.";
    Undecodable "undecodable" "Could not be read.";
    Good "good" "All is well.";
    Warning "warning" "Something may be wrong.";
    Bad "bad" "Something is wrong.";
    Alert "alert" "Something was lost.";
    JsonKey "json.key" "A key in JSON.";
    JsonMatters "json.matters" "A key in JSON that decides verdicts.";
    Redacted "json.redacted" "Attributes the SDK redacted.";
    ReplayPlayed "replay.played" "The part of a recording that is in.";
    ReplayAhead "replay.ahead" "The part of a recording that is still to come.";
    ReplayCursor "replay.cursor" "Where a recording stands.";
    ReplayMark "replay.mark" "A bookmark in a recording.";
    SeriesOne "series.1" "The first arm in a chart.";
    SeriesTwo "series.2" "The second arm in a chart.";
    SeriesThree "series.3" "The third arm in a chart.";
    SeriesFour "series.4" "The fourth arm in a chart.";
}

const ROLES: usize = Role::ALL.len();

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None: not one colour is set.
    Mono,
    /// The terminal's own 16.
    Sixteen,
    /// The 256 of xterm.
    Indexed,
    /// 24 bits.
    True,
}

impl Depth {
    /// The nearest colour the terminal has; none where it has none.
    fn nearest(self, color: Color) -> Option<Color> {
        match (self, color) {
            (Self::Mono, _) => None,
            (Self::Sixteen, Color::Rgb(red, green, blue)) => Some(nearest_of_sixteen(red, green, blue)),
            (Self::Indexed, Color::Rgb(red, green, blue)) => Some(Color::Indexed(nearest_indexed(red, green, blue))),
            (Self::Sixteen, Color::Indexed(index)) if index > 15 => Some(Color::Reset),
            (_, color) => Some(color),
        }
    }

    fn style(self, style: Style) -> Style {
        Style {
            fg: style.fg.and_then(|color| self.nearest(color)),
            bg: style.bg.and_then(|color| self.nearest(color)),
            underline_color: None,
            ..style
        }
    }
}

fn distance(one: (u8, u8, u8), other: (u8, u8, u8)) -> u32 {
    let square = |one: u8, other: u8| u32::from(one.abs_diff(other)).pow(2);
    // The eye weighs green most and blue least.
    3 * square(one.0, other.0) + 6 * square(one.1, other.1) + square(one.2, other.2)
}

fn nearest_of_sixteen(red: u8, green: u8, blue: u8) -> Color {
    const SIXTEEN: [(Color, (u8, u8, u8)); 16] = [
        (Color::Black, (0, 0, 0)),
        (Color::Red, (205, 0, 0)),
        (Color::Green, (0, 205, 0)),
        (Color::Yellow, (205, 205, 0)),
        (Color::Blue, (0, 0, 238)),
        (Color::Magenta, (205, 0, 205)),
        (Color::Cyan, (0, 205, 205)),
        (Color::Gray, (229, 229, 229)),
        (Color::DarkGray, (127, 127, 127)),
        (Color::LightRed, (255, 0, 0)),
        (Color::LightGreen, (0, 255, 0)),
        (Color::LightYellow, (255, 255, 0)),
        (Color::LightBlue, (92, 92, 255)),
        (Color::LightMagenta, (255, 0, 255)),
        (Color::LightCyan, (0, 255, 255)),
        (Color::White, (255, 255, 255)),
    ];
    SIXTEEN
        .iter()
        .min_by_key(|(_, value)| distance(*value, (red, green, blue)))
        .map_or(Color::Reset, |(color, _)| *color)
}

fn nearest_indexed(red: u8, green: u8, blue: u8) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let cube = (0..216u8).map(|index| {
        let level = |step: u8| LEVELS.get(usize::from(step)).copied().unwrap_or(255);
        (16 + index, (level(index / 36), level(index / 6 % 6), level(index % 6)))
    });
    let grays = (0..24u8).map(|index| (232 + index, (8 + index * 10, 8 + index * 10, 8 + index * 10)));
    cube.chain(grays).min_by_key(|(_, value)| distance(*value, (red, green, blue))).map_or(7, |(index, _)| index)
}

/// A style for every role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theme {
    styles: [Style; ROLES],
}

impl Default for Theme {
    /// No colour, no emphasis: what is left when even the default theme cannot be read.
    fn default() -> Self {
        Self { styles: [Style::new(); ROLES] }
    }
}

impl Theme {
    /// The style of a role.
    pub fn style(&self, role: Role) -> Style {
        self.styles.get(role as usize).copied().unwrap_or_default()
    }

    /// The theme in the colours a terminal has.
    pub fn at(&self, depth: Depth) -> Self {
        Self { styles: self.styles.map(|style| depth.style(style)) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThemeFile {
    inherits: Option<String>,
    #[serde(default)]
    palette: BTreeMap<String, String>,
    #[serde(default)]
    styles: BTreeMap<String, StyleEntry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StyleEntry {
    Color(String),
    Full(FullStyle),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FullStyle {
    fg: Option<String>,
    bg: Option<String>,
    #[serde(default)]
    modifiers: Vec<String>,
}

/// The themes there are.
#[derive(Clone, Debug)]
pub struct Themes {
    themes: Vec<(String, Theme)>,
}

/// The themes that come with the program: name and file.
const BUILT_IN: &[(&str, &str)] = &[
    ("default", include_str!("../../themes/default.toml")),
    ("dark", include_str!("../../themes/dark.toml")),
    ("light", include_str!("../../themes/light.toml")),
    ("high-contrast", include_str!("../../themes/high-contrast.toml")),
    ("colour-blind", include_str!("../../themes/colour-blind.toml")),
    ("mono", include_str!("../../themes/mono.toml")),
    ("dusk", include_str!("../../themes/dusk.toml")),
    ("paper", include_str!("../../themes/paper.toml")),
];

/// The built-in themes: name and file.
pub fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    BUILT_IN.iter().copied()
}

impl Themes {
    /// The built-in themes.
    pub fn built_in() -> Self {
        let mut themes = Self { themes: Vec::new() };
        for (name, text) in BUILT_IN {
            // A test keeps the built-in files free of warnings.
            let _ = themes.add(name, text);
        }
        themes
    }

    /// Adds a theme, or replaces the one of this name. Returns what could not be understood; the rest is taken.
    pub fn add(&mut self, name: &str, text: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        let file: ThemeFile = match toml::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                warnings.push(format!("theme {name} is not taken: {}", error.to_string().replace('\n', " ")));
                return warnings;
            }
        };
        let parent = file.inherits.as_deref().unwrap_or("default");
        let mut theme = match self.get(parent) {
            Some(theme) => theme.clone(),
            None if name == "default" => Theme::default(),
            None => {
                warnings.push(format!("theme {name} inherits from {parent}, which is not there; default is used"));
                self.get("default").cloned().unwrap_or_default()
            }
        };
        for (role_name, entry) in &file.styles {
            let Some((role, _)) = Role::ALL.iter().find(|(_, known)| known == role_name) else {
                warnings.push(format!("theme {name}: there is no role {role_name}"));
                continue;
            };
            match style_of(entry, &file.palette) {
                Ok(style) => {
                    if let Some(slot) = theme.styles.get_mut(*role as usize) {
                        *slot = style;
                    }
                }
                Err(what) => warnings.push(format!("theme {name}, {role_name}: {what}")),
            }
        }
        self.themes.retain(|(known, _)| known != name);
        self.themes.push((name.to_owned(), theme));
        warnings
    }

    /// A theme by name.
    pub fn get(&self, name: &str) -> Option<&Theme> {
        self.themes.iter().find(|(known, _)| known == name).map(|(_, theme)| theme)
    }

    /// The names, in the order the picker shows.
    pub fn names(&self) -> Vec<String> {
        self.themes.iter().map(|(name, _)| name.clone()).collect()
    }
}

fn color_of(text: &str, palette: &BTreeMap<String, String>) -> Result<Color, String> {
    let value = palette.get(text).map_or(text, String::as_str);
    if value == "default" {
        return Ok(Color::Reset);
    }
    Color::from_str(value).map_err(|_| {
        format!("{value} is not a colour; a name of the palette, one of the 16, #rrggbb or 0-255 was expected")
    })
}

fn style_of(entry: &StyleEntry, palette: &BTreeMap<String, String>) -> Result<Style, String> {
    let full = match entry {
        StyleEntry::Color(color) => return Ok(Style::new().fg(color_of(color, palette)?)),
        StyleEntry::Full(full) => full,
    };
    let mut style = Style::new();
    if let Some(color) = &full.fg {
        style = style.fg(color_of(color, palette)?);
    }
    if let Some(color) = &full.bg {
        style = style.bg(color_of(color, palette)?);
    }
    for word in &full.modifiers {
        style = style.add_modifier(match word.as_str() {
            "bold" => Modifier::BOLD,
            "dim" => Modifier::DIM,
            "italic" => Modifier::ITALIC,
            "underlined" => Modifier::UNDERLINED,
            "reversed" => Modifier::REVERSED,
            other => return Err(format!("{other} is not bold, dim, italic, underlined or reversed")),
        });
    }
    Ok(style)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_built_in_themes_are_read_without_a_warning() {
        for (name, text) in BUILT_IN {
            let mut themes = Themes::built_in();
            assert_eq!(themes.add(name, text), Vec::<String>::new());
        }
        assert_eq!(Themes::built_in().names().len(), BUILT_IN.len());
    }

    #[test]
    fn the_default_theme_uses_the_terminals_own_colours_and_sets_no_background() {
        let themes = Themes::built_in();
        for style in themes.get("default").unwrap().styles {
            assert!(
                !matches!(style.fg, Some(Color::Rgb(..) | Color::Indexed(_) | Color::Black | Color::White)),
                "{style:?}"
            );
            assert_eq!(style.bg, None, "{style:?}");
        }
    }

    #[test]
    fn mono_sets_no_colour_at_all_and_neither_does_any_theme_without_colours() {
        let themes = Themes::built_in();
        for style in themes.get("mono").unwrap().styles {
            assert_eq!((style.fg, style.bg), (None, None));
        }
        for name in themes.names() {
            for style in themes.get(&name).unwrap().at(Depth::Mono).styles {
                assert_eq!((style.fg, style.bg), (None, None), "{name}");
            }
        }
    }

    #[test]
    fn what_must_leap_to_the_eye_differs_from_other_drops_in_every_theme() {
        let themes = Themes::built_in();
        for name in themes.names() {
            let theme = themes.get(&name).unwrap();
            let [dropped, kind, unmatched] =
                [Role::Dropped, Role::DroppedKind, Role::DroppedUnmatched].map(|role| theme.style(role));
            assert_ne!(dropped, kind, "{name}");
            assert_ne!(dropped, unmatched, "{name}");
            assert!(kind.add_modifier.contains(Modifier::REVERSED) || kind.bg.is_some(), "{name}");
            assert!(unmatched.add_modifier.contains(Modifier::REVERSED) || unmatched.bg.is_some(), "{name}");
        }
    }

    #[test]
    fn the_position_of_a_recording_stands_out_from_what_is_beside_it_in_every_theme() {
        let themes = Themes::built_in();
        for name in themes.names() {
            let theme = themes.get(&name).unwrap();
            let [cursor, mark, played, ahead] =
                [Role::ReplayCursor, Role::ReplayMark, Role::ReplayPlayed, Role::ReplayAhead]
                    .map(|role| theme.style(role));
            assert_ne!(played, ahead, "{name}");
            for beside in [played, ahead, mark] {
                assert_ne!(cursor, beside, "{name}");
            }
            assert!(mark != played && mark != ahead, "{name}");
        }
    }

    #[test]
    fn a_broken_theme_warns_and_changes_nothing_else() {
        let mut themes = Themes::built_in();
        let before = themes.names();
        let warnings = themes.add("mine", "styles = 3");
        assert_eq!(warnings.len(), 1);
        assert!(warnings.first().unwrap().starts_with("theme mine is not taken: "), "{warnings:?}");
        assert_eq!(themes.names(), before);

        let warnings = themes.add(
            "mine",
            "inherits = \"nowhere\"\n[palette]\nwine = \"#722f37\"\n[styles]\ncounted = \"blurple\"\nnonsense = \"red\"\n\
             dropped = { fg = \"wine\", modifiers = [\"bold\"] }\npending = { modifiers = [\"loud\"] }",
        );
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        let mine = themes.get("mine").unwrap();
        let default = themes.get("default").unwrap();
        assert_eq!(mine.style(Role::Counted), default.style(Role::Counted));
        let wine = Style::new().fg(Color::Rgb(0x72, 0x2f, 0x37)).add_modifier(Modifier::BOLD);
        assert_eq!(mine.style(Role::Dropped), wine);
    }

    #[test]
    fn a_colour_the_terminal_lacks_becomes_the_nearest_it_has() {
        assert_eq!(Depth::Sixteen.nearest(Color::Rgb(250, 5, 5)), Some(Color::LightRed));
        assert_eq!(Depth::Indexed.nearest(Color::Rgb(255, 0, 0)), Some(Color::Indexed(196)));
        assert_eq!(Depth::True.nearest(Color::Rgb(1, 2, 3)), Some(Color::Rgb(1, 2, 3)));
        assert_eq!(Depth::Mono.nearest(Color::Red), None);
    }
}
