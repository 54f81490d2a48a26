//! Several fetchers on one store.

use std::time::Duration;

use modelpm::fetch::{Fetcher, Health, Landed};
use modelpm::model::{Pin, Timestamp};
use modelpm::store::Store;
use modelpm::sys::{Cancel, NetworkPolicy};
use modelpm::verify::verify;

use super::{LARGE, Recorder, Server, blob, client, jobs};

#[test]
fn many_processes_on_one_store_bring_each_blob_once() {
    let blobs: Vec<Vec<u8>> = (0..6).map(|seed| blob(if seed < 3 { 20_000 } else { LARGE }, 30 + seed)).collect();
    let pins: Vec<Pin> = blobs.iter().map(|bytes| Pin::of(bytes)).collect();
    let slices: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
    let server = Server::cutting(&slices, vec![]);
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (pins, server, folder) = (&pins, &server, folder.path());
            scope.spawn(move || {
                let http = client(NetworkPolicy::Online);
                let store = Store::open(folder).unwrap();
                // In another order each, and storing late: whoever waits must not keep the others waiting.
                let mut jobs = jobs(pins);
                jobs.rotate_left(number);
                let known = Health::read(&folder.join("places.json"), Timestamp::from_seconds(1).unwrap());
                let fetcher = Fetcher {
                    known: &known,
                    http: &http,
                    staging: store.staging(),
                    jobs: 2,
                    already: &|pin| matches!(store.find(pin), Ok(Some(_))),
                    patience: Duration::from_mins(1),
                    cancel: &Cancel::new(),
                    progress: &Recorder::default(),
                };
                let mut late = Vec::new();
                let result = fetcher.fetch(&jobs, &[vec![server.place(&http)]], &mut |landed| {
                    match landed {
                        Landed::Blob(job, staged) => late.push(verify(staged, &job.pin).unwrap()),
                        Landed::Pause => drop(store.insert_all(std::mem::take(&mut late)).unwrap()),
                    }
                    Ok::<(), ()>(())
                });
                assert!(result.is_ok(), "{result:?}");
                store.insert_all(late).unwrap();
                let wanted = pins.iter().copied().collect();
                assert!(store.missing(&wanted).unwrap().is_empty());
            });
        }
    });
    assert_eq!(server.requests().len(), pins.len(), "each blob was asked for once");
}
