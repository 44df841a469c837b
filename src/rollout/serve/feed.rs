//! What the page shows: looked at when somebody asks, and not more often than every few seconds however many ask.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;

use crate::digest::Sha256;
use crate::failure::Reported;
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

/// Where the page's view comes from. Nobody asks: nothing is looked at.
#[derive(Debug, Clone)]
pub struct Feed {
    wanted: SyncSender<()>,
    seen: watch::Receiver<Snapshot>,
    every: Duration,
}

impl Feed {
    /// Begins: `look` is called on a thread of its own, at most once in `every`. The thread ends with the last clone.
    ///
    /// Fails if there can be no thread.
    pub fn start(
        every: Duration,
        mut look: impl FnMut() -> Result<View, Reported> + Send + 'static,
    ) -> io::Result<Feed> {
        let (wanted, asked) = sync_channel(1);
        let (show, seen) = watch::channel(Snapshot::default());
        let looking = move || {
            while asked.recv().is_ok() {
                let last = show.borrow().clone();
                // Who asked while the last look was under way has what it saw.
                if last.at.is_some_and(|at| at.elapsed() < every) {
                    continue;
                }
                let next = last.after(look());
                show.send_replace(next);
            }
        };
        std::thread::Builder::new().name("fleet-look".to_owned()).spawn(looking)?;
        Ok(Feed { wanted, seen, every })
    }

    /// What is to be seen now.
    pub async fn now(&self) -> Snapshot {
        let mut seen = self.seen.clone();
        let last = seen.borrow_and_update().clone();
        if last.at.is_some_and(|at| at.elapsed() < self.every) {
            return last;
        }
        // Full: it has been asked for already.
        let _ = self.wanted.try_send(());
        let _ = tokio::time::timeout(PATIENCE, seen.changed()).await;
        seen.borrow().clone()
    }
}

impl Snapshot {
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
