//! Rate limits: obeyed by all at once, told once, and not waited for without end.

use std::time::Duration;

use super::{count, machine};
use crate::support::http::Fault;
use crate::support::hub::Hub;

#[test]
fn a_limit_in_the_middle_of_many_files_is_waited_for() {
    let hub = Hub::start();
    let mut draft = hub.dataset("org/many");
    for number in 0..500 {
        draft = draft.file(&format!("{number}.txt"), format!("{number}\n"));
    }
    draft.commit("main");
    hub.limit("resolvers", 300, Duration::from_secs(2));
    let project = machine(&hub);
    let ran = project.mpm(&["add", "hf:datasets/org/many"]).expect(0);
    assert_eq!(ran.stderr.matches("rate limit is reached").count(), 1, "{}", ran.stderr);
    let requests = hub.requests();
    let refused = requests.iter().filter(|request| request.status == 429).count();
    assert!((1..=64).contains(&refused), "whoever is at work meets it once: {refused}");
    assert_eq!(count(&requests, "/resolve/") - refused, 500);
    project.mpm(&["verify"]).expect(0);
}

#[test]
fn a_limit_of_the_interface_is_waited_for_as_the_hub_says() {
    let hub = Hub::start();
    hub.model("org/m").file("config.json", "{}\n").commit("main");
    hub.limit("api", 1, Duration::from_secs(1));
    machine(&hub).mpm(&["add", "hf:org/m"]).expect(0).says(&["rate limit"]);
    hub.without_limits();
    hub.fault("config.json", 1, Fault::Status(429, Some(1)));
    machine(&hub).mpm(&["add", "hf:org/m"]).expect(0).says(&["rate limit"]);
}

#[test]
fn a_limit_that_never_ends_does() {
    let hub = Hub::start();
    hub.model("org/m").file("config.json", "{}\n").commit("main");
    hub.fault("config.json", 1000, Fault::Status(429, Some(0)));
    let project = machine(&hub);
    project.mpm(&["add", "hf:org/m"]).expect(3).says(&["[E0673]", "HF_TOKEN", "goes on later"]);
    assert!(hub.requests().len() < 30);
}
