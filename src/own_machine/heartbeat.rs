//! [`beat`]: tells a machine of its own that its caller lives, so that it does not power itself off.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::remote::Session;

/// Moves the expiry, by the machine's own clock. One that was given none ends at its hard deadline only. `$1` seconds.
const BEAT: &str = r#"file=/var/lib/lian-build/expires
[ -e "$file" ] || exit 0
echo "$(($(date +%s) + $1))" >"$file.new" && mv "$file.new" "$file""#;

/// Moves the time at which the machine powers itself off to `ahead` from now.
///
/// # Errors
/// [`ErrorKind::Runner`] when the machine does not take it: the build goes on.
pub async fn beat(session: &Session, ahead: Duration) -> Result<()> {
    let seconds = ahead.as_secs().to_string();
    let output = session.run(&["sh", "-c", BEAT, "beat", &seconds], None).await?;
    if output.success() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Runner, format!("its expiry could not be moved: {}", output.stderr_text())))
}
