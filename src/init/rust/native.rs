//! [`NativePackages`]: the Debian packages that crates need besides a C compiler, which the image has.

use std::collections::BTreeSet;

/// A crate, and the Debian packages that building and running with it needs.
struct Row {
    name: &'static str,
    build: &'static [&'static str],
    run: &'static [&'static str],
    /// A crate that brings the sources of the library along: then the packages are not needed.
    unless: Option<&'static str>,
}

const ROWS: &[Row] = &[
    Row { name: "openssl-sys", build: &["pkg-config", "libssl-dev"], run: &["libssl3"], unless: Some("openssl-src") },
    Row { name: "openssl-src", build: &["make", "perl"], run: &[], unless: None },
    Row { name: "pq-sys", build: &["libpq-dev"], run: &["libpq5"], unless: Some("pq-src") },
    Row {
        name: "mysqlclient-sys",
        build: &["pkg-config", "libmariadb-dev-compat", "libmariadb-dev"],
        run: &["libmariadb3"],
        unless: Some("mysqlclient-src"),
    },
    Row { name: "libdbus-sys", build: &["pkg-config", "libdbus-1-dev"], run: &["libdbus-1-3"], unless: None },
    Row { name: "libudev-sys", build: &["pkg-config", "libudev-dev"], run: &["libudev1"], unless: None },
    Row { name: "alsa-sys", build: &["pkg-config", "libasound2-dev"], run: &["libasound2"], unless: None },
    Row { name: "prost-build", build: &["protobuf-compiler", "libprotobuf-dev"], run: &[], unless: Some("protox") },
    Row { name: "clang-sys", build: &["clang", "libclang-dev"], run: &[], unless: None },
    Row { name: "cmake", build: &["cmake", "g++", "make"], run: &[], unless: None },
    Row { name: "link-cplusplus", build: &["g++"], run: &["libstdc++6"], unless: None },
    Row { name: "librocksdb-sys", build: &["g++"], run: &["libstdc++6"], unless: None },
    Row { name: "rdkafka-sys", build: &["g++", "make", "zlib1g-dev"], run: &["zlib1g"], unless: None },
    Row { name: "tikv-jemalloc-sys", build: &["make"], run: &[], unless: None },
];

/// What a lock file's crates need of Debian.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NativePackages {
    /// For building.
    pub build: BTreeSet<&'static str>,
    /// For running.
    pub run: BTreeSet<&'static str>,
    /// The crates that need them.
    pub because: Vec<Need>,
}

/// A crate that needs packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The crate.
    pub name: &'static str,
    /// The packages it is built with.
    pub packages: Vec<&'static str>,
}

impl NativePackages {
    /// What these crates need.
    pub(super) fn of(crates: &BTreeSet<String>) -> Self {
        let mut found = Self::default();
        let needed =
            |row: &&Row| crates.contains(row.name) && !row.unless.is_some_and(|bundled| crates.contains(bundled));
        for row in ROWS.iter().filter(needed) {
            found.build.extend(row.build);
            found.run.extend(row.run);
            found.because.push(Need { name: row.name, packages: row.build.to_vec() });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> NativePackages {
        NativePackages::of(&names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_library_that_is_linked_is_there_for_building_and_for_running() {
        let found = of(&["serde", "openssl-sys"]);
        assert_eq!(found.build.into_iter().collect::<Vec<_>>(), ["libssl-dev", "pkg-config"]);
        assert_eq!(found.run.into_iter().collect::<Vec<_>>(), ["libssl3"]);
    }

    #[test]
    fn a_library_that_is_brought_along_is_not() {
        let found = of(&["openssl-sys", "openssl-src"]);
        assert_eq!(found.build.into_iter().collect::<Vec<_>>(), ["make", "perl"]);
        assert!(found.run.is_empty());
        assert_eq!(of(&["serde"]), NativePackages::default());
    }
}
