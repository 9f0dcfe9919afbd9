//! What a scripted host puts on the wire for one action, as a list of steps with their delays.

use meshproof_proxy::{Nanos, ResetReason};

use crate::case::{Action, LastStream, Reset, RstAfter};

/// Length of one gRPC message of eight bytes with its prefix.
pub(crate) const GRPC_FRAME: u64 = 13;
/// The pause before a host breaks off an answer that it has begun.
const BREAK_DELAY: Nanos = Nanos::from_millis(50);

/// What a request needs to its host, where it matters at all.
const TRAVEL: Nanos = Nanos::new(1_000);

/// One thing that a peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Response headers.
    Head { status: u16, headers: Vec<(String, String)>, end: bool },
    /// Response body.
    Body { bytes: u64, end: bool },
    /// Trailers, the end of the response.
    Trailers(Vec<(String, String)>),
    /// The stream is reset (HTTP/2).
    Rst(ResetReason),
    /// The connection takes no further stream (HTTP/2).
    GoAway(LastStream),
    /// The connection is closed.
    Close(ResetReason),
}

/// The steps of an answer, each with its delay after the request.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) steps: Vec<(Nanos, Step)>,
    /// When the host is done with the stream; `None`: never.
    pub(crate) done_after: Option<Nanos>,
    at: Nanos,
}

impl Script {
    /// Any answer comes a little late: the request took its time to the host, so a deadline of the same length that
    /// the proxy set when it sent the request comes first.
    const fn new() -> Self {
        Self { steps: Vec::new(), done_after: None, at: TRAVEL }
    }

    fn step(&mut self, step: Step) {
        self.steps.push((self.at, step));
    }

    fn last(mut self, step: Step) -> Self {
        self.step(step);
        self.done_after = Some(self.at);
        self
    }

    fn wait(&mut self, time: Nanos) {
        self.at = self.at + time;
    }
}

/// The text of an answer's body.
pub(crate) fn body(action: &Action) -> String {
    match (&action.body, action.grpc_messages) {
        (Some(text), _) => text.clone(),
        (None, Some(messages)) => "\0\0\0\0\u{8}gggggggg".repeat(usize::try_from(messages).unwrap_or(0)),
        (None, None) => "x".repeat(usize::try_from(action.body_bytes.unwrap_or(2)).unwrap_or(0)),
    }
}

/// What an HTTP/1.1 host does.
pub(crate) fn http1(action: &Action, method: &str) -> Script {
    let mut script = Script::new();
    if action.never {
        return script;
    }
    script.wait(action.delay_ms.nanos());
    if action.reset == Some(Reset::BeforeHeaders) || action.close_before_headers {
        return script.last(Step::Close(ResetReason::ConnectionTermination));
    }
    if action.raw.is_some() {
        return script.last(Step::Close(ResetReason::ProtocolError));
    }
    let status = action.status.unwrap_or(200);
    let mut headers = lower_case(&action.headers);
    let length = if status == 204 { 0 } else { body(action).len() as u64 };
    if status != 204 {
        headers.push(("content-length".to_owned(), length.to_string()));
    }
    let length = if method == "HEAD" { 0 } else { length };
    let is_slow = action.reset.is_some() || action.stall_after_headers || action.body_delay_ms.is_some();
    let head = Step::Head { status, headers, end: length == 0 };
    if !is_slow {
        if length == 0 {
            return script.last(head);
        }
        script.step(head);
        return script.last(Step::Body { bytes: length, end: true });
    }
    script.step(head);
    if length > 0 {
        script.step(Step::Body { bytes: 1, end: length == 1 });
    }
    if action.reset == Some(Reset::MidBody) {
        script.wait(BREAK_DELAY);
        // What is cut off in the middle is malformed; what is complete is just a closed connection.
        let reason = if length > 1 { ResetReason::ProtocolError } else { ResetReason::ConnectionTermination };
        return script.last(Step::Close(reason));
    }
    if let Some(delay) = action.body_delay_ms.filter(|_| length > 1 && !action.stall_after_headers) {
        script.wait(delay.nanos());
        return script.last(Step::Body { bytes: length - 1, end: true });
    }
    script
}

/// What an HTTP/2 host does once the request is complete.
pub(crate) fn http2(action: &Action, method: &str) -> Script {
    let mut script = Script::new();
    if let Some(goaway) = &action.goaway_on_request {
        script.step(Step::GoAway(goaway.last_stream));
    }
    if action.never {
        return script;
    }
    script.wait(action.delay_ms.nanos());
    if let Some(goaway) = &action.goaway {
        script.step(Step::GoAway(goaway.last_stream));
    }
    if action.reset == Some(Reset::BeforeHeaders) || action.close_before_headers {
        return script.last(Step::Close(ResetReason::ConnectionTermination));
    }
    let rst = action.rst_stream.as_deref().map(reason);
    if let (Some(rst), None) = (rst, action.rst_after) {
        return script.last(Step::Rst(rst));
    }
    answer_http2(script, action, method, rst)
}

fn answer_http2(mut script: Script, action: &Action, method: &str, rst: Option<ResetReason>) -> Script {
    let status = action.status.unwrap_or(200);
    let mut headers = lower_case(&action.headers);
    if action.trailers_only {
        return script.last(Step::Head { status, headers, end: true });
    }
    let mut length = body(action).len() as u64;
    let has_length = headers.iter().any(|(name, _)| name == "content-length");
    if !has_length
        && action.grpc_messages.is_none()
        && action.trailers.is_none()
        && action.content_length != Some(false)
    {
        headers.push(("content-length".to_owned(), length.to_string()));
    }
    if method == "HEAD" {
        length = 0;
    }
    let head = Step::Head { status, headers, end: length == 0 && action.trailers.is_none() };
    if length == 0 && action.trailers.is_none() {
        return script.last(head);
    }
    script.step(head);
    if let (Some(RstAfter::Headers), Some(rst)) = (action.rst_after, rst) {
        script.wait(BREAK_DELAY);
        return script.last(Step::Rst(rst));
    }
    if action.stall_after_headers {
        return script;
    }
    if let Some(delay) = action.body_delay_ms {
        let first = length.min(1);
        script.step(Step::Body { bytes: first, end: false });
        length -= first;
        script.wait(delay.nanos());
    }
    if let (Some(RstAfter::Body), Some(rst)) = (action.rst_after, rst) {
        script.step(Step::Body { bytes: length, end: false });
        script.wait(BREAK_DELAY);
        return script.last(Step::Rst(rst));
    }
    if action.reset == Some(Reset::MidBody) {
        script.step(Step::Body { bytes: length.min(1), end: false });
        script.wait(BREAK_DELAY);
        return script.last(Step::Close(ResetReason::ConnectionTermination));
    }
    let Some(trailers) = &action.trailers else {
        return script.last(Step::Body { bytes: length, end: true });
    };
    if length > 0 {
        script.step(Step::Body { bytes: length, end: false });
    }
    script.wait(action.trailers_delay_ms.nanos());
    script.last(Step::Trailers(lower_case(trailers)))
}

/// What a proxy makes of an error code in `RST_STREAM`.
fn reason(code: &str) -> ResetReason {
    match code {
        "refused_stream" => ResetReason::RemoteRefusedStream,
        "protocol_error" => ResetReason::ProtocolError,
        _ => ResetReason::RemoteReset,
    }
}

fn lower_case(headers: &[(String, String)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn action(json: &str) -> Action {
        serde_json::from_str(json).unwrap()
    }

    fn shown(script: &Script) -> String {
        let mut text = String::new();
        for (at, step) in &script.steps {
            let step = match step {
                Step::Head { status, end, .. } => format!("{status}{}", if *end { "." } else { "" }),
                Step::Body { bytes, end } => format!("{bytes}b{}", if *end { "." } else { "" }),
                Step::Trailers(_) => "trailers.".to_owned(),
                other => format!("{other:?}"),
            };
            text.extend([&at.as_millis().to_string(), ":", &step, " "]);
        }
        text + &script.done_after.map_or("open".to_owned(), |at| format!("done {}", at.as_millis()))
    }

    #[test]
    fn http1_answers() {
        let table = [
            (r#"{"status":200}"#, "GET", "0:200 0:2b. done 0"),
            (r#"{"status":204}"#, "GET", "0:204. done 0"),
            (r#"{"status":200}"#, "HEAD", "0:200. done 0"),
            (r#"{"never":true}"#, "GET", "open"),
            (r#"{"delay_ms":5,"reset":"before_headers"}"#, "GET", "5:Close(ConnectionTermination) done 5"),
            (r#"{"reset":"mid_body"}"#, "GET", "0:200 0:1b 50:Close(ProtocolError) done 50"),
            (r#"{"body_delay_ms":30,"body_bytes":5}"#, "GET", "0:200 0:1b 30:4b. done 30"),
            (r#"{"stall_after_headers":true}"#, "GET", "0:200 0:1b open"),
            (r#"{"raw":"junk"}"#, "GET", "0:Close(ProtocolError) done 0"),
        ];
        for (json, method, expect) in table {
            assert_eq!(shown(&http1(&action(json), method)), expect, "{json}");
        }
    }

    #[test]
    fn http2_answers() {
        let table = [
            (r#"{"status":200}"#, "0:200 0:2b. done 0"),
            (r#"{"trailers":[["a","b"]],"grpc_messages":1,"trailers_delay_ms":9}"#, "0:200 0:13b 9:trailers. done 9"),
            (r#"{"trailers_only":true}"#, "0:200. done 0"),
            (r#"{"rst_stream":"cancel","rst_after":"body"}"#, "0:200 0:2b 50:Rst(RemoteReset) done 50"),
            (r#"{"rst_stream":"refused_stream"}"#, "0:Rst(RemoteRefusedStream) done 0"),
            (r#"{"goaway_on_request":{"last_stream":"zero"},"never":true}"#, "0:GoAway(Zero) open"),
        ];
        for (json, expect) in table {
            assert_eq!(shown(&http2(&action(json), "GET")), expect, "{json}");
        }
    }
}
