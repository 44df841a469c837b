//! The agent's thread, from which the agent can be had back.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::agent::Agent;
use crate::restart::supervise::Waker;

/// Runs the agent.
#[derive(Debug)]
pub(super) struct AgentThread {
    thread: Option<JoinHandle<()>>,
    ended: Sender<Box<Agent>>,
    back: Receiver<Box<Agent>>,
    waker: Waker,
    kept: Option<Box<Agent>>,
}

impl AgentThread {
    /// One that runs nothing yet. `waker` wakes the loop when the agent is back.
    pub(super) fn new(waker: Waker) -> AgentThread {
        let (ended, back) = channel();
        AgentThread { thread: None, ended, back, waker, kept: None }
    }

    /// Runs `agent`. If there is no thread to be had, it is kept and tried again the next time it is asked for.
    pub(super) fn start(&mut self, agent: Box<Agent>) {
        let (ended, waker) = (self.ended.clone(), self.waker.clone());
        // Handed over through a channel: a thread that cannot be started must not take the agent with it.
        let (hand, take) = channel::<Box<Agent>>();
        let thread = std::thread::Builder::new().name("agent".to_owned()).spawn(move || {
            if let Ok(agent) = take.recv() {
                // Fails only when nobody wants it back any more.
                let _ = ended.send(Box::new(agent.run()));
                waker.wake();
            }
        });
        match thread {
            Ok(thread) => {
                self.thread = Some(thread);
                if let Err(unsent) = hand.send(agent) {
                    self.kept = Some(unsent.0);
                }
            }
            Err(e) => {
                tracing::error!(event = "agent.no_thread", error = %e, "there is no thread for the agent; updates wait");
                self.kept = Some(agent);
            }
        }
    }

    /// The agent, if it has come to its end.
    pub(super) fn take_back(&mut self) -> Option<Box<Agent>> {
        self.kept.take().or_else(|| self.back.try_recv().ok())
    }

    /// Keeps it for the next [`AgentThread::take_back`].
    pub(super) fn keep(&mut self, agent: Box<Agent>) {
        self.kept = Some(agent);
    }

    /// Whether the agent waits for a thread.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether nothing runs.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}
