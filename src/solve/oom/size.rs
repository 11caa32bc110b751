//! Sizes for messages.

/// `512 MB`, or `7.5 GB` from 1 GB on, as this project counts (2^20, 2^30).
pub(super) fn megabytes(bytes: u64) -> String {
    let tenths_of_gb = (bytes >> 20).saturating_mul(10) / 1024;
    if tenths_of_gb >= 10 {
        format!("{}.{} GB", tenths_of_gb / 10, tenths_of_gb % 10)
    } else {
        format!("{} MB", bytes >> 20)
    }
}
