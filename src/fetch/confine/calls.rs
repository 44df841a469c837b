//! seccomp: which system calls are refused.
//!
//! A list of what is refused, not of what is allowed: it must hold for every libc and every fetcher, and what it
//! leaves open Landlock and the missing capabilities close. A refused call fails with `EPERM`; nothing is killed.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Refuses what no worker needs; one that unpacks needs no sockets either (`network`).
pub(super) fn filter(network: bool) -> Result<(), String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|_| "not known on this processor".to_owned())?;
    let refused = refused(network).map_err(|error| error.to_string())?;
    // Where this one is missing, the C libraries fall back to `clone`, whose flags can be looked at.
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    for (rules, errno) in [(unknown, libc::ENOSYS), (refused, libc::EPERM)] {
        let action = SeccompAction::Errno(errno.unsigned_abs());
        let filter = SeccompFilter::new(both_numberings(rules), SeccompAction::Allow, action, arch);
        let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
        apply_filter(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn refused(network: bool) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = NEVER.iter().map(|call| (*call, Vec::new())).collect();
    let own = u64::from(std::process::id());
    let differs = |argument, value| when(argument, Width::Dword, Is::Ne, value);
    // A signal to itself is how a process aborts.
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        rules.insert(call, vec![SeccompRule::new(vec![differs(0, own)?])?]);
    }
    // Threads, and no other processes.
    let thread = libc::CLONE_THREAD.unsigned_abs().into();
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![when(0, Width::Qword, Is::MaskedEq(thread), 0)?])?]);
    // Limits may be read, its own.
    rules.insert(
        libc::SYS_prlimit64,
        vec![
            SeccompRule::new(vec![when(2, Width::Qword, Is::Ne, 0)?])?,
            SeccompRule::new(vec![differs(0, 0)?, differs(0, own)?])?,
        ],
    );
    // Words typed into the terminal that standard error may be.
    let types = [TIOCSTI, TIOCLINUX].map(|request| when(1, Width::Dword, Is::Eq, request));
    let types = types.into_iter().map(|condition| SeccompRule::new(vec![condition?]));
    rules.insert(libc::SYS_ioctl, types.collect::<Result<_, _>>()?);
    if network {
        // No unix sockets: a control socket is not among the sources. Netlink tells the resolver of addresses.
        let families = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(|family| differs(0, family as u64));
        rules.insert(libc::SYS_socket, vec![SeccompRule::new(families.into_iter().collect::<Result<_, _>>()?)?]);
    } else {
        rules.extend([libc::SYS_socket, libc::SYS_connect, libc::SYS_bind].map(|call| (call, Vec::new())));
    }
    Ok(rules)
}

fn when(argument: u8, width: Width, is: Is, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, width, is, value)
}

/// The rules also for the numbers of the x32 interface, which an x86-64 kernel may have.
fn both_numberings(mut rules: Rules) -> Rules {
    if cfg!(target_arch = "x86_64") {
        let again: Vec<_> = rules.iter().map(|(call, rules)| (*call | X32, rules.clone())).collect();
        rules.extend(again);
        rules.extend(X32_ONLY.map(|call| (call | X32, Vec::new())));
    }
    rules
}

// The same on every processor that is known here, and of another type in each C library.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541C;
const X32: i64 = 0x4000_0000;
/// Calls that have another number there, `execve` and `ptrace` among them.
const X32_ONLY: std::ops::RangeInclusive<i64> = 512..=547;

const NEVER: &[c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    libc::SYS_setsid,
    libc::SYS_setpgid,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pidfd_getfd,
    libc::SYS_setpriority,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Other identities and limits.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    libc::SYS_setrlimit,
    libc::SYS_personality,
    // The file tree.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_mknodat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    // Namespaces and keys.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The kernel itself, and what its bugs were most often reached through.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    // The clock and the host's name.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Memory and messages shared with other processes of the same user.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    // Connections from outside.
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
];
