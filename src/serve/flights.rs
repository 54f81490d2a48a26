//! Work that many ask for and that is done once.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// What is under way, by what it is about. Nobody who goes away ends it.
pub(super) struct Flights<K, T> {
    under_way: Mutex<HashMap<K, watch::Receiver<Option<T>>>>,
}

impl<K, T> Flights<K, T>
where
    K: Eq + Hash + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { under_way: Mutex::default() })
    }

    /// The result of the work about `key`, which begins now unless it has begun. None: the work broke.
    pub(super) async fn once<F>(self: &Arc<Self>, key: K, work: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut result = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(result) = under_way.get(&key) {
                result.clone()
            } else {
                let (sender, receiver) = watch::channel(None);
                under_way.insert(key.clone(), receiver.clone());
                let (work, landed) = (work(), Landing { flights: Arc::clone(self), key });
                tokio::spawn(async move {
                    let result = work.await;
                    // Whoever asks from here on begins anew, and those who wait are told.
                    drop(landed);
                    let _ = sender.send(Some(result));
                });
                receiver
            }
        };
        let result = result.wait_for(Option::is_some).await.ok()?;
        result.clone()
    }
}

/// Takes the work off the list when it ends, however it ends.
struct Landing<K: Eq + Hash, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.flights.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
