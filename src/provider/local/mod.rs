//! `'local`: a throwaway `sshd` and `buildkitd` on this machine.
