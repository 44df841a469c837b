//! What stood in the way of a switch that was about to begin, and is no fault of the release.

use super::{Host, Switched, Word};
use crate::fleet::evidence::Code;

impl Host {
    /// What was fetched is not there any more, or could not be had at the last moment: it is fetched once more, and then
    /// everything is read again. `after` = so many seconds at most until then.
    pub fn fetch_again(&mut self, after: u64) {
        self.pause();
        self.fetched = false;
        self.poll_at = self.in_up_to(after);
    }

    /// The program, or whoever starts it, does not want the release *now*. The fleet hears that nothing was begun; it is
    /// not denied, and the host comes again with its next poll.
    pub fn postponed(&mut self, code: &Code) {
        let denied = self.memory.denied.clone();
        self.finish(Switched::Declined(code.clone()));
        self.memory.denied = denied;
        self.near = true;
        self.rest(Word::Held, Some(code.as_str()));
        self.trouble = Some(code.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::fleet::drive::{Desk, World};
    use crate::fleet::host::Step;
    use crate::fleet::store::Store as _;

    /// What a host asks its driver for until it switches, requests aside.
    fn until_switch(world: &mut World, number: usize) -> Vec<&'static str> {
        let mut steps = Vec::new();
        for second in 0..1000 {
            let now = Timestamp(world.now + second);
            world.store.set_time(now);
            let host = &mut world.machines[number].host;
            match host.next(now, &Desk) {
                Step::Ask(request) => {
                    let reply = world.store.ask(request);
                    host.replied(reply, now, &Desk);
                }
                Step::Prefetch { .. } => {
                    steps.push("fetch");
                    host.prefetched(Ok(()));
                }
                Step::Learn { release } => {
                    let runs = world.machines[number].runs.clone();
                    let learned = crate::fleet::drive::learned(&world.releases, &runs, &release);
                    world.machines[number].host.learned(learned);
                }
                Step::Switch { .. } => {
                    steps.push("switch");
                    return steps;
                }
                Step::Sleep { .. } => {}
            }
        }
        panic!("it does not switch: {steps:?}");
    }

    /// A world in which a host has just begun its switch, and which.
    fn begun() -> (World, usize) {
        let mut world = World::new(200, 1);
        for tenth in 1..=30 {
            world.run(f64::from(tenth) * 0.05);
            if let Some(started) = world.started.last() {
                let number = started.host;
                return (world, number);
            }
        }
        panic!("nobody starts");
    }

    #[test]
    fn nothing_is_downloaded_between_the_gate_and_the_switch() {
        let (mut world, number) = begun();
        world.machines[number].host.switched(Switched::Interrupted);
        world.machines[number].host.poll_now();
        // The driver has used up what it had fetched.
        assert_eq!(until_switch(&mut world, number), ["switch"]);
        world.machines[number].host.fetch_again(0);
        assert_eq!(until_switch(&mut world, number), ["fetch", "switch"], "and the gate comes after it");
    }

    #[test]
    fn a_release_that_is_not_wanted_now_comes_again() {
        let (mut world, number) = begun();
        world.machines[number].host.postponed(&Code::new("restart.waits"));
        let memory = world.machines[number].host.memory();
        assert!(memory.denied.is_empty() && memory.begun.is_none());
        let said: Vec<String> = memory.unsent.iter().map(|unsent| unsent.report.to_string()).collect();
        assert_eq!(said, ["1-d-restart.waits"], "the fleet knows why nothing was begun");
        world.machines[number].host.poll_now();
        assert_eq!(until_switch(&mut world, number).last(), Some(&"switch"));
    }
}
