//! What the page shows: looked at when somebody asks, and not more often than every few seconds however many ask.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{oneshot, watch};

use super::order::Order;
use crate::digest::Sha256;
use crate::failure::{Exit, Reported};
use crate::rollout::page::Shown;
use crate::rollout::view::View;

/// How long somebody who asks waits for a new look. Then he is shown the last one, which says when it was.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The last view there was.
    pub view: Option<Arc<View>>,
    /// Why the last look failed, if it did.
    pub trouble: Option<Arc<Reported>>,
    /// Changes whenever something of it does that does not change by itself.
    pub tag: String,
    at: Option<Instant>,
}

/// Who looks, and who changes something.
pub trait Source: Send + 'static {
    /// What is to be seen now.
    fn look(&mut self) -> Result<View, Reported>;

    /// What a change would do, in lines for a person, and by what it is confirmed.
    fn propose(&mut self, order: &Order) -> Result<(String, Vec<String>), Reported>;

    /// Writes the change that was shown as `id`, and says what it has written.
    fn confirm(&mut self, id: &str) -> Result<String, Reported>;
}

/// Where the page's view comes from. Nobody asks: nothing is looked at.
#[derive(Debug, Clone)]
pub struct Feed {
    jobs: SyncSender<Job>,
    seen: watch::Receiver<Snapshot>,
    every: Duration,
    /// Somebody has asked for a look, and it has not begun: of these one waits, and leaves room for a change.
    looks: Arc<AtomicBool>,
}

/// What is shown of a change, and by what it is confirmed; or that it was refused.
type Proposed = Result<(String, Vec<String>), Reported>;

#[derive(Debug)]
enum Job {
    Look,
    Propose(Order, oneshot::Sender<Proposed>),
    Confirm(String, oneshot::Sender<Result<String, Reported>>),
}

/// So many requests wait; whoever looks and finds them all there has been asked for already.
const WAITING: usize = 8;

impl Feed {
    /// Begins: `source` is asked on a thread of its own, and looks at most once in `every`. The thread ends with the last
    /// clone.
    ///
    /// Fails if there can be no thread.
    pub fn start(every: Duration, mut source: impl Source) -> io::Result<Feed> {
        let (jobs, asked) = sync_channel(WAITING);
        let (show, seen) = watch::channel(Snapshot::default());
        let looks = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&looks);
        let work = move || {
            let show_next = |source: &mut dyn Source| {
                let next = show.borrow().clone().after(source.look());
                show.send_replace(next);
            };
            // Whoever asked may have gone: nobody is told then.
            while let Ok(job) = asked.recv() {
                if matches!(job, Job::Look) {
                    begins.store(false, Ordering::SeqCst);
                }
                match job {
                    // Who asked while the last look was under way has what it saw.
                    Job::Look if show.borrow().is_fresh(every) => {}
                    Job::Look => show_next(&mut source),
                    Job::Propose(order, tell) => drop(tell.send(source.propose(&order))),
                    Job::Confirm(id, tell) => {
                        let done = source.confirm(&id);
                        show_next(&mut source);
                        drop(tell.send(done));
                    }
                }
            }
        };
        std::thread::Builder::new().name("fleet-look".to_owned()).spawn(work)?;
        Ok(Feed { jobs, seen, every, looks })
    }

    /// What is to be seen now.
    pub async fn now(&self) -> Snapshot {
        let mut seen = self.seen.clone();
        let last = seen.borrow_and_update().clone();
        if last.is_fresh(self.every) {
            return last;
        }
        if !self.looks.swap(true, Ordering::SeqCst) && self.jobs.try_send(Job::Look).is_err() {
            self.looks.store(false, Ordering::SeqCst);
        }
        let _ = tokio::time::timeout(PATIENCE, seen.changed()).await;
        seen.borrow().clone()
    }

    /// What a change would do. Fails as [`Source::propose`] does, and with `fleet.busy`.
    pub async fn propose(&self, order: Order) -> Proposed {
        let (tell, told) = oneshot::channel();
        self.jobs.try_send(Job::Propose(order, tell)).map_err(|_| busy())?;
        told.await.map_err(|_| busy())?
    }

    /// Writes a change that was shown. Fails as [`Source::confirm`] does, and with `fleet.busy`.
    pub async fn confirm(&self, id: String) -> Result<String, Reported> {
        let (tell, told) = oneshot::channel();
        self.jobs.try_send(Job::Confirm(id, tell)).map_err(|_| busy())?;
        told.await.map_err(|_| busy())?
    }
}

fn busy() -> Reported {
    Reported {
        code: "fleet.busy".to_owned(),
        exit: Exit::Unreachable,
        message: "too many requests wait for the bucket".to_owned(),
        hint: Some("try again in a moment".to_owned()),
    }
}

impl Snapshot {
    fn is_fresh(&self, every: Duration) -> bool {
        self.at.is_some_and(|at| at.elapsed() < every)
    }

    /// How long ago this was seen.
    pub fn age(&self) -> Duration {
        self.at.map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// For the page.
    pub fn shown(&self) -> Shown<'_> {
        Shown { view: self.view.as_deref(), trouble: self.trouble.as_deref() }
    }

    /// As JSON: the view with `trouble` beside it, or `error` alone.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Trouble<'a> {
            code: &'a str,
            message: &'a str,
            hint: Option<&'a str>,
        }
        #[derive(Serialize)]
        struct Seen<'a> {
            #[serde(flatten)]
            view: &'a View,
            trouble: Option<Trouble<'a>>,
        }
        #[derive(Serialize)]
        struct Nothing<'a> {
            schema: u32,
            error: Option<Trouble<'a>>,
        }
        let trouble = self.trouble.as_ref().map(|trouble| Trouble {
            code: &trouble.code,
            message: &trouble.message,
            hint: trouble.hint.as_deref(),
        });
        let text = match &self.view {
            Some(view) => serde_json::to_string(&Seen { view, trouble }),
            None => serde_json::to_string(&Nothing { schema: crate::rollout::view::SCHEMA, error: trouble }),
        };
        text.unwrap_or_default()
    }

    fn after(self, looked: Result<View, Reported>) -> Snapshot {
        let (view, trouble) = match looked {
            Ok(view) => (Some(Arc::new(view)), None),
            Err(trouble) => (self.view, Some(Arc::new(trouble))),
        };
        let steady = view.as_ref().and_then(|view| serde_json::to_string(&view.steady()).ok());
        let told = trouble.as_ref().map(|trouble| format!("{} {}", trouble.code, trouble.message));
        let tag = format!("\"{}\"", Sha256::of(format!("{steady:?} {told:?}").as_bytes()).short());
        Snapshot { view, trouble, tag, at: Some(Instant::now()) }
    }
}
