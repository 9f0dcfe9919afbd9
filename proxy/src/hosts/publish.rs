//! When the balancer learns of changed health (Envoy: `update_merge_window`).

use crate::{ClusterId, Cx, Effect, Nanos, Time, TimerId};

/// The merge window of one cluster.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Publication {
    /// When health was last published; membership changes do not count.
    last: Option<Time>,
    /// Whether changes wait for the timer.
    waits: bool,
}

impl Publication {
    /// A host's health changed. Returns whether to publish now; otherwise the timer will.
    ///
    /// The window of waiting changes begins with the first of them, not with the last publication.
    pub(super) fn request(&mut self, cx: &mut Cx<'_>, cluster: ClusterId, window: Nanos) -> bool {
        let timer = TimerId::Publish(cluster);
        if window.is_zero() || self.last.is_none_or(|last| cx.now.since(last) > window) {
            if self.waits {
                cx.effects.push(Effect::ClearTimer(timer));
            }
            *self = Self { last: Some(cx.now), waits: false };
            return true;
        }
        if !self.waits {
            self.waits = true;
            cx.effects.push(Effect::SetTimer { timer, at: cx.now + window });
        }
        false
    }

    /// The timer fired. Returns whether something waited for it.
    pub(super) fn on_timer(&mut self, now: Time) -> bool {
        let waited = self.waits;
        if waited {
            *self = Self { last: Some(now), waits: false };
        }
        waited
    }
}
