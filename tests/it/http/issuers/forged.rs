//! Tokens that nobody should take.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::signer::{Signer, b64};
use super::{AUDIENCE, ISSUER, Node, ask, claims, node, now};

/// What is told of a token of which nothing is believed.
const UNKNOWN: &str = "this server does not take the token";

async fn all_unknown(node: &Node, cases: Vec<(&str, String)>) {
    for (what, token) in cases {
        let (status, answer) = ask(node, &token).await;
        assert_eq!(status, 401, "{what}: {answer}");
        let told = answer["errors"][0]["message"].as_str().unwrap();
        assert!(told.starts_with(UNKNOWN), "{what} is told too much: {told}");
    }
}

/// Secrets made of what everybody may know of a key.
fn publics(signer: &Signer) -> Vec<Signer> {
    let jwk = signer.jwk();
    let part = |name: &str| jwk[name].as_str().map(str::to_owned);
    let raw = URL_SAFE_NO_PAD.decode(part("n").or(part("x")).unwrap()).unwrap();
    let texts = [part("n"), part("x"), Some(jwk.to_string())];
    let secrets = texts.into_iter().flatten().map(String::into_bytes).chain([raw]);
    secrets.map(|secret| Signer::secret(signer.kid(), &secret)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_opens_nothing_as_a_secret() {
    let (rsa, ec, ed) = (Signer::rsa("r"), Signer::ec("e"), Signer::ed("d"));
    let more = json!({"algorithms": ["HS256", "RS256", "ES256", "EdDSA"]});
    let (node, _directory) = node(&[&rsa, &ec, &ed], more, |_| ()).await;
    let publics: Vec<Signer> = [&rsa, &ec, &ed].into_iter().flat_map(publics).collect();
    let cases = publics.iter().map(|public| (public.kid(), public.sign(&claims(json!({}))))).collect();
    all_unknown(&node, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_forged_token_is_401() {
    let (rsa, ec, ed) = (Signer::rsa("r"), Signer::ec("e"), Signer::ed("d"));
    let (node, _directory) = node(&[&rsa, &ec, &ed], json!({}), |_| ()).await;
    let good = claims(json!({}));
    let whole = ed.sign(&good);
    let (message, signature) = whole.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let none = |alg: &str| format!("{}.{payload}.", b64(json!({"alg": alg, "kid": "d"}).to_string()));
    let admin = b64(json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "root", "exp": now() + 60}).to_string());
    let own = node.token(json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "a"}));
    let twice = format!("{{\"iss\":{},{}", json!(ISSUER), &serde_json::to_string(&good).unwrap()[1..]);
    let cases = vec![
        ("none", none("none")),
        ("None", none("None")),
        ("no algorithm", none("")),
        ("none with a signature", format!("{}{signature}", none("none"))),
        ("no signature", format!("{message}.")),
        ("two parts", message.to_owned()),
        ("four parts", format!("{whole}.x")),
        ("five parts", format!("{header}.a.b.c.d")),
        ("another payload", format!("{header}.{admin}.{signature}")),
        ("another header", format!("{}.{payload}.{signature}", b64(r#"{"alg":"EdDSA","kid":"d"}"#))),
        ("padded", format!("{header}=.{payload}.{signature}")),
        ("claims that are a list", ed.sign_parts(header, &b64("[]"))),
        ("claims that are no JSON", ed.sign_parts(header, &b64("{\"iss\":"))),
        ("an issuer twice", ed.sign_parts(header, &b64(twice))),
        ("a stranger's key of the same id", Signer::ed("d").sign(&good)),
        ("the server's own key in the issuer's name", own),
        ("an issuer that nobody knows", ed.sign(&claims(json!({"iss": format!("{ISSUER}/")})))),
        ("an issuer in capitals", ed.sign(&claims(json!({"iss": ISSUER.to_uppercase()})))),
        ("issuers in a list", ed.sign(&claims(json!({"iss": [ISSUER]})))),
        ("a subject that is a list", ed.sign(&claims(json!({"sub": ["ann"]})))),
        ("no issuer", ed.sign(&claims(json!({"iss": null})))),
    ];
    all_unknown(&node, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_does_not_say_how_a_token_is_verified() {
    let (rsa, ec, ed) = (Signer::rsa("r"), Signer::ec("e"), Signer::ed("d"));
    let (node, _directory) = node(&[&rsa, &ec, &ed], json!({}), |_| ()).await;
    let good = claims(json!({}));
    let by = |signer: &Signer, more: Value| {
        let mut header = json!({"alg": "EdDSA", "kid": "d", "typ": "JWT"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        signer.sign_with(&header, &good)
    };
    let with = |more: Value| by(&ed, more);
    let stranger = Signer::ed("d");
    let payload = b64(serde_json::to_string(&good).unwrap());
    let cases = vec![
        ("a key id of another kind", with(json!({"kid": "r"}))),
        ("the algorithm of another key", with(json!({"alg": "RS256"}))),
        ("another hash", by(&rsa, json!({"alg": "RS512", "kid": "r"}))),
        ("another padding", by(&rsa, json!({"alg": "PS256", "kid": "r"}))),
        ("another curve", by(&ec, json!({"alg": "ES384", "kid": "e"}))),
        ("no key id", ed.sign_with(&json!({"alg": "EdDSA"}), &good)),
        ("a key id that nobody has", with(json!({"kid": "nobody"}))),
        ("a key id as a path", with(json!({"kid": "../../etc/passwd"}))),
        ("a key id that is no text", with(json!({"kid": 7}))),
        ("an algorithm that is a list", with(json!({"alg": ["EdDSA"]}))),
        ("an algorithm twice", ed.sign_parts(&b64(r#"{"alg":"none","alg":"EdDSA","kid":"d"}"#), &payload)),
        ("crit", with(json!({"crit": ["exp"]}))),
        ("an empty crit", with(json!({"crit": []}))),
        ("b64", with(json!({"b64": false, "crit": ["b64"]}))),
        ("b64 alone", with(json!({"b64": false}))),
        ("a key of its own", by(&stranger, json!({"jwk": stranger.jwk()}))),
        ("jwk", with(json!({"jwk": ed.jwk()}))),
        ("jku", with(json!({"jku": "https://evil.example/keys"}))),
        ("x5u", with(json!({"x5u": "https://evil.example/cert"}))),
        ("x5c", with(json!({"x5c": ["MIIB"]}))),
        ("zip", with(json!({"zip": "DEF"}))),
        ("encrypted", with(json!({"enc": "A128GCM"}))),
        ("a token in a token", with(json!({"cty": "JWT"}))),
        ("a token for logging out", with(json!({"typ": "logout+jwt"}))),
        ("a proof of possession", with(json!({"typ": "dpop+jwt"}))),
    ];
    all_unknown(&node, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_that_says_the_wrong_thing_is_401_and_told_so() {
    let ed = Signer::ed("d");
    let (node, _directory) = node(&[&ed], json!({}), |config| config.auth.token_bytes_max = 2_000).await;
    let far = now() + 40_000_000;
    for (more, told) in [
        (json!({"aud": null}), "not for this server"),
        (json!({"aud": "other"}), "not for this server"),
        (json!({"aud": ["other"]}), "not for this server"),
        (json!({"aud": {"wellspring": true}}), "not for this server"),
        (json!({"aud": AUDIENCE.to_uppercase()}), "not for this server"),
        (json!({"exp": null}), "`exp`"),
        (json!({"exp": "never"}), "`exp`"),
        (json!({"exp": now() - 31}), "expired"),
        (json!({"exp": far}), "longer"),
        (json!({"nbf": now() + 60}), "not valid yet"),
        (json!({"nbf": "soon"}), "not valid yet"),
        (json!({"sub": null}), "lacks `sub`"),
        (json!({"sub": ""}), "lacks `sub`"),
        (json!({"sub": "a\nb"}), "`sub` must"),
        (json!({"sub": "x".repeat(513)}), "`sub` must"),
        (json!({"roles": {"admin": true}}), "`roles` must be"),
        (json!({"roles": [["admin"]]}), "`roles` must be"),
        (json!({"more": "x".repeat(2_000)}), "token_bytes_max"),
    ] {
        let (status, answer) = ask(&node, &ed.sign(&claims(more.clone()))).await;
        let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(status == 401 && message.contains(told), "{more}: {status} {answer}");
    }
}
