//! The column without a supervisor: a server that starts its own successor.

use std::time::Duration;

use fetchd::demo::{Fault as Demo, Trailer};

use super::GARBAGE;
use crate::chain::{Chain, put_bytes, site};
use crate::failures::{DIRECT, Fault, Stage, play};
use crate::site::{get, wait_until};

struct Direct<'a> {
    chain: Chain<'a>,
}

impl Stage for Direct<'_> {
    fn bring(&mut self, version: &str, fault: Option<Fault>) -> String {
        let (chain, parent) = (&self.chain, self.chain.pid());
        let program = chain.site.program();
        let good = Trailer::version(version);
        match fault {
            None => {
                chain.deploy(&good);
                chain.switch();
                return String::new();
            }
            Some(Fault::ExitsAtOnce) => chain.deploy(&good.with_fault(Demo::ExitBeforeReady)),
            Some(Fault::ExitsLater) => {
                chain.deploy(&good.with_fault(Demo::ExitBeforeReady).with_boot(Duration::from_millis(300)));
            }
            Some(Fault::Hangs) => chain.deploy(&good.with_fault(Demo::NeverReady)),
            Some(Fault::NotExecutable) => put_bytes(&program, &chain.site.binary(&good), 0o644),
            Some(Fault::WrongFormat) => put_bytes(&program, &GARBAGE, 0o755),
            Some(Fault::DiesInWatch) => {
                chain.deploy(&good.with_fault(Demo::CrashLater));
                let successor = chain.switch();
                wait_until("the successor answers", || chain.answering() == successor);
                assert!(get(chain.address, "/crash").unwrap_or_default().is_empty(), "it dies of it");
                return code_of(&chain.outcome(parent, 0));
            }
            Some(Fault::Unhealthy | Fault::WrongVersion) => panic!("it does not occur"),
        }
        code_of(&chain.upgrade())
    }

    fn serves(&mut self, version: &str) -> u32 {
        let wanted = format!(r#""version":"{version}""#);
        wait_until(&format!("{version} answers"), || {
            get(self.chain.address, "/").is_ok_and(|answer| answer.contains(&wanted))
        });
        assert_eq!(self.chain.answering(), self.chain.pid());
        self.chain.pid()
    }
}

fn code_of(outcome: &str) -> String {
    outcome.split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn every_failure_in_the_direct_mode() {
    let site = site();
    play(&DIRECT, &mut Direct { chain: Chain::start(&site, &["--ready-ms", "5000", "--pause-ms", "60000"]) });
}
