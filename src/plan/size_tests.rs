use super::*;
use crate::inputs::resolve::Said;
use crate::plan::LanguageSize;
use crate::record::{Approved, AttemptRecord, Metrics};
use crate::report::envelope::Outcome;
use proptest::prelude::*;

fn tier(name: &str, cpu: u32, memory_gb: f64, disk_gb: u32) -> Tier {
    Tier { name: name.to_owned(), cpu, memory_gb, disk_gb }
}

fn ladder() -> Tiers {
    Tiers::new(vec![
        tier("cax11", 2, 4.0, 40),
        tier("cax21", 4, 8.0, 80),
        tier("cax31", 8, 16.0, 160),
        tier("cax41", 16, 32.0, 320),
    ])
    .unwrap()
}

fn small_ladder() -> Tiers {
    Tiers::new(vec![tier("tiny", 1, 0.25, 1), tier("small", 2, 0.5, 2)]).unwrap()
}

fn languages() -> Languages {
    let size = |cpu, memory_gb, time_budget_min| LanguageSize { cpu, memory_gb, time_budget_min };
    let table = [("rust", size(4.0, 8.0, 60.0)), ("go", size(2.0, 4.0, 30.0)), ("other", size(2.0, 4.0, 30.0))];
    Languages::new(table.map(|(name, size)| (name.to_owned(), size)).into()).unwrap()
}

fn a_spec() -> BuildSpec {
    BuildSpec {
        schema_version: 1,
        runner_type: None,
        cpu: None,
        memory_gb: None,
        disk_gb: None,
        time_budget_min: None,
        oom_retry: true,
        cache_keys: Vec::new(),
    }
}

fn sized(cpu: f64, memory_gb: f64) -> BuildSpec {
    BuildSpec { cpu: Some(cpu), memory_gb: Some(memory_gb), ..a_spec() }
}

fn named(runner_type: &str) -> BuildSpec {
    BuildSpec { runner_type: Some(runner_type.to_owned()), ..a_spec() }
}

fn advice(samples: u32, cpu_p95: f64, mem_p95: f64) -> Advice {
    Advice { samples, cpu_p95: Some(cpu_p95), mem_p95: Some(mem_p95), ..Advice::default() }
}

fn approved(cpu: f64, memory_gb: f64) -> Approved {
    Approved { cpu, memory_gb, by: "ops".to_owned(), at: "2026-11-01T00:00:00Z".to_owned() }
}

/// What a test says; the rest is a human's Rust project on the default ladder.
#[derive(Default)]
struct Given<'a> {
    runner_type: Option<&'a str>,
    wish: RunnerWish,
    spec: Option<BuildSpec>,
    advice: Option<Advice>,
    actor: Option<Actor>,
    language: Option<&'a str>,
    tiers: Option<Tiers>,
}

impl Given<'_> {
    fn decide(&self) -> Result<Sizing> {
        let size = self.runner_type.map(|name| Said::flag("--runner-type", RunnerSize::tier(name)));
        let wish = RunnerWish { size: self.wish.size.clone().or(size), ..self.wish.clone() };
        decide(&SizeRequest {
            wish: &wish,
            spec: self.spec.as_ref(),
            advice: self.advice.as_ref(),
            actor: self.actor.unwrap_or(Actor::Human),
            language: self.language.unwrap_or("rust"),
            evidence: "Cargo.toml",
            languages: &languages(),
            tiers: &self.tiers.clone().unwrap_or_else(ladder),
        })
    }

    fn reason(&self) -> String {
        self.decide().unwrap().reason
    }
}

#[test]
fn the_first_rule_that_applies_wins() {
    let (spec, advice) = (Some(sized(2.0, 3.0)), Some(advice(9, 7.0, 12.0)));
    let all = Given { runner_type: Some("cax41"), spec: spec.clone(), advice: advice.clone(), ..Given::default() };
    let sizing = all.decide().unwrap();
    assert_eq!((sizing.source, sizing.runner_type.as_str()), (SizingSource::Override, "cax41"));
    assert_eq!(sizing.notes, ["`.build-spec.ncl` asks for 2 cpu and 3 GB, which is overridden"]);
    let sizing = Given { spec, advice: advice.clone(), ..Given::default() }.decide().unwrap();
    assert_eq!((sizing.source, sizing.runner_type.as_str()), (SizingSource::Spec, "cax11"));
    let sizing = Given { advice, ..Given::default() }.decide().unwrap();
    assert_eq!((sizing.source, sizing.runner_type.as_str()), (SizingSource::P95, "cax41"));
    let sizing = Given::default().decide().unwrap();
    assert_eq!((sizing.source, sizing.runner_type.as_str()), (SizingSource::Language, "cax21"));
}

#[test]
fn a_candidate_may_take_another_tier_that_holds_the_size() {
    let decided = || Given::default().decide().unwrap();
    let take = |name: &str| {
        let mut sizing = decided();
        sizing.take_for_candidate(name, &ladder()).map(|()| sizing)
    };
    let larger = take("cax31").unwrap();
    assert_eq!((larger.runner_type.as_str(), larger.cpu, larger.tier.name.as_str()), ("cax31", 8, "cax31"));
    assert_eq!(larger.reason, decided().reason);
    assert!(
        larger.notes.iter().any(|note| note.contains("`cax31` is taken in place of `cax21`")),
        "{:?}",
        larger.notes
    );
    assert_eq!(take("cax21").unwrap(), decided());
    let small = take("cax11").unwrap_err();
    assert_eq!(small.kind(), ErrorKind::NoCapacity);
    assert!(small.message().contains("`cax11` (2 cpu, 4 GB) is smaller than `cax21` (4 cpu, 8 GB)"), "{small}");
    let unknown = take("cpx32").unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Spec);
    assert!(unknown.hints().iter().any(|hint| hint.contains("cax41")), "{unknown:?}");
}

#[test]
fn only_memory_that_was_asked_for_is_explicit() {
    let explicit = |given: Given<'_>| given.decide().unwrap().memory_is_explicit;
    assert!(explicit(Given { runner_type: Some("cax11"), ..Given::default() }));
    assert!(explicit(Given { spec: Some(sized(1.0, 1.0)), ..Given::default() }));
    assert!(explicit(Given { spec: Some(named("cax11")), ..Given::default() }));
    assert!(!explicit(Given { spec: Some(a_spec()), ..Given::default() }));
    assert!(!explicit(Given { advice: Some(advice(9, 1.0, 1.0)), ..Given::default() }));
}

#[test]
fn raw_resources_take_the_smallest_tier_that_holds_them() {
    let spec = Some(sized(8.0, 16.0));
    assert_eq!(
        Given { spec, ..Given::default() }.reason(),
        "`.build-spec.ncl` asks for 8 cpu and 16 GB: cax31 is the smallest tier that holds them"
    );
    for (cpu, memory_gb, disk_gb, expected) in [
        (0.5, 0.1, None, "cax11"),
        (2.5, 4.0, None, "cax21"),
        (2.0, 4.1, None, "cax21"),
        (1.0, 32.0, None, "cax41"),
        (1.0, 1.0, Some(100.0), "cax31"),
    ] {
        let spec = Some(BuildSpec { disk_gb, ..sized(cpu, memory_gb) });
        assert_eq!(Given { spec, ..Given::default() }.decide().unwrap().runner_type, expected);
    }
}

#[test]
fn more_than_any_tier_holds_is_no_capacity() {
    for spec in [
        sized(17.0, 1.0),
        sized(1.0, 33.0),
        BuildSpec { disk_gb: Some(321.0), ..sized(1.0, 1.0) },
        BuildSpec { disk_gb: Some(321.0), ..a_spec() },
    ] {
        let error = Given { spec: Some(spec), ..Given::default() }.decide().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCapacity);
        assert!(error.message().contains("the largest is `cax41` (16 cpu, 32 GB)"), "{error}");
    }
}

#[test]
fn an_unknown_runner_type_names_the_nearest_and_all() {
    let flag = Given { runner_type: Some("cax12"), ..Given::default() }.decide().unwrap_err();
    assert_eq!(flag.kind(), ErrorKind::Usage);
    assert!(flag.message().starts_with("`--runner-type` asks for runner_type `cax12`"), "{flag}");
    assert!(flag.message().ends_with("did you mean `cax21`?"), "{flag}");
    let spec = Given { spec: Some(named("cpx31")), ..Given::default() }.decide().unwrap_err();
    assert_eq!(spec.kind(), ErrorKind::Spec);
    assert!(spec.message().starts_with("`.build-spec.ncl` asks for runner_type `cpx31`"), "{spec}");
    assert!(spec.message().ends_with("did you mean `cax31`?"), "{spec}");
    let list =
        "runner types: `cax11` (2 cpu, 4 GB), `cax21` (4 cpu, 8 GB), `cax31` (8 cpu, 16 GB), `cax41` (16 cpu, 32 GB)";
    assert_eq!((flag.hints(), spec.hints()), ([list.to_owned()].as_slice(), [list.to_owned()].as_slice()));
}

#[test]
fn what_stands_beside_a_runner_type_has_to_fit_in_it() {
    let beside = |cpu, memory_gb, disk_gb| BuildSpec { cpu, memory_gb, disk_gb, ..named("cax21") };
    let fits = Given { spec: Some(beside(Some(1.0), Some(8.0), Some(80.0))), ..Given::default() };
    let sizing = fits.decide().unwrap();
    assert_eq!((sizing.runner_type.as_str(), sizing.reason.as_str()), ("cax21", "`.build-spec.ncl` asks for `cax21`"));
    for (spec, wrong) in [
        (beside(Some(5.0), None, None), "cpu 5 beside runner_type `cax21`, which has 4"),
        (beside(None, Some(8.5), None), "memory_gb 8.5 beside runner_type `cax21`, which has 8"),
        (beside(None, None, Some(81.0)), "disk_gb 81 beside runner_type `cax21`, which has 80"),
    ] {
        let error = Given { spec: Some(spec), ..Given::default() }.decide().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec);
        assert!(error.message().ends_with(wrong), "{error}");
    }
}

/// What directives say at a place.
fn said<T: std::fmt::Display>(value: T) -> Option<Said<T>> {
    Some(Said { by: By::Directives, ..Said::flag("ci/x.ncl:5:3", value) })
}

#[test]
fn directives_override_the_spec_and_the_reason_names_the_place() {
    let spec = || Some(BuildSpec { time_budget_min: Some(10.0), disk_gb: Some(200.0), ..named("cax11") });
    let wish = RunnerWish { size: said(RunnerSize::Raw { cpu: 5.0, memory_gb: 10.0 }), ..RunnerWish::default() };
    let sizing = Given { wish, spec: spec(), ..Given::default() }.decide().unwrap();
    assert_eq!((sizing.source, sizing.memory_is_explicit), (SizingSource::Override, true));
    assert_eq!(sizing.reason, "ci/x.ncl:5:3 asks for 5 cpu and 10 GB: cax31 is the smallest tier that holds them");
    assert_eq!(sizing.notes, ["`.build-spec.ncl` asks for `cax11`, which is overridden"]);
    assert_eq!(sizing.time_budget_min, 10.0, "what is not overridden stays");

    let wish = RunnerWish { time_budget_min: said(5.0), oom_retry: said(false), ..RunnerWish::default() };
    let sizing = Given { wish, spec: Some(named("cax31")), ..Given::default() }.decide().unwrap();
    assert_eq!((sizing.source, sizing.runner_type.as_str()), (SizingSource::Spec, "cax31"));
    assert_eq!((sizing.time_budget_min, sizing.oom_retry), (5.0, false));

    let wish = RunnerWish { disk_gb: said(100.0), ..RunnerWish::default() };
    let sizing = Given { wish: wish.clone(), ..Given::default() }.decide().unwrap();
    assert_eq!((sizing.source, sizing.runner_type.as_str()), (SizingSource::Language, "cax31"));
    let error = Given { wish: wish.clone(), runner_type: Some("cax11"), ..Given::default() }.decide().unwrap_err();
    assert!(error.message().starts_with("ci/x.ncl:5:3 asks for disk_gb 100 beside runner_type `cax11`"), "{error}");
    let error = Given { wish, spec: Some(named("cax21")), ..Given::default() }.decide().unwrap_err();
    assert!(error.message().starts_with("ci/x.ncl:5:3 asks for disk_gb 100 beside"), "{error}");

    let beside = RunnerSize::Tier { name: "cax11".to_owned(), cpu: Some(3.0), memory_gb: None };
    for (size, kind) in [
        (beside, ErrorKind::Spec),
        (RunnerSize::tier("cax12"), ErrorKind::Spec),
        (RunnerSize::Raw { cpu: 1.0, memory_gb: 33.0 }, ErrorKind::NoCapacity),
    ] {
        let wish = RunnerWish { size: said(size), ..RunnerWish::default() };
        let error = Given { wish, ..Given::default() }.decide().unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.message().starts_with("ci/x.ncl:5:3 asks for"), "{error}");
    }
}

#[test]
fn a_spec_without_a_size_still_sets_time_and_retry() {
    let spec = Some(BuildSpec { time_budget_min: Some(0.5), oom_retry: false, ..a_spec() });
    let sizing = Given { spec, ..Given::default() }.decide().unwrap();
    assert_eq!((sizing.source, sizing.time_budget_min, sizing.oom_retry), (SizingSource::Language, 0.5, false));
    let sizing = Given::default().decide().unwrap();
    assert_eq!((sizing.time_budget_min, sizing.oom_retry), (60.0, true));
    let sizing = Given { runner_type: Some("cax11"), language: Some("go"), ..Given::default() }.decide().unwrap();
    assert_eq!(sizing.time_budget_min, 30.0);
}

#[test]
fn the_languages_reason_has_its_evidence() {
    assert_eq!(
        Given::default().reason(),
        "rust (Cargo.toml) gets 4 cpu and 8 GB by default: cax21 is the smallest tier that holds them"
    );
    let unknown = Given { language: Some("cobol"), ..Given::default() };
    assert!(unknown.reason().starts_with("the default for any other project (Cargo.toml) is 2 cpu and 4 GB"));
}

#[test]
fn history_is_a_fifth_more_than_the_95th_percentile() {
    let sizing = Given { advice: Some(advice(12, 2.9, 6.1)), ..Given::default() }.decide().unwrap();
    assert_eq!((sizing.source, sizing.runner_type.as_str()), (SizingSource::P95, "cax21"));
    assert_eq!(
        sizing.reason,
        "history says cpu 2.9 × 1.2 → 4, mem 6.1 GB × 1.2 → 8 GB over 12 runs: \
         cax21 is the smallest tier that holds them"
    );
    // 5 × 1.2 is 6 and not 7; 6.7 × 1.2 is 8.04, so 9; the floor is 2 cpu and 4 GB; the cap is the largest tier.
    for (cpu, memory, expected) in [
        (2.0, 5.0, "cax21"),
        (0.1, 0.1, "cax11"),
        (1.0, 3.33, "cax11"),
        (1.0, 3.34, "cax21"),
        (1.0, 6.7, "cax31"),
        (100.0, 100.0, "cax41"),
    ] {
        let sizing = Given { advice: Some(advice(5, cpu, memory)), ..Given::default() }.decide().unwrap();
        assert_eq!(sizing.runner_type, expected, "{cpu} {memory}");
        assert_eq!(sizing.notes.is_empty(), cpu < 100.0);
    }
}

#[test]
fn fewer_than_five_runs_are_shown_and_not_used() {
    let sizing = Given { advice: Some(advice(4, 10.0, 20.0)), ..Given::default() }.decide().unwrap();
    assert_eq!((sizing.source, sizing.runner_type.as_str()), (SizingSource::Language, "cax21"));
    assert!(
        sizing
            .reason
            .ends_with("; history says cpu 10 × 1.2 → 12, mem 20 GB × 1.2 → 24 GB over 4 runs, not used below 5 runs")
    );
    assert!(!Given { advice: Some(Advice::default()), ..Given::default() }.reason().contains("history"));
}

#[test]
fn ci_uses_only_what_was_approved() {
    for actor in [Actor::Ci, Actor::CiAux] {
        let seen = Advice { approved: None, ..advice(50, 3.0, 12.0) };
        let sizing = Given { advice: Some(seen), actor: Some(actor), ..Given::default() }.decide().unwrap();
        assert_eq!((sizing.source, sizing.runner_type.as_str()), (SizingSource::Language, "cax21"));
        assert!(sizing.reason.ends_with(
            "; history advises 4 cpu and 15 GB (cpu 3 × 1.2 → 4, mem 12 GB × 1.2 → 15 GB over 50 runs), \
             not used as nobody has approved it"
        ));
        let seen = Advice { approved: Some(approved(8.0, 10.0)), ..advice(50, 3.0, 30.0) };
        let sizing = Given { advice: Some(seen), actor: Some(actor), ..Given::default() }.decide().unwrap();
        assert_eq!((sizing.source, sizing.runner_type.as_str()), (SizingSource::P95, "cax31"));
        assert!(sizing.reason.starts_with("8 cpu and 10 GB were approved by ops on 2026-11-01T00:00:00Z: cax31"));
        assert!(sizing.reason.contains("; history says cpu 3 × 1.2 → 4, mem 30 GB"), "the drift is shown");
    }
}

#[test]
fn sessions_use_advice_at_once_and_an_approved_size_before_there_is_any() {
    for actor in [Actor::Human, Actor::Agent] {
        let seen = Advice { approved: Some(approved(2.0, 4.0)), ..advice(5, 1.0, 12.0) };
        let given = Given { advice: Some(seen), actor: Some(actor), ..Given::default() };
        assert_eq!(given.decide().unwrap().runner_type, "cax31");
        let seen = Advice { approved: Some(approved(2.0, 4.0)), ..Advice::default() };
        let given = Given { advice: Some(seen), actor: Some(actor), ..Given::default() };
        assert_eq!(given.decide().unwrap().runner_type, "cax11");
    }
}

#[test]
fn bounds_are_no_samples() {
    // All 4 CPUs were busy: at least 4, and no fifth more.
    let busy = Advice { samples: 9, cpu_at_least: Some(4.0), mem_p95: Some(1.0), ..Advice::default() };
    let sizing = Given { advice: Some(busy), ..Given::default() }.decide().unwrap();
    assert_eq!(sizing.runner_type, "cax21");
    assert!(sizing.reason.contains("all 4 cpu were busy"), "{}", sizing.reason);
    // Memory ran out with 8 GB: more than that.
    let oom = Advice { mem_more_than: Some(8.0), ..advice(9, 1.0, 2.0) };
    let sizing = Given { advice: Some(oom), ..Given::default() }.decide().unwrap();
    assert_eq!(sizing.runner_type, "cax31");
    assert!(sizing.reason.contains("memory ran out with 8 GB"), "{}", sizing.reason);
    // It ran out on the largest: there is nothing better.
    let oom = Advice { mem_more_than: Some(32.0), ..advice(9, 1.0, 2.0) };
    let sizing = Given { advice: Some(oom), ..Given::default() }.decide().unwrap();
    assert_eq!(sizing.runner_type, "cax41");
    assert_eq!(sizing.notes, ["2 cpu and more than 32 GB would be needed, and `cax41` is the largest tier"]);
}

#[test]
fn a_small_ladder_caps_what_nobody_asked_for() {
    let sizing = Given { tiers: Some(small_ladder()), ..Given::default() }.decide().unwrap();
    assert_eq!(sizing.runner_type, "small");
    assert_eq!(sizing.notes, ["4 cpu and 8 GB would be needed, and `small` is the largest tier"]);
    assert!(sizing.reason.ends_with("small is the largest tier"), "{}", sizing.reason);
    let asked = Given { tiers: Some(small_ladder()), spec: Some(sized(1.0, 0.2)), ..Given::default() };
    assert_eq!(asked.decide().unwrap().runner_type, "tiny");
    let asked = Given { tiers: Some(small_ladder()), spec: Some(sized(1.0, 1.0)), ..Given::default() };
    assert_eq!(asked.decide().unwrap_err().kind(), ErrorKind::NoCapacity);
}

/// A program that is built again and again.
struct Program {
    /// CPUs that it would use if it had them.
    cpu: f64,
    /// Memory that it needs, in GB.
    memory_gb: f64,
    /// How much its memory varies, in GB, from run to run.
    jitter: f64,
}

/// Builds it `runs` times, each run sized by the history of the runs before; the tier that each run ended on.
fn build_repeatedly(program: &Program, language: &str, runs: u32) -> Vec<String> {
    let tiers = ladder();
    let mut newest_first: Vec<AttemptRecord> = Vec::new();
    let mut ended_on = Vec::new();
    for run in 0..runs {
        let seen = Some(Advice::from_history(&newest_first));
        let sizing = Given { advice: seen, language: Some(language), ..Given::default() }.decide().unwrap();
        let need = program.memory_gb + program.jitter * f64::from(run % 4);
        let mut tier = &sizing.tier;
        for attempt in 1..=2 {
            let enough = need <= tier.build_memory_bytes() as f64 / crate::plan::GB as f64;
            let metrics = Metrics { cpu_p95: program.cpu.min(f64::from(tier.cpu)), mem_p95: need, mem_peak: need };
            newest_first.insert(
                0,
                AttemptRecord {
                    attempt,
                    runner_type: tier.name.clone(),
                    cpu: f64::from(tier.cpu),
                    memory_gb: tier.memory_gb,
                    outcome: if enough { Outcome::Succeeded } else { Outcome::Oom },
                    metrics: Some(metrics),
                    ..AttemptRecord::example()
                },
            );
            match tiers.next_above(tier) {
                Some(next) if !enough => tier = next,
                _ => break,
            }
        }
        ended_on.push(tier.name.clone());
    }
    ended_on
}

#[test]
fn a_program_that_is_built_fifty_times_settles_on_one_tier() {
    for (program, language, expected) in [
        // As many CPUs as there are: it stays where it began.
        (Program { cpu: 1e9, memory_gb: 1.0, jitter: 0.0 }, "rust", "cax21"),
        (Program { cpu: 1e9, memory_gb: 1.0, jitter: 0.0 }, "go", "cax11"),
        // And when memory moves it up, it stays there.
        (Program { cpu: 1e9, memory_gb: 9.0, jitter: 0.3 }, "rust", "cax31"),
        (Program { cpu: 1e9, memory_gb: 5.0, jitter: 0.0 }, "go", "cax21"),
        // It runs out of memory at first, and fits with little to spare afterwards.
        (Program { cpu: 1.0, memory_gb: 3.6, jitter: 0.0 }, "go", "cax21"),
        (Program { cpu: 0.5, memory_gb: 3.4, jitter: 0.1 }, "go", "cax21"),
        (Program { cpu: 1.0, memory_gb: 14.0, jitter: 0.2 }, "rust", "cax41"),
        // Nearly all of its CPUs: head room moves it up once.
        (Program { cpu: 1.7, memory_gb: 1.0, jitter: 0.0 }, "go", "cax21"),
        // Less than the default: it comes down.
        (Program { cpu: 1.0, memory_gb: 1.0, jitter: 0.1 }, "rust", "cax11"),
    ] {
        let tiers = build_repeatedly(&program, language, 50);
        let settled = &tiers[10..];
        assert!(settled.iter().all(|tier| tier == expected), "{language} {expected}: {tiers:?}");
    }
}

fn any_amount() -> impl Strategy<Value = Option<f64>> {
    proptest::option::of(prop_oneof![0.0..300.0, any::<f64>()])
}

proptest! {
    #[test]
    fn the_smallest_tier_that_is_enough_is_chosen(
        sizes in proptest::collection::vec((1_u32..64, 0.25_f64..64.0, 1_u32..500), 1..12),
        cpu in 0.01_f64..80.0,
        memory_gb in 0.01_f64..80.0,
        disk_gb in proptest::option::of(0.5_f64..600.0),
    ) {
        let tiers = sizes.iter().enumerate().map(|(n, (cpu, memory, disk))| tier(&format!("t{n}"), *cpu, *memory, *disk));
        let tiers = Tiers::new(tiers.collect()).unwrap();
        let enough = |tier: &Tier| {
            f64::from(tier.cpu) >= cpu && tier.memory_gb >= memory_gb && disk_gb.is_none_or(|disk| f64::from(tier.disk_gb) >= disk)
        };
        let spec = Some(BuildSpec { disk_gb, ..sized(cpu, memory_gb) });
        match (Given { spec, tiers: Some(tiers.clone()), ..Given::default() }).decide() {
            Ok(sizing) => {
                prop_assert!(enough(&sizing.tier));
                prop_assert!(tiers.iter().filter(|tier| enough(tier)).all(|tier| tier.memory_gb >= sizing.memory_gb));
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::NoCapacity);
                prop_assert!(!tiers.iter().any(enough));
            }
        }
    }

    #[test]
    fn any_advice_gives_a_tier_of_the_ladder(
        samples in 0_u32..100,
        cpu_p95 in any_amount(),
        cpu_at_least in any_amount(),
        mem_p95 in any_amount(),
        mem_more_than in any_amount(),
        approval in proptest::option::of((any::<f64>(), any::<f64>())),
        session in any::<bool>(),
    ) {
        let seen = Advice {
            samples, cpu_p95, cpu_at_least, mem_p95, mem_more_than,
            approved: approval.map(|(cpu, memory_gb)| approved(cpu, memory_gb)),
        };
        let actor = Some(if session { Actor::Agent } else { Actor::Ci });
        let sizing = Given { advice: Some(seen), actor, ..Given::default() }.decide().unwrap();
        prop_assert!(ladder().get(&sizing.runner_type).is_some());
        prop_assert!(sizing.cpu >= 2 && sizing.memory_gb >= 4.0);
        prop_assert!(!sizing.reason.contains("NaN") && !sizing.reason.contains("inf"), "{}", sizing.reason);
    }

    #[test]
    fn more_history_never_means_a_smaller_runner(cpu in 0.1_f64..20.0, memory in 0.1_f64..40.0, more in 0.0_f64..10.0) {
        let place = |cpu, memory| {
            let name = Given { advice: Some(advice(9, cpu, memory)), ..Given::default() }.decide().unwrap().runner_type;
            ladder().iter().position(|tier| tier.name == name)
        };
        prop_assert!(place(cpu + more, memory) >= place(cpu, memory));
        prop_assert!(place(cpu, memory + more) >= place(cpu, memory));
    }
}
