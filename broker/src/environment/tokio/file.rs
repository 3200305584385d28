use std::fs;
use std::future::{Future, ready};
use std::io::{self, IoSlice};
use std::sync::Arc;

use rustix::io::{pread, pwritev, retry_on_intr};

use super::blocking;
use crate::environment::File;

/// An open file of the kernel; clones share the descriptor.
#[derive(Clone, Debug)]
pub struct TokioFile(pub(super) Arc<fs::File>);

impl File for TokioFile {
    fn read_at(
        &self,
        buffer: &mut [u8],
        position: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        ready(retry_on_intr(|| pread(&*self.0, &mut *buffer, position)).map_err(Into::into))
    }

    fn write_at(
        &self,
        parts: &[IoSlice<'_>],
        position: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        let parts = at_most_one_call(parts);
        ready(retry_on_intr(|| pwritev(&*self.0, parts, position)).map_err(Into::into))
    }

    async fn sync_data(&self) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        blocking(move || file.sync_data()).await
    }

    async fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    async fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// The parts that fit into one call, without empty ones at the front: a call that got only those would write
/// nothing, and look as if the file took nothing.
fn at_most_one_call<'a, 'b>(parts: &'a [IoSlice<'b>]) -> &'a [IoSlice<'b>] {
    let first = parts.iter().position(|part| !part.is_empty()).unwrap_or(parts.len());
    let parts = &parts[first..];
    &parts[..parts.len().min(PARTS_MAX)]
}

/// Linux refuses more (`IOV_MAX`).
const PARTS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_beyond_one_call_are_left_for_the_next() {
        let empty = IoSlice::new(&[]);
        let full = IoSlice::new(b"x");
        assert_eq!(at_most_one_call(&[]).len(), 0);
        assert_eq!(at_most_one_call(&[empty; 2000]).len(), 0);
        let mut parts = vec![empty; 1500];
        parts.extend([full; 1500]);
        let chosen = at_most_one_call(&parts);
        assert_eq!(chosen.len(), PARTS_MAX);
        assert_eq!(chosen.first().map(|part| part.len()), Some(1));
    }
}
