//! What was checked, as JUnit XML.
//!
//! Written by hand: it is three elements and one attribute list, and the only hard part, leaving out the characters
//! XML 1.0 cannot hold even escaped, is what XML crates leave to their callers.

use super::Case;
use std::fmt::{self, Write};

/// The report for a build server. There is no time in it: no expectation takes any.
pub fn xml(suite: &str, cases: &[Case]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_xml(&mut out, suite, cases);
    out
}

fn write_xml(out: &mut String, suite: &str, cases: &[Case]) -> fmt::Result {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\"", cases.len());
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"exptap check\" {counts}>")?;
    writeln!(out, "  <testsuite name=\"{}\" {counts}>", escaped(suite))?;
    for case in cases {
        write!(out, "    <testcase classname=\"exptap.check\" name=\"{}\"", escaped(&case.expectation))?;
        match &case.failure {
            None => writeln!(out, "/>")?,
            Some((found, because)) => {
                writeln!(out, ">")?;
                writeln!(
                    out,
                    "      <failure type=\"expectation\" message=\"{}\">{}</failure>",
                    escaped(found),
                    escaped(&because.join("\n"))
                )?;
                writeln!(out, "    </testcase>")?;
            }
        }
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

/// Text for an attribute or between tags. What XML cannot hold is left out, and line feeds are written as a reference,
/// because in an attribute they would be read as spaces.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            // C0 and C1 controls, and the noncharacters of the basic plane that XML 1.0 excludes.
            character if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => {}
            // XML may hold these, but they would turn the build server's page around.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            character => out.push(character),
        }
    }
    out
}
