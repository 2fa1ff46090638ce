//! The token and the clock.

use serde_json::json;

use crate::authority::Authority;
use crate::examination::{Doctor, OBJECT_ID, SECRET, good_token, now, token};
use crate::servers::{Reply, good_redis};

/// At a good cache, with this token from a managed identity endpoint.
fn with(authority: &Authority, token: &str) -> Doctor {
    Doctor::at(good_redis(authority.server()), authority).with_token(token)
}

#[test]
fn claims_are_explained() {
    let authority = Authority::new();
    let resource = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/app";
    let report = with(&authority, &token(&json!({ "xms_mirid": resource }))).run();
    report.is_well();
    for (claim, says) in [
        ("aud", "Redis"),
        ("iss", "for that tenant"),
        ("tid", "must be the cache's"),
        ("oid", OBJECT_ID),
        ("appid", "not the user name"),
        ("idtyp", "managed identity"),
        ("nbf", "began"),
        ("exp", "ends in"),
        ("ver", "1.0"),
        ("xms_mirid", resource),
    ] {
        assert!(report.fact("token", claim).contains(says), "{claim}: {report:#?}");
    }
    let of_a_person = token(&json!({ "idtyp": "user", "appid": null, "azp": "04b07795", "iss": "https://elsewhere/" }));
    let report = with(&authority, &of_a_person).run();
    report.is_well();
    assert!(report.fact("token", "idtyp").contains("group"), "{report:#?}");
    assert!(report.fact("token", "azp").contains("not the user name"), "{report:#?}");
    assert!(report.fact("token", "iss").contains("not Entra ID's name"), "{report:#?}");
}

#[test]
fn a_token_that_cannot_be_read() {
    let authority = Authority::new();
    for text in [SECRET, "a.b", "tops3cret.!!!.c", "tops3cret.bm8ganNvbg.c"] {
        let report = with(&authority, text).run();
        report.is_caused_by("token-unreadable", 7, &["signed JSON Web Token"]);
        assert_eq!(report.step("sign-in")["status"], "skipped");
    }
}

#[test]
fn a_token_for_another_resource_is_not_sent() {
    let authority = Authority::new();
    for audience in ["https://management.azure.com", "https://redis.azure.com.evil.example"] {
        let report = with(&authority, &token(&json!({ "aud": audience }))).run();
        report.is_caused_by("wrong-audience", 7, &[audience, "https://redis.azure.com/.default"]);
        assert_eq!(report.step("sign-in")["status"], "skipped");
    }
    for audience in ["https://redis.azure.com/", "acca5fbb-b7e4-4009-81f1-37e38fd66d78"] {
        with(&authority, &token(&json!({ "aud": audience }))).run().is_well();
    }
}

#[test]
fn a_token_without_a_principal() {
    let authority = Authority::new();
    let report = with(&authority, &token(&json!({ "oid": null }))).run();
    report.is_caused_by("no-object-id", 7, &["oid"]);
}

#[test]
fn a_token_outside_its_time() {
    let authority = Authority::new();
    let report = with(&authority, &token(&json!({ "exp": now() - 600 }))).run();
    report.is_caused_by("token-expired", 7, &["ran out 10 min"]);
    // Whether Redis takes it is still worth knowing.
    assert_eq!(report.step("sign-in")["status"], "ok");
    // A time that cannot be is no time.
    for beyond in [json!(1e300), json!(-1e300), json!("soon"), json!(null)] {
        let report = with(&authority, &token(&json!({ "exp": beyond, "nbf": beyond, "iat": beyond }))).run();
        assert!(report.is_well().fact("token", "exp").starts_with("missing"), "{report:#?}");
    }
    // Less than what counts as a wrong clock.
    let report = with(&authority, &token(&json!({ "iat": now() + 60, "nbf": now() + 60 }))).run();
    report.is_caused_by("token-not-yet-valid", 7, &["clock"]);
}

#[test]
fn a_wrong_clock() {
    let authority = Authority::new();
    let cache = good_redis(authority.server());
    let with_clock = |seconds: i64, token: String| {
        Doctor::at(cache, &authority).with_identity_endpoint(move |_| Reply::token(&token).with_clock(seconds)).run()
    };
    with_clock(3_600, good_token()).is_caused_by(
        "clock-skew",
        7,
        &["59 min", "behind that of 127.0.0.1", "time server"],
    );
    with_clock(-3_600, good_token()).is_caused_by("clock-skew", 7, &["ahead of 127.0.0.1"]);
    // What follows from the clock is not the cause.
    let expired = token(&json!({ "exp": now() - 600 }));
    with_clock(-7_200, expired).is_caused_by("clock-skew", 7, &["ahead"]);
    let not_yet = token(&json!({ "iat": now() + 3_600, "nbf": now() + 3_600 }));
    with_clock(0, not_yet).is_caused_by("clock-skew", 7, &["behind", "whoever issued the token"]);
    // A minute is worth a remark.
    let report = with_clock(60, good_token());
    assert!(report.is_well().fact("clock", "Date").contains("behind"), "{report:#?}");
}
