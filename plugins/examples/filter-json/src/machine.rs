//! Reads JSON octet by octet (RFC 8259) and writes what is left of it.
//!
//! What is remembered is the path to the octet at hand and the name of a member that is being read. Invariant: what has been written is
//! the beginning of JSON.

use crate::rules::{Action, Node, Rules};

/// Objects and arrays inside each other.
const DEPTH_MAX: usize = 128;
/// Octets of a member's name that can be in a rule; a longer one is in none.
const NAME_BYTES_MAX: usize = 1024;

/// What is expected next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Value,
    /// A value, or the end of an array that has just begun.
    FirstValue,
    /// A name, or the end of an object that has just begun.
    FirstName,
    Name,
    /// Within a name; whether the octet before escapes this one.
    InName(bool),
    Colon,
    InText(bool),
    /// Within a number, `true`, `false` or `null`.
    InWord,
    /// A comma, or the end of what is around.
    After,
}

/// An object or an array.
#[derive(Debug)]
struct Frame {
    is_array: bool,
    /// Elements read so far.
    index: usize,
    /// Whether something of it has been written.
    written: bool,
    nodes: Vec<Node>,
}

/// The reader.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    state: State,
    frames: Vec<Frame>,
    /// The name that is being read, with its quotes.
    name: Vec<u8>,
    /// Places of the rules at the value that comes.
    nodes: Vec<Node>,
    /// How deep what is not written began.
    muted: Option<usize>,
    /// The number or word that is being read.
    word: Vec<u8>,
    begun: bool,
}

impl Machine {
    /// Reads a piece.
    ///
    /// # Errors
    /// That it is no JSON.
    pub(crate) fn read(&mut self, rules: &Rules, data: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let mut rest = data;
        while let Some((byte, after)) = rest.split_first() {
            // Most of a body is text, of which no octet but these says anything.
            let plain = match self.state {
                State::InText(false) => rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..b' ')).count(),
                _ => 0,
            };
            if plain == 0 {
                self.octet(rules, *byte, out)?;
                rest = after;
                continue;
            }
            let (text, after) = rest.split_at(plain);
            if self.muted.is_none() {
                out.extend_from_slice(text);
            }
            rest = after;
        }
        Ok(())
    }

    /// # Errors
    /// That something is missing.
    pub(crate) fn end(&mut self) -> Result<(), &'static str> {
        if self.state == State::InWord && self.frames.is_empty() {
            self.end_word()?;
        }
        match self.frames.is_empty() && self.state == State::After {
            true => Ok(()),
            false => Err("the JSON ends early"),
        }
    }

    fn octet(&mut self, rules: &Rules, byte: u8, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self.state {
            State::InText(escaped) => {
                self.write(byte, out);
                self.text(byte, escaped, State::InText, State::After)
            }
            State::InName(escaped) => {
                self.name.push(byte);
                self.text(byte, escaped, State::InName, State::Colon)
            }
            State::InWord if byte.is_ascii_alphanumeric() || b"+-.".contains(&byte) => {
                self.write(byte, out);
                self.word.push(byte);
                if self.word.len() > NAME_BYTES_MAX { Err("a number of too many digits") } else { Ok(()) }
            }
            State::InWord => {
                self.end_word()?;
                self.octet(rules, byte, out)
            }
            _ if b" \t\r\n".contains(&byte) => Ok(()),
            State::FirstName if byte == b'}' => self.close(false, byte, out),
            State::FirstName | State::Name if byte == b'"' => {
                self.name.clear();
                self.name.push(byte);
                self.state = State::InName(false);
                Ok(())
            }
            State::Colon if byte == b':' => self.member(rules, out),
            State::FirstValue if byte == b']' => self.close(true, byte, out),
            State::FirstValue => {
                self.element(rules, out);
                self.value(byte, out)
            }
            State::Value if self.frames.is_empty() && !self.begun => {
                self.begun = true;
                self.nodes = vec![0];
                self.value(byte, out)
            }
            State::Value => self.value(byte, out),
            State::After => self.after(rules, byte, out),
            _ => Err("no JSON"),
        }
    }

    /// An octet of a text: whether it ends it.
    fn text(&mut self, byte: u8, escaped: bool, inside: fn(bool) -> State, then: State) -> Result<(), &'static str> {
        if byte < b' ' {
            return Err("a control character in a text");
        }
        let ends = byte == b'"' && !escaped;
        self.state = if ends { then } else { inside(byte == b'\\' && !escaped) };
        if ends && then == State::After {
            self.unmute();
        }
        Ok(())
    }

    /// The first octet of a value.
    fn value(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match byte {
            b'{' | b'[' => {
                if self.frames.len() >= DEPTH_MAX {
                    return Err("it nests too deep");
                }
                let is_array = byte == b'[';
                let nodes = std::mem::take(&mut self.nodes);
                self.frames.push(Frame { is_array, index: 0, written: false, nodes });
                self.state = if is_array { State::FirstValue } else { State::FirstName };
            }
            b'"' => self.state = State::InText(false),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                self.word.clear();
                self.word.push(byte);
                self.state = State::InWord;
            }
            _ => return Err("no JSON value"),
        }
        self.write(byte, out);
        Ok(())
    }

    /// A member's name has been read.
    fn member(&mut self, rules: &Rules, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let name: Option<String> = match self.name.len() <= NAME_BYTES_MAX + 2 {
            true => Some(serde_json::from_slice(&self.name).map_err(|_| "a name that is none")?),
            false => None,
        };
        self.state = State::Value;
        let Some(frame) = self.frames.last() else { return Err("no JSON") };
        self.nodes = name.map_or_else(Vec::new, |name| rules.follow(&frame.nodes, &name));
        let name = std::mem::take(&mut self.name);
        self.decide(rules, out, |out| {
            out.extend_from_slice(&name);
            out.push(b':');
        });
        Ok(())
    }

    /// An element of an array begins.
    fn element(&mut self, rules: &Rules, out: &mut Vec<u8>) {
        if let Some(frame) = self.frames.last_mut() {
            self.nodes = rules.follow(&frame.nodes, &frame.index.to_string());
            frame.index += 1;
            self.decide(rules, out, |_| {});
        }
    }

    /// Writes what comes before a value, and another one in its place where a rule says so.
    fn decide(&mut self, rules: &Rules, out: &mut Vec<u8>, head: impl FnOnce(&mut Vec<u8>)) {
        if self.muted.is_some() {
            return;
        }
        let action = rules.action(&self.nodes);
        if action != Some(&Action::Remove) {
            if let Some(frame) = self.frames.last_mut() {
                if frame.written {
                    out.push(b',');
                }
                frame.written = true;
            }
            head(out);
        }
        if let Some(Action::Set(text)) = action {
            out.extend_from_slice(text.as_bytes());
        }
        if action.is_some() {
            self.muted = Some(self.frames.len());
        }
    }

    fn after(&mut self, rules: &Rules, byte: u8, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let Some(frame) = self.frames.last() else { return Err("something behind the JSON") };
        match (byte, frame.is_array) {
            (b',', false) => self.state = State::Name,
            (b',', true) => {
                self.state = State::Value;
                self.element(rules, out);
            }
            (b'}', false) | (b']', true) => return self.close(frame.is_array, byte, out),
            _ => return Err("no JSON"),
        }
        Ok(())
    }

    /// An object or array ends.
    fn close(&mut self, is_array: bool, byte: u8, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self.frames.pop() {
            Some(frame) if frame.is_array == is_array => {}
            _ => return Err("no JSON"),
        }
        self.write(byte, out);
        self.state = State::After;
        self.unmute();
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), &'static str> {
        self.state = State::After;
        self.unmute();
        match serde_json::from_slice::<serde_json::Value>(&self.word) {
            Ok(_) => Ok(()),
            Err(_) => Err("a word that is no JSON"),
        }
    }

    /// A value has ended: perhaps the one that was not to be written.
    fn unmute(&mut self) {
        if self.muted == Some(self.frames.len()) {
            self.muted = None;
        }
    }

    fn write(&self, byte: u8, out: &mut Vec<u8>) {
        if self.muted.is_none() {
            out.push(byte);
        }
    }
}
