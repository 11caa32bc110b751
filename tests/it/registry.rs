//! The registry client against Debian's `docker-registry`, and against answers that no real registry gives on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lian_build::env_vars;
use lian_build::env_vars::Environment;
use lian_build::error::{Error, ErrorKind};
use lian_build::registry::{Client, ClientOptions, DockerConfig, Reference};
use secrecy::ExposeSecret as _;

use crate::support::docker_registry::{DockerRegistry, PASSWORD, USER, digest};
use crate::support::http_server::{Answer, HttpServer, Request, answer};
use crate::support::install_tls;

/// A Docker configuration of `json`, in a directory of its own.
fn docker_config(json: &str) -> (tempfile::TempDir, DockerConfig) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.json"), json).unwrap();
    let helpers = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/helpers:/usr/bin:/bin");
    let environment = Environment::from_pairs([
        (env_vars::DOCKER_CONFIG, directory.path().to_str().unwrap()),
        (env_vars::PATH, helpers),
    ]);
    let config = DockerConfig::load(&environment).unwrap();
    (directory, config)
}

fn client_with(json: &str, options: ClientOptions) -> Client {
    install_tls();
    let (_directory, config) = docker_config(json);
    Client::new(options, Arc::new(config))
}

fn client(json: &str) -> Client {
    client_with(json, ClientOptions::default())
}

/// A login for one host.
fn login(host: &str, user: &str, password: &str) -> String {
    format!(r#"{{"auths":{{"{host}":{{"username":"{user}","password":"{password}"}}}}}}"#)
}

fn image(host: &str) -> Reference {
    Reference::parse_push_target(&format!("{host}/team/app:v1")).unwrap()
}

/// Checks kind, text and hints of an error at once.
#[track_caller]
fn assert_says(error: &Error, kind: ErrorKind, words: &[&str]) {
    let all = format!("{error}\n{}", error.hints().join("\n"));
    assert_eq!(error.kind(), kind, "{all}");
    for word in words {
        assert!(all.contains(word), "`{word}` is missing in: {all}");
    }
}

#[tokio::test]
async fn the_right_login_may_push_and_leaves_nothing_behind() {
    let registry = DockerRegistry::with_login().await;
    let client = client(&login(registry.host(), USER, PASSWORD));
    client.check_push(&image(registry.host())).await.unwrap();
    assert!(registry.knows("team/app"), "no upload was ever begun");
    assert_eq!(registry.open_uploads("team/app"), 0, "the upload was not cancelled");
}

#[tokio::test]
async fn a_wrong_password_is_a_credentials_error_that_says_whose_and_where_from() {
    let registry = DockerRegistry::with_login().await;
    let error = client(&login(registry.host(), USER, "wr0ng")).check_push(&image(registry.host())).await.unwrap_err();
    let advice = format!("docker login {}", registry.host());
    let words = [registry.host(), "`builder`", "config.json", "team/app", "401", advice.as_str()];
    assert_says(&error, ErrorKind::Credentials, &words);
    assert!(!format!("{error:?}").contains("wr0ng"));
}

#[tokio::test]
async fn a_missing_login_is_a_credentials_error_that_says_where_it_was_looked_for() {
    let registry = DockerRegistry::with_login().await;
    let other_port = login("127.0.0.1:1", USER, PASSWORD);
    for json in ["{}", other_port.as_str()] {
        let error = client(json).check_push(&image(registry.host())).await.unwrap_err();
        let advice = format!("docker login {}", registry.host());
        assert_says(&error, ErrorKind::Credentials, &["config.json", "holds no login", advice.as_str()]);
    }
    assert!(!registry.knows("team/app"));
}

#[tokio::test]
async fn a_credential_helper_is_asked_for_the_host() {
    let registry = DockerRegistry::with_login().await;
    let helpers = format!(r#"{{"credHelpers":{{"{}":"fake"}}}}"#, registry.host());
    client(&helpers).check_push(&image(registry.host())).await.unwrap();
    client(r#"{"credsStore":"fake"}"#).check_push(&image(registry.host())).await.unwrap();
    let absent = client(r#"{"credsStore":"absent"}"#).check_push(&image(registry.host())).await.unwrap_err();
    assert_says(&absent, ErrorKind::Credentials, &["docker-credential-absent", "not installed"]);
}

#[tokio::test]
async fn the_minimal_config_logs_in_where_the_full_one_does() {
    let registry = DockerRegistry::with_login().await;
    let full = format!(
        r#"{{"auths":{{"{}":{{"username":"{USER}","password":"{PASSWORD}"}},"other.example.com":{{"auth":"eDp5"}}}}}}"#,
        registry.host()
    );
    let (_directory, config) = docker_config(&full);
    let minimal = config.minimal_config(&[registry.host()], &[]).await.unwrap().json.unwrap();
    let minimal = std::str::from_utf8(minimal.expose_secret()).unwrap();
    assert!(!minimal.contains("other.example.com"), "{minimal}");
    client(minimal).check_push(&image(registry.host())).await.unwrap();
}

#[tokio::test]
async fn an_open_registry_needs_no_login_and_its_digest_is_read_back() {
    let registry = DockerRegistry::open().await;
    let client = client("{}");
    client.check_push(&image(registry.host())).await.unwrap();
    let pushed = registry.push("team/app", "v1").await;
    let by_tag = image(registry.host());
    assert_eq!(client.manifest_digest(&by_tag).await.unwrap(), pushed);
    assert_eq!(client.manifest_digest(&by_tag.at_digest(&pushed).unwrap()).await.unwrap(), pushed);
}

#[tokio::test]
async fn a_manifest_that_is_not_there_is_said_to_be_missing() {
    let registry = DockerRegistry::open().await;
    let error = client("{}").manifest_digest(&image(registry.host())).await.unwrap_err();
    assert_says(&error, ErrorKind::Network, &["404", "`v1`", "team/app"]);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_a_network_error() {
    let options = ClientOptions { retries: 1, ..ClientOptions::default() };
    // Nothing listens on port 1.
    let error = client_with("{}", options).check_push(&image("127.0.0.1:1")).await.unwrap_err();
    assert_says(&error, ErrorKind::Network, &["127.0.0.1:1", "cannot be reached"]);
}

#[tokio::test]
async fn https_to_a_plain_registry_is_explained_and_the_insecure_list_allows_it() {
    let registry = DockerRegistry::open().await;
    // Reaches this machine, but not by a name of the loopback: HTTPS is the rule.
    let host = registry.host().replace("127.0.0.1", "0.0.0.0");
    let error = client("{}").check_push(&image(&host)).await.unwrap_err();
    assert_says(&error, ErrorKind::Network, &["does not speak HTTPS", "--insecure-registry"]);
    let options = ClientOptions { insecure: vec![host.clone()], ..ClientOptions::default() };
    client_with("{}", options).check_push(&image(&host)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_and_explained() {
    let registry = DockerRegistry::with_tls().await;
    let host = registry.host().replace("127.0.0.1", "0.0.0.0");
    let error = client("{}").check_push(&image(&host)).await.unwrap_err();
    assert_says(&error, ErrorKind::Network, &["no certificate that is trusted", "SSL_CERT_FILE"]);
    let plain = client("{}").check_push(&image(registry.host())).await.unwrap_err();
    assert_says(&plain, ErrorKind::Network, &["HTTPS server", "BuildKit speaks plain HTTP"]);
}

/// A registry with a token server: uploads and manifests want `Bearer T1`, which `/token` gives to those it accepts.
fn token_registry(realm_host: String, accepts: fn(&Request) -> bool) -> impl Fn(&Request) -> Answer {
    move |request| match request.target.split('?').next() {
        Some("/token") if accepts(request) => answer(200).body(r#"{"access_token":"T1"}"#),
        Some("/token") => answer(401).body(r#"{"details":"incorrect username or password"}"#),
        _ if request.header("authorization") == Some("Bearer T1") => {
            answer(if request.method == "POST" { 202 } else { 204 }).header("location", "/v2/team/app/blobs/uploads/u1")
        }
        _ => answer(401).header(
            "www-authenticate",
            &format!(r#"Bearer realm="http://{realm_host}/token",service="reg",scope="repository:x:pull""#),
        ),
    }
}

/// A registry whose token server is another host on this machine, as Docker Hub's is.
async fn with_token_server(accepts: fn(&Request) -> bool) -> (HttpServer, HttpServer) {
    let tokens = HttpServer::start(token_registry(String::new(), accepts)).await;
    let registry = HttpServer::start(token_registry(tokens.host().to_owned(), accepts)).await;
    (registry, tokens)
}

/// base64 of `builder:correct horse`.
const BASIC: &str = "Basic YnVpbGRlcjpjb3JyZWN0IGhvcnNl";

#[tokio::test]
async fn a_token_is_fetched_with_the_password_which_the_registry_never_sees() {
    let (registry, tokens) = with_token_server(|request| request.header("authorization") == Some(BASIC)).await;
    client(&login(registry.host(), USER, PASSWORD)).check_push(&image(registry.host())).await.unwrap();
    let asked = tokens.seen();
    assert_eq!(asked.len(), 1);
    for part in ["scope=repository%3Ateam%2Fapp%3Apull%2Cpush", "service=reg", "account=builder"] {
        assert!(asked[0].target.contains(part), "{}", asked[0].target);
    }
    let seen = registry.seen();
    assert!(seen.iter().all(|request| request.header("authorization") != Some(BASIC)), "{seen:?}");
    assert!(seen.last().unwrap().is("DELETE", "/v2/team/app/blobs/uploads/u1"), "{seen:?}");
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post() {
    let accepts = |request: &Request| {
        request.method == "POST"
            && request.body.contains("grant_type=refresh_token")
            && request.body.contains("refresh_token=R%2F1")
            && request.body.contains("scope=repository%3Ateam%2Fapp%3Apull%2Cpush")
    };
    let (registry, _tokens) = with_token_server(accepts).await;
    let json = format!(r#"{{"auths":{{"{}":{{"identitytoken":"R/1"}}}}}}"#, registry.host());
    client(&json).check_push(&image(registry.host())).await.unwrap();
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_stands() {
    let (registry, tokens) = with_token_server(|_| false).await;
    let json = format!(r#"{{"auths":{{"{}":{{"registrytoken":"T1"}}}}}}"#, registry.host());
    client(&json).check_push(&image(registry.host())).await.unwrap();
    assert!(tokens.seen().is_empty());
}

#[tokio::test]
async fn a_token_server_that_refuses_is_a_credentials_error() {
    let (registry, _tokens) = with_token_server(|_| false).await;
    let error = client(&login(registry.host(), USER, "x")).check_push(&image(registry.host())).await.unwrap_err();
    assert_says(&error, ErrorKind::Credentials, &["incorrect username or password", "`builder`", "docker login"]);
}

#[tokio::test]
async fn a_token_without_the_right_to_push_is_a_credentials_error() {
    let server = HttpServer::start(|request| match request.target.split('?').next() {
        Some("/token") => answer(200).body(r#"{"token":"read-only"}"#),
        _ => answer(401)
            .header("www-authenticate", &format!("Bearer realm=\"http://{}/token\"", request.header("host").unwrap()))
            .body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"insufficient \u001b[31mscope"}]}"#),
    })
    .await;
    let error = client("{}").check_push(&image(server.host())).await.unwrap_err();
    assert_says(&error, ErrorKind::Credentials, &["UNAUTHORIZED: insufficient", "push to `team/app`"]);
    assert!(!error.to_string().contains('\u{1b}'));
}

#[tokio::test]
async fn a_login_does_not_follow_the_realm_of_a_plain_registry_elsewhere() {
    let thief = HttpServer::start(|_| answer(200).body(r#"{"token":"T"}"#)).await;
    let realm = format!("Bearer realm=\"http://{}/token\"", thief.host());
    let server = HttpServer::start(move |_| answer(401).header("www-authenticate", &realm)).await;
    let host = format!("0.0.0.0:{}", server.port());
    let options = ClientOptions { insecure: vec![host.clone()], ..ClientOptions::default() };
    let error = client_with(&login(&host, USER, PASSWORD), options).check_push(&image(&host)).await.unwrap_err();
    assert_says(&error, ErrorKind::Network, &["not safe", thief.host()]);
    assert!(thief.seen().is_empty());
}

#[tokio::test]
async fn neither_password_nor_refresh_token_follows_the_token_server_elsewhere() {
    let thief = HttpServer::start(|_| answer(200).body(r#"{"token":"T1"}"#)).await;
    let target = format!("http://{}/token", thief.host());
    let tokens = HttpServer::start(move |_| answer(307).header("location", &target)).await;
    let registry = HttpServer::start(token_registry(tokens.host().to_owned(), |_| false)).await;
    let identity = format!(r#"{{"auths":{{"{}":{{"identitytoken":"R/1"}}}}}}"#, registry.host());
    for json in [identity, login(registry.host(), USER, PASSWORD)] {
        let error = client(&json).check_push(&image(registry.host())).await.unwrap_err();
        assert_says(&error, ErrorKind::Network, &["for a token", "307"]);
    }
    assert!(thief.seen().is_empty(), "{:?}", thief.seen());
}

#[tokio::test]
async fn a_login_does_not_follow_a_redirect() {
    let thief = HttpServer::start(|_| answer(401).header("www-authenticate", "Basic realm=\"x\"")).await;
    let target = format!("http://{}/v2/team/app/manifests/v1", thief.host());
    let server = HttpServer::start(move |request| match request.header("authorization") {
        None => answer(401).header("www-authenticate", "Basic realm=\"x\""),
        Some(_) => answer(307).header("location", &target),
    })
    .await;
    let error = client(&login(server.host(), USER, PASSWORD)).manifest_digest(&image(server.host())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let seen = thief.seen();
    assert!(!seen.is_empty() && seen.iter().all(|request| request.header("authorization").is_none()), "{seen:?}");
}

#[tokio::test]
async fn whoever_a_redirect_leads_to_cannot_ask_for_our_login() {
    let thief = HttpServer::start(|request| match request.target.as_str() {
        "/v2/team/app/manifests/v1" => answer(401)
            .header("www-authenticate", &format!("Bearer realm=\"http://{}/token\"", request.header("host").unwrap())),
        _ => answer(200).body(r#"{"token":"T"}"#),
    })
    .await;
    let target = format!("http://{}/v2/team/app/manifests/v1", thief.host());
    let server = HttpServer::start(move |_| answer(307).header("location", &target)).await;
    let error = client(&login(server.host(), USER, PASSWORD)).manifest_digest(&image(server.host())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let seen = thief.seen();
    assert!(seen.iter().all(|request| request.is("HEAD", "/v2/team/app/manifests/v1")), "{seen:?}");
}

#[tokio::test]
async fn an_upload_elsewhere_is_not_cancelled_with_our_login() {
    let thief = HttpServer::start(|_| answer(204)).await;
    let upload = format!("http://{}/u", thief.host());
    let server = HttpServer::start(move |request| match request.header("authorization") {
        None => answer(401).header("www-authenticate", "Basic"),
        Some(_) => answer(202).header("location", &upload),
    })
    .await;
    client(&login(server.host(), USER, PASSWORD)).check_push(&image(server.host())).await.unwrap();
    assert!(thief.seen().is_empty());
}

#[tokio::test]
async fn a_passing_error_is_tried_again_and_a_lasting_one_ends() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let server =
        HttpServer::start(move |_| answer(if counter.fetch_add(1, Ordering::SeqCst) == 0 { 503 } else { 202 })).await;
    client("{}").check_push(&image(server.host())).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);

    let broken = HttpServer::start(|_| answer(500)).await;
    let options = ClientOptions { retries: 1, ..ClientOptions::default() };
    let error = client_with("{}", options).check_push(&image(broken.host())).await.unwrap_err();
    assert_says(&error, ErrorKind::Network, &["500"]);
    assert_eq!(broken.seen().len(), 2);
}

#[tokio::test]
async fn a_missing_repository_and_a_read_only_registry_are_told_apart() {
    let missing = HttpServer::start(|_| answer(404).body(r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#)).await;
    let error = client("{}").check_push(&image(missing.host())).await.unwrap_err();
    assert_says(&error, ErrorKind::Usage, &["no repository `team/app`", "NAME_UNKNOWN", "create"]);
    let frozen = HttpServer::start(|_| answer(405)).await;
    let error = client("{}").check_push(&image(frozen.host())).await.unwrap_err();
    assert_says(&error, ErrorKind::Network, &["read-only"]);
}

/// The digest of a manifest from a server whose GET gives `body`, with the digest header `claimed`.
async fn read_back(body: Vec<u8>, claimed: Option<&'static str>) -> Result<String, Error> {
    let server = HttpServer::start(move |request| {
        let answer = if request.method == "HEAD" { answer(200) } else { answer(200).body(body.clone()) };
        match claimed {
            Some(digest) if request.method == "GET" => answer.header("docker-content-digest", digest),
            _ => answer,
        }
    })
    .await;
    client("{}").manifest_digest(&image(server.host())).await
}

#[tokio::test]
async fn without_the_header_the_manifest_itself_is_hashed() {
    assert_eq!(read_back(b"{}".to_vec(), None).await.unwrap(), digest(b"{}"));
    assert_eq!(read_back(b"{}".to_vec(), Some("sha256:short")).await.unwrap(), digest(b"{}"));
}

#[tokio::test]
async fn a_manifest_that_is_not_what_it_is_called_is_refused() {
    let other = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    assert_says(&read_back(b"{}".to_vec(), Some(other)).await.unwrap_err(), ErrorKind::Network, &["called it", other]);
}

#[tokio::test]
async fn an_endless_manifest_is_not_read_to_its_end() {
    let error = read_back(vec![b' '; (8 << 20) + 1], None).await.unwrap_err();
    assert_says(&error, ErrorKind::Network, &["more than 8388608 bytes"]);
}

#[tokio::test]
async fn another_digest_than_the_one_asked_for_is_refused() {
    let zero = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let server = HttpServer::start(move |_| answer(200).header("docker-content-digest", zero)).await;
    let asked = image(server.host()).at_digest(&digest(b"x")).unwrap();
    assert_says(&client("{}").manifest_digest(&asked).await.unwrap_err(), ErrorKind::Network, &[zero]);
}
