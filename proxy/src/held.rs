//! A stream's request: its own, or one that it shares with others until it changes it.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use crate::request::Request;

/// A request that is copied when it is changed. The slot's own buffers stay for the next time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    shared: Option<Arc<Request>>,
    own: Request,
}

impl Held {
    /// The request is this one, as others' are.
    pub(crate) fn share(&mut self, request: &Arc<Request>) {
        self.shared = Some(Arc::clone(request));
    }

    /// The slot's own request, to be loaded anew.
    pub(crate) fn fresh(&mut self) -> &mut Request {
        self.shared = None;
        &mut self.own
    }
}

impl Deref for Held {
    type Target = Request;

    #[inline]
    fn deref(&self) -> &Request {
        self.shared.as_deref().unwrap_or(&self.own)
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Request {
        if let Some(shared) = self.shared.take() {
            self.own.clone_from(&shared);
        }
        &mut self.own
    }
}
