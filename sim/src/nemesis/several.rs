//! Blows that fall while others last.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::{Fault, How, Scene, Striking};
use crate::random::Random;

/// Blows that have begun and not gone by.
#[derive(Default)]
pub struct Strikes<'a> {
    running: Vec<Striking<'a>>,
}

impl<'a> Strikes<'a> {
    /// Begins one.
    pub fn begin(&mut self, scene: &'a Scene, fault: &'static Fault, mut random: Random) {
        if let How::Blow { strike, .. } = fault.how {
            self.running.push(Box::pin(async move { strike(scene, &mut random).await }));
        }
    }

    /// Lets them go on while something else does, and gives what that comes to.
    ///
    /// # Errors
    ///
    /// What must not have happened meanwhile.
    pub async fn during<T>(
        &mut self,
        other: impl Future<Output = Result<T, String>> + Send,
    ) -> Result<T, String> {
        let mut other = pin!(other);
        poll_fn(|context| {
            let mut failure = None;
            self.running.retain_mut(|strike| match strike.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(outcome) => {
                    failure = failure.take().or(outcome.err());
                    false
                }
            });
            if let Some(failure) = failure {
                return Poll::Ready(Err(failure));
            }
            other.as_mut().poll(context)
        })
        .await
    }

    /// Waits until all have gone by.
    ///
    /// # Errors
    ///
    /// What must not have happened meanwhile.
    pub async fn until_over(&mut self, scene: &Scene) -> Result<(), String> {
        while !self.running.is_empty() {
            self.during(scene.wait(A_WHILE)).await?;
        }
        Ok(())
    }
}

const A_WHILE: Duration = Duration::from_millis(200);
