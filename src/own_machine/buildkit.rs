//! [`bring_buildkit`]: BuildKit's programs on a machine of its own: uploaded, fetched by it, or there already.

use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::prepare::Prepared;
use super::supply::{Download, NAMES, Supply, missing};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::lease::Endpoint;
use crate::remote::Session;

/// The size of the pieces that are read and sent, in bytes.
const CHUNK: usize = 1 << 18;

/// Takes a program on standard input and puts it in place once its checksum is right. `$1` its path, `$2` the checksum.
const TAKE: &str = r#"set -eu
umask 022
new=$1.new.$$
trap 'rm -f -- "$new"' EXIT
cat >"$new"
[ "$(sha256sum <"$new" | cut -d ' ' -f 1)" = "$2" ] || { echo 'what arrived is not what was sent' >&2; exit 3; }
chmod 0755 "$new"
mv -- "$new" "$1""#;

/// Fetches the archive and unpacks the programs from it once its checksum is right. `$1` its address, `$2` the checksum,
/// `$3` the directory of the programs.
const FETCH: &str = r#"set -eu
umask 022
work=$(mktemp -d /var/tmp/lian-buildkit.XXXXXX)
trap 'rm -rf -- "$work"' EXIT
if command -v curl >/dev/null 2>&1; then
    curl -fsSL --retry 3 --max-time 300 -o "$work/archive" -- "$1"
elif command -v wget >/dev/null 2>&1; then
    wget -q -T 60 -t 3 -O "$work/archive" -- "$1"
else
    python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as answer, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(answer, file)' "$1" "$work/archive"
fi
sum=$(sha256sum <"$work/archive" | cut -d ' ' -f 1)
[ "$sum" = "$2" ] || { echo "its SHA-256 is $sum, and $2 was said" >&2; exit 3; }
tar -x -f "$work/archive" -C "$work" --no-same-owner bin/buildctl bin/buildkitd
install -m 0755 -- "$work/bin/buildctl" "$work/bin/buildkitd" "$3/""#;

/// Sees to it that the machine has BuildKit's programs. Says what was done, for the user; `None` when they were there. Safe to
/// repeat.
///
/// # Errors
/// [`ErrorKind::Runner`] when they cannot be brought; [`ErrorKind::State`] when this machine's cannot be read.
pub async fn bring_buildkit(
    session: &Session,
    endpoint: &Endpoint,
    supply: &Supply,
    prepared: &Prepared,
) -> Result<Option<String>> {
    let bin = &endpoint.paths.bin;
    let is_there = NAMES.iter().all(|name| prepared.programs.contains_key(*name));
    if let Some(programs) = supply.find(&endpoint.architecture) {
        let mut sent = 0;
        for (name, program) in NAMES.iter().zip(&programs) {
            let sum = sum_of(program).await?;
            if prepared.programs.get(*name) != Some(&sum) {
                sent += send(session, program, &format!("{bin}/{name}"), &sum).await?;
            }
        }
        return Ok((sent > 0).then(|| format!("BuildKit's programs were sent to the runner: {} MB", sent >> 20)));
    }
    match &supply.download {
        // What a snapshot has, it has for this.
        _ if is_there => Ok(None),
        Some(download) => fetch(session, endpoint, download, bin).await.map(Some),
        None => Err(missing(ErrorKind::Runner, &endpoint.architecture)),
    }
}

async fn fetch(session: &Session, endpoint: &Endpoint, download: &Download, bin: &str) -> Result<String> {
    let url = download.url.replace("{arch}", &endpoint.architecture);
    let argv = ["sh", "-c", FETCH, "fetch-buildkit", &url, &download.sha256, bin];
    let output = session.run(&argv, None).await?;
    if output.success() {
        return Ok(format!("the runner fetched BuildKit's programs from {}", crate::sanitise::line(&url)));
    }
    let said = output.stderr_text();
    Err(Error::new(ErrorKind::Runner, format!("the runner could not fetch BuildKit from `{url}`: {said}")))
}

async fn send(session: &Session, program: &Path, to: &str, sum: &str) -> Result<u64> {
    let place = || format!("cannot read `{}`", program.display());
    let mut file = tokio::fs::File::open(program).await.context(ErrorKind::State, place)?;
    let mut child = session.spawn(&["sh", "-c", TAKE, "take-program", to, sum])?;
    let (stdin, stderr) = (child.stdin(), child.stderr());
    let feed = async {
        let Some(mut stdin) = stdin else { return Ok(0) };
        let (mut buffer, mut sent) = (vec![0; CHUNK], 0_u64);
        loop {
            let count = file.read(&mut buffer).await.context(ErrorKind::State, place)?;
            let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
            // Why nothing more is taken is told by the other end.
            if stdin.write_all(piece).await.is_err() {
                break;
            }
            sent += count as u64;
        }
        let _ = stdin.shutdown().await;
        Ok(sent)
    };
    let listen = async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            let _ = stderr.take(8 << 10).read_to_end(&mut said).await;
        }
        Ok::<_, Error>(said)
    };
    let (sent, said) = tokio::try_join!(feed, listen)?;
    if child.wait().await? == 0 {
        return Ok(sent);
    }
    let said = crate::sanitise::lines(String::from_utf8_lossy(&said).trim());
    Err(Error::new(ErrorKind::Runner, format!("the runner did not take `{to}`: {said}")))
}

/// The SHA-256 of a file, in hexadecimal digits.
async fn sum_of(program: &Path) -> Result<String> {
    let path = program.to_owned();
    let sum = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
        let (mut hasher, mut file) = (Sha256::new(), std::fs::File::open(path)?);
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = file.read(&mut buffer)?;
            match buffer.get(..count) {
                Some(piece) if !piece.is_empty() => hasher.update(piece),
                _ => break,
            }
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    });
    let sum = sum.await.context(ErrorKind::State, || "a worker thread died".to_owned())?;
    sum.context(ErrorKind::State, || format!("cannot read `{}`", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_checksum_is_of_the_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let sum = sum_of(file.path()).await.unwrap();
        assert_eq!(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
