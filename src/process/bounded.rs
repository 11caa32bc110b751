//! [`read_bounded`]: what a child says, up to a limit, in memory that is wiped.

use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::Zeroizing;

/// How much is made room for at first, in bytes.
const FIRST: usize = 8 << 10;

/// Reads to the end; `None` once more than `limit` bytes came. No copy is left behind where the buffer grew: what a
/// credential helper says is a secret.
pub(super) async fn read_bounded(
    mut stream: impl AsyncRead + Unpin,
    limit: usize,
) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(FIRST));
    loop {
        if bytes.len() == bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.capacity().saturating_mul(2)));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        if stream.read_buf(&mut *bytes).await? == 0 {
            return Ok(Some(bytes));
        }
        if bytes.len() > limit {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_up_to_the_limit_is_read() {
        let said: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let read = read_bounded(said.as_slice(), said.len()).await.unwrap();
        assert_eq!(read.as_deref(), Some(&said));
        assert!(read_bounded(said.as_slice(), said.len() - 1).await.unwrap().is_none());
        assert!(read_bounded(tokio::io::repeat(b'x'), 10).await.unwrap().is_none());
    }
}
