//! A real registry (Debian's `docker-registry`) on a free loopback port.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use lian_build::error::ErrorKind;
use lian_build::process::Cmd;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::environment;

/// The user that a registry with logins knows.
pub const USER: &str = "builder";
/// Their password.
pub const PASSWORD: &str = "correct horse";
/// `perl -e 'print crypt("correct horse", "\$2y\$05\$abcdefghijklmnopqrstuu")'`
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2";
const AUTH: &str = "auth: {htpasswd: {realm: test, path: DIRECTORY/htpasswd}}\n";

/// A running registry; it ends with this value.
pub struct DockerRegistry {
    directory: tempfile::TempDir,
    address: String,
    _child: Child,
}

impl DockerRegistry {
    /// A registry that anybody may push to.
    pub async fn open() -> Self {
        Self::start("127.0.0.1", tempfile::tempdir().unwrap(), "", "", HASH).await
    }

    /// A registry that only [`USER`] may use.
    pub async fn with_login() -> Self {
        Self::start("127.0.0.1", tempfile::tempdir().unwrap(), "", AUTH, HASH).await
    }

    /// The same at another address of this machine (a container cannot reach its loopback), with this password.
    pub async fn with_login_at(address: &str, password: &str) -> Self {
        let crypt = Cmd::new("perl", ErrorKind::Network)
            .args(["-e", r#"chomp(my $p = <STDIN>); print crypt($p, "\$2y\$05\$abcdefghijklmnopqrstuu")"#])
            .output_with_stdin(password.as_bytes());
        let hash = crypt.await.unwrap().stdout_text();
        Self::start(address, tempfile::tempdir().unwrap(), "", AUTH, &hash).await
    }

    /// A registry that speaks HTTPS with a certificate of its own making, for `0.0.0.0`.
    pub async fn with_tls() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (key, certificate) = (directory.path().join("key.pem"), directory.path().join("cert.pem"));
        let openssl = Cmd::new("openssl", ErrorKind::Network)
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
            .args(["-addext", "subjectAltName=IP:0.0.0.0", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        let made = openssl.output().await.unwrap();
        assert!(made.success(), "{}", made.stderr_text());
        let tls = ", tls: {certificate: DIRECTORY/cert.pem, key: DIRECTORY/key.pem}";
        Self::start("127.0.0.1", directory, tls, "", HASH).await
    }

    async fn start(address: &str, directory: tempfile::TempDir, tls: &str, auth: &str, hash: &str) -> Self {
        let path = directory.path().display().to_string();
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {path}/data}}}}\n\
             http: {{addr: '{address}:0'{}}}\n{}",
            tls.replace("DIRECTORY", &path),
            auth.replace("DIRECTORY", &path)
        );
        std::fs::write(directory.path().join("config.yml"), config).unwrap();
        std::fs::write(directory.path().join("htpasswd"), format!("{USER}:{hash}\n")).unwrap();
        let mut child = Cmd::new(program(), ErrorKind::Network)
            .arg("serve")
            .arg(directory.path().join("config.yml"))
            .spawn(Stdio::null(), Stdio::null(), Stdio::piped())
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("the registry ended before it listened");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', ' ', ',']).next().unwrap().to_owned();
            }
        };
        // The pipe must not fill up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { directory, address, _child: child }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.address
    }

    /// The uploads that were begun in `repository` and neither finished nor cancelled. (Of a cancelled one this registry
    /// leaves a directory with hash states.)
    pub fn open_uploads(&self, repository: &str) -> usize {
        let uploads = std::fs::read_dir(self.repository(repository).join("_uploads")).into_iter().flatten();
        uploads.filter(|upload| upload.as_ref().unwrap().path().join("startedat").exists()).count()
    }

    /// True when something was ever begun in `repository`.
    pub fn knows(&self, repository: &str) -> bool {
        self.repository(repository).exists()
    }

    fn repository(&self, repository: &str) -> PathBuf {
        self.directory.path().join("data/docker/registry/v2/repositories").join(repository)
    }

    /// Pushes a small image as a client would; gives the manifest's digest, computed here.
    pub async fn push(&self, repository: &str, tag: &str) -> String {
        let http = reqwest::Client::new();
        let base = format!("http://{}/v2/{repository}", self.address);
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let begun = http.post(format!("{base}/blobs/uploads/")).send().await.unwrap();
        assert_eq!(begun.status().as_u16(), 202);
        let location = begun.headers().get(LOCATION).unwrap().to_str().unwrap().to_owned();
        let blob = format!("{location}&digest={}", digest(config));
        assert_eq!(http.put(blob).body(config.to_vec()).send().await.unwrap().status().as_u16(), 201);
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}}"#,
            digest(config),
            config.len()
        );
        let put = http.put(format!("{base}/manifests/{tag}")).header(CONTENT_TYPE, kind).body(manifest.clone());
        assert_eq!(put.send().await.unwrap().status().as_u16(), 201);
        digest(manifest.as_bytes())
    }
}

/// `sha256:…` of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn program() -> PathBuf {
    environment()
        .path("LIAN_TEST_REGISTRY")
        .or_else(|| environment().find_program("docker-registry"))
        .filter(|path| Path::new(path).exists())
        .expect("docker-registry is needed: `apt-get install docker-registry`, or set LIAN_TEST_REGISTRY")
}
