//! What the transmit and transmit timer machines of an agent do. Decides *when* an LLDPDU goes out;
//! what is in it stays out of here.

use core::time::Duration;

use super::LldpConfig;
use super::tables::{TIMER, TRANSMIT, TimerAction, TimerGuard, TimerState, TxAction, TxGuard, TxState};
use crate::machine::Interpreter;
use crate::time::{Time, earliest};

/// Credit comes back once in this time (802.1AB 9.2.5.17).
const TICK: Duration = Duration::from_secs(1);

/// What has to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Send {
    /// The local information.
    Info,
    /// That we are going away.
    Shutdown,
}

/// Variables of the two machines; times are deadlines instead of counters that tick down.
#[derive(Debug)]
pub(super) struct Transmit {
    config: LldpConfig,
    tx: TxState,
    timer: TimerState,
    now: Time,
    port_enabled: bool,
    local_change: bool,
    new_neighbor: bool,
    tx_now: bool,
    credit: u8,
    fast: u8,
    ttr: Option<Time>,
    tick: Option<Time>,
    shutdown_until: Option<Time>,
    send: Option<Send>,
}

impl Transmit {
    pub(super) fn new(config: LldpConfig, now: Time) -> Self {
        let mut machines = Self {
            config,
            tx: TRANSMIT.initial,
            timer: TIMER.initial,
            now,
            port_enabled: false,
            local_change: false,
            new_neighbor: false,
            tx_now: false,
            credit: config.tx_credit_max,
            fast: 0,
            ttr: None,
            tick: None,
            shutdown_until: None,
            send: None,
        };
        let (mut tx, mut timer) = (machines.tx, machines.timer);
        TRANSMIT.enter(TRANSMIT.initial, &mut tx, &mut machines);
        TIMER.enter(TIMER.initial, &mut timer, &mut machines);
        machines
    }

    pub(super) fn set_config(&mut self, config: LldpConfig) {
        if config.msg_tx_interval != self.config.msg_tx_interval {
            self.local_change = true;
        }
        self.config = config;
        self.credit = self.credit.min(config.tx_credit_max);
    }

    pub(super) fn set_port(&mut self, up: bool) {
        self.port_enabled = up;
    }

    pub(super) fn signal_local_change(&mut self) {
        self.local_change = true;
    }

    pub(super) fn signal_new_neighbor(&mut self) {
        self.new_neighbor = true;
    }

    /// Lets both machines run; what is to be sent, if anything. A later LLDPDU supersedes an earlier
    /// one of the same call.
    pub(super) fn run(&mut self, now: Time) -> Option<Send> {
        self.now = self.now.max(now);
        let (mut timer, mut tx) = (self.timer, self.tx);
        TIMER.run(&mut timer, self);
        self.timer = timer;
        TRANSMIT.run(&mut tx, self);
        self.tx = tx;
        self.send.take()
    }

    /// When `run` has to be called next.
    pub(super) fn deadline(&self) -> Option<Time> {
        let ttr = self.ttr.filter(|_| self.timer == TimerState::Idle);
        let shutdown = self.shutdown_until.filter(|_| self.tx == TxState::ShutdownFrame);
        // A tick is worth waking for only while something waits for credit.
        let tick = self.tick.filter(|_| self.tx_now && self.credit == 0);
        earliest(earliest(ttr, shutdown), tick)
    }

    fn due(&self, at: Option<Time>) -> bool {
        at.is_some_and(|t| t <= self.now)
    }
}

impl Interpreter<TxGuard, TxAction> for Transmit {
    fn holds(&self, guard: TxGuard) -> bool {
        match guard {
            TxGuard::PortDown => !self.port_enabled,
            TxGuard::Sends => self.config.admin_status.sends(),
            TxGuard::Silent => !self.config.admin_status.sends(),
            TxGuard::NowWithCredit => self.tx_now && self.credit > 0,
            TxGuard::ShutdownOver => self.due(self.shutdown_until),
        }
    }

    fn perform(&mut self, action: TxAction) {
        match action {
            TxAction::Initialize => self.shutdown_until = None,
            TxAction::SendInfo => self.send = Some(Send::Info),
            TxAction::SpendCredit => {
                self.credit -= 1;
                self.tx_now = false;
                self.tick = self.tick.or(Some(self.now + TICK));
            }
            TxAction::SendShutdown => self.send = Some(Send::Shutdown),
            TxAction::StartReinitDelay => {
                self.shutdown_until = Some(self.now + Duration::from_secs(self.config.reinit_delay.into()));
            }
        }
    }
}

impl Interpreter<TimerGuard, TimerAction> for Transmit {
    fn holds(&self, guard: TimerGuard) -> bool {
        let runs = self.port_enabled && self.config.admin_status.sends();
        match guard {
            TimerGuard::Stopped => !runs,
            TimerGuard::Runs => runs,
            TimerGuard::Ttr => self.due(self.ttr),
            TimerGuard::LocalChange => self.local_change,
            TimerGuard::NewNeighbor => self.new_neighbor,
            TimerGuard::Tick => self.due(self.tick),
        }
    }

    fn perform(&mut self, action: TimerAction) {
        match action {
            TimerAction::Clear => {
                (self.local_change, self.new_neighbor, self.tx_now) = (false, false, false);
                self.fast = 0;
                self.ttr = Some(self.now);
            }
            TimerAction::FillCredit => {
                self.credit = self.config.tx_credit_max;
                self.tick = None;
            }
            TimerAction::CountFast => self.fast = self.fast.saturating_sub(1),
            TimerAction::AddCredit => {
                self.credit += 1;
                let more = self.credit < self.config.tx_credit_max;
                self.tick = self.tick.filter(|_| more).map(|t| t + TICK);
            }
            TimerAction::Now => {
                self.tx_now = true;
                self.local_change = false;
            }
            TimerAction::StartTtr => {
                let fast = Duration::from_secs(self.config.msg_fast_tx.into());
                self.ttr = Some(self.now + if self.fast > 0 { fast } else { self.config.interval() });
            }
            TimerAction::StartFast => {
                self.new_neighbor = false;
                if self.fast == 0 {
                    self.fast = self.config.tx_fast_init;
                }
            }
        }
    }
}
