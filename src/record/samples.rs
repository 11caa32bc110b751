//! [`Samples`]: what the sampler said, and the metrics taken from it.
//!
//! A build step may own the runner, so what comes from there is input: any bytes are read, lines that make no sense
//! are passed over, and numbers are kept within what a machine can be.

use crate::plan::GB;
use crate::record::{Metrics, Pressure, quantile};

/// The first words of the first line: name and version.
const HEAD: &str = "lian-sampler 1 ";

/// Ticks of the sampler's clock in a second.
const TICKS: f64 = 100.0;

/// Samples nearer to each other than this many ticks share one interval: with a clock of 10 ms, the CPUs in use over
/// less than a tenth of a second would be off by more than a tenth.
const SHORTEST_INTERVAL: u64 = 10;

/// More CPUs than any runner has.
const MAX_CPUS: f64 = 4096.0;

/// More memory than any runner has, in bytes.
const MAX_BYTES: u64 = 1 << 50;

/// One line of the sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When, in 1/100 s since the runner's boot.
    pub ticks: u64,
    /// CPU time used so far, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory that cannot be reclaimed, in bytes.
    pub memory: u64,
    /// How much of the last minute all tasks stood still for memory.
    pub pressure: Pressure,
}

impl Sample {
    /// Reads `<ticks> <cpu> <memory>[ <pressure>]`, decimal numbers, with or without the line's end.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.trim_end_matches('\n').split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (ticks, cpu_ns, memory) = (number()?, number()?, number()?);
        let pressure = words.next().map(str::parse::<u32>).transpose().ok()?;
        let is_sample = words.next().is_none() && memory <= MAX_BYTES;
        is_sample.then_some(Self { ticks, cpu_ns, memory, pressure })
    }
}

/// The samples of one attempt, in order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Samples {
    samples: Vec<Sample>,
    cpus: Option<u32>,
    base: Option<u64>,
    whole_machine: bool,
}

impl Samples {
    /// Reads what the sampler wrote; never fails.
    pub fn parse(output: &[u8]) -> Self {
        let mut read = Self::default();
        for line in output.split(|byte| *byte == b'\n') {
            if let Some(head) = line.strip_prefix(HEAD.as_bytes()) {
                read.head(&String::from_utf8_lossy(head));
            } else if let Some(sample) = Sample::parse(line) {
                read.push(sample);
            }
        }
        read
    }

    /// Adds what a later sampler of the same runner said.
    pub fn append(&mut self, later: Self) {
        self.whole_machine |= later.whole_machine;
        self.cpus = self.cpus.or(later.cpus);
        self.base = self.base.or(later.base);
        for sample in later.samples {
            self.push(sample);
        }
    }

    /// Time and CPU never go back on one runner.
    fn push(&mut self, sample: Sample) {
        if self.samples.last().is_none_or(|last| last.ticks <= sample.ticks && last.cpu_ns <= sample.cpu_ns) {
            self.samples.push(sample);
        }
    }

    fn head(&mut self, words: &str) {
        let mut words = words.split(' ');
        let sources = [words.next(), words.next()];
        self.whole_machine = sources.contains(&Some("machine"));
        self.cpus = words.next().and_then(|cpus| cpus.parse().ok()).filter(|cpus| *cpus > 0);
        self.base = words.next().and_then(|base| base.parse().ok()).filter(|base| *base > 0);
    }

    /// With numbers of the whole machine: the bytes in use at the start, which are not counted.
    pub fn base(&self) -> Option<u64> {
        self.base
    }

    /// True when memory or CPU are those of the whole machine, as the steps have no cgroup of their own: whatever else
    /// ran there is in the numbers.
    pub fn whole_machine(&self) -> bool {
        self.whole_machine
    }

    /// The samples.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// What was used; `None` with less than two samples, as CPU in use is what happened between two of them.
    pub fn metrics(&self) -> Option<Metrics> {
        let memory: Vec<f64> = self.samples.iter().map(|sample| gigabytes(sample.memory)).collect();
        Some(Metrics {
            cpu_p95: rounded(quantile::p95(&self.cpus_in_use())?),
            mem_p95: rounded(quantile::p95(&memory)?),
            mem_peak: rounded(quantile::nearest_rank(&memory, 100)?),
        })
    }

    /// CPUs in use in each interval. What is left over at the end and too short for an interval of its own belongs to
    /// the last one.
    fn cpus_in_use(&self) -> Vec<f64> {
        let most = self.cpus.map_or(MAX_CPUS, f64::from).min(MAX_CPUS);
        let Some((first, rest)) = self.samples.split_first() else { return Vec::new() };
        let mut marks = vec![first];
        for sample in rest {
            let far_enough = |mark: &&Sample| sample.ticks - mark.ticks >= SHORTEST_INTERVAL;
            if marks.last().is_some_and(far_enough) {
                marks.push(sample);
            }
        }
        if let Some(last) = rest.last() {
            if marks.len() > 1 {
                marks.pop();
            }
            marks.push(last);
        }
        marks
            .iter()
            .zip(marks.iter().skip(1))
            .map(|(from, to)| {
                let seconds = as_f64((to.ticks - from.ticks).max(1)) / TICKS;
                (as_f64(to.cpu_ns - from.cpu_ns) / 1e9 / seconds).min(most)
            })
            .collect()
    }
}

fn gigabytes(bytes: u64) -> f64 {
    as_f64(bytes) / as_f64(GB)
}

/// Three decimals: a thousandth of a CPU and about a MB.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the last digits do not matter here")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MB: u64 = 1 << 20;

    fn text(cpus: u32, samples: &[(u64, u64, u64)]) -> Vec<u8> {
        let mut text = format!("lian-sampler 1 cgroup cgroup {cpus}\n");
        for (ticks, cpu_ms, mb) in samples {
            text.push_str(&format!("{ticks} {} {}\n", cpu_ms * 1_000_000, mb * MB));
        }
        text.into_bytes()
    }

    #[test]
    fn metrics_come_from_the_samples() {
        let samples = Samples::parse(&text(4, &[(100, 0, 0), (150, 500, 1024), (200, 1500, 2048), (250, 1600, 512)]));
        assert_eq!(samples.cpus, Some(4));
        assert!(!samples.whole_machine());
        assert_eq!(samples.metrics(), Some(Metrics { cpu_p95: 2.0, mem_p95: 2.0, mem_peak: 2.0 }));
    }

    #[test]
    fn the_peak_is_not_the_percentile() {
        let mut lines: Vec<_> = (0..100).map(|i| (i * 50, i * 250, 1024)).collect();
        lines[50].2 = 4096;
        let metrics = Samples::parse(&text(2, &lines)).metrics().unwrap();
        assert_eq!((metrics.mem_p95, metrics.mem_peak, metrics.cpu_p95), (1.0, 4.0, 0.5));
        assert_eq!(metrics.having_reached(5.5).mem_peak, 5.5);
        assert_eq!(metrics.having_reached(3.0).mem_peak, 4.0);
    }

    #[test]
    fn a_tiny_build_gives_what_is_known() {
        assert_eq!(Samples::parse(b"").metrics(), None);
        assert_eq!(Samples::parse(&text(2, &[(100, 5, 10)])).metrics(), None);
        let metrics = Samples::parse(&text(2, &[(100, 0, 512), (103, 30, 256)])).metrics().unwrap();
        assert_eq!(metrics, Metrics { cpu_p95: 1.0, mem_p95: 0.5, mem_peak: 0.5 });
        let at_once = Samples::parse(&text(2, &[(100, 0, 512), (100, 3, 256)])).metrics().unwrap();
        assert_eq!(at_once.cpu_p95, 0.3);
    }

    #[test]
    fn the_short_end_does_not_make_a_peak_of_its_own() {
        let samples = Samples::parse(&text(4, &[(0, 0, 1), (50, 500, 1), (100, 1000, 1), (101, 1040, 1)]));
        let metrics = samples.metrics().unwrap();
        assert!(metrics.cpu_p95 < 1.1, "{metrics:?}");
    }

    #[test]
    fn a_later_sampler_goes_on_where_the_first_one_ended() {
        let mut samples = Samples::parse(&text(4, &[(100, 0, 1024), (150, 500, 1024)]));
        samples.append(Samples::parse(&text(4, &[(140, 400, 4096), (250, 1500, 2048)])));
        assert_eq!(samples.iter().map(|sample| sample.ticks).collect::<Vec<_>>(), [100, 150, 250]);
        assert_eq!(samples.metrics(), Some(Metrics { cpu_p95: 1.0, mem_p95: 2.0, mem_peak: 2.0 }));
    }

    #[test]
    fn pressure_is_read_where_it_is_said() {
        let pressure = |line: &str| Sample::parse(line.as_bytes()).map(|sample| sample.pressure);
        assert_eq!(pressure("1 2 3\n"), Some(None));
        assert_eq!(pressure("1 2 3 9731\n"), Some(Some(9731)));
        assert_eq!(pressure("1 2 3 005"), Some(Some(5)));
        for odd in ["1 2 3 ", "1 2 3 x", "1 2 3 4 5", "1 2"] {
            assert_eq!(pressure(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_runner_cannot_use_more_cpus_than_it_has() {
        let metrics = Samples::parse(&text(2, &[(0, 0, 1), (10, 900_000, 1)])).metrics().unwrap();
        assert_eq!(metrics.cpu_p95, 2.0);
    }

    #[test]
    fn the_source_is_told() {
        assert!(Samples::parse(b"lian-sampler 1 machine machine 2\n").whole_machine());
        assert!(Samples::parse(b"lian-sampler 1 cgroup machine 2\n").whole_machine());
        assert_eq!(Samples::parse(b"lian-sampler 1 cgroup cgroup 0\n").cpus, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Samples::parse(&bytes).metrics();
        }

        #[test]
        fn metrics_are_numbers_of_a_machine(
            lines in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..40),
            cpus in 0_u32..9000,
        ) {
            let mut text = format!("lian-sampler 1 cgroup cgroup {cpus}\n");
            for (ticks, cpu, memory) in lines {
                text.push_str(&format!("{ticks} {cpu} {memory}\n"));
            }
            if let Some(metrics) = Samples::parse(text.as_bytes()).metrics() {
                prop_assert!((0.0..=MAX_CPUS).contains(&metrics.cpu_p95));
                prop_assert!((0.0..=f64::from(1 << 20)).contains(&metrics.mem_peak));
                prop_assert!((0.0..=metrics.mem_peak).contains(&metrics.mem_p95));
            }
        }
    }
}
