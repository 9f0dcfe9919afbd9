//! A witness's request as a question, and its replay through the proxy core.

use std::cell::OnceCell;

use meshproof_model::{Mesh, RequestExample};
use serde_json::{Map, Value, json};

use super::{Decider, Prepared, Question};

/// A request as `meshproof decide` takes it.
pub fn as_question(example: &RequestExample) -> Value {
    let mut from = Map::new();
    from.insert("workload".to_owned(), json!(example.from));
    let mut to = Map::new();
    to.insert("workload".to_owned(), json!(example.to));
    to.insert("port".to_owned(), json!(example.port));
    let mut request = Map::new();
    let put = |map: &mut Map<String, Value>, key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::from);
    put(&mut from, "principal", text(&example.principal));
    put(&mut from, "ip", example.ip.map(|ip| ip.to_string().into()));
    put(&mut from, "remote_ip", example.remote_ip.map(|ip| ip.to_string().into()));
    put(&mut to, "ip", example.to_ip.map(|ip| ip.to_string().into()));
    put(&mut request, "sni", text(&example.sni));
    if example.is_connection {
        put(&mut request, "protocol", Some("tcp".into()));
    } else {
        put(&mut request, "method", text(&example.method));
        put(&mut request, "path", text(&example.path));
        put(&mut request, "host", text(&example.host));
        let headers: Map<String, Value> =
            example.headers.iter().map(|(name, values)| (name.clone(), one_or_all(values))).collect();
        put(&mut request, "headers", (!headers.is_empty()).then(|| headers.into()));
        put(&mut request, "claims", (!example.claims.is_empty()).then(|| claims(example)));
    }
    json!({"id": "witness", "from": from, "to": to, "request": request})
}

/// A header's lines as a question has them: one alone is a text.
pub(crate) fn one_or_all(values: &[String]) -> Value {
    match values {
        [one] => one.as_str().into(),
        several => json!(several),
    }
}

/// Claims with those of objects inside of them.
fn claims(example: &RequestExample) -> Value {
    let mut claims = Map::new();
    for (name, values) in &example.claims {
        let mut inside = &mut claims;
        let mut way: Vec<&str> = name.split('.').collect();
        let Some(last) = way.pop() else { continue };
        for part in way {
            let next = inside.entry(part.to_owned()).or_insert_with(|| json!({}));
            if !next.is_object() {
                *next = json!({});
            }
            let Some(object) = next.as_object_mut() else { return claims.into() };
            inside = object;
        }
        inside.insert(last.to_owned(), one_or_all(values));
    }
    claims.into()
}

/// Puts witnesses' requests to the proxy core; a mesh is prepared when the first comes.
pub(crate) struct Replays<'m> {
    mesh: &'m Mesh,
    prepared: OnceCell<Prepared>,
}

impl<'m> Replays<'m> {
    pub(crate) const fn new(mesh: &'m Mesh) -> Self {
        Self { mesh, prepared: OnceCell::new() }
    }

    /// Whether the proxies let the request pass or not, as is claimed; and what they say.
    pub(crate) fn shows(&self, example: &RequestExample, passes: bool) -> (bool, String) {
        let prepared = self.prepared.get_or_init(|| Prepared::new(self.mesh));
        match serde_json::from_value::<Question>(as_question(example)) {
            Ok(question) => {
                let answer = Decider::new(prepared).answer(&question);
                (answer.allowed == Some(passes), answer.why)
            }
            Err(error) => (false, error.to_string()),
        }
    }
}
