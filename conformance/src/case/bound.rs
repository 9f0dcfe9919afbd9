//! What a case may ask of the machine that replays it.

use super::Case;

// BOUND: requests of a case; recorded ones have a few thousand.
const REQUESTS_MAX: u64 = 1_000_000;
// BOUND: bytes of a body.
const BODY_MAX: u64 = 64 << 20;
/// Of one message of gRPC, its frame included.
const MESSAGE: u64 = 13;

impl Case {
    /// Refuses what could not be replayed in reasonable time and memory.
    pub(crate) fn bounded(&self) -> Result<(), String> {
        let requests = self.requests.iter().map(|request| request.repeat.unwrap_or(1));
        if requests.fold(0, u64::saturating_add) > REQUESTS_MAX {
            return Err(format!("more than {REQUESTS_MAX} requests"));
        }
        let sent = self.requests.iter().map(|request| {
            let chunks = request.body_chunks.iter().flatten().map(|(_, bytes)| *bytes);
            let plain = request.body_bytes.unwrap_or(0);
            chunks.fold(plain.max(messages(request.grpc_messages)), u64::saturating_add)
        });
        let answered =
            self.upstream.actions().map(|action| action.body_bytes.unwrap_or(0).max(messages(action.grpc_messages)));
        if sent.chain(answered).any(|bytes| bytes > BODY_MAX) {
            return Err(format!("a body of more than {BODY_MAX} bytes"));
        }
        Ok(())
    }
}

fn messages(number: Option<u64>) -> u64 {
    number.unwrap_or(0).saturating_mul(MESSAGE)
}
