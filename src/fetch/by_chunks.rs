//! A blob by its chunk index: all bases at once, each chunk compared as it lands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::chunk::ChunkList;
use crate::fetch::download::{Download, pause_after, refuses_the_rest};
use crate::fetch::growing::Growing;
use crate::fetch::journal::Journal;
use crate::fetch::segments::{self, Ended, Wanted};
use crate::fetch::stream::name;
use crate::fetch::{FetchError, Place, Problem};

/// What came of asking by chunks.
#[derive(Default)]
pub(super) struct ByChunks {
    /// The blob is there, and right.
    pub(super) whole: bool,
    /// Each chunk was as the index says, and together they are another blob.
    pub(super) misled: bool,
    /// Places that failed, and why.
    pub(super) out: Vec<(usize, Problem)>,
    /// Those that need not be asked for the whole.
    pub(super) skipped: BTreeSet<usize>,
}

impl Download<'_> {
    /// The job's chunk index, if it is one of its blob and a place can be asked by it.
    pub(super) fn list(&self) -> Option<&Arc<ChunkList>> {
        let asked = self.places.iter().any(|place| matches!(place, Place::Http(..)));
        self.job.chunks.as_ref().filter(|list| asked && *list.blob() == self.job.pin && !list.is_empty())
    }

    /// Asks all bases at once.
    pub(super) fn by_chunks(&self, list: &Arc<ChunkList>, growing: &mut Growing<'_>) -> Result<ByChunks, FetchError> {
        let mut asked = ByChunks::default();
        let bases: Vec<usize> =
            self.order().into_iter().filter(|place| matches!(self.places.get(*place), Some(Place::Http(..)))).collect();
        match self.pull_segments(&bases, Some(list), growing)? {
            Ended::Stopped => return Err(FetchError::Stopped),
            Ended::Whole if growing.staging.pin() == self.job.pin => asked.whole = true,
            Ended::Whole => {
                asked.misled = true;
                growing.restart()?;
            }
            Ended::Failed(problems) => {
                let again = |(_, problem): &(usize, Problem)| refuses_the_rest(problem);
                asked.out = problems.into_iter().filter(|failed| !again(failed)).collect();
                asked.skipped = asked.out.iter().map(|(place, _)| *place).collect();
            }
        }
        Ok(asked)
    }

    /// Brings segments from these places, as far as they give them.
    pub(super) fn pull_segments(
        &self,
        numbers: &[usize],
        list: Option<&Arc<ChunkList>>,
        growing: &mut Growing<'_>,
    ) -> Result<Ended, FetchError> {
        let journal = growing.journal.as_deref().and_then(Journal::read);
        let source = |number: &usize| match self.places.get(*number) {
            Some(place @ Place::Http(url, scope)) => Some(segments::Source {
                place: *number,
                url: url.clone(),
                scope: *scope,
                etag: journal.as_ref().and_then(|journal| journal.etag_for(&name(place))).map(str::to_owned),
            }),
            _ => None,
        };
        let wanted = Wanted {
            http: self.fetcher.http,
            pin: self.job.pin,
            from: growing.staging.written(),
            list,
            seeds: &self.job.seeds,
            common: self.common,
            stopped: self.stopped,
            pause: pause_after,
        };
        let begun = Instant::now();
        let (ended, given) = segments::bring(&wanted, numbers.iter().filter_map(source).collect(), growing)?;
        for (number, bytes) in given {
            growing.comes_from(number);
            let out = matches!(&ended, Ended::Failed(problems) if problems.iter().any(|(out, _)| *out == number));
            if let Some(place) = self.places.get(number).filter(|_| !out) {
                let speed = u128::from(bytes) * 1000 / begun.elapsed().as_millis().max(1);
                self.fetcher.known.note(&name(place), true, u64::try_from(speed).ok());
            }
        }
        Ok(ended)
    }
}
