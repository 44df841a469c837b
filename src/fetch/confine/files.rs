//! Landlock: what may be opened.

use std::os::fd::AsFd as _;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};

use super::Plan;

/// The newest version whose rights are all handled, where the kernel has them.
const NEWEST: ABI = ABI::V7;
/// The first version that also covers links between directories and truncation.
pub(super) const WHOLE: u32 = 3;

/// Restricts this thread, and those it will start, to `plan`. The version that is in force.
///
/// No rule grants execution, so no file can be executed.
pub(super) fn confine(plan: &Plan) -> Result<u32, String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .map_err(|e| failed(&e))?
        // No worker waits for connections; one that unpacks makes none either.
        .handle_access(if plan.network { AccessNet::BindTcp.into() } else { AccessNet::from_all(NEWEST) })
        .map_err(|e| failed(&e))?
        .scope(Scope::from_all(NEWEST))
        .map_err(|e| failed(&e))?
        .create()
        .map_err(|e| failed(&e))?;
    // Plain files only: no link, no pipe, no device, no directory.
    let write = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for (paths, access) in [(&plan.write, write), (&plan.read, read)] {
        for path in paths {
            // What is not there, or not for this user, is nothing to grant.
            let Ok(opened) = PathFd::new(path) else { continue };
            let is_file = rustix::fs::fstat(opened.as_fd())
                .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Directory);
            let access: BitFlags<AccessFs> = if is_file { access & AccessFs::from_file(NEWEST) } else { access };
            ruleset = ruleset.add_rule(PathBeneath::new(opened, access)).map_err(|e| failed(&e))?;
        }
    }
    let status = ruleset.restrict_self().map_err(|e| failed(&e))?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != landlock::RulesetStatus::NotEnforced => {
            Ok((effective_abi as i32).min(NEWEST as i32).unsigned_abs())
        }
        LandlockStatus::NotEnabled => Err("it is not enabled at boot".to_owned()),
        _ => Err("this kernel does not have it".to_owned()),
    }
}
