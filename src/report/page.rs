//! Lines of text, wrapped where there is a width to wrap to.

use crate::untrusted::Untrusted;

/// Text that is wrapped where a width is given, continued under its own beginning.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    columns: Option<usize>,
}

impl Page {
    /// An empty page of so many columns; without a width nothing is wrapped.
    pub(crate) fn new(columns: Option<usize>) -> Self {
        Self { text: String::new(), columns }
    }

    /// What was written.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// A line of `head`, which is never broken, and text, which is.
    pub(crate) fn line(&mut self, head: &str, text: &str) {
        let indent = Untrusted::from(head).columns();
        // Beside a head that leaves next to nothing, wrapping would only make a tower of words.
        const LEAST_COLUMNS: usize = 20;
        let limit = self.columns.filter(|columns| indent + LEAST_COLUMNS <= *columns);
        let mut column = indent;
        self.text.push_str(head);
        let mut is_first = true;
        for word in text.split(' ') {
            let width = Untrusted::from(word).columns();
            let is_full = !is_first && limit.is_some_and(|columns| column + 1 + width > columns);
            if is_full {
                self.text.push('\n');
                self.text.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            } else if !is_first {
                self.text.push(' ');
                column += 1;
            }
            self.text.push_str(word);
            column += width;
            is_first = false;
        }
        let end = self.text.trim_end_matches(' ').len();
        self.text.truncate(end);
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_on_under_its_own_beginning_and_a_pipe_gets_it_in_one_line() {
        let mut narrow = Page::new(Some(30));
        narrow.line("  A3 ", "the event carries no device key; it has user");
        narrow.line("", "");
        assert_eq!(narrow.into_text(), "  A3 the event carries no\n     device key; it has user\n\n");
        let mut wide = Page::new(None);
        wide.line("  A3 ", "the event carries no device key; it has user");
        assert_eq!(wide.into_text(), "  A3 the event carries no device key; it has user\n");
    }
}
