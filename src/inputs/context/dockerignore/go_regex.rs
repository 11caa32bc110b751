//! Go's regular expressions, as far as an ignore pattern can reach them, turned into this crate's `regex` syntax.
//!
//! BuildKit turns a pattern into a Go expression and leaves part of the pattern's text as it is: `|`, `{2}`, `^`,
//! `\d`, `[[:alpha:]]` mean in an ignore file what they mean in Go. The two syntaxes differ in details (classes in
//! classes, `\d` of Unicode), so every class is written as plain ranges and every character escaped. What cannot be
//! said the same way is refused, never guessed: `\p`, `\B`.

use std::iter::Peekable;
use std::str::Chars;

/// Why a pattern has no meaning.
pub(super) type Reason = &'static str;

/// The largest count in `{n,m}`.
const MAX_REPEAT: u32 = 1000;
/// The last code point.
const MAX_CODE: u32 = 0x10_ffff;

/// Turns `expression` into an expression of the `regex` crate that matches the same texts.
///
/// # Errors
/// What Go itself refuses, and what is not supported.
pub(super) fn translate(expression: &str) -> Result<String, Reason> {
    let mut parser = Parser { rest: expression.chars().peekable(), groups: vec![Group::default()], repeated: false };
    while let Some(character) = parser.rest.next() {
        let was_repeated = std::mem::take(&mut parser.repeated);
        parser.token(character, was_repeated)?;
    }
    let group = parser.groups.pop().ok_or("a `(` is missing")?;
    if parser.groups.is_empty() { Ok(group.finish()) } else { Err("a `)` is missing") }
}

/// An open group: finished alternatives, and the atoms of the one that is being read.
#[derive(Default)]
struct Group {
    alternatives: Vec<String>,
    atoms: Vec<String>,
}

impl Group {
    fn end_alternative(&mut self) {
        self.alternatives.push(std::mem::take(&mut self.atoms).concat());
    }

    fn finish(mut self) -> String {
        self.end_alternative();
        format!("(?:{})", self.alternatives.join("|"))
    }
}

struct Parser<'p> {
    rest: Peekable<Chars<'p>>,
    groups: Vec<Group>,
    /// True when the token just read was a repetition: those do not stack.
    repeated: bool,
}

impl Parser<'_> {
    fn token(&mut self, character: char, was_repeated: bool) -> Result<(), Reason> {
        match character {
            '(' if self.rest.peek() == Some(&'?') => return Err("`(?` is not supported"),
            '(' => self.groups.push(Group::default()),
            ')' => {
                let group = self.groups.pop().filter(|_| !self.groups.is_empty()).ok_or("a `(` is missing")?;
                self.push(group.finish());
            }
            '|' => {
                if let Some(group) = self.groups.last_mut() {
                    group.end_alternative();
                }
            }
            '^' => self.push(r"\A".to_owned()),
            '$' => self.push(r"\z".to_owned()),
            '.' => self.push(r"[^\n]".to_owned()),
            '[' => {
                let class = self.class()?;
                self.push(class.pattern());
            }
            '*' | '+' | '?' => self.repeat(&character.to_string(), was_repeated)?,
            '{' => match self.counts() {
                Some((text, low, high)) => {
                    if low > MAX_REPEAT || high.is_some_and(|high| high > MAX_REPEAT || low > high) {
                        return Err("the counts of a `{…}` are too large or in the wrong order");
                    }
                    self.repeat(&text, was_repeated)?;
                }
                None => self.push(literal('{')),
            },
            '\\' => self.escape()?,
            other => self.push(literal(other)),
        }
        Ok(())
    }

    fn push(&mut self, atom: String) {
        if let Some(group) = self.groups.last_mut() {
            group.atoms.push(atom);
        }
    }

    /// Applies a repetition to the atom just read.
    fn repeat(&mut self, operator: &str, was_repeated: bool) -> Result<(), Reason> {
        if was_repeated {
            return Err("a repetition (`*`, `?`, `**` or `{…}`) follows another one");
        }
        // A `?` behind makes it lazy, which changes no answer.
        self.rest.next_if_eq(&'?');
        let atom =
            self.groups.last_mut().and_then(|group| group.atoms.last_mut()).ok_or("nothing stands before `{…}`")?;
        *atom = format!("(?:{atom}){operator}");
        self.repeated = true;
        Ok(())
    }

    /// Reads `n}`, `n,}` or `n,m}`. When it is none of these nothing is read: the brace is a literal one.
    fn counts(&mut self) -> Option<(String, u32, Option<u32>)> {
        let mut ahead = self.rest.clone();
        let low = number(&mut ahead)?;
        let (text, high) = if ahead.next_if_eq(&',').is_none() {
            (format!("{{{low}}}"), Some(low))
        } else if ahead.peek() == Some(&'}') {
            (format!("{{{low},}}"), None)
        } else {
            let high = number(&mut ahead)?;
            (format!("{{{low},{high}}}"), Some(high))
        };
        ahead.next_if_eq(&'}')?;
        self.rest = ahead;
        Some((text, low, high))
    }

    /// What follows a backslash outside of a class.
    fn escape(&mut self) -> Result<(), Reason> {
        match self.rest.peek() {
            Some('A') => self.anchor(r"\A"),
            Some('z') => self.anchor(r"\z"),
            Some('b') => self.anchor(r"(?-u:\b)"),
            Some('B') => return Err(r"`\B` is not supported"),
            Some('Q') => {
                self.rest.next();
                self.quoted();
            }
            _ => match self.perl_class()? {
                Some(class) => self.push(class.pattern()),
                None => {
                    let code = self.escaped_code()?;
                    self.push(Ranges(vec![(code, code)]).pattern());
                }
            },
        }
        Ok(())
    }

    fn anchor(&mut self, pattern: &str) {
        self.rest.next();
        self.push(pattern.to_owned());
    }

    /// `\Q … \E`: everything between is literal.
    fn quoted(&mut self) {
        while let Some(character) = self.rest.next() {
            if character == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.push(literal(character));
        }
    }

    /// `\d`, `\s`, `\w` and their negations, if one is next; they are ASCII in Go.
    fn perl_class(&mut self) -> Result<Option<Ranges>, Reason> {
        let Some(&letter) = self.rest.peek() else { return Ok(None) };
        let ranges = match letter.to_ascii_lowercase() {
            'd' => Ranges(vec![(0x30, 0x39)]),
            's' => Ranges(vec![(0x09, 0x0a), (0x0c, 0x0d), (0x20, 0x20)]),
            'w' => Ranges(vec![(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)]),
            'p' => {
                return Err(r"Unicode classes (`\p`) are not supported; the separator is `/`, also for Windows paths");
            }
            _ => return Ok(None),
        };
        self.rest.next();
        Ok(Some(if letter.is_ascii_uppercase() { ranges.negated() } else { ranges }))
    }

    /// A single escaped character, the backslash already read.
    fn escaped_code(&mut self) -> Result<u32, Reason> {
        let invalid = "a `\\` stands before a character that has no meaning there; the separator is `/`";
        let character = self.rest.next().ok_or(invalid)?;
        let octal = |character: Option<&char>| character.and_then(|character| character.to_digit(8));
        Ok(match character {
            'a' => 0x07,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'v' => 0x0b,
            'x' => self.hexadecimal().filter(|&code| code <= MAX_CODE).ok_or(invalid)?,
            '0'..='7' => {
                if character != '0' && octal(self.rest.peek()).is_none() {
                    return Err(invalid);
                }
                let mut code = u32::from(character) - u32::from('0');
                for _ in 0..2 {
                    let Some(digit) = octal(self.rest.peek()) else { break };
                    self.rest.next();
                    code = code * 8 + digit;
                }
                code
            }
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => u32::from(other),
            _ => return Err(invalid),
        })
    }

    /// `41` or `{1f600}` behind `\x`.
    fn hexadecimal(&mut self) -> Option<u32> {
        if self.rest.next_if_eq(&'{').is_none() {
            let high = self.rest.next()?.to_digit(16)?;
            let low = self.rest.next()?.to_digit(16)?;
            return Some(high * 16 + low);
        }
        let mut code = self.rest.next()?.to_digit(16)?;
        loop {
            match self.rest.next()? {
                '}' => return Some(code),
                digit => code = code * 16 + digit.to_digit(16)?,
            }
            if code > MAX_CODE {
                return None;
            }
        }
    }

    /// A class, its `[` already read.
    fn class(&mut self) -> Result<Ranges, Reason> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges = Ranges(Vec::new());
        let mut is_first = true;
        loop {
            match self.rest.peek() {
                Some(']') if !is_first => {
                    self.rest.next();
                    break;
                }
                Some('[') => {
                    if let Some(named) = self.named_class()? {
                        ranges.0.extend(named.0);
                        is_first = false;
                        continue;
                    }
                }
                _ => {}
            }
            is_first = false;
            self.class_item(&mut ranges)?;
        }
        Ok(if negated { ranges.negated() } else { ranges })
    }

    fn class_item(&mut self, ranges: &mut Ranges) -> Result<(), Reason> {
        if self.rest.peek() == Some(&'\\') {
            let before = self.rest.clone();
            self.rest.next();
            if let Some(class) = self.perl_class()? {
                ranges.0.extend(class.0);
                return Ok(());
            }
            self.rest = before;
        }
        let low = self.class_code()?;
        let mut high = low;
        let mut ahead = self.rest.clone();
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|&next| next != ']') {
            self.rest = ahead;
            high = self.class_code()?;
        }
        if high < low {
            return Err("a range of a `[…]` class runs backwards");
        }
        ranges.0.push((low, high));
        Ok(())
    }

    fn class_code(&mut self) -> Result<u32, Reason> {
        match self.rest.next() {
            None => Err("a `[` is not closed"),
            Some('\\') => self.escaped_code(),
            Some(character) => Ok(u32::from(character)),
        }
    }

    /// `[:alpha:]` and its kin, if one is next.
    fn named_class(&mut self) -> Result<Option<Ranges>, Reason> {
        let text: String = self.rest.clone().collect();
        let Some((name, _)) = text.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) else { return Ok(None) };
        let (negated, plain) = match name.strip_prefix('^') {
            Some(plain) => (true, plain),
            None => (false, name),
        };
        let ranges: &[(u8, u8)] = match plain {
            "alnum" => &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')],
            "alpha" => &[(b'A', b'Z'), (b'a', b'z')],
            "ascii" => &[(0x00, 0x7f)],
            "blank" => &[(b'\t', b'\t'), (b' ', b' ')],
            "cntrl" => &[(0x00, 0x1f), (0x7f, 0x7f)],
            "digit" => &[(b'0', b'9')],
            "graph" => &[(b'!', b'~')],
            "lower" => &[(b'a', b'z')],
            "print" => &[(b' ', b'~')],
            "punct" => &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')],
            "space" => &[(b'\t', b'\r'), (b' ', b' ')],
            "upper" => &[(b'A', b'Z')],
            "word" => &[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')],
            "xdigit" => &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')],
            _ => return Err("there is no `[:…:]` class of that name"),
        };
        // `[:`, the name and `:]`.
        for _ in 0..name.chars().count() + 4 {
            self.rest.next();
        }
        let ranges = Ranges(ranges.iter().map(|&(low, high)| (u32::from(low), u32::from(high))).collect());
        Ok(Some(if negated { ranges.negated() } else { ranges }))
    }
}

/// A number without leading zeros; too large a one reads as one that is over every limit.
fn number(text: &mut Peekable<Chars<'_>>) -> Option<u32> {
    let mut digits = String::new();
    while let Some(digit) = text.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some(digits.parse().unwrap_or(u32::MAX))
}

fn literal(character: char) -> String {
    regex::escape(character.encode_utf8(&mut [0; 4]))
}

/// Ranges of code points, both ends included.
struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    fn negated(mut self) -> Self {
        self.0.sort_unstable();
        let mut negated = Vec::new();
        let mut next = 0;
        for (low, high) in self.0 {
            if next < low {
                negated.push((next, low - 1));
            }
            next = next.max(high + 1);
        }
        if next <= MAX_CODE {
            negated.push((next, MAX_CODE));
        }
        Self(negated)
    }

    /// As a class of the `regex` crate, which knows no surrogates.
    fn pattern(&self) -> String {
        let mut text = String::new();
        for &(low, high) in &self.0 {
            let low = if (0xd800..=0xdfff).contains(&low) { 0xe000 } else { low };
            let high = if (0xd800..=0xdfff).contains(&high) { 0xd7ff } else { high };
            if low <= high {
                text.push_str(&format!(r"\x{{{low:x}}}-\x{{{high:x}}}"));
            }
        }
        // Nothing is both `a` and `b`: the class that no character is in.
        if text.is_empty() { "[a&&b]".to_owned() } else { format!("[{text}]") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(expression: &str, text: &str) -> bool {
        regex::Regex::new(&translate(expression).unwrap()).unwrap().is_match(text)
    }

    #[test]
    fn classes_are_gos_and_not_ours() {
        assert!(matches("^[[^/]$", "["), "a `[` in a class is a literal");
        assert!(!matches(r"^\d$", "٣"), "digits are ASCII");
        assert!(matches("^[a&&b]$", "&"));
        assert!(matches("^[a~~b]$", "~"), "no set operations");
        assert!(matches(r"^[^\x00-\x{10FFFF}]|x$", "x"), "an empty class matches nothing and is no error");
    }

    #[test]
    fn a_brace_that_counts_nothing_is_a_brace() {
        for (expression, text) in [("^a{,2}$", "a{,2}"), ("^a{01}$", "a{01}"), ("^a{x}$", "a{x}"), ("^{a,b}$", "{a,b}")]
        {
            assert!(matches(expression, text), "{expression}");
        }
        assert!(matches("^a{2,}$", "aaa"));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for bad in [
            "a{1001}", "a{3,2}", "a{2}{3}", "|{2}", r"\C", r"\é", r"\8", r"\1", r"\x4", r"\x{}", r"\q", "[z-a]", "[a",
            "(a", "a)",
        ] {
            assert!(translate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused_and_not_guessed() {
        for bad in [r"\pL", r"[\p{Greek}]", r"\B"] {
            assert!(translate(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_translation_compiles(expression in r"[\[\](){}|*?+^$.\\:a-c0-3,é-]{0,24}") {
            if let Ok(translated) = translate(&expression) {
                prop_assert!(regex::RegexBuilder::new(&translated).size_limit(1 << 30).build().is_ok(), "{translated}");
            }
        }
    }
}
