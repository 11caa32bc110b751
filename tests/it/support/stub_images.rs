//! [`StubImages`]: directories that take the place of base images, with programs that do next to nothing. No image registry
//! is reachable where the tests run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Sandbox, variable};

/// Makes the programs that it is asked for with `--bin`: scripts that say their name.
const CARGO: &str = "\
#!/bin/sh
set -e
[ \"$1\" = build ] && [ -f Cargo.toml ]
echo \"cargo $*\"
mkdir -p target/release
while [ $# -gt 0 ]; do
  if [ \"$1\" = --bin ]; then
    printf '#!/bin/sh\\necho %s\\n' \"$2\" >\"target/release/$2\"
    chmod +x \"target/release/$2\"
  fi
  shift
done
";

/// Says what it was asked for.
const APT_GET: &str = "#!/bin/sh\necho \"apt-get $*\"\n";

/// A Rust image and a Debian.
pub(crate) struct StubImages {
    rust: PathBuf,
    debian: PathBuf,
}

impl StubImages {
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let image = |name: &str, programs: &[(&str, &str)]| {
            let root = sandbox.path().join(name);
            let tar = std::fs::File::open(variable("LIAN_TEST_BASE_TAR")).unwrap();
            tar::Archive::new(tar).unpack(&root).unwrap();
            for (program, text) in programs {
                let path = root.join("bin").join(program);
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            root
        };
        let apt = ("apt-get", APT_GET);
        Self { rust: image("rust", &[apt, ("cargo", CARGO)]), debian: image("debian", &[apt]) }
    }

    /// The arguments of `build` that put them into the place of the images with these names.
    pub(crate) fn arguments(&self, rust: &str, debian: &str) -> [String; 2] {
        let argument = |name: &str, root: &Path| format!("--build-context={name}={}", root.display());
        [argument(rust, &self.rust), argument(debian, &self.debian)]
    }
}
