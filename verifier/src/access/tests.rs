//! The formula and its search against the proxy core: every request of a small alphabet is put to compiled filters.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, sync::Arc};

use meshproof_proxy::{
    Claim, ListenerId, Peer as ProxyPeer, Question, RequestHead, RequestKey, Table, Token, Verdict,
    config::{
        ClaimMatcher, ClaimValueMatcher, Config, Filter, HeaderMatcher, HeaderValueMatcher, Identity, Jwt, Listener,
        Permission, Principal, Rbac, RbacAction, RbacPolicy, RbacRules, StringMatcher, Validity,
    },
};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use super::{
    formula::{Atoms, Peer, Seen, decision},
    recheck::{Recheck, recheck},
    search::{Fields, Outcome, search},
};
use crate::{patterns::Attribute, term::Bool};

const PATHS: [&str; 7] = ["/", "/a", "/a/b", "/b", "/ab", "/b/b", "/~"];
const METHODS: [&str; 3] = ["GET", "PUT", "DELETE"];
const VALUES: [&[&str]; 6] = [&[], &["a"], &["ab"], &["b"], &["~"], &["a", "b"]];
const NAMES: [Option<&str>; 3] =
    [None, Some("spiffe://cluster.local/ns/n/sa/a"), Some("spiffe://cluster.local/ns/m/sa/b")];

fn some_text(texts: &'static [&'static str]) -> impl Strategy<Value = StringMatcher> {
    (0..texts.len(), 0..5).prop_map(move |(text, kind)| match kind {
        0 | 1 => StringMatcher::exact(texts[text]),
        2 => StringMatcher::prefix(texts[text]),
        3 => StringMatcher::suffix(texts[text].trim_start_matches('/')),
        _ => StringMatcher::regex(format!("{}.+", texts[text])),
    })
}

fn some_header(name: &'static str, texts: &'static [&'static str]) -> impl Strategy<Value = HeaderMatcher> {
    let value = prop_oneof![
        1 => any::<bool>().prop_map(HeaderValueMatcher::Present),
        4 => some_text(texts).prop_map(HeaderValueMatcher::Text),
    ];
    (value, any::<bool>(), any::<bool>()).prop_map(move |(value, invert, treat_missing_as_empty)| HeaderMatcher {
        name: name.to_owned(),
        value,
        invert: invert && name != ":method",
        treat_missing_as_empty,
    })
}

fn some_permission() -> impl Strategy<Value = Permission> {
    let leaf = prop_oneof![
        1 => Just(Permission::Any),
        4 => some_text(&["/", "/a", "/b"]).prop_map(Permission::Path),
        2 => some_header(":method", &["GET", "PUT"]).prop_map(Permission::Header),
        2 => some_header("x", &["a", "b", "ab"]).prop_map(Permission::Header),
        1 => (8079..8082_u16).prop_map(Permission::DestinationPort),
        1 => Just(Permission::PathTemplate("/{*}/b".to_owned())),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Permission::AllOf),
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Permission::AnyOf),
            inner.prop_map(|one| Permission::Not(Box::new(one))),
        ]
    })
}

fn some_principal() -> impl Strategy<Value = Principal> {
    let name = prop_oneof![
        Just(Principal::Authenticated(None)),
        Just(Principal::Authenticated(Some(StringMatcher::exact("spiffe://cluster.local/ns/n/sa/a")))),
        Just(Principal::Authenticated(Some(StringMatcher::regex(".*/ns/n/.*")))),
    ];
    let claim = some_text(&["a", "b"]).prop_map(|text| {
        let path = vec!["payload".to_owned(), "role".to_owned()];
        let of = |value| Principal::Claim(ClaimMatcher { path: path.clone(), value });
        Principal::AnyOf(vec![of(ClaimValueMatcher::OneOf(text.clone())), of(ClaimValueMatcher::Text(text))])
    });
    let leaf = prop_oneof![2 => Just(Principal::Any), 3 => name, 2 => claim];
    leaf.prop_recursive(1, 4, 2, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Principal::AllOf),
            inner.prop_map(|one| Principal::Not(Box::new(one))),
        ]
    })
}

fn some_rules(action: RbacAction) -> impl Strategy<Value = Filter> {
    let policy =
        (proptest::collection::vec(some_permission(), 1..3), proptest::collection::vec(some_principal(), 1..3));
    proptest::collection::vec(policy, 0..3).prop_map(move |policies| {
        let policies = policies.into_iter().enumerate().map(|(number, (permissions, principals))| RbacPolicy {
            name: format!("p{number}"),
            permissions,
            principals,
        });
        let rules = RbacRules { action, policies: policies.collect() };
        Filter::Rbac(Rbac { rules: Some(rules), shadow_rules: None })
    })
}

fn some_filters() -> impl Strategy<Value = Vec<Filter>> {
    let deny = proptest::option::of(some_rules(RbacAction::Deny));
    let allow = proptest::option::of(some_rules(RbacAction::Allow));
    (any::<bool>(), deny, allow).prop_map(|(tokens, deny, allow)| {
        tokens.then(|| Filter::Jwt(Jwt::default())).into_iter().chain(deny).chain(allow).collect()
    })
}

/// Whether the proxy core lets a request pass.
fn passes(table: &Table, name: Option<&str>, fields: &Fields) -> bool {
    let one = |attribute: &Attribute, default: &str| {
        fields.get(attribute).and_then(|values| values.first()).map_or(default.to_owned(), Clone::clone)
    };
    let lines: Vec<(&str, &str)> = fields
        .get(&Attribute::HeaderLine("x".to_owned()))
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .map(|value| ("x", value.as_str()))
        .collect();
    let roles = fields.get(&Attribute::Claim("role".to_owned())).cloned().unwrap_or_default();
    let claims = BTreeMap::from([(
        "role".to_owned(),
        Claim::List(roles.iter().map(|role| Claim::Text(role.clone())).collect()),
    )]);
    let token = Arc::new(Token { claims, ..Token::default() });
    let identity = name.map(|name| Identity {
        ca: "mesh".to_owned(),
        uri_sans: vec![name.to_owned()],
        dns_sans: Vec::new(),
        validity: Validity::Valid,
    });
    let (method, path) = (one(&Attribute::Method, "GET"), one(&Attribute::Path, "/"));
    let head = RequestHead {
        key: RequestKey::default(),
        method: &method,
        authority: "a",
        path: &path,
        headers: &lines,
        tokens: &[],
        peer: ProxyPeer {
            identity: identity.as_ref(),
            address: None,
            destination: Some("10.0.0.1:8080".parse().unwrap()),
            server_name: None,
            connection: 0,
        },
        http2: true,
    };
    let question = Question { token: Some((meshproof_model::TOKEN_KEY, &token)), ..Question::of(head, 0) };
    let verdicts = table.verdicts(ListenerId::new(0), &question).unwrap();
    verdicts.iter().all(|verdict| match verdict {
        Verdict::Rbac { action: RbacAction::Deny, matching } => matching.is_empty(),
        Verdict::Rbac { action: RbacAction::Allow, matching } => !matching.is_empty(),
        _ => true,
    })
}

/// Every request of the alphabet.
fn alphabet() -> Vec<Fields> {
    let mut all = Vec::new();
    for path in PATHS {
        for method in METHODS {
            for lines in VALUES {
                for roles in VALUES {
                    let own = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
                    all.push(BTreeMap::from([
                        (Attribute::Path, own(&[path])),
                        (Attribute::Method, own(&[method])),
                        (Attribute::HeaderLine("x".to_owned()), own(lines)),
                        (Attribute::Claim("role".to_owned()), own(roles)),
                    ]));
                }
            }
        }
    }
    all
}

#[test]
fn search_and_z3_agree_with_the_proxy_core_on_every_request_of_an_alphabet() {
    let cases = crate::testing::cases(300);
    let alphabet = alphabet();
    let mut runner = TestRunner::deterministic();
    let strategy = (some_filters(), 0..NAMES.len());
    let (mut none, mut all, mut some) = (0, 0, 0);
    for _ in 0..cases {
        let (filters, name) = strategy.new_tree(&mut runner).unwrap().current();
        let name = NAMES[name];
        let listener = Listener { filters: filters.clone(), ..Listener::default() };
        let config = Config { listeners: vec![listener], ..Config::default() };
        let table = Table::compile(&config).unwrap();
        let peer = name.map_or(Peer::Plaintext, |name| Peer::Named(name.to_owned()));
        let mut atoms = Atoms::default();
        let allowed = decision(&filters, Seen { peer: &peer, port: 8080 }, &mut atoms).must;
        let mut found = [false; 2];
        for (place, wanted) in [(0, true), (1, false)] {
            let formula = if wanted { allowed.clone() } else { !allowed.clone() };
            match search(&formula, &atoms) {
                Outcome::Request(fields) => {
                    found[place] = true;
                    assert_eq!(passes(&table, name, &fields), wanted, "{fields:?} {filters:#?}");
                    assert_eq!(recheck(&formula, &atoms, 1_000_000), Recheck::Some, "{filters:#?}");
                }
                Outcome::Nothing => {
                    assert_eq!(recheck(&formula, &atoms, 1_000_000), Recheck::None, "{filters:#?}");
                    let other = alphabet.iter().find(|fields| passes(&table, name, fields) == wanted);
                    assert_eq!(other, None, "{filters:#?}");
                }
                Outcome::Unknown(why) => panic!("{why}: {filters:#?}"),
            }
        }
        *(match found {
            [true, true] => &mut some,
            [true, false] => &mut all,
            _ => &mut none,
        }) += 1;
    }
    assert!(none * 5 > cases && all * 5 > cases && some * 5 > cases, "all verdicts occur: {none} {all} {some}");
}

#[test]
fn addresses_are_blocks_of_bits() {
    let within = |block: &str| Principal::DirectRemoteIp(block.to_owned());
    let policy = |principals: Vec<Principal>| RbacPolicy {
        name: "p".to_owned(),
        permissions: vec![Permission::Any],
        principals: vec![Principal::AllOf(principals)],
    };
    for (principals, expected) in [
        (vec![within("10.0.0.0/8")], Some("10.0.0.0")),
        (vec![within("10.0.0.0/8"), Principal::Not(Box::new(within("10.0.0.0/9")))], Some("10.128.0.0")),
        (vec![within("10.0.0.0/8"), within("11.0.0.0/8")], None),
        (vec![within("10.1.0.0/16"), Principal::Not(Box::new(within("10.0.0.0/8")))], None),
        (vec![within("fd00::/8")], Some("fd00::")),
    ] {
        let rules = RbacRules { action: RbacAction::Allow, policies: vec![policy(principals)] };
        let filters = vec![Filter::Rbac(Rbac { rules: Some(rules), shadow_rules: None })];
        let mut atoms = Atoms::default();
        let allowed = decision(&filters, Seen { peer: &Peer::Plaintext, port: 80 }, &mut atoms).must;
        let found = match search(&allowed, &atoms) {
            Outcome::Request(fields) => {
                crate::patterns::address(&fields[&Attribute::PeerAddress][0]).map(|address| address.to_string())
            }
            Outcome::Nothing => {
                assert_eq!(recheck(&allowed, &atoms, 1_000_000), Recheck::None);
                None
            }
            Outcome::Unknown(why) => panic!("{why}"),
        };
        assert_eq!(found.as_deref(), expected);
    }
}

#[test]
fn what_is_not_understood_is_neither_allowed_nor_refused() {
    let rules = |action, permission| RbacRules {
        action,
        policies: vec![RbacPolicy {
            name: "p".to_owned(),
            permissions: vec![permission],
            principals: vec![Principal::Any],
        }],
    };
    let metadata = Permission::Metadata { filter: "f".to_owned(), key: "k".to_owned(), any: Vec::new() };
    for action in [RbacAction::Allow, RbacAction::Deny] {
        let filters = vec![Filter::Rbac(Rbac { rules: Some(rules(action, metadata.clone())), shadow_rules: None })];
        let mut atoms = Atoms::default();
        let allowed = decision(&filters, Seen { peer: &Peer::Plaintext, port: 80 }, &mut atoms).must;
        let (yes, no) = (search(&allowed, &atoms), search(&!allowed, &atoms));
        let shown = if action == RbacAction::Allow { (yes, no) } else { (no, yes) };
        assert!(matches!(shown, (Outcome::Unknown(_), Outcome::Request(_))), "{shown:?}");
    }
    assert_eq!(search(&Bool::Const(false), &Atoms::default()), Outcome::Nothing);
}
