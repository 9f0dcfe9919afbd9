//! Words of the queries and conditions by which releases are judged.

/// A word of a query or a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name.
    Name(String),
    /// A number, with the unit behind it where there is one: `5m` is 5 and `m`.
    Number(f64, String),
    /// A text in quotes.
    Text(String),
    /// A sign of one or two characters.
    Sign(&'static str),
}

const SIGNS: [&str; 27] = [
    "==", "!=", "=~", "!~", "<=", ">=", "&&", "||", "(", ")", "{", "}", "[", "]", ",", "+", "-", "*", "/", "<", ">",
    "=", "!", "#", "^", "%", ":",
];

/// The words of a text, or what of it is none.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = if first.is_ascii_digit() || first == '.' {
            number(rest)?
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && !"_:.".contains(c)).unwrap_or(rest.len());
            (Token::Name(rest[..length].to_owned()), length)
        } else if matches!(first, '"' | '\'' | '`') {
            quoted(rest, first)?
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("`{first}` is not understood"))?;
            (Token::Sign(sign), sign.len())
        };
        found.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = text[digits..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(text.len(), |length| digits + length);
    let value = text[..digits].parse().map_err(|_| format!("`{}` is no number", &text[..digits]))?;
    Ok((Token::Number(value, text[digits..unit].to_owned()), unit))
}

fn quoted(text: &str, quote: char) -> Result<(Token, usize), String> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote != '`' => value.extend(characters.next().map(|(_, character)| character)),
            end if end == quote => return Ok((Token::Text(value), at + 1)),
            other => value.push(other),
        }
    }
    Err("a quote is not closed".to_owned())
}

/// Words that are read one after the other.
#[derive(Debug)]
pub(super) struct Reader {
    tokens: Vec<Token>,
    at: usize,
}

impl Reader {
    /// # Errors
    /// If the text has something that is no word.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        Ok(Self { tokens: tokens(text)?, at: 0 })
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Takes the sign if it is the next word.
    pub(super) fn takes(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes the first of these signs that is the next word.
    pub(super) fn takes_one(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        signs.iter().copied().find(|sign| self.takes(sign))
    }

    /// Takes the name if it is the next word.
    pub(super) fn takes_name(&mut self, name: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Name(next)) if next == name);
        self.at += usize::from(is_next);
        is_next
    }

    /// # Errors
    /// If another word comes.
    pub(super) fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) { Ok(()) } else { Err(format!("`{sign}` is missing before {}", self.shown())) }
    }

    /// # Errors
    /// If words are left.
    pub(super) fn end(&self) -> Result<(), String> {
        if self.peek().is_none() { Ok(()) } else { Err(format!("{} is not modelled there", self.shown())) }
    }

    /// The next word, for people.
    pub(super) fn shown(&self) -> String {
        match self.peek() {
            None => "the end".to_owned(),
            Some(Token::Name(name)) => format!("`{name}`"),
            Some(Token::Number(value, unit)) => format!("`{value}{unit}`"),
            Some(Token::Text(text)) => format!("`\"{text}\"`"),
            Some(Token::Sign(sign)) => format!("`{sign}`"),
        }
    }
}
