//! Matchers on texts, headers, query parameters, names of certificates and claims.

use meshproof_proxy::config;
use serde::Deserialize;

use super::LowerError;

/// A struct with the five ways to compare a text beside its own keys.
macro_rules! text_matcher {
    ($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            exact: Option<String>,
            prefix: Option<String>,
            suffix: Option<String>,
            contains: Option<String>,
            regex: Option<String>,
            #[serde(default)]
            ignore_case: bool,
            $($(#[$attr])* $field: $type,)*
        }

        impl $name {
            fn text(&self) -> Option<config::StringMatcher> {
                use config::StringPattern::{Contains, Exact, Prefix, Regex, Suffix};
                let pattern = None
                    .or_else(|| self.exact.clone().map(Exact))
                    .or_else(|| self.prefix.clone().map(Prefix))
                    .or_else(|| self.suffix.clone().map(Suffix))
                    .or_else(|| self.contains.clone().map(Contains))
                    .or_else(|| self.regex.clone().map(Regex))?;
                Some(config::StringMatcher { pattern, ignore_case: self.ignore_case })
            }
        }
    };
}

text_matcher!(
    /// A condition on a text.
    Text {}
);

text_matcher!(
    /// A condition on a header.
    Header {
        name: String,
        present: Option<bool>,
        range: Option<Range>,
        #[serde(default)]
        invert: bool,
        #[serde(default)]
        treat_missing_as_empty: bool,
    }
);

text_matcher!(
    /// A condition on a query parameter.
    Query {
        name: String,
        present: Option<bool>,
    }
);

text_matcher!(
    /// A condition on a name of a certificate.
    San {
        san_type: Option<SanType>,
    }
);

text_matcher!(
    /// A condition on a claim of a token.
    Claim {
        path: Vec<String>,
        bool: Option<bool>,
        one_of: Option<Text>,
    }
);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    start: i64,
    end: i64,
}

#[derive(PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SanType {
    Uri,
    Dns,
}

impl Text {
    pub(crate) fn lower(&self) -> Result<config::StringMatcher, LowerError> {
        self.text().ok_or_else(|| LowerError::EmptyMatcher("a text".to_owned()))
    }

    /// `None` where the matcher is `{}`.
    pub(crate) fn lower_optional(&self) -> Option<config::StringMatcher> {
        self.text()
    }
}

impl Header {
    pub(crate) fn lower(&self) -> Result<config::HeaderMatcher, LowerError> {
        use config::HeaderValueMatcher as Value;
        let value = match (self.present, &self.range) {
            (Some(present), _) => Value::Present(present),
            (None, Some(range)) => Value::Range { start: range.start, end: range.end },
            (None, None) => Value::Text(self.text().ok_or_else(|| LowerError::EmptyMatcher(self.name.clone()))?),
        };
        Ok(config::HeaderMatcher {
            name: self.name.to_ascii_lowercase(),
            value,
            invert: self.invert,
            treat_missing_as_empty: self.treat_missing_as_empty,
        })
    }

    pub(crate) fn lower_all(headers: &[Self]) -> Result<Vec<config::HeaderMatcher>, LowerError> {
        headers.iter().map(Self::lower).collect()
    }
}

impl Query {
    pub(crate) fn lower(&self) -> Result<config::QueryMatcher, LowerError> {
        use config::QueryValueMatcher as Value;
        let value = match self.present {
            Some(present) => Value::Present(present),
            None => Value::Text(self.text().ok_or_else(|| LowerError::EmptyMatcher(self.name.clone()))?),
        };
        Ok(config::QueryMatcher { name: self.name.clone(), value })
    }
}

impl San {
    pub(crate) fn lower(&self) -> Result<config::SanMatcher, LowerError> {
        let value = self.text().ok_or_else(|| LowerError::EmptyMatcher("a certificate".to_owned()))?;
        Ok(config::SanMatcher { value, dns: self.san_type == Some(SanType::Dns) })
    }
}

impl Claim {
    pub(crate) fn lower(&self) -> Result<config::ClaimMatcher, LowerError> {
        use config::ClaimValueMatcher as Value;
        let value = match (self.bool, &self.one_of) {
            (Some(truth), _) => Value::Bool(truth),
            (None, Some(element)) => Value::OneOf(element.lower()?),
            (None, None) => Value::Text(self.text().ok_or_else(|| LowerError::EmptyMatcher(self.path.join(".")))?),
        };
        Ok(config::ClaimMatcher { path: self.path.clone(), value })
    }
}
