//! What reading an object's values has to say, and the values that several kinds share.

use meshproof_model::{Finding, INEFFECTIVE_SETTING, INVALID_VALUE, Labels, Located, Nanos, Severity, Subject};

use crate::{duration::go_duration, field::Field, object::Object, yaml::Plain};

/// Collects findings about one object.
pub(crate) struct Cx {
    subject: Subject,
    pub findings: Vec<Finding>,
}

impl Cx {
    pub(crate) fn new(object: &Object<'_>) -> Self {
        Self { subject: Subject::Resource(object.meta.resource.clone()), findings: Vec::new() }
    }

    /// For values that are read a second time: what is wrong with them has been said.
    pub(crate) fn silent(other: &Self) -> Self {
        Self { subject: other.subject.clone(), findings: Vec::new() }
    }

    /// What the findings are about.
    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// A value that its field does not take.
    pub(crate) fn invalid(&mut self, field: &Field<'_>, message: impl Into<String>, help: impl Into<String>) {
        let finding = Finding::new(&INVALID_VALUE, self.subject.clone(), message).at(field.at()).help(help);
        self.findings.push(finding);
    }

    /// A setting that does nothing where it stands.
    pub(crate) fn ineffective(&mut self, field: &Field<'_>, message: impl Into<String>, help: impl Into<String>) {
        let finding = Finding::new(&INEFFECTIVE_SETTING, self.subject.clone(), message).at(field.at()).help(help);
        self.findings.push(finding);
    }

    /// A value that works, and that the API server's admission refuses.
    pub(crate) fn refused(&mut self, field: &Field<'_>, message: impl Into<String>, help: impl Into<String>) {
        self.invalid(field, message, help);
        if let Some(finding) = self.findings.last_mut() {
            finding.severity = Severity::Warning;
        }
    }

    /// A duration of Istio's: Go's grammar, whole milliseconds, at least one.
    pub(crate) fn duration(&mut self, object: &Field<'_>, key: &'static str) -> Option<Located<Nanos>> {
        let field = object.get(key)?;
        // Anything but a text is the schema's finding.
        let Some(Plain::Text(text)) = field.node().plain() else { return None };
        let Some(nanos) = go_duration(text) else {
            let help = "write a number with a unit, such as `500ms`, `2s` or `1m30s`";
            self.invalid(&field, format!("`{key}` is a duration, and `{text}` is none"), help);
            return None;
        };
        if nanos.is_zero() {
            if key != "idleTimeout" {
                let message = format!("Istio's admission refuses `{key}: {text}`; the proxy reads it as no limit");
                self.refused(&field, message, format!("leave `{key}` out for no limit"));
            }
        } else if nanos.get() % 1_000_000 != 0 {
            let message = format!("Istio's admission refuses `{key}: {text}`: durations are whole milliseconds");
            self.refused(&field, message, "round it to whole milliseconds");
        }
        Some(field.located(nanos))
    }

    /// A port's number.
    pub(crate) fn port(&mut self, object: &Field<'_>, key: &'static str) -> Option<Located<u16>> {
        let field = object.get(key)?;
        self.port_value(&field)
    }

    /// A port's number, in a field of its own.
    pub(crate) fn port_value(&mut self, field: &Field<'_>) -> Option<Located<u16>> {
        let number = field.int()?;
        match u16::try_from(number) {
            Ok(port) if port > 0 => Some(field.located(port)),
            _ => {
                self.invalid(field, format!("`{number}` is not a port"), "ports are 1 to 65535");
                None
            }
        }
    }

    /// A number of things.
    pub(crate) fn count(&mut self, object: &Field<'_>, key: &'static str) -> Option<Located<u32>> {
        let field = object.get(key)?;
        let number = field.int()?;
        if let Ok(count) = u32::try_from(number) {
            return Some(field.located(count));
        }
        self.invalid(&field, format!("`{key}` is a count, and `{number}` is none"), "write 0 or more");
        None
    }

    /// A percentage, 0 to 100.
    pub(crate) fn percent(&mut self, object: &Field<'_>, key: &'static str) -> Option<Located<u32>> {
        let count = self.count(object, key)?;
        if count.value > 100 {
            let field = object.get(key)?;
            self.invalid(
                &field,
                format!("`{key}` is a percentage, and {} is above 100", count.value),
                "write 0 to 100",
            );
            return None;
        }
        Some(count)
    }

    /// A percentage with a fraction, in parts per million.
    pub(crate) fn share(&mut self, field: &Field<'_>) -> Option<Located<u32>> {
        let ppm = field.scaled(10_000.0)?;
        if !(0.0..=1_000_000.0).contains(&ppm) {
            self.invalid(field, "a percentage is 0 to 100", "write 0 to 100");
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000,000")]
        Some(field.located(ppm as u32))
    }

    /// The value behind one of the words; another word is the schema's finding.
    pub(crate) fn word<T: Copy>(object: &Field<'_>, key: &'static str, words: &[(&str, T)]) -> Option<Located<T>> {
        let field = object.get(key)?;
        let text = field.text()?;
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| field.located(*value))
    }

    /// `selector.matchLabels`.
    pub(crate) fn match_labels(spec: &Field<'_>, key: &'static str) -> Labels {
        spec.get(key).map(|selector| selector.labels_at("matchLabels")).unwrap_or_default()
    }
}
