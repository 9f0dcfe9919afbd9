//! Words, numbers, texts and signs of a text of intents.

use super::{
    IntentError,
    ast::{Span, Word},
    quantity::Quantity,
};

/// What a piece of the text is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A word, which may hold `-`, `.`, `/` and `:` inside: `control-plane`, `default/reviews`.
    Word(String),
    /// A number with its unit.
    Number(Quantity),
    /// A text in quotes.
    Text(String),
    /// One of `: ; , ( ) { } [ ] = != < <= > >= + - *`.
    Sign(&'static str),
    /// The end of the text.
    End,
}

const SIGNS: &[&str] = &["!=", "<=", ">=", ":", ";", ",", "(", ")", "{", "}", "[", "]", "=", "<", ">", "+", "-", "*"];

/// The pieces of a text, the last one being its end; what is none is reported and left out.
pub(super) fn tokens(text: &str, errors: &mut Vec<IntentError>) -> Vec<(Token, Span)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if first == '#' || rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else {
            let (token, length) = token(rest, at, errors);
            found.extend(token.map(|token| (token, Span { start: at, end: at + length })));
            length
        };
        at += length;
    }
    found.push((Token::End, Span { start: text.len(), end: text.len() }));
    found
}

/// The piece at the beginning of `rest`, and how long it is.
fn token(rest: &str, at: usize, errors: &mut Vec<IntentError>) -> (Option<Token>, usize) {
    let mut refuse = |length: usize, message: String| {
        errors.push(IntentError { span: Span { start: at, end: at + length }, message, help: None });
        (None, length)
    };
    if let Some(inside) = rest.strip_prefix('"') {
        return match inside.find(['"', '\n']) {
            Some(end) if inside[end..].starts_with('"') => (Some(Token::Text(inside[..end].to_owned())), end + 2),
            _ => refuse(inside.find('\n').unwrap_or(inside.len()) + 1, "this text has no closing `\"`".to_owned()),
        };
    }
    if rest.starts_with(|c: char| c.is_ascii_digit()) {
        let digits = number_length(rest);
        let unit: usize = rest[digits..].chars().take_while(|c| c.is_ascii_alphabetic() || *c == '%').count();
        return match Quantity::parse(&rest[..digits], &rest[digits..digits + unit]) {
            Ok(quantity) => (Some(Token::Number(quantity)), digits + unit),
            Err(message) => refuse(digits + unit, message),
        };
    }
    let length = word_length(rest);
    if length > 0 {
        return (Some(Token::Word(rest[..length].to_owned())), length);
    }
    if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        return (Some(Token::Sign(sign)), sign.len());
    }
    let length = rest.chars().next().map_or(1, char::len_utf8);
    refuse(length, format!("`{}` means nothing here", &rest[..length]))
}

fn number_length(rest: &str) -> usize {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(rest);
    match rest[whole..].strip_prefix('.').map(digits) {
        Some(fraction) if fraction > 0 => whole + 1 + fraction,
        _ => whole,
    }
}

/// How long the word at the beginning is; a sign inside belongs to it where a letter or digit follows.
fn word_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let is_letter = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if !bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_') {
        return 0;
    }
    let mut length = 1;
    loop {
        let inside = bytes.get(length).is_some_and(|byte| matches!(byte, b'-' | b'.' | b'/'));
        if is_letter(bytes.get(length)) {
            length += 1;
        } else if inside && is_letter(bytes.get(length + 1)) {
            length += 2;
        } else {
            return length;
        }
    }
}

impl Token {
    /// As an error names it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Number(number) => format!("`{number}`"),
            Self::Text(text) => format!("\"{text}\""),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end of the text".to_owned(),
        }
    }
}

impl Word {
    /// A word at a place.
    pub(super) fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span }
    }
}
