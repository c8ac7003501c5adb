//! The state machines of 802.1AB clause 9 as tables. `docs/lldp-state-machines.md` is drawn from them.

use crate::machine::{Label, Row, Table, labelled};

labelled! {
    /// States of the transmit machine (802.1AB 9.2.8).
    TxState {
        Initialize => "TX_LLDP_INITIALIZE",
        Idle => "TX_IDLE",
        InfoFrame => "TX_INFO_FRAME",
        ShutdownFrame => "TX_SHUTDOWN_FRAME",
    }
}

labelled! {
    /// Guards of the transmit machine.
    TxGuard {
        PortDown => "portEnabled = FALSE",
        Sends => "adminStatus is enabledRxTx or enabledTxOnly",
        Silent => "adminStatus is disabled or enabledRxOnly",
        NowWithCredit => "txNow and txCredit > 0",
        ShutdownOver => "txShutdownWhile = 0",
    }
}

labelled! {
    /// Actions of the transmit machine.
    TxAction {
        Initialize => "txInitializeLLDP()",
        SendInfo => "mibConstrInfoLLDPDU(), txFrame()",
        SpendCredit => "dec(txCredit), txNow = FALSE",
        SendShutdown => "mibConstrShutdownLLDPDU(), txFrame()",
        StartReinitDelay => "txShutdownWhile = reinitDelay",
    }
}

/// The transmit machine.
pub static TRANSMIT: Table<TxState, TxGuard, TxAction> = Table {
    name: "Transmit",
    initial: TxState::Initialize,
    global: &[(TxGuard::PortDown, TxState::Initialize)],
    rows: &[
        Row {
            state: TxState::Initialize,
            actions: &[TxAction::Initialize],
            exits: &[(Some(TxGuard::Sends), TxState::Idle)],
        },
        Row {
            state: TxState::Idle,
            actions: &[],
            exits: &[
                (Some(TxGuard::Silent), TxState::ShutdownFrame),
                (Some(TxGuard::NowWithCredit), TxState::InfoFrame),
            ],
        },
        Row {
            state: TxState::InfoFrame,
            actions: &[TxAction::SendInfo, TxAction::SpendCredit],
            exits: &[(None, TxState::Idle)],
        },
        Row {
            state: TxState::ShutdownFrame,
            actions: &[TxAction::SendShutdown, TxAction::StartReinitDelay],
            exits: &[(Some(TxGuard::ShutdownOver), TxState::Initialize)],
        },
    ],
};

labelled! {
    /// States of the transmit timer machine (802.1AB 9.2.9).
    TimerState {
        Initialize => "TX_TIMER_INITIALIZE",
        Idle => "TX_TIMER_IDLE",
        Expires => "TX_TIMER_EXPIRES",
        Tick => "TX_TICK",
        Signal => "SIGNAL_TX",
        FastStart => "TX_FAST_START",
    }
}

labelled! {
    /// Guards of the transmit timer machine.
    TimerGuard {
        Stopped => "portEnabled = FALSE or adminStatus is disabled or enabledRxOnly",
        Runs => "portEnabled and adminStatus is enabledRxTx or enabledTxOnly",
        Ttr => "txTTR = 0",
        LocalChange => "localChange",
        NewNeighbor => "newNeighbor",
        Tick => "txTick",
    }
}

labelled! {
    /// Actions of the transmit timer machine.
    TimerAction {
        Clear => "txTick = txNow = localChange = newNeighbor = FALSE, txTTR = txFast = 0",
        FillCredit => "txCredit = txCreditMax",
        CountFast => "if txFast > 0: dec(txFast)",
        AddCredit => "txTick = FALSE, txAddCredit()",
        Now => "txNow = TRUE, localChange = FALSE",
        StartTtr => "txTTR = msgFastTx if txFast > 0, else msgTxInterval",
        StartFast => "newNeighbor = FALSE, if txFast = 0: txFast = txFastInit",
    }
}

/// The transmit timer machine.
pub static TIMER: Table<TimerState, TimerGuard, TimerAction> = Table {
    name: "Transmit timer",
    initial: TimerState::Initialize,
    global: &[(TimerGuard::Stopped, TimerState::Initialize)],
    rows: &[
        Row {
            state: TimerState::Initialize,
            actions: &[TimerAction::Clear, TimerAction::FillCredit],
            exits: &[(Some(TimerGuard::Runs), TimerState::Idle)],
        },
        Row {
            state: TimerState::Idle,
            actions: &[],
            exits: &[
                (Some(TimerGuard::Tick), TimerState::Tick),
                (Some(TimerGuard::NewNeighbor), TimerState::FastStart),
                (Some(TimerGuard::Ttr), TimerState::Expires),
                (Some(TimerGuard::LocalChange), TimerState::Signal),
            ],
        },
        Row {
            state: TimerState::Expires,
            actions: &[TimerAction::CountFast],
            exits: &[(None, TimerState::Signal)],
        },
        Row {
            state: TimerState::Tick,
            actions: &[TimerAction::AddCredit],
            exits: &[(None, TimerState::Idle)],
        },
        Row {
            state: TimerState::Signal,
            actions: &[TimerAction::Now, TimerAction::StartTtr],
            exits: &[(None, TimerState::Idle)],
        },
        Row {
            state: TimerState::FastStart,
            actions: &[TimerAction::StartFast],
            exits: &[(None, TimerState::Expires)],
        },
    ],
};

labelled! {
    /// States of the receive machine (802.1AB 9.2.10).
    RxState {
        WaitPort => "LLDP_WAIT_PORT_OPERATIONAL",
        Initialize => "RX_LLDP_INITIALIZE",
        WaitFrame => "RX_WAIT_FOR_FRAME",
        Frame => "RX_FRAME",
        DeleteInfo => "DELETE_INFO",
        UpdateInfo => "UPDATE_INFO",
    }
}

labelled! {
    /// Guards of the receive machine.
    RxGuard {
        PortDown => "portEnabled = FALSE",
        PortUp => "portEnabled = TRUE",
        Receives => "adminStatus is enabledRxTx or enabledRxOnly",
        Deaf => "adminStatus is disabled or enabledTxOnly",
        InfoAge => "rxInfoAge",
        RcvFrame => "rcvFrame",
        Shutdown => "not badFrame and rxTTL = 0",
        Changed => "not badFrame and rxTTL > 0 and rxChanges",
        Unchanged => "badFrame, or rxTTL > 0 and not rxChanges",
    }
}

labelled! {
    /// Actions of the receive machine.
    RxAction {
        FlushLinkDown => "delete all neighbours (deviation: the standard lets them age)",
        Initialize => "rxInitializeLLDP() (deletes all neighbours), rcvFrame = FALSE",
        ProcessFrame => "rcvFrame = FALSE, rxProcessFrame()",
        Delete => "mibDeleteObjects() (the aged, or the one that shut down)",
        Update => "mibUpdateObjects()",
    }
}

/// The receive machine. With link down no information is left that could age, so the standard's
/// `DELETE_AGED_INFO` has no place.
pub static RECEIVE: Table<RxState, RxGuard, RxAction> = Table {
    name: "Receive",
    initial: RxState::WaitPort,
    global: &[(RxGuard::PortDown, RxState::WaitPort)],
    rows: &[
        Row {
            state: RxState::WaitPort,
            actions: &[RxAction::FlushLinkDown],
            exits: &[(Some(RxGuard::PortUp), RxState::Initialize)],
        },
        Row {
            state: RxState::Initialize,
            actions: &[RxAction::Initialize],
            exits: &[(Some(RxGuard::Receives), RxState::WaitFrame)],
        },
        Row {
            state: RxState::WaitFrame,
            actions: &[],
            exits: &[
                (Some(RxGuard::Deaf), RxState::Initialize),
                (Some(RxGuard::InfoAge), RxState::DeleteInfo),
                (Some(RxGuard::RcvFrame), RxState::Frame),
            ],
        },
        Row {
            state: RxState::Frame,
            actions: &[RxAction::ProcessFrame],
            exits: &[
                (Some(RxGuard::Shutdown), RxState::DeleteInfo),
                (Some(RxGuard::Changed), RxState::UpdateInfo),
                (Some(RxGuard::Unchanged), RxState::WaitFrame),
            ],
        },
        Row {
            state: RxState::DeleteInfo,
            actions: &[RxAction::Delete],
            exits: &[(None, RxState::WaitFrame)],
        },
        Row {
            state: RxState::UpdateInfo,
            actions: &[RxAction::Update],
            exits: &[(None, RxState::WaitFrame)],
        },
    ],
};
