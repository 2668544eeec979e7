//! One account with its quota, as a sandbox.

use std::time::Instant;

use muster_core::certificate::CertificateId;
use muster_core::rate::Rate;
use muster_sandbox::{ApiOperation, CallLog, Limiting, LoggedCall, Rates, Sandbox, SandboxSettings};

/// The configuration of an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The name of its target.
    pub(crate) target: &'static str,
    pub(crate) account: &'static str,
    pub(crate) real_rate: Rate,
    pub(crate) limiting: Limiting,
}

/// A running account.
pub(crate) struct Site {
    pub(crate) plan: Plan,
    pub(crate) sandbox: Sandbox,
    /// When the clock of its call log started.
    started: Instant,
}

/// A RegisterCertificate call in the call log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) is_throttled: bool,
    /// The certificate, if the call registered it.
    pub(crate) registered: Option<CertificateId>,
}

impl Site {
    pub(crate) async fn start(plan: Plan) -> Self {
        let settings = SandboxSettings {
            account: plan.account.to_owned(),
            rates: Rates::all(plan.real_rate.per_second()),
            limiting: plan.limiting,
            keep_pem: false,
            ..Default::default()
        };
        let started = Instant::now();
        Self { plan, sandbox: Sandbox::start(settings).await.unwrap(), started }
    }

    pub(crate) fn ledger(&self) -> CallLog {
        self.sandbox.ledger()
    }

    /// Returns the RegisterCertificate calls after the first `skip` calls of any kind, in order of arrival.
    pub(crate) fn calls_from(&self, skip: usize) -> Vec<Call> {
        let calls = self.ledger().calls_from(skip, usize::MAX).into_iter();
        calls.filter(|call| call.operation == ApiOperation::RegisterCertificate).map(|call| self.call(&call)).collect()
    }

    fn call(&self, call: &LoggedCall) -> Call {
        Call {
            at: self.started + call.arrived,
            is_throttled: call.is_throttled(),
            registered: call.certificate_id.filter(|_| call.answer.as_deref() == Some("ok")),
        }
    }
}
