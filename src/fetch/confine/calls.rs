//! seccomp: which system calls are refused.
//!
//! A list of what is refused, not of what is allowed: it must hold for every libc and every fetcher, and what it
//! leaves open Landlock and the missing capabilities close. A refused call fails with `EPERM`; nothing is killed.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// Refuses what no worker needs; one that unpacks needs no sockets either (`network`).
pub(super) fn filter(network: bool) -> Result<(), String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|_| "not known on this processor".to_owned())?;
    let refused = refused(network).map_err(|error| error.to_string())?;
    let action = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(refused, SeccompAction::Allow, action, arch);
    let by_rules: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    // Of two answers the kernel takes the stricter one.
    for program in [by_number(), by_rules] {
        apply_filter(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What a call's number alone decides. A list of rules cannot say "all from here on", and each instruction of a filter
/// costs twice when it is installed: the kernel compiles it, and tries it with every call there is.
fn by_number() -> BpfProgram {
    let answer = |errno: i32| libc::SECCOMP_RET_ERRNO | (errno.unsigned_abs() & libc::SECCOMP_RET_DATA);
    // Where this one is missing, the C libraries fall back to `clone`, whose flags can be looked at.
    let clone3 = u32::try_from(libc::SYS_clone3).unwrap_or_default();
    vec![
        // The number comes first in what a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, X32, 2, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, clone3, 2, 0),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, answer(libc::EPERM), 0, 0),
        step(libc::BPF_RET | libc::BPF_K, answer(libc::ENOSYS), 0, 0),
    ]
}

/// One instruction: `yes` and `no` are how many of the next ones it skips.
fn step(code: u32, k: u32, yes: u8, no: u8) -> sock_filter {
    // All codes are below 256.
    sock_filter { code: code as u16, jt: yes, jf: no, k }
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

// The same on every processor that is known here, and of another type in each C library.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541C;
/// Where the numbers of the x32 interface begin, which an x86-64 kernel may have: every call once more, by which rules
/// about the usual numbers would be gone around. No processor has others there.
const X32: u32 = 0x4000_0000;

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

#[cfg(test)]
mod tests {
    use super::*;

    /// What `program` answers to the call `number`.
    fn answered(program: &[sock_filter], number: u32) -> u32 {
        let (mut at, mut loaded) = (0, None);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let skips = |yes| usize::from(if yes { jt } else { jf });
            match u32::from(code) {
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    assert_eq!(k, 0, "the number's place");
                    loaded = Some(number);
                }
                code if code == libc::BPF_JMP | libc::BPF_JGE => at += skips(loaded.unwrap() >= k),
                code if code == libc::BPF_JMP | libc::BPF_JEQ => at += skips(loaded.unwrap() == k),
                code => {
                    assert_eq!(code, libc::BPF_RET, "an instruction that is known here");
                    return k;
                }
            }
        }
    }

    #[test]
    fn every_number_of_the_other_interface_is_refused_and_threads_are_made_by_the_call_that_is_looked_at() {
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
        let usual = |call: c_long| u32::try_from(call).unwrap();
        let calls = [libc::SYS_read, libc::SYS_execve, libc::SYS_clone, libc::SYS_landlock_restrict_self];
        for call in calls.map(usual) {
            assert_eq!(answered(&by_number(), call), libc::SECCOMP_RET_ALLOW, "{call}, which rules decide about");
            assert_eq!(answered(&by_number(), call | X32), refused, "{call} of x32");
        }
        // `execve` and `ptrace` of x32, the first and the last number of all.
        for number in [X32 | 520, X32 | 521, X32, u32::MAX] {
            assert_eq!(answered(&by_number(), number), refused, "{number:#x}");
        }
        let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
        assert_eq!(answered(&by_number(), usual(libc::SYS_clone3)), unknown);
    }
}
