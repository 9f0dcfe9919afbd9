//! From pieces of a text to assertions, by recursive descent; what is wrong is told, and reading goes on after the next
//! `;`.

use super::{
    IntentError,
    ast::{Assertion, Comparison, Goal, Join, Pred, Quantifier, Set, SetKind, Span, Spec, Term, Word},
    lex::{Token, tokens},
    quantity::{Quantity, Unit},
};

/// Words that begin or end a part of an assertion, and so name nothing.
const KEYWORDS: &[&str] = &[
    "let",
    "assert",
    "for",
    "all",
    "some",
    "in",
    "where",
    "when",
    "then",
    "never",
    "always",
    "within",
    "unchanged",
    "since",
    "except",
    "and",
    "or",
    "not",
    "matches",
    "union",
    "minus",
    "intersect",
    "from",
    "to",
    "up",
];

/// Reads a text of intents.
pub(super) fn parse(text: &str) -> (Spec, Vec<IntentError>) {
    let mut errors = Vec::new();
    let tokens = tokens(text, &mut errors);
    let mut parser = Parser { tokens, at: 0 };
    let mut spec = Spec::default();
    while *parser.peek() != Token::End {
        let read = if parser.is_word("let") {
            parser.named_set().map(|named| spec.lets.push(named))
        } else {
            parser.assertion().map(|assertion| spec.assertions.push(assertion))
        };
        if let Err(error) = read {
            errors.push(error);
            parser.skip_statement();
        }
    }
    (spec, errors)
}

type Read<T> = Result<T, IntentError>;

struct Parser {
    tokens: Vec<(Token, Span)>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn after(&self) -> &Token {
        self.tokens.get(self.at + 1).map_or(&Token::End, |(token, _)| token)
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(Span::default(), |(_, span)| *span)
    }

    /// The place of the piece that was read last.
    fn last(&self) -> Span {
        self.tokens.get(self.at.saturating_sub(1)).map_or(Span::default(), |(_, span)| *span)
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len().saturating_sub(1));
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(known) if known == word)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(known) if *known == sign)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.advance();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Read<()> {
        if self.take_word(word) { Ok(()) } else { Err(self.expected(&format!("`{word}`"))) }
    }

    fn expect_sign(&mut self, sign: &str) -> Read<()> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }

    fn expected(&self, what: &str) -> IntentError {
        let message = format!("expected {what}, and there is {}", self.peek().shown());
        IntentError { span: self.span(), message, help: None }
    }

    fn skip_statement(&mut self) {
        while *self.peek() != Token::End && !self.take_sign(";") {
            self.advance();
        }
    }

    /// A word that names something.
    fn name(&mut self, what: &str) -> Read<Word> {
        match self.peek() {
            Token::Word(word) if !KEYWORDS.contains(&word.as_str()) => {
                let word = Word::new(word.clone(), self.span());
                self.advance();
                Ok(word)
            }
            _ => Err(self.expected(what)),
        }
    }

    fn any_word(&mut self) -> Read<Word> {
        let Token::Word(word) = self.peek() else { return Err(self.expected("a word")) };
        let word = Word::new(word.clone(), self.span());
        self.advance();
        Ok(word)
    }

    fn text(&mut self, what: &str) -> Read<Word> {
        let Token::Text(text) = self.peek() else { return Err(self.expected(what)) };
        let text = Word::new(text.clone(), self.span());
        self.advance();
        Ok(text)
    }

    fn number(&mut self, what: &str) -> Read<Quantity> {
        let Token::Number(number) = *self.peek() else { return Err(self.expected(what)) };
        self.advance();
        Ok(number)
    }

    /// `let NAME = SET ;`
    fn named_set(&mut self) -> Read<(Word, Set)> {
        self.advance();
        let name = self.name("a name for the set")?;
        self.expect_sign("=")?;
        let set = self.set()?;
        self.expect_sign(";")?;
        Ok((name, set))
    }

    fn assertion(&mut self) -> Read<Assertion> {
        if !self.take_word("assert") {
            let mut error = self.expected("`assert` or `let`");
            if let Token::Word(word) = self.peek() {
                let meant = meshproof_model::did_you_mean(word, ["assert", "let"]);
                error.help = meant.map(|meant| format!("did you mean `{meant}`?"));
            }
            return Err(error);
        }
        let name = self.text("the assertion's name in quotes")?;
        let mut assertion = Assertion {
            name,
            severity: None,
            allow_vacuous: false,
            owner: None,
            limit: None,
            quantifiers: Vec::new(),
            when: None,
            goals: Vec::new(),
        };
        if self.take_sign("(") {
            self.attributes(&mut assertion)?;
        }
        self.expect_sign(":")?;
        while self.is_word("for") {
            self.quantifier(&mut assertion.quantifiers)?;
        }
        if self.take_word("when") {
            assertion.when = Some(self.pred()?);
        }
        self.expect_word("then")?;
        loop {
            assertion.goals.push(self.goal()?);
            if !self.take_word("and") {
                break;
            }
        }
        self.expect_sign(";")?;
        Ok(assertion)
    }

    fn attributes(&mut self, assertion: &mut Assertion) -> Read<()> {
        const KNOWN: [&str; 4] = ["severity", "timeout", "allow-vacuous", "owner"];
        loop {
            let attribute = self.name("an attribute")?;
            match attribute.text.as_str() {
                "allow-vacuous" => assertion.allow_vacuous = true,
                "severity" => {
                    self.expect_sign("=")?;
                    let severity = self.name("error, warning or info")?;
                    if !["error", "warning", "info"].contains(&severity.text.as_str()) {
                        let message = format!("`{}` is no severity", severity.text);
                        let help = Some("it is error, warning or info".to_owned());
                        return Err(IntentError { span: severity.span, message, help });
                    }
                    assertion.severity = Some(severity);
                }
                "owner" => {
                    self.expect_sign("=")?;
                    assertion.owner = Some(self.text("a text in quotes")?.text);
                }
                "timeout" => {
                    self.expect_sign("=")?;
                    let steps = self.number("a number of steps")?;
                    self.expect_word("ops")?;
                    assertion.limit = Some(u32::try_from(steps.bases()).unwrap_or(u32::MAX));
                }
                other => {
                    let meant = meshproof_model::did_you_mean(other, KNOWN);
                    let help = meant.map_or_else(
                        || format!("there are {}", KNOWN.join(", ")),
                        |meant| format!("did you mean `{meant}`?"),
                    );
                    let message = format!("`{other}` is no attribute of an assertion");
                    return Err(IntentError { span: attribute.span, message, help: Some(help) });
                }
            }
            if !self.take_sign(",") {
                return self.expect_sign(")");
            }
        }
    }

    /// `for all a, b in SET [where PRED] :`
    fn quantifier(&mut self, quantifiers: &mut Vec<Quantifier>) -> Read<()> {
        self.advance();
        let is_all = self.take_word("all");
        if !is_all {
            self.expect_word("some")?;
        }
        let mut variables = vec![self.name("a variable")?];
        while self.take_sign(",") {
            variables.push(self.name("a variable")?);
        }
        self.expect_word("in")?;
        let set = self.set()?;
        let filter = if self.take_word("where") { Some(self.pred()?) } else { None };
        self.expect_sign(":")?;
        let last = variables.len() - 1;
        quantifiers.extend(variables.into_iter().enumerate().map(|(i, variable)| Quantifier {
            is_all,
            variable,
            set: set.clone(),
            filter: filter.clone().filter(|_| i == last),
        }));
        Ok(())
    }

    fn goal(&mut self) -> Read<Goal> {
        if self.take_word("never") {
            return Ok(Goal::Never(self.pred()?));
        }
        if self.take_word("within") {
            let time = self.number("a length of time such as 60s")?;
            return Ok(Goal::Within(time, self.pred()?));
        }
        let start = self.span();
        if self.take_word("always") {
            return Ok(Goal::Always(self.pred()?));
        }
        let before = self.at;
        if let Ok(term) = self.term()
            && self.take_word("unchanged")
        {
            self.expect_word("since")?;
            let since = self.reference()?;
            let except = if self.take_word("except") { Some(self.set()?) } else { None };
            return Ok(Goal::Unchanged { term, since, except, span: start.to(self.last()) });
        }
        self.at = before;
        Ok(Goal::Always(self.pred()?))
    }

    /// `git("main")`, or a folder in quotes.
    fn reference(&mut self) -> Read<Word> {
        if !self.take_word("git") {
            return self.text("`git(\"REV\")` or a folder in quotes");
        }
        self.expect_sign("(")?;
        let revision = self.text("a revision in quotes")?;
        self.expect_sign(")")?;
        Ok(Word { text: format!("git:{}", revision.text), span: revision.span })
    }

    fn pred(&mut self) -> Read<Pred> {
        let mut any = vec![self.conjunction()?];
        while self.take_word("or") {
            any.push(self.conjunction()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Pred::Or(any) })
    }

    fn conjunction(&mut self) -> Read<Pred> {
        let mut all = vec![self.literal()?];
        while self.is_word("and") && !self.begins_goal() {
            self.advance();
            all.push(self.literal()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Pred::And(all) })
    }

    /// Whether a further goal comes after `and`.
    fn begins_goal(&self) -> bool {
        matches!(self.after(), Token::Word(word) if ["never", "always", "within"].contains(&word.as_str()))
    }

    fn literal(&mut self) -> Read<Pred> {
        if self.take_word("not") {
            return Ok(Pred::Not(Box::new(self.literal()?)));
        }
        if self.is_sign("(") {
            let before = self.at;
            self.advance();
            if let Ok(inside) = self.pred()
                && self.take_sign(")")
                && !self.continues_term()
            {
                return Ok(inside);
            }
            self.at = before;
        }
        if self.is_word("surge") {
            return self.surge();
        }
        self.atom()
    }

    /// Whether what was in parentheses was a term.
    fn continues_term(&self) -> bool {
        let signs = ["+", "-", "*", "=", "!=", "<", "<=", ">", ">="];
        matches!(self.peek(), Token::Sign(sign) if signs.contains(sign))
    }

    /// `surge <= 5x for 10s`
    fn surge(&mut self) -> Read<Pred> {
        let start = self.span();
        self.advance();
        self.expect_sign("<=")?;
        let factor = self.number("a factor such as 5x")?;
        self.expect_word("for")?;
        let during = self.number("a length of time such as 10s")?;
        Ok(Pred::Surge(factor, during, start.to(self.last())))
    }

    fn atom(&mut self) -> Read<Pred> {
        let left = self.term()?;
        if self.take_word("matches") {
            return Ok(Pred::Matches(left, self.text("a pattern in quotes, such as \"/admin*\"")?));
        }
        if self.take_word("in") {
            return Ok(Pred::In(left, self.set()?));
        }
        let comparison = match self.peek() {
            Token::Sign("<") => Comparison::Less,
            Token::Sign("<=") => Comparison::AtMost,
            Token::Sign("=") => Comparison::Equal,
            Token::Sign("!=") => Comparison::Differs,
            Token::Sign(">=") => Comparison::AtLeast,
            Token::Sign(">") => Comparison::More,
            _ => return Ok(Pred::Fact(left)),
        };
        self.advance();
        let right = self.term()?;
        let span = left.span().to(right.span());
        Ok(Pred::Compare(left, comparison, right, span))
    }

    fn term(&mut self) -> Read<Term> {
        let mut sum = self.product()?;
        loop {
            if self.take_sign("+") {
                sum = Term::Sum(Box::new(sum), Box::new(self.product()?));
            } else if self.take_sign("-") {
                sum = Term::Difference(Box::new(sum), Box::new(self.product()?));
            } else {
                return Ok(sum);
            }
        }
    }

    /// One factor is a plain number: only then is the product linear.
    fn product(&mut self) -> Read<Term> {
        let mut product = self.factor()?;
        while self.take_sign("*") {
            let other = self.factor()?;
            let span = product.span().to(other.span());
            let is_plain = |unit| matches!(unit, Unit::Count | Unit::Share);
            product = match (product, other) {
                (Term::Number(factor, _), term) | (term, Term::Number(factor, _)) if is_plain(factor.unit) => {
                    Term::Times(factor, Box::new(term), span)
                }
                _ => {
                    let message = "this product is not linear".to_owned();
                    let help = Some("one of the factors must be a plain number, such as `2 * timeout(e)`".to_owned());
                    return Err(IntentError { span, message, help });
                }
            };
        }
        Ok(product)
    }

    fn factor(&mut self) -> Read<Term> {
        let span = self.span();
        match self.peek() {
            Token::Number(number) => {
                let number = *number;
                self.advance();
                Ok(Term::Number(number, span))
            }
            Token::Text(_) => Ok(Term::Text(self.text("a text")?)),
            Token::Sign("(") => {
                self.advance();
                let inside = self.term()?;
                self.expect_sign(")")?;
                Ok(inside)
            }
            _ => {
                // The ends of a call are asked for by words that have a meaning elsewhere.
                let asks = matches!(self.peek(), Token::Word(word) if ["from", "to", "up"].contains(&word.as_str()))
                    && matches!(self.after(), Token::Sign("("));
                let name = if asks { self.any_word() } else { self.name("a value") }?;
                if !self.take_sign("(") {
                    return Ok(Term::Name(name));
                }
                let mut arguments = Vec::new();
                while !self.is_sign(")") {
                    arguments.push(self.term()?);
                    if !self.take_sign(",") {
                        break;
                    }
                }
                self.expect_sign(")")?;
                Ok(Term::Call(name, arguments, span.to(self.last())))
            }
        }
    }

    fn set(&mut self) -> Read<Set> {
        let mut set = self.single_set()?;
        loop {
            let join = match self.peek() {
                Token::Word(word) if word == "union" => Join::Union,
                Token::Word(word) if word == "minus" => Join::Minus,
                Token::Word(word) if word == "intersect" => Join::Intersect,
                _ => return Ok(set),
            };
            self.advance();
            let other = self.single_set()?;
            let span = set.span.to(other.span);
            set = Set { kind: SetKind::Joined(Box::new(set), join, Box::new(other)), span };
        }
    }

    fn single_set(&mut self) -> Read<Set> {
        let start = self.span();
        if self.take_sign("(") {
            let set = self.set()?;
            self.expect_sign(")")?;
            return Ok(set);
        }
        let kind = if self.take_sign("{") {
            self.listed()?
        } else if self.take_sign("[") {
            self.labels()?
        } else {
            let name = self.name("a set")?;
            match name.text.as_str() {
                "failures" => self.failures()?,
                "requests" | "paths" | "edges" | "links" => {
                    let from = if self.take_word("from") { Some(Box::new(self.set()?)) } else { None };
                    let to = if self.take_word("to") { Some(Box::new(self.set()?)) } else { None };
                    SetKind::Between { what: name.text, from, to }
                }
                _ => SetKind::Named(name.text),
            }
        };
        Ok(Set { kind, span: start.to(self.last()) })
    }

    /// `{a, b}`
    fn listed(&mut self) -> Read<SetKind> {
        let mut names = Vec::new();
        while !self.is_sign("}") {
            let name = if matches!(self.peek(), Token::Text(_)) { self.text("a name")? } else { self.name("a name")? };
            names.push(name);
            if !self.take_sign(",") {
                break;
            }
        }
        self.expect_sign("}")?;
        Ok(SetKind::Listed(names))
    }

    /// `[app = web, tier = "db"]`
    fn labels(&mut self) -> Read<SetKind> {
        let mut labels = Vec::new();
        loop {
            let key = self.name("a label")?;
            self.expect_sign("=")?;
            let value = if matches!(self.peek(), Token::Text(_)) { self.text("")? } else { self.name("a value")? };
            labels.push((key.text, value.text));
            if !self.take_sign(",") {
                self.expect_sign("]")?;
                return Ok(SetKind::Labels(labels));
            }
        }
    }

    /// `up to N kind { and N kind }`
    fn failures(&mut self) -> Read<SetKind> {
        self.expect_word("up")?;
        self.expect_word("to")?;
        let mut kinds = Vec::new();
        loop {
            let number = self.number("a number of failures")?;
            let kind = self.name("zones, services, pods, nodes or control-plane")?;
            kinds.push((u32::try_from(number.bases()).unwrap_or(u32::MAX), kind));
            let goes_on = self.is_word("and") && matches!(self.after(), Token::Number(_));
            if !goes_on {
                return Ok(SetKind::Failures(kinds));
            }
            self.advance();
        }
    }
}
