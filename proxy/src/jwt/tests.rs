use std::sync::Arc;

use super::*;
use crate::{
    Claim, Nanos, Token, TokenAlgorithm,
    config::{JwtProvider, JwtRule},
};

type Headers = &'static [(&'static str, &'static str)];

fn own(text: &str) -> String {
    text.to_owned()
}

fn provider(issuer: &str, key: &str) -> JwtProvider {
    JwtProvider {
        issuer: own(issuer),
        audiences: vec![own("shop")],
        keys: vec![own(key)],
        forward: true,
        ..JwtProvider::default()
    }
}

fn filter(providers: Vec<(String, JwtProvider)>, requires: JwtRequirement) -> config::Jwt {
    config::Jwt {
        providers,
        rules: vec![JwtRule { prefix: own("/"), requires: Some(requires) }],
        ..config::Jwt::default()
    }
}

fn of(name: &str) -> JwtRequirement {
    JwtRequirement::Provider { name: own(name), audiences: Vec::new() }
}

fn compile(jwt: &config::Jwt) -> JwtTable {
    let mut faults = Faults::default();
    let table = JwtTable::new(jwt, &mut faults);
    assert_eq!(faults.into_found(), []);
    table
}

fn token(text: &str) -> Token {
    Token {
        text: own(text),
        issuer: Some(own("main")),
        subject: Some(own("amy")),
        audiences: vec![own("shop")],
        expires_in_s: Some(3600),
        key_id: Some(own("right")),
        signed_by: own("right"),
        ..Token::default()
    }
}

fn request(path: &str, headers: &[(&str, &str)], tokens: &[Token]) -> Request {
    let mut request = Request::default();
    request.set_method("GET");
    request.set_scheme("http");
    request.set_authority("svc.test");
    request.set_path(path);
    for (name, value) in headers {
        request.headers.push(name, value);
    }
    request.tokens = tokens.iter().cloned().map(Arc::new).collect();
    request
}

/// The message of the denial, or `OK`.
fn judge(table: &JwtTable, request: &mut Request) -> String {
    table.authenticate(request, None).denial.map_or(own("OK"), |denial| denial.body)
}

#[test]
fn a_token_is_judged_by_form_issuer_time_audience_and_key() {
    let change = |change: fn(&mut Token)| {
        let mut token = token("t");
        change(&mut token);
        token
    };
    let table = [
        (token("t"), Status::Ok),
        (change(|t| t.expires_in_s = Some(-60)), Status::Ok),
        (change(|t| t.expires_in_s = Some(-61)), Status::Expired),
        (change(|t| t.expires_in_s = None), Status::Ok),
        (change(|t| t.not_before_in_s = Some(60)), Status::Ok),
        (change(|t| t.not_before_in_s = Some(61)), Status::NotYetValid),
        (change(|t| t.issued_in_s = Some(3600)), Status::Ok),
        (change(|t| t.issuer = Some(own("other"))), Status::UnknownIssuer),
        (change(|t| t.issuer = None), Status::UnknownIssuer),
        (change(|t| t.audiences = vec![own("bank"), own("https://shop/")]), Status::Ok),
        (change(|t| t.audiences = vec![own("Shop")]), Status::AudienceNotAllowed),
        (change(|t| t.audiences = Vec::new()), Status::AudienceNotAllowed),
        (change(|t| (t.audiences, t.is_tampered) = (vec![own("x")], true)), Status::AudienceNotAllowed),
        (change(|t| t.is_tampered = true), Status::VerificationFails),
        (change(|t| t.signed_by = own("other")), Status::VerificationFails),
        (change(|t| t.key_id = Some(own("other"))), Status::NoSuchKey),
        (change(|t| t.key_id = None), Status::Ok),
        (change(|t| t.algorithm = TokenAlgorithm::Hs256), Status::NoSuchKey),
        (change(|t| t.algorithm = TokenAlgorithm::None), Status::BadForm),
    ];
    let jwt = compile(&filter(vec![(own("main"), provider("main", "right"))], of("main")));
    for (token, expect) in table {
        let mut request = request("/", &[("authorization", "Bearer t")], std::slice::from_ref(&token));
        assert_eq!(judge(&jwt, &mut request), expect.message(), "{token:?}");
    }
}

#[test]
fn a_provider_may_ask_for_more() {
    let main = provider("main", "right");
    let table = [
        (JwtProvider { clock_skew: Some(Nanos::from_secs(5)), ..main.clone() }, Some(-5), "OK"),
        (JwtProvider { clock_skew: Some(Nanos::from_secs(5)), ..main.clone() }, Some(-6), "Jwt is expired"),
        (JwtProvider { require_expiration: true, ..main.clone() }, None, "Jwt verification fails"),
        (JwtProvider { max_lifetime: Some(Nanos::from_secs(9)), ..main.clone() }, Some(9), "OK"),
        (JwtProvider { max_lifetime: Some(Nanos::from_secs(9)), ..main.clone() }, Some(10), "Jwt verification fails"),
        (JwtProvider { max_lifetime: Some(Nanos::from_secs(9)), ..main.clone() }, None, "Jwt verification fails"),
        (JwtProvider { audiences: Vec::new(), ..main }, Some(1), "OK"),
    ];
    for (provider, expires_in_s, expect) in table {
        let jwt = compile(&filter(vec![(own("main"), provider.clone())], of("main")));
        let token = Token { expires_in_s, ..token("t") };
        let mut request = request("/", &[("authorization", "Bearer t")], &[token]);
        assert_eq!(judge(&jwt, &mut request), expect, "{provider:?}");
    }
}

#[test]
fn tokens_are_found_in_their_places() {
    let main = provider("main", "right");
    let places = JwtProvider {
        from_headers: vec![(own("X-Jwt"), own("JWT "))],
        from_params: vec![own("jwt")],
        from_cookies: vec![own("session")],
        ..main.clone()
    };
    let (default, configured) = (&main, &places);
    let table: &[(&JwtProvider, &str, Headers, &str)] = &[
        (default, "/", &[], "Jwt is missing"),
        (default, "/", &[("authorization", "Bearer t")], "OK"),
        (default, "/", &[("authorization", "bearer t")], "Jwt is missing"),
        (default, "/", &[("authorization", "Basic t")], "Jwt is missing"),
        (default, "/", &[("authorization", "Bearer")], "Jwt is missing"),
        (default, "/", &[("authorization", "Bearer t,Bearer t")], Status::BadForm.message()),
        (default, "/?access_token=t", &[], "OK"),
        (default, "/?token=t", &[], "Jwt is missing"),
        (default, "/?access_token=x", &[("authorization", "Bearer t")], Status::BadForm.message()),
        (default, "/?access_token=t", &[("authorization", "Bearer x")], Status::BadForm.message()),
        (configured, "/?access_token=t", &[("authorization", "Bearer t")], "Jwt is missing"),
        (configured, "/", &[("x-jwt", "JWT t")], "OK"),
        (configured, "/", &[("x-jwt", "t")], "Jwt is missing"),
        (configured, "/?a&jwt=t", &[], "OK"),
        (configured, "/", &[("cookie", "sid=x; session=t")], "OK"),
        (configured, "/", &[("cookie", "sid=t")], "Jwt is missing"),
    ];
    for (provider, path, headers, expect) in table {
        let jwt = compile(&filter(vec![(own("main"), (*provider).clone())], of("main")));
        assert_eq!(judge(&jwt, &mut request(path, headers, &[token("t")])), *expect, "{path} {headers:?}");
    }
}

#[test]
fn requirements_combine() {
    use JwtRequirement::{AllOf, AllowMissing, AllowMissingOrFailed, AnyOf};
    let second = JwtProvider { from_headers: vec![(own("x-second"), String::new())], ..provider("second", "other") };
    let providers = vec![(own("main"), provider("main", "right")), (own("second"), second)];
    let tokens = [
        token("m"),
        Token { expires_in_s: Some(-3600), ..token("old") },
        Token { issuer: Some(own("foreign")), ..token("foreign") },
        Token { issuer: Some(own("second")), key_id: None, signed_by: own("other"), ..token("s") },
    ];
    let any = |more: &[JwtRequirement]| AnyOf([&[of("main")], more].concat());
    let both = || AllOf(vec![of("main"), of("second")]);
    let (main, second) = ("authorization", "x-second");
    let table: Vec<(JwtRequirement, Vec<(&str, &str)>, &str)> = vec![
        (any(&[of("second")]), vec![(main, "Bearer m")], "OK"),
        (any(&[of("second")]), vec![(second, "s")], "OK"),
        (any(&[of("second")]), vec![], "Jwt is missing"),
        (any(&[of("second")]), vec![(main, "Bearer old")], "Jwt is expired"),
        (any(&[of("second")]), vec![(main, "Bearer old"), (second, "m")], "Jwt is expired"),
        (both(), vec![(main, "Bearer m"), (second, "s")], "OK"),
        (both(), vec![(main, "Bearer m")], "Jwt is missing"),
        (any(&[AllowMissing]), vec![], "OK"),
        (any(&[AllowMissing]), vec![(main, "Bearer old")], "Jwt is expired"),
        (any(&[AllowMissing]), vec![(main, "Bearer foreign")], "Jwt issuer is not configured"),
        (any(&[AllowMissingOrFailed]), vec![(main, "Bearer old")], "OK"),
        (AllowMissing, vec![], "OK"),
        (AllowMissing, vec![(main, "Bearer m")], "OK"),
        (AllowMissing, vec![(main, "Bearer old")], "Jwt is expired"),
        (AllowMissingOrFailed, vec![(main, "Bearer old")], "OK"),
    ];
    for (requirement, headers, expect) in table {
        let jwt = compile(&filter(providers.clone(), requirement.clone()));
        assert_eq!(judge(&jwt, &mut request("/", &headers, &tokens)), expect, "{requirement:?} {headers:?}");
    }
}

#[test]
fn rules_and_names_choose_the_requirement() {
    let mut config = filter(vec![(own("main"), provider("main", "right"))], of("main"));
    config.rules.insert(0, JwtRule { prefix: own("/open"), requires: None });
    config.rules[1].prefix = own("/api");
    config.requirement_map = vec![(own("opt"), JwtRequirement::AllowMissing), (own("strict"), of("main"))];
    config.bypass_cors_preflight = true;
    let jwt = compile(&config);
    for (path, expect) in [("/open", "OK"), ("/api", "Jwt is missing"), ("/other", "OK"), ("/API", "OK")] {
        assert_eq!(judge(&jwt, &mut request(path, &[], &[])), expect, "{path}");
    }
    let named = |name| jwt.authenticate(&mut request("/open", &[], &[]), Some(name)).denial;
    assert_eq!(named("opt"), None);
    assert_eq!(named("strict").map(|denial| denial.status), Some(401));
    let denial = named("nope").map(|denial| (denial.status, denial.details, denial.challenge));
    let details = "jwt_authn_access_denied{Wrong_requirement_name:_nope._It_should_be_one_of_[opt,strict]}";
    assert_eq!(denial, Some((403, own(details), None)));
    let preflight = [("origin", "http://a.test"), ("access-control-request-method", "GET")];
    let mut request = request("/api", &preflight, &[]);
    request.set_method("OPTIONS");
    assert_eq!(jwt.authenticate(&mut request, None), Authentication { is_preflight: true, ..Default::default() });
}

#[test]
fn a_denial_challenges_the_client() {
    let jwt = compile(&filter(vec![(own("main"), provider("main", "right"))], of("main")));
    let missing = jwt.authenticate(&mut request("/x?a=b", &[], &[]), None);
    let denial = Denial {
        status: 401,
        body: own("Jwt is missing"),
        details: own("jwt_authn_access_denied{Jwt_is_missing}"),
        challenge: Some(own("Bearer realm=\"http://svc.test/x?a=b\"")),
    };
    assert_eq!(missing, Authentication { denial: Some(denial), is_preflight: false, cache_misses: 0 });
    let foreign = Token { audiences: vec![own("bank")], ..token("t") };
    let refused = jwt.authenticate(&mut request("/", &[("authorization", "Bearer t")], &[foreign]), None);
    assert_eq!(refused.cache_misses, 1);
    let denial = refused.denial.map(|denial| (denial.status, denial.challenge));
    let challenge = "Bearer realm=\"http://svc.test/\", error=\"invalid_token\"";
    assert_eq!(denial, Some((403, Some(own(challenge)))));
}

#[test]
fn a_good_token_changes_its_request() {
    let main = JwtProvider {
        forward: false,
        claim_to_headers: vec![(own("X-Role"), own("org.role")), (own("x-sub"), own("sub")), (own("x-no"), own("no"))],
        payload_in_metadata: Some(own("main")),
        ..provider("main", "right")
    };
    let jwt = compile(&filter(vec![(own("main"), main)], of("main")));
    let org = Claim::Object([(own("role"), Claim::Text(own("admin")))].into());
    let token = Token { claims: [(own("org"), org)].into(), ..token("t") };
    let headers = [("authorization", "Bearer t"), ("x-no", "forged"), ("x-role", "forged")];
    let mut request = request("/?a=1&access_token=t&b", &headers, &[token]);
    assert_eq!(judge(&jwt, &mut request), "OK");
    // Two places held the token, and each is good.
    let shown: Vec<_> = request.headers.iter().filter(|(name, _)| *name != "x-forwarded-proto").collect();
    assert_eq!(shown, [("x-role", "admin"), ("x-sub", "amy"), ("x-role", "admin"), ("x-sub", "amy")]);
    assert_eq!(request.path(), "/?a=1&b");
    assert_eq!(request.payloads.len(), 2);
}

#[test]
fn a_requirement_names_a_provider_that_exists() {
    let mut faults = Faults::default();
    JwtTable::new(&filter(Vec::new(), of("main")), &mut faults);
    let found: Vec<_> = faults.into_found().into_iter().map(|error| error.fault).collect();
    assert_eq!(found, [CompileFault::UnknownProvider { name: own("main") }]);
}
