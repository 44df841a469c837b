//! Resource limits, capabilities, and the promise to gain no privilege.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

use super::Plan;

/// Descriptors: connections of a download in parts, and what a runtime needs.
const DESCRIPTORS: u64 = 512;
/// Threads, which count as processes.
const THREADS: u64 = 64;
/// How much nicer it is than its supervisor: on a processor that both want, a service has nine times as much of it.
const NICE: i32 = 10;

/// Core files (they would hold secrets), memory, descriptors, file sizes, its place in the queue for a processor, and in
/// the one when the kernel looks for a process to kill.
pub(super) fn limit(plan: &Plan) -> Result<(), String> {
    set(Resource::Core, 0)?;
    set(Resource::Nofile, DESCRIPTORS)?;
    if let Some(bytes) = plan.memory {
        set(Resource::Data, bytes)?;
    }
    if let Some(bytes) = plan.file_size {
        set(Resource::Fsize, bytes)?;
    }
    if plan.own_user {
        set(Resource::Nproc, THREADS)?;
    }
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the worker has as much of a busy processor as a service");
    }
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "800") {
        tracing::debug!(%error, "the worker keeps its place in the out-of-memory order");
    }
    Ok(())
}

/// Never above a limit that is there already.
fn set(resource: Resource, most: u64) -> Result<(), String> {
    let most = getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(resource, limit).map_err(|errno| format!("{resource:?}: {}", std::io::Error::from(errno)))
}

/// No program that this process starts gains what it has not, and no other process of its user looks into it.
pub(super) fn no_new() -> Result<(), String> {
    let words = |errno| std::io::Error::from(errno).to_string();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(words)?;
    set_no_new_privs(true).map_err(words)
}

/// Every set of capabilities empty. The bounding set only by who may change it: without new privileges, nobody else can
/// gain from it.
pub(super) fn drop_all() -> Result<(), String> {
    let words = |errno| std::io::Error::from(errno).to_string();
    let held = capabilities(None).map_err(words)?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().iter() {
            match remove_capability_from_bounding_set(capability) {
                // This kernel does not know it.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(errno) => return Err(words(errno)),
            }
        }
    }
    clear_ambient_capability_set().map_err(words)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).map_err(words)
}
