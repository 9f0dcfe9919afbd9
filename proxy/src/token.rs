//! JSON web tokens as far as decisions read them: who says what, who signed it, and until when it holds. There is no
//! key material and no signature; a token in a request is known by its text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A token that a request may carry (RFC 7519).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The text that stands for it in a header, a query parameter or a cookie. Any other text is no token.
    pub text: String,
    /// The claim `iss`.
    pub issuer: Option<String>,
    /// The claim `sub`.
    pub subject: Option<String>,
    /// The claim `aud`.
    pub audiences: Vec<String>,
    /// The claim `exp`, in seconds from when the request is judged; negative: it has passed.
    pub expires_in_s: Option<i64>,
    /// The claim `nbf`, in seconds from when the request is judged; positive: it has not come.
    pub not_before_in_s: Option<i64>,
    /// The claim `iat`, in seconds from when the request is judged.
    pub issued_in_s: Option<i64>,
    /// How it claims to be signed.
    pub algorithm: TokenAlgorithm,
    /// The header field `kid`.
    pub key_id: Option<String>,
    /// The name of the key that signed it.
    pub signed_by: String,
    /// Whether the payload was changed after it was signed.
    pub is_tampered: bool,
    /// Other claims.
    pub claims: BTreeMap<String, Claim>,
}

/// How a token claims to be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    /// By a key of the issuer.
    #[default]
    Es256,
    /// With a shared secret.
    Hs256,
    /// Not at all.
    None,
}

/// The value of a claim. Numbers are whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Claim {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Claim>),
    /// An object.
    Object(BTreeMap<String, Claim>),
}

/// What filters leave behind for those after them: values by filter and key (Envoy: dynamic metadata).
pub type Metadata = BTreeMap<String, BTreeMap<String, Claim>>;
