//! Master files (RFC 1035 §5.1) as entries: a directive or a record as its tokens, with the line it begins on.
//!
//! Comments, quotes and parentheses end here; what the tokens mean is decided in [`super::reader`]. Invariant: nothing of
//! the text is skipped but blanks and comments.

/// What is wrong, and on which line (from 1) of the file.
pub(super) type Problem = (usize, String);

/// A word or a quoted string, with its escapes as they are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) quoted: bool,
}

/// A directive or a record.
#[derive(Debug, PartialEq)]
pub(super) struct Entry<'a> {
    /// The line of its first token.
    pub(super) line: usize,
    /// It begins with a blank, so its owner is the last one's.
    pub(super) indented: bool,
    /// At least one.
    pub(super) tokens: Vec<Token<'a>>,
}

/// The entries of a text.
pub(super) struct Entries<'a> {
    rest: &'a str,
    line: usize,
    has_comment: bool,
}

impl<'a> Entries<'a> {
    /// Of a whole file; a byte order mark before it is passed over.
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1, has_comment: false }
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// Where a quote or a parenthesis does not fit; nothing sensible follows.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'a>>, Problem> {
        let mut entry = Entry { line: self.line, indented: self.begins_blank(), tokens: Vec::new() };
        // Lines of the parentheses that are open.
        let mut open = Vec::new();
        while let Some(next) = self.rest.chars().next() {
            match next {
                '\n' => {
                    self.skip(1);
                    self.line += 1;
                    if open.is_empty() && !entry.tokens.is_empty() {
                        return Ok(Some(entry));
                    }
                    if open.is_empty() {
                        entry.indented = self.begins_blank();
                    }
                }
                ';' => {
                    self.has_comment = true;
                    self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
                }
                '(' => {
                    self.skip(1);
                    open.push(self.line);
                }
                ')' => {
                    self.skip(1);
                    open.pop().ok_or_else(|| (self.line, "\")\" without its \"(\": remove it".to_owned()))?;
                }
                blank if blank.is_whitespace() => self.skip(blank.len_utf8()),
                _ => {
                    if entry.tokens.is_empty() {
                        entry.line = self.line;
                    }
                    let token = if next == '"' { self.quoted()? } else { self.word()? };
                    entry.tokens.push(token);
                }
            }
        }
        match open.first() {
            Some(line) => Err((*line, "\"(\" is never closed: add \")\" after the last item".into())),
            None => Ok(Some(entry).filter(|entry| !entry.tokens.is_empty())),
        }
    }

    /// Whether a comment was passed over.
    pub(super) fn has_comment(&self) -> bool {
        self.has_comment
    }

    fn begins_blank(&self) -> bool {
        self.rest.starts_with(char::is_whitespace)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn word(&mut self) -> Result<Token<'a>, Problem> {
        let ends = |c: char| c.is_whitespace() || matches!(c, ';' | '(' | ')');
        let end = find_unescaped(self.rest, ends).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            return Err((self.line, format!("{control:?} stands there unquoted: remove it")));
        }
        self.rest = rest;
        Ok(Token { text, quoted: false })
    }

    /// A string in quotes, which may go over several lines.
    fn quoted(&mut self) -> Result<Token<'a>, Problem> {
        let (inner, line) = (&self.rest[1..], self.line);
        let end = find_unescaped(inner, |c| c == '"').ok_or_else(|| (line, UNCLOSED.to_owned()))?;
        let (text, rest) = (&inner[..end], &inner[end + 1..]);
        if rest.starts_with(|c: char| !c.is_whitespace() && !matches!(c, ';' | '(' | ')')) {
            return Err((
                line,
                format!("something follows at once upon the string {text:?}: put a blank between them"),
            ));
        }
        self.line += text.matches('\n').count();
        self.rest = rest;
        Ok(Token { text, quoted: true })
    }
}

const UNCLOSED: &str = "a string that begins here is never closed: add its second quote";

/// Where the first character is for which `wanted` holds and that no backslash stands before.
fn find_unescaped(text: &str, wanted: impl Fn(char) -> bool) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let found = !escaped && wanted(c);
        escaped = !escaped && c == '\\';
        found.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(usize, Vec<String>)>, Problem> {
        let (mut entries, mut read) = (Entries::new(text), Vec::new());
        while let Some(entry) = entries.next()? {
            read.push((entry.line, entry.tokens.iter().map(|token| token.text.to_owned()).collect()));
        }
        Ok(read)
    }

    #[test]
    fn comments_quotes_and_parentheses_do_not_reach_into_each_other() {
        let text = "; see (x\na TXT \"(;\" b\\;c ; )\n\n b (1 ; (\n 2 \"x\ny\") c\n";
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            read(text).unwrap(),
            [(2, words(&["a", "TXT", "(;", "b\\;c"])), (4, words(&["b", "1", "2", "x\ny", "c"]))]
        );
        assert_eq!(read("\u{feff}a b").unwrap(), [(1, words(&["a", "b"]))]);
    }

    #[test]
    fn what_is_never_closed_is_told_where_it_begins() {
        assert_eq!(read("a\nb (\nc\n").unwrap_err().0, 2);
        assert_eq!(read("a\nb \"c\nd\n").unwrap_err().0, 2);
        assert_eq!(read("a\nb )\n").unwrap_err().0, 2);
        assert!(read("b \"c\"d\n").unwrap_err().1.contains("put a blank between"));
    }

    #[test]
    fn a_blank_at_the_beginning_belongs_to_the_entry_of_its_line() {
        let mut entries = Entries::new("\n  ; only a comment\nx (\n y )\n z\n");
        assert!(!entries.next().unwrap().unwrap().indented);
        assert!(entries.next().unwrap().unwrap().indented);
    }
}
