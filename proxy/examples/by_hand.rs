//! Drives a proxy by hand: a request that fails, waits and is tried again. No socket, no clock, no thread.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;

use meshproof_proxy::{
    CompileError, Cx, DrawKey, Effect, Effects, Entropy, ListenerId, Nanos, Proxy, RequestHead, ResponseHead, Table,
    Time,
    config::{
        Action, Cluster, ClusterSpecifier, Config, HeaderMutations, Host, Listener, RetryPolicy, Route, RouteAction,
        RouteMatch, VirtualHost,
    },
};

/// Where draws come from; every draw is the same, so back-offs wait 20 ms.
struct Same;

impl Entropy for Same {
    fn draw(&mut self, _: DrawKey) -> u64 {
        20
    }
}

/// One route to one host; a 5xx answer is tried again once.
fn config() -> Config {
    let retry = RetryPolicy { retry_on: vec!["5xx".to_owned()], ..RetryPolicy::default() };
    let action = RouteAction { retry: Some(retry), ..RouteAction::to(ClusterSpecifier::Cluster("cart".to_owned())) };
    let route = Route {
        name: "default".to_owned(),
        matches: RouteMatch::prefix("/"),
        action: Action::Forward(Box::new(action)),
        headers: HeaderMutations::default(),
        filter_overrides: Vec::new(),
    };
    let any = VirtualHost { domains: vec!["*".to_owned()], routes: vec![route], ..VirtualHost::default() };
    let mut listener = Listener::default();
    listener.route_config.virtual_hosts.push(any);
    let cart = Cluster::new("cart", vec![Host::new("cart-0", "10.0.0.1:80")]);
    Config { listeners: vec![listener], clusters: vec![cart], zone: None }
}

fn main() -> Result<(), Vec<CompileError>> {
    let table = Arc::new(Table::compile(&config())?);
    let mut effects = Effects::default();
    let mut now = Time::START;
    let mut proxy = Proxy::new(&mut Cx { now, entropy: &mut Same, effects: &mut effects }, table);
    let head = RequestHead { method: "GET", authority: "cart", path: "/items", ..RequestHead::default() };
    let cx = &mut Cx { now, entropy: &mut Same, effects: &mut effects };
    proxy.on_request(cx, ListenerId::new(0), &head, true);

    let mut statuses = [503, 200].into_iter();
    // What is going to happen: timers at their time, the network 5 ms after it is asked.
    let mut agenda: Vec<(Time, Effect)> = Vec::new();
    loop {
        for effect in effects.drain() {
            println!("{now}  {effect:?}");
            match effect {
                Effect::SetTimer { at, .. } => agenda.push((at, effect)),
                Effect::Connect { .. } | Effect::Send { .. } => agenda.push((now + Nanos::from_millis(5), effect)),
                Effect::End { .. } => return Ok(()),
                _ => {}
            }
        }
        agenda.sort_by_key(|(at, _)| *at);
        let (at, effect) = agenda.remove(0);
        now = at;
        let cx = &mut Cx { now, entropy: &mut Same, effects: &mut effects };
        match effect {
            Effect::Connect { connection, .. } => proxy.on_connected(cx, connection, None),
            Effect::Send { attempt, .. } => {
                let status = statuses.next().unwrap_or(200);
                proxy.on_response(cx, attempt, &ResponseHead { status, headers: &[] }, true);
            }
            Effect::SetTimer { timer, .. } => proxy.on_timer(cx, timer),
            _ => {}
        }
    }
}
