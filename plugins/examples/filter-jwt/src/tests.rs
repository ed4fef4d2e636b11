//! Tokens of the RFCs, tokens that are not good, and what becomes of a request.

use littoral_plugin::filter::sketch::{Shelf, Sketch};

use super::*;

/// RFC 7515 A.1 (and RFC 7519 §3.1), A.2, A.3 and RFC 8037 A.4: a key and what it signed.
const HS256: (&str, &str) = (
    r#"{"kty":"oct","alg":"HS256","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
);
const RS256: (&str, &str) = (
    r#"{"kty":"RSA","alg":"RS256","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
);
const ES256: (&str, &str) = (
    r#"{"kty":"EC","alg":"ES256","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
);
const EDDSA: (&str, &str) = (
    r#"{"kty":"OKP","alg":"EdDSA","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
);
/// Some seconds before the tokens of the RFCs end.
const NOW_MS: u64 = 1_300_819_000_000;

fn key(jwk: &str) -> Key {
    Key::of(&serde_json::from_str(jwk).unwrap()).unwrap()
}

#[test]
fn the_signatures_of_the_rfcs_are_good_with_their_own_key_and_no_other() {
    let all = [HS256, RS256, ES256, EDDSA];
    for (at, (_, token)) in all.iter().enumerate() {
        for (by, (jwk, _)) in all.iter().enumerate() {
            assert_eq!(signature::verified(token, &[key(jwk)]).is_ok(), at == by, "token {at}, key {by}");
        }
    }
    assert_eq!(signature::verified(EDDSA.1, &[key(EDDSA.0)]).unwrap(), b"Example of Ed25519 signing");
}

#[test]
fn a_token_that_was_changed_anywhere_is_refused() {
    for (jwk, token) in [HS256, RS256, ES256, EDDSA] {
        let keys = [key(jwk)];
        for at in [0, 5, token.find('.').unwrap() + 3, token.rfind('.').unwrap() + 7] {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(signature::verified(std::str::from_utf8(&changed).unwrap(), &keys).is_err(), "{at} of {token}");
        }
        for wrong in [&token[..token.len() - 4], "", ".", "..", "a.b.c.d", &format!("{token}AA")] {
            assert!(signature::verified(wrong, &keys).is_err(), "{wrong:?}");
        }
    }
}

/// A token with this head and these claims, signed with HS256 by the key of RFC 7515 A.1.
fn signed(head: &str, claims: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit, Mac};
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let keys::Material::Secret(secret) = key(HS256.0).of else { panic!("a secret") };
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn a_token_does_not_choose_its_algorithm() {
    let keys = [key(HS256.0), key(RS256.0)];
    let claims = r#"{"exp": 1300819380}"#;
    assert!(signature::verified(&signed(r#"{"alg":"HS256"}"#, claims), &keys).is_ok());
    for head in [r#"{"alg":"none"}"#, r#"{"alg":"HS512"}"#, r#"{"alg":"RS256"}"#, r#"{"alg":"hs256"}"#, "{}"] {
        assert!(signature::verified(&signed(head, claims), &keys).is_err(), "{head}");
    }
    let critical = signed(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, claims);
    assert!(signature::verified(&critical, &keys).is_err());
    // RFC 7519 §6.1
    let unsecured = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";
    assert!(signature::verified(unsecured, &keys).is_err());
}

#[test]
fn a_key_with_a_name_is_only_for_tokens_that_name_it_or_none() {
    let named = [key(&HS256.0.replacen('{', r#"{"kid":"a","#, 1))];
    let claims = r#"{"exp": 1300819380}"#;
    for (kid, is_good) in [(r#","kid":"a""#, true), (r#","kid":"b""#, false), ("", true)] {
        let token = signed(&format!(r#"{{"alg":"HS256"{kid}}}"#), claims);
        assert_eq!(signature::verified(&token, &named).is_ok(), is_good, "{kid}");
    }
}

fn filter(more: &str) -> Jwt {
    Jwt::new(&format!(r#"{{"keys": [{}]{more}}}"#, HS256.0)).unwrap()
}

/// What becomes of a request: the reason of a refusal, or nothing.
fn refusal(filter: &mut Jwt, x: &mut Sketch) -> Option<String> {
    let reply = filter.on_request(x, &mut Shelf::default())?;
    assert_eq!(reply.status, 401);
    assert!(reply.fields.iter().any(|(name, value)| name == "www-authenticate" && value.starts_with("Bearer")));
    Some(String::from_utf8(reply.body).unwrap())
}

fn bearing(token: &str, now_ms: u64) -> Sketch {
    Sketch { now_ms, ..Sketch::get("/a", &[("authorization", &format!("Bearer {token}"))]) }
}

#[test]
fn a_good_token_lets_a_request_pass_until_it_ends_and_goes_no_further() {
    let mut filter = filter("");
    // The second time it is remembered.
    for now_ms in [NOW_MS, NOW_MS, 1_300_819_439_000] {
        let mut x = bearing(HS256.1, now_ms);
        assert_eq!(refusal(&mut filter, &mut x), None, "{now_ms}");
        assert_eq!(x.field("authorization"), None);
    }
    let over = refusal(&mut filter, &mut bearing(HS256.1, 1_300_819_440_000));
    assert_eq!(over.as_deref(), Some("it is over\n"));
    assert_eq!(refusal(&mut filter, &mut Sketch::get("/a", &[])).as_deref(), Some("a token is needed\n"));
    let basic = &mut Sketch::get("/a", &[("authorization", "Basic dTpw")]);
    assert_eq!(refusal(&mut filter, basic).as_deref(), Some("a token is needed\n"));
}

#[test]
fn claims_are_what_the_operator_expects() {
    let mut filter =
        filter(r#", "issuer": "joe", "audience": ["a", "b"], "leeway_s": 0, "forward": {"sub": "x-user"}"#);
    for (claims, expected) in [
        (r#"{"exp": 1300819001, "iss": "joe", "aud": "a", "sub": "me"}"#, None),
        (r#"{"exp": 1300819001.5, "iss": "joe", "aud": ["c", "b"], "nbf": 1300819000}"#, None),
        (r#"{"exp": 1300819000, "iss": "joe", "aud": "a"}"#, Some("it is over\n")),
        (r#"{"exp": 1300819001, "iss": "joe", "aud": "a", "nbf": 1300819001}"#, Some("it is not good yet\n")),
        (r#"{"exp": 1300819001, "iss": "jim", "aud": "a"}"#, Some("it is from another issuer\n")),
        (r#"{"exp": 1300819001, "aud": "a"}"#, Some("it is from another issuer\n")),
        (r#"{"exp": 1300819001, "iss": "joe", "aud": ["c"]}"#, Some("it is for another audience\n")),
        (r#"{"exp": 1300819001, "iss": "joe"}"#, Some("it is for another audience\n")),
        (r#"{"iss": "joe", "aud": "a"}"#, Some("its claims cannot be read, or it has no end\n")),
        (r#"{"exp": "soon", "iss": "joe", "aud": "a"}"#, Some("its claims cannot be read, or it has no end\n")),
    ] {
        let mut x = bearing(&signed(r#"{"alg":"HS256"}"#, claims), NOW_MS);
        x.request.push(("x-user".into(), "forged".into()));
        assert_eq!(refusal(&mut filter, &mut x).as_deref(), expected, "{claims}");
        let user: &[&str] = if claims.contains("sub") { &["me"] } else { &[] };
        assert_eq!(x.fields("x-user"), user, "{claims}");
    }
}

#[test]
fn a_token_may_come_in_a_cookie_or_the_query_and_other_paths_need_none() {
    let mut by_query = filter(r#", "query": "t", "prefix": "/p/""#);
    let mut x = Sketch { now_ms: NOW_MS, ..Sketch::get(&format!("/p/a?b=1&t={}&c", HS256.1), &[]) };
    assert_eq!((refusal(&mut by_query, &mut x), x.target.as_str()), (None, "/p/a?b=1&c"));
    assert!(refusal(&mut by_query, &mut Sketch::get("/p/a", &[])).is_some());
    assert_eq!(refusal(&mut by_query, &mut Sketch::get("/a", &[])), None);
    let mut by_cookie = filter(r#", "cookie": "t""#);
    let cookies = format!("a=b; t={}; c=d", HS256.1);
    let mut x = Sketch { now_ms: NOW_MS, ..Sketch::get("/", &[("cookie", &cookies)]) };
    assert_eq!((refusal(&mut by_cookie, &mut x), x.field("cookie").as_deref()), (None, Some("a=b; c=d")));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut filter = filter(r#", "remember": 8"#);
    for number in 0..20 {
        let token = signed(r#"{"alg":"HS256"}"#, &format!(r#"{{"exp": 1300819380, "n": {number}}}"#));
        assert_eq!(refusal(&mut filter, &mut bearing(&token, NOW_MS)), None);
        assert!((1..=8).contains(&filter.good.len()));
    }
    assert!(refusal(&mut filter, &mut bearing(&"a".repeat(TOKEN_BYTES_MAX + 1), NOW_MS)).is_some());
}

#[test]
fn keys_that_are_none_or_too_weak_are_refused_with_the_fix() {
    for (keys, expected) in [
        ("", "give 1 to 32"),
        (r#"{"kty":"oct","alg":"HS256","k":"c2hvcnQ"}"#, "32 are the least"),
        (r#"{"kty":"oct","alg":"none","k":"AA"}"#, "write HS256 with oct"),
        (r#"{"kty":"RSA","alg":"HS256","n":"AQAB","e":"AQAB"}"#, "write HS256 with oct"),
        (r#"{"kty":"RSA","alg":"RS256","n":"AQAB","e":"AQAB"}"#, "keys.0: "),
        (r#"{"kty":"EC","alg":"ES256","crv":"P-256","x":"AA","y":"AA"}"#, "no point of P-256"),
        (r#"{"kty":"OKP","alg":"EdDSA","crv":"Ed25519","x":"AA"}"#, "no public key of Ed25519"),
        (r#"{"kty":"oct","alg":"HS256","k":"a+/="}"#, "no base64url"),
        (&format!("{}], \"remember\": 9999, \"audience\": [", HS256.0), "at most 4096"),
    ] {
        let problem = Jwt::new(&format!(r#"{{"keys": [{keys}]}}"#)).unwrap_err();
        assert!(problem.contains(expected), "{keys}: {problem}");
    }
}
