use std::io::{self, Write as _};

use crate::client::Error;
use crate::model::ErrorCode;

pub(super) const FAILED: u8 = 1;
pub(super) const USAGE: u8 = 2;
pub(super) const NOT_FOUND: u8 = 3;
pub(super) const DENIED: u8 = 4;
pub(super) const UNREACHABLE: u8 = 5;
pub(super) const PARTLY: u8 = 6;
pub(super) const INTERRUPTED: u8 = 130;

/// Why a command did not do what it was told: what happened, and what to do about it.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    what: String,
    advice: Option<String>,
}

impl Failure {
    pub(super) fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), advice: None }
    }

    /// The arguments make no sense together.
    pub(super) fn usage(what: impl Into<String>) -> Self {
        Self::new(USAGE, what)
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(super) const fn code(&self) -> u8 {
        self.code
    }

    /// Writes it for a person; says nothing when there is nothing to say.
    pub(super) fn tell(&self) {
        if self.what.is_empty() {
            return;
        }
        let mut out = io::stderr().lock();
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(out, "error: {}", self.what);
        if let Some(advice) = &self.advice {
            let _ = writeln!(out, "  try: {advice}");
        }
    }

    /// The failure of a command that did several things, `done` of them with success.
    ///
    /// # Errors
    ///
    /// When any of them failed: its own failure when all of them did, else one with the code for partly done.
    pub(super) fn of_several(failures: Vec<Self>, done: usize) -> Result<(), Self> {
        let mut failures = failures.into_iter();
        let Some(first) = failures.next() else { return Ok(()) };
        for other in failures {
            other.tell();
        }
        let code = if done > 0 { PARTLY } else { first.code };
        Err(Self { code, ..first })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let advice = error.advice();
        Self::new(code_of(&error), error.to_string()).advise(advice)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // Whoever read our output has had enough (`| head`): that is no failure.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(0, "");
        }
        Self::new(FAILED, error.to_string())
    }
}

fn code_of(error: &Error) -> u8 {
    match error {
        Error::Refused { code, .. } => code_of_refusal(*code),
        Error::GaveUp { last, .. } => match code_of(last) {
            FAILED => UNREACHABLE,
            code => code,
        },
        Error::Unreachable { .. }
        | Error::NoBroker { .. }
        | Error::Disconnected { .. }
        | Error::Busy { .. }
        | Error::NoLeader { .. }
        | Error::TimedOut { .. } => UNREACHABLE,
        Error::Malformed { .. }
        | Error::Unsupported { .. }
        | Error::Invalid { .. }
        | Error::Corrupt { .. }
        | Error::Closed => FAILED,
    }
}

fn code_of_refusal(code: ErrorCode) -> u8 {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are plain failures")]
    match code {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::UnknownTopicId
        | ErrorCode::GroupIdNotFound
        | ErrorCode::TransactionalIdNotFound
        | ErrorCode::ResourceNotFound => NOT_FOUND,
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::GroupAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed
        | ErrorCode::TransactionalIdAuthorizationFailed
        | ErrorCode::DelegationTokenAuthorizationFailed
        | ErrorCode::SaslAuthenticationFailed => DENIED,
        ErrorCode::RequestTimedOut
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::BrokerNotAvailable
        | ErrorCode::LeaderNotAvailable => UNREACHABLE,
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: ErrorCode) -> Failure {
        Error::Refused { what: "x".into(), code, message: None }.into()
    }

    #[test]
    fn exit_codes_are_those_that_were_promised() {
        assert_eq!(refused(ErrorCode::UnknownTopicOrPartition).code(), 3);
        assert_eq!(refused(ErrorCode::TopicAuthorizationFailed).code(), 4);
        assert_eq!(refused(ErrorCode::RequestTimedOut).code(), 5);
        assert_eq!(refused(ErrorCode::TopicAlreadyExists).code(), 1);
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from(closed).code(), 0);
    }

    #[test]
    fn several_things_fail_wholly_or_partly() {
        assert!(Failure::of_several(Vec::new(), 3).is_ok());
        let all = Failure::of_several(vec![Failure::new(NOT_FOUND, "a")], 0);
        assert_eq!(all.unwrap_err().code(), NOT_FOUND);
        let some = Failure::of_several(vec![Failure::new(NOT_FOUND, "a")], 1);
        assert_eq!(some.unwrap_err().code(), PARTLY);
    }
}
