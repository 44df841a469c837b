//! The whole life of a service process: ready, serve, obey, leave.

use std::error::Error as _;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::control::ControlStream;
use super::drain::{Handle, Phase};
use super::server::{Server, Summary};
use super::serves::{Content, Serves};
use crate::service::{Control, Environment, Inherited, Message, NotifyError, OnSupervisorDeath};

/// As [`run_until_drained_with`], draining when the supervisor dies.
///
/// # Errors
///
/// As [`run_until_drained_with`].
pub async fn run_until_drained<S, B>(inherited: Inherited, server: Server, service: S) -> io::Result<Summary>
where
    S: Serves<B>,
    B: Content,
{
    run_until_drained_with(inherited, server, service, OnSupervisorDeath::default()).await
}

/// Says READY, serves, and obeys: `SIGTERM` and `SIGINT` drain, the control descriptor pauses, resumes
/// and drains, a second `SIGINT` cuts the drain short. Says STOPPING when the drain begins.
///
/// Call it when the program is able to answer requests: nothing is accepted before READY has been
/// sent. The caller exits with success afterwards, whatever the summary says.
///
/// The drain is over a little before the supervisor's deadline, so that the process ends by itself
/// and is not killed.
///
/// # Errors
///
/// Signals, the control descriptor or a listener could not be registered with the runtime.
pub async fn run_until_drained_with<S, B>(
    mut inherited: Inherited,
    server: Server,
    service: S,
    on_death: OnSupervisorDeath,
) -> io::Result<Summary>
where
    S: Serves<B>,
    B: Content,
{
    let notify = inherited.notify().clone();
    let control = inherited.control();
    let orders = Orders::new(control, inherited.environment(), on_death)?;
    let deadline = inherited.environment().drain_within;
    run(
        orders,
        deadline,
        server,
        service,
        async || {
            told(notify.ready());
            Ok(())
        },
        |news| {
            told(match news {
                News::Leaving => notify.stopping(),
                News::Alive => notify.watchdog(),
            });
        },
    )
    .await
}

/// What a running server tells whoever watches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// The drain has begun. Said once.
    Leaving,
    /// Time for another watchdog message.
    Alive,
}

/// Serves once `ready` has ended well, and obeys `orders` until the drain is over.
pub(crate) async fn run<S, B>(
    mut orders: Orders,
    deadline: Option<Duration>,
    server: Server,
    service: S,
    ready: impl AsyncFnOnce() -> io::Result<()>,
    tell: impl Fn(News),
) -> io::Result<Summary>
where
    S: Serves<B>,
    B: Content,
{
    let handle = server.handle();
    let mut serving = pin!(server.deadline_or(deadline.map(Message::before_the_kill)).serve(service));

    if let Some(control) = &orders.control
        && let Err(error) = control.hello()
    {
        tracing::warn!(event = "service.hello_failed", error = %error);
    }
    ready().await?;

    let mut leaving = pin!(handle.draining());
    let mut said = false;
    loop {
        tokio::select! {
            summary = serving.as_mut() => return summary,
            () = leaving.as_mut(), if !said => {
                said = true;
                tell(News::Leaving);
            }
            () = orders.obey(&handle, &tell) => {}
        }
    }
}

/// Everything that can tell this process what to do.
#[derive(Debug)]
pub(crate) struct Orders {
    terminate: Signal,
    interrupt: Signal,
    control: Option<ControlStream>,
    watchdog: Option<Interval>,
    on_death: OnSupervisorDeath,
}

impl Orders {
    /// Registers what can give orders with the runtime.
    pub(crate) fn new(
        control: Option<Control>,
        environment: &Environment,
        on_death: OnSupervisorDeath,
    ) -> io::Result<Orders> {
        Ok(Orders {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            control: control.map(ControlStream::new).transpose()?,
            watchdog: environment.watchdog.filter(|every| !every.is_zero()).map(|every| {
                let mut beat = interval(every / 2);
                beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                beat
            }),
            on_death,
        })
    }

    /// Waits for the next order and obeys it.
    async fn obey(&mut self, handle: &Handle, tell: &impl Fn(News)) {
        let control = async {
            match &self.control {
                Some(control) => control.next().await.unwrap_or(Message::SupervisorGone),
                None => std::future::pending().await,
            }
        };
        let beat = async {
            match &mut self.watchdog {
                Some(beat) => drop(beat.tick().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => handle.drain(),
            _ = self.interrupt.recv() => match handle.phase() {
                Phase::Draining { .. } => handle.drain_within(Duration::ZERO),
                _ => handle.drain(),
            },
            message = control => match message {
                Message::Pause => handle.pause(),
                Message::Resume => handle.resume(),
                Message::Drain(None) => handle.drain(),
                Message::Drain(Some(within)) => handle.drain_within(Message::before_the_kill(within)),
                Message::SupervisorGone => {
                    tracing::warn!(event = "service.supervisor_gone");
                    self.control = None;
                    match self.on_death {
                        OnSupervisorDeath::Drain => handle.drain(),
                        // Paused for a successor that now nobody watches: somebody has to accept.
                        OnSupervisorDeath::Keep => handle.resume(),
                    }
                }
            },
            () = beat => tell(News::Alive),
        }
    }
}

/// A service that cannot be heard still serves; the supervisor has a deadline for its silence.
fn told(sent: Result<(), NotifyError>) {
    if let Err(error) = sent {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(event = "service.notify_failed", error = %error, cause);
    }
}
