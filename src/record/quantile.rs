//! Percentiles by the nearest-rank method.
//!
//! The percentile is always one of the values, never something between two of them: a size that was really needed.
//! Below 20 values the 95th percentile is the largest one.

/// The 95th percentile by nearest rank: the smallest value such that at least 95 % of all values are not larger.
/// `None` without values. Not-a-number values are left out.
pub fn p95(values: &[f64]) -> Option<f64> {
    nearest_rank(values, 95)
}

/// The `percent`th percentile by nearest rank; `percent` is taken as 1 to 100.
pub fn nearest_rank(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent.clamp(1, 100)).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rank_is_rounded_up() {
        let twenty: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(p95(&twenty), Some(19.0));
        assert_eq!(p95(&twenty[..19]), Some(19.0));
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(p95(&hundred), Some(95.0));
        assert_eq!(p95(&[7.0]), Some(7.0));
        assert_eq!(p95(&[]), None);
        assert_eq!(p95(&[f64::NAN]), None);
    }

    proptest! {
        #[test]
        fn it_is_the_smallest_value_that_covers_the_share(
            values in prop::collection::vec(-1e9_f64..1e9, 1..300),
            percent in 1_usize..=100,
        ) {
            let found = nearest_rank(&values, percent).unwrap();
            prop_assert!(values.contains(&found));
            let not_larger = values.iter().filter(|value| **value <= found).count();
            let smaller = values.iter().filter(|value| **value < found).count();
            prop_assert!(not_larger * 100 >= values.len() * percent);
            prop_assert!(smaller * 100 < values.len() * percent);
        }

        #[test]
        fn the_order_of_values_does_not_matter(mut values in prop::collection::vec(any::<f64>(), 0..60)) {
            let forward = p95(&values);
            values.reverse();
            prop_assert_eq!(forward.map(f64::to_bits), p95(&values).map(f64::to_bits));
        }
    }
}
