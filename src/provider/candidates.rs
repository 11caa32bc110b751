//! [`Candidates`]: the providers that may lease a run's runner, in order, and the answers of those that would not.
//!
//! Each is asked once a round, and nothing is skipped without its answer being told.

use super::choice::Choice;
use crate::error::{Error, ErrorKind, Result};

/// Why a candidate does not lease the runner.
#[derive(Debug)]
pub struct Refusal {
    /// Whether the provider itself said so: only then may its answer be another one later.
    pub is_its_own: bool,
    /// What was said.
    pub error: Error,
}

impl Refusal {
    /// The build cannot be done with this provider, whatever it would say.
    pub fn unfit(error: Error) -> Self {
        Self { is_its_own: false, error }
    }

    /// The provider's own answer.
    pub fn answer(error: Error) -> Self {
        Self { is_its_own: true, error }
    }
}

/// The providers that may lease a run's runner, in order. At least one.
#[derive(Debug)]
pub struct Candidates {
    list: Vec<Choice>,
    /// How many were asked in this round. The last of them is the one that was taken, unless it refused too.
    asked: usize,
    /// The answers of this round, in order.
    refusals: Vec<(String, Refusal)>,
}

impl Candidates {
    /// Candidates in order.
    pub fn new(list: Vec<Choice>) -> Self {
        Self { list, asked: 0, refusals: Vec::new() }
    }

    /// True when there is no choice.
    pub fn is_single(&self) -> bool {
        self.list.len() == 1
    }

    /// The first candidate after those that were asked already which does not refuse, with what `ask` made of it.
    pub async fn take<T>(&mut self, mut ask: impl AsyncFnMut(&Choice) -> Result<T, Refusal>) -> Option<T> {
        while let Some(choice) = self.list.get(self.asked) {
            self.asked += 1;
            match ask(choice).await {
                Ok(taken) => return Some(taken),
                Err(refusal) => self.refusals.push((choice.label(), refusal)),
            }
        }
        None
    }

    /// The candidate that was taken said no after all.
    pub fn refuse(&mut self, error: Error) {
        if let Some(choice) = self.asked.checked_sub(1).and_then(|last| self.list.get(last)) {
            self.refusals.push((choice.label(), Refusal::answer(error)));
        }
    }

    /// Begins another round.
    pub fn start_over(&mut self) {
        self.asked = 0;
        self.refusals.clear();
    }

    /// What is told when a later candidate is taken: who was not, and why.
    pub fn passed_over(&self) -> Vec<String> {
        let told =
            |(name, refusal): &(String, Refusal)| format!("the provider `{name}` was not taken: {}", refusal.error);
        self.refusals.iter().map(told).collect()
    }

    /// Whether another round may end otherwise: some provider had no room, which passes.
    pub fn may_find_room(&self) -> bool {
        self.refusals.iter().any(|(_, refusal)| refusal.is_its_own && refusal.error.kind() == ErrorKind::NoCapacity)
    }

    /// The answer when every candidate refused: what they all said, else every candidate with its answer.
    pub fn refused(&mut self) -> Error {
        let mut refusals = std::mem::take(&mut self.refusals).into_iter();
        let Some((name, first)) = refusals.next() else {
            return Error::new(ErrorKind::State, "no provider was asked");
        };
        let (mut kind, only) = (first.error.kind(), first.error.to_string());
        let mut lines = vec![format!("`{name}`: {only}")];
        let mut hints = first.error.hints().to_vec();
        let mut is_same = true;
        for (name, refusal) in refusals {
            let said = refusal.error.to_string();
            is_same &= said == only && refusal.error.kind() == first.error.kind();
            if refusal.error.kind() != ErrorKind::Usage || kind != ErrorKind::Usage {
                kind = ErrorKind::NoCapacity;
            }
            lines.push(format!("`{name}`: {said}"));
            hints.extend(refusal.error.hints().iter().filter(|hint| !first.error.hints().contains(hint)).cloned());
        }
        if is_same {
            // It is about the build and not about who leases.
            return first.error;
        }
        hints.dedup();
        let error = Error::new(kind, format!("no provider leases a runner: {}", lines.join("; ")));
        hints.into_iter().fold(error, Error::hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_vars::Environment;
    use crate::provider::choice;

    async fn candidates(names: &[&str]) -> Candidates {
        let said: Vec<_> = names.iter().map(|name| choice::candidate(name, "--provider").unwrap()).collect();
        Candidates::new(choice::candidates(&said, &Environment::default()).await.unwrap())
    }

    fn no_room(why: &str) -> Refusal {
        Refusal::answer(Error::new(ErrorKind::NoCapacity, why).hint("wait"))
    }

    #[tokio::test]
    async fn the_first_that_does_not_refuse_is_taken_and_the_others_are_named() {
        let mut all = candidates(&["hcloud", "docker_local", "local", "proxmox"]).await;
        assert!(!all.is_single());
        let mut asked = Vec::new();
        let ask = async |choice: &Choice| {
            asked.push(choice.name());
            match choice.name() {
                "hcloud" => Err(Refusal::unfit(Error::usage("not here"))),
                "docker_local" => Err(no_room("Docker is off")),
                name => Ok(name),
            }
        };
        assert_eq!(all.take(ask).await, Some("local"));
        assert_eq!(asked, ["hcloud", "docker_local", "local"]);
        assert_eq!(
            all.passed_over(),
            [
                "the provider `hcloud` was not taken: not here",
                "the provider `docker_local` was not taken: Docker is off"
            ]
        );

        // It had no room after all.
        all.refuse(Error::new(ErrorKind::NoCapacity, "full"));
        assert_eq!(all.take(async |choice| Err::<(), _>(no_room(choice.name()))).await, None);
        assert!(all.may_find_room());
        let refused = all.refused();
        assert_eq!(refused.kind(), ErrorKind::NoCapacity);
        for answer in ["`hcloud`: not here", "`docker_local`: Docker is off", "`local`: full", "`proxmox`: proxmox"] {
            assert!(refused.message().contains(answer), "{refused}");
        }
        assert_eq!(refused.hints(), ["wait"]);
        all.start_over();
        assert_eq!(all.take(async |choice| Ok(choice.name())).await, Some("hcloud"));
        assert_eq!(all.passed_over(), [""; 0]);
    }

    #[tokio::test]
    async fn what_no_candidate_can_mend_is_said_once_and_as_it_is() {
        let mut all = candidates(&["local", "docker_local"]).await;
        let ask = async |_: &Choice| Err::<(), _>(Refusal::unfit(Error::usage("there is no Dockerfile")));
        assert_eq!(all.take(ask).await, None);
        assert!(!all.may_find_room());
        let refused = all.refused();
        assert_eq!((refused.kind(), refused.message().as_str()), (ErrorKind::Usage, "there is no Dockerfile"));
    }

    #[tokio::test]
    async fn providers_that_do_not_exist_are_bad_usage_and_any_other_refusal_is_no_capacity() {
        let usage = |choice: &Choice| Refusal::unfit(Error::usage(format!("no {}", choice.name())));
        let mut all = candidates(&["hcloud", "proxmox"]).await;
        assert_eq!(all.take(async |choice| Err::<(), _>(usage(choice))).await, None);
        assert_eq!(all.refused().kind(), ErrorKind::Usage);

        let mut all = candidates(&["hcloud", "proxmox", "local"]).await;
        let broken = || Refusal::answer(Error::new(ErrorKind::Provider, "broken"));
        let ask = async |choice: &Choice| Err::<(), _>(if choice.name() == "local" { broken() } else { usage(choice) });
        assert_eq!(all.take(ask).await, None);
        assert!(!all.may_find_room(), "what is broken does not pass by waiting");
        assert_eq!(all.refused().kind(), ErrorKind::NoCapacity);
    }

    #[tokio::test]
    async fn a_single_candidates_answer_is_the_answer() {
        let mut one = candidates(&["local"]).await;
        assert!(one.is_single());
        assert_eq!(one.take(async |choice| Ok(choice.name())).await, Some("local"));
        one.refuse(Error::new(ErrorKind::NoCapacity, "full").hint("smaller"));
        assert_eq!(one.take(async |choice| Ok(choice.name())).await, None);
        let refused = one.refused();
        assert_eq!((refused.message().as_str(), refused.hints()), ("full", &["smaller".to_owned()][..]));
    }
}
